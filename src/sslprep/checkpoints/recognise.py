"""Which network a file holds: found from names, checked by shapes, or named and not supported.

Widths are never assumed: a convolution must take what the one before it gives. So a model of
any width is checked as strictly as the published one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.names import BlobName, parse_caffe2
from sslprep.checkpoints.networks import NORM_PARAMS, Kind, Layer, Network, alexnet, resnet
from sslprep.errors import CheckpointError

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

SUPPORTED = (
    "a ResNet with 7×7 stem and batch norms (any depth, width, groups, input channels), or one of "
    "the benchmark's AlexNets"
)
_CLASSIFIERS = ("pred", "fc1", "fc_c5", "pool5_cls")
_STATISTICS = ("_rm", "_riv")


def recognise(shapes: Shapes, *, caffe2: bool = True, stride_in_1x1: bool = False) -> Network:
    """Find out which network blobs of one tower belong to.

    Args:
        shapes: Shape by Caffe2 name; momentum and bookkeeping left out.
        caffe2: Whether the file is Caffe2's. Only there does one input channel mean lightness,
            and stride 1 in the last stage.
        stride_in_1x1: Whether a ResNet's strides stand in its 1×1 convolutions.

    Raises:
        CheckpointError: None of those that are supported; says which where it can.
    """
    names = {text: name for text in shapes if (name := parse_caffe2(text)) is not None}
    if any(name.unit is not None for name in names.values()):
        return _resnet(shapes, names, caffe2=caffe2, stride_in_1x1=stride_in_1x1)
    kernels = [shapes.get(f"conv{i}_w", ())[2:] for i in (1, 2)]
    if any(name.layer == "conv3" for name in names.values()) and (
        kernels[0] == (11, 11) or kernels[1] == (5, 5)
    ):
        return _alexnet(shapes, names)
    first = ", ".join(list(shapes)[:3])
    raise CheckpointError(
        f"is an unknown network ({len(shapes)} arrays: {first}, …)", expected=SUPPORTED
    )


def _resnet(
    shapes: Shapes, names: Mapping[str, BlobName], *, caffe2: bool, stride_in_1x1: bool
) -> Network:
    units = [unit for name in names.values() if (unit := name.unit) is not None]
    convs = {n.unit: shapes[text] for text, n in names.items() if n.unit and n.param == "w"}
    blocks = tuple(
        1 + max((u.block for u in units if u.stage == stage), default=-1) for stage in range(2, 6)
    )
    if problem := _other_resnet(shapes, names, whole=all(blocks), caffe2=caffe2):
        raise CheckpointError(f"is {problem}", expected=SUPPORTED)
    basic = not any(unit.branch == "2c" for unit in units) and any(
        unit.branch == "2a" and shape[2:] == (3, 3) for unit, shape in convs.items()
    )
    colorization = caffe2 and shapes.get("conv1_w", ())[1:2] == (1,)
    last = (5, "2b" if basic else "2c")
    features = {s[:1] for unit, s in convs.items() if (unit.stage, unit.branch) == last}
    layers = {name.layer for name in names.values()}
    probes = any(name.probe for name in names.values()) or any(
        layer.endswith("_cls") and layer != "pool5_cls" for layer in layers
    )
    classifier = None if probes else _classifier(shapes, names, features)
    pool5_bn = any(n.layer == "pool5" and n.norm for n in names.values()) or (
        classifier in ("fc_c5", "pool5_cls") or (colorization and classifier == "pred")
    )
    return resnet(
        blocks,
        basic=basic,
        style=_style(shapes),
        colorization=colorization,
        stride_in_1x1=stride_in_1x1,
        identity=basic and not any(n.layer == "res2_0_branch1" for n in names.values()),
        probes=probes,
        classifier=classifier,
        pool5_bn=pool5_bn,
    )


def _style(shapes: Shapes) -> str:
    """Name a ResNet by its widths: groups are ResNeXt's, wide inside is wide, everywhere is w2."""
    times, rest = divmod((*shapes.get("conv1_w", ()), 0)[0], 64)
    plain = f"R-{{}}w{times}" if times > 1 and not rest else "R-{}"
    sizes = shapes.get("res2_0_branch2c_w", ())[:1] + shapes.get("res2_0_branch2b_w", ())[:2]
    if len(sizes) < 3 or 0 in sizes:
        return plain
    out, middle, given = sizes
    if given != middle:
        return f"ResNeXt-{{}} {middle // given}x{given}d"
    return plain if 4 * middle == out else f"Wide ResNet-{{}}-{4 * middle / out:g}"


def _classifier(
    shapes: Shapes, names: Mapping[str, BlobName], features: Collection[Shape]
) -> str | None:
    """Return the head that takes the last features; of several the one that is known."""
    fitting = [
        name.layer
        for text, name in names.items()
        if name.param == "w"
        and name.layer.startswith(("fc", "pred", "pool5_cls"))
        and shapes[text][1:] in features
    ]
    for layer in _CLASSIFIERS:
        lacks_weights = f"{layer}_b" in shapes and f"{layer}_w" not in shapes
        if layer in fitting or lacks_weights:
            return layer
    return fitting[0] if len(fitting) == 1 else None


def _alexnet(shapes: Shapes, names: Mapping[str, BlobName]) -> Network:
    layers = {name.layer for name in names.values()}
    norms = {name.norm for name in names.values() if name.norm and name.layer != "pool5"}
    kind: Kind = "CaffeNet"
    if norms & {"norm", "_norm"} or "fc6_1" in layers:
        kind = "AlexNet colorization"
    elif norms:
        kind = "AlexNet Jigsaw"
    probes = any(n.probe for n in names.values()) or bool(layers & {"fc_c1", "fc_pool5"})
    last = "_1" if kind == "AlexNet colorization" else ""
    given = (*shapes.get("conv5_w", ()), 0)[0] or 1
    takes = shapes.get("fc6_w", (0, 36 * given))[1:2]
    if takes and takes[0] != 36 * given and takes[0] % given == 0:
        # fc6 of a pretext model takes the features of several towers side by side.
        return alexnet(kind, fc=0, probes=probes)
    classifier = next((layer for layer in ("fc8", "fc8_cls", "pred") if layer in layers), None)
    fc = 2 if classifier or f"fc7{last}" in layers else int(f"fc6{last}" in layers)
    return alexnet(kind, probes=probes, fc=fc, classifier=None if probes else classifier)


def _other_resnet(
    shapes: Shapes, names: Mapping[str, BlobName], *, whole: bool, caffe2: bool
) -> str | None:
    """Name a ResNet of another kind."""
    stem = shapes.get("conv1_w")
    if stem is not None and len(stem) == 4 and stem[2:] == (3, 3):
        deep = "conv2_w" in shapes
        return f"a ResNet with {'a deep stem' if deep else 'the 3×3 stem of CIFAR, or a RegNet'}"
    norms = [n for n in names.values() if n.is_norm and n.unit is not None]
    if not norms and whole:
        return "a ResNet without batch norms"
    if norms and not caffe2 and not any(n.param in ("rm", "riv") for n in norms):
        return "a ResNet with group norms, or others without running statistics"
    return None


def refuse_others(shapes: Shapes) -> None:
    """Name a network that is not converted, from the paths and shapes of its arrays."""
    listing = "\n".join(f"{path} {shape}" for path, shape in shapes.items())
    for name, pattern, count in _OTHERS:
        found = {m[0]: m.groups() for m in re.finditer(pattern, listing, re.MULTILINE)}
        if len(found) >= count:
            depth = len(set(_BLOCK.findall(listing)))
            named = name.format(*next(iter(found.values())), depth=depth)
            raise CheckpointError(f"is {named}", expected=SUPPORTED)


_BLOCK = re.compile(r"(?:blocks|layers?)\.(?:encoder_layer_)?([0-9]+)\.")
_N = "[0-9]+"
_OTHERS = (
    ("a Swin transformer", "relative_position_bias_table ", 1),
    (
        "a ViT of width {}, depth {depth}, patch {}",
        r"(?:patch_embed(?:dings)?\.proj(?:ection)?|conv_proj)\.weight "
        rf"\(({_N}), {_N}, ({_N}), {_N}\)$", 1,
    ),
    ("an SE-ResNet (squeeze and excitation)", r"layer1\.0\.se(?:_module|_layer)?\.", 1),
    ("a ResNet with selective kernels (SimCLR v2's sk1)", r"\.main_conv\.", 1),
    ("a RegNet", r"\bblock1-0\.", 1),
    (
        "a ResNet with a deep stem (ResNet-C or -D)",
        rf"(?:conv1|stem)\.0\.weight \({_N}, {_N}, 3, 3\)$", 1,
    ),
    (
        "an R(2+1)D or other 3D ResNet (convolutions over time)",
        rf"layer1\.0\.[a-z0-9_.]{{1,60}} \((?:{_N}, ){{4}}", 1,
    ),
    ("a ConvNeXt", rf"(?:dwconv|conv_dw|depthwise_conv|block\.0)\.weight \({_N}, 1, 7, 7\)$", 1),
    ("torchvision's AlexNet", r"features\.0\.weight \(64, 3, 11, 11\)$", 1),
    ("a VGG", rf"features\.{_N}\.weight \({_N}, {_N}, 3, 3\)$", 8),
    ("a DenseNet", r"denseblock1\.denselayer1\.", 1),
    ("a MobileNet or EfficientNet", r"(?:features|blocks)\.1\.(?:0\.)?conv(?:_dw)?\.", 1),
    ("LeNet", rf"conv[12](?:_w|\.weight) \({_N}, {_N}, 5, 5\)$", 2),
    (
        "MTCNN's P-Net",
        r"conv(?:1(?:_w|\.weight) \(10, 3|2(?:_w|\.weight) \(16, 10|3(?:_w|\.weight) \(32, 16)"
        r", 3, 3\)$", 3,
    ),
    ("a Haiku or Flax model", r"/~/|^(?:[^./\n]{1,40}[./]){0,4}params[./].*kernel ", 1),
)  # fmt: skip
"""Networks that are named and not converted: a pattern of names and shapes; how many it finds."""


def check_shapes(network: Network, shapes: Shapes, channels: int) -> None:
    """Check that every layer takes what the ones before it give."""
    problems: list[str] = []
    side = network.size
    given: dict[str, tuple[int | None, int]] = {"data": (channels, side)}
    for layer in network.layers:
        width, side = given[layer.takes[0]]
        for name, wanted in _wanted(layer, width, side, shapes):
            shape = shapes.get(name)
            if shape is None:
                continue
            pairs = zip(shape, wanted, strict=False)
            fits = all(length > 0 if want is None else length == want for length, want in pairs)
            if not fits or len(shape) != len(wanted):
                problems.append(f"{name} has shape {shape}, not {wanted}".replace("None", "any"))
        if layer.op in ("conv", "fc"):
            weights = shapes.get(f"{layer.name}_w", ())
            width = weights[0] if len(weights) == (4 if layer.op == "conv" else 2) else None
        if layer.op == "add":
            other = given[layer.takes[1]][0]
            if width is not None and other is not None and width != other:
                last = layer.takes[0].removesuffix("_bn")
                problems.append(f"{last}_w gives {width} channels, not {other}")
            width = other if width is None else width
        if layer.op in ("conv", "max", "average"):
            side = (side + 2 * layer.pad - layer.kernel) // layer.stride + 1
        given[layer.name] = (width, 1 if layer.op in ("mean", "fc") else side)
    raise_together(problems, remedy="The file is not the network that its names say.")


_Wanted = tuple[int | None, ...]


def _wanted(
    layer: Layer, width: int | None, side: int, shapes: Shapes
) -> Iterator[tuple[str, _Wanted]]:
    """Yield each blob of a layer and its shape; `None` is any length."""
    weights = shapes.get(f"{layer.name}_w", ())
    if layer.op == "norm":
        yield from ((name, (width,)) for name in layer.blobs)
        return
    if layer.op == "conv":
        takes = width
        if width is not None and layer.grouped and len(weights) == 4 and weights[1]:
            groups, rest = divmod(width, weights[1])
            allowed = (1, layer.grouped) if layer.grouped > 1 else (groups,)
            takes = weights[1] if not rest and groups in allowed else width
        yield f"{layer.name}_w", (None, takes, layer.kernel, layer.kernel)
    elif layer.op == "fc":
        yield f"{layer.name}_w", (None, None if width is None else width * side * side)
    if layer.op in ("conv", "fc"):
        yield f"{layer.name}_b", weights[:1] or (None,)


def missing_blobs(network: Network, names: Iterable[str]) -> list[str]:
    """List what a network, or a norm that is there, lacks; folded ones need scale and shift."""
    present = {name: parse_caffe2(name) for name in names}
    norms = {n.module for n in present.values() if n is not None and n.is_norm and not n.momentum}
    folded = norms and not any(name.endswith(_STATISTICS) for name in present)
    parts = [f"{module}_{param}" for module in sorted(norms) for param in NORM_PARAMS]
    affine = sorted({n.module for n in present.values() if n is not None and n.affine})
    parts += [f"{module}_norm_{param}" for module in affine for param in ("s", "b")]
    return [
        name
        for name in dict.fromkeys((*network.blobs, *parts))
        if name not in present and not (folded and name.endswith(_STATISTICS))
    ]


def check_values(blobs: Mapping[str, NDArray[Any]]) -> list[str]:
    """Check float32 weights for NaN and infinity, and variances for what no square root has.

    Returns:
        Blobs with variances of exactly 0, which training gives a dead filter.
    """
    problems, dead = [], []
    for text, array in blobs.items():
        # A sum is one fast pass, and not finite whenever a term is not; it may overflow by itself.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(array.sum()) or np.isfinite(array).all()
        if not finite:
            bad = int(array.size - np.isfinite(array).sum())
            problems.append(f"{text} holds {bad:,} values that are NaN or infinite in float32")
        elif text.endswith("_riv") and array.size and not array.min() > 0:
            if array.min() < 0:
                count = int((array < 0).sum())
                problems.append(
                    f"{text} holds {count:,} negative variances (smallest {array.min():g})"
                )
            else:
                dead.append(text)
    raise_together(problems, remedy="The checkpoint is damaged or diverged; take another one.")
    return dead


def raise_together(problems: list[str], *, remedy: str) -> None:
    """Report problems of one kind together, the first three in full."""
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError("; ".join(problems[:3]) + more, remedy=remedy)
