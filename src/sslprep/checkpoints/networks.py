"""The networks, as data: each is a short list of layers in Caffe2's names.

One description serves recognition, the list of what is missing, both sides of a proof
(`forward_numpy`, `forward_torch`) and the features of `sslprep evaluate`. Facts are those of the
benchmark's twelve networks as a real Caffe2 builds them: what stands where, kernels, strides and
padding. Groups are not written down: a convolution's weights say how many channels each takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Op = Literal["conv", "norm", "max", "average", "mean", "lrn", "fc", "add"]
Kind = Literal["ResNet", "AlexNet Jigsaw", "AlexNet colorization", "CaffeNet"]

NORM_PARAMS = ("s", "b", "rm", "riv")
BLOCKS: dict[str, tuple[int, ...]] = {
    "R-50": (3, 4, 6, 3),
    "R-101": (3, 4, 23, 3),
    "R-152": (3, 8, 36, 3),
}
"""Bottleneck blocks of stages 2 to 5 (He et al. 2016, arXiv 1512.03385, table 1)."""
BASIC_BLOCKS: dict[str, tuple[int, ...]] = {"R-18": (2, 2, 2, 2), "R-34": (3, 4, 6, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One step of the forward pass.

    Attributes:
        op: `conv`, `norm` (batch norm in test mode), `max` and `average` pooling (padding is
            not counted in the average), `mean` over all positions, `lrn` (local response norm
            over 5 channels, alpha 1e-4, beta 0.75, k 1), `fc` (fully connected, takes its input
            flattened channel first), `add`.
        name: What others take it by; of conv, norm and fc also what its blobs' names begin with.
        takes: The layers that it takes; `data` is the picture.
        kernel: Side of the window.
        stride: Step of the window.
        pad: Zeros around the input.
        grouped: Whether a conv may be split: 2 for AlexNet's two groups (or none), 1 for any
            number of groups (ResNeXt), 0 for none.
        bias: Whether a conv has a blob `…_b`; an fc always has.
        relu: Whether negative outputs become 0.
        head: Whether it is a classifier, or stands only before one.
    """

    op: Op
    name: str
    takes: tuple[str, ...] = ()
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    grouped: int = 0
    bias: bool = False
    relu: bool = False
    head: bool = False

    @property
    def blobs(self) -> tuple[str, ...]:
        """Names of the blobs that it needs."""
        if self.op == "norm":
            return tuple(f"{self.name}_{param}" for param in NORM_PARAMS)
        if self.op == "fc" or (self.op == "conv" and self.bias):
            return f"{self.name}_w", f"{self.name}_b"
        return (f"{self.name}_w",) if self.op == "conv" else ()


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of one tower.

    Attributes:
        kind: Which of the families.
        layers: In the order of the forward pass; each takes earlier ones.
        stages: The features that people ask for, by name: the layer where they come out.
        size: Side of the picture that it is made for, in pixels.
        blocks: Of a ResNet, blocks of each stage 2 to 5.
        basic: Whether a ResNet's blocks are two 3×3 convolutions (ResNet-18 and -34).
        stride_in_1x1: Whether a stage's stride stands in its first 1×1 convolution, as in the
            first ResNets, and not in the 3×3.
        colorization: Whether it takes lightness alone.
    """

    kind: Kind
    layers: tuple[Layer, ...]
    stages: Mapping[str, str]
    size: int
    blocks: tuple[int, ...] = ()
    basic: bool = False
    stride_in_1x1: bool = False
    colorization: bool = False

    @property
    def arch(self) -> str | None:
        """`R-50` and its like, `AlexNet`, or `None` for other numbers of blocks."""
        if self.kind != "ResNet":
            return "CaffeNet" if self.kind == "CaffeNet" else "AlexNet"
        table = BASIC_BLOCKS if self.basic else BLOCKS
        return next((name for name, blocks in table.items() if blocks == self.blocks), None)

    @property
    def describe(self) -> str:
        """A word for people, such as `R-50` or `ResNet with blocks 3-4-5-3`."""
        return self.arch or f"ResNet with blocks {'-'.join(map(str, self.blocks))}"

    @property
    def blobs(self) -> list[str]:
        """Names of all blobs that it needs, in the order of the forward pass."""
        return [name for layer in self.layers for name in layer.blobs]

    @property
    def modules(self) -> dict[str, int]:
        """Place of every trunk layer in the forward pass, by its name."""
        return {layer.name: i for i, layer in enumerate(self.layers) if not layer.head}

    def without_heads(self) -> Network:
        """Return the network up to its last features."""
        layers = tuple(layer for layer in self.layers if not layer.head)
        names = {layer.name for layer in layers}
        stages = {stage: name for stage, name in self.stages.items() if name in names}
        return replace(self, layers=layers, stages=stages)


def needed(network: Network, stages: Collection[str]) -> list[Layer]:
    """Return the layers that some stages need, in order."""
    wanted = {network.stages[stage] for stage in stages}
    chosen = []
    for layer in reversed(network.layers):
        if layer.name in wanted:
            wanted.update(layer.takes)
            chosen.append(layer)
    return chosen[::-1]


# The short forms in which the networks below are written. `after` is the layer before it where
# that is not the one in the line above.
def _conv(
    name: str, kernel: int, stride: int = 1, pad: int = 0, *, relu: bool = False,
    bias: bool = True, grouped: int = 0, after: str = "",
) -> Layer:  # fmt: skip
    return Layer(
        op="conv", name=name, takes=(after,), kernel=kernel, stride=stride, pad=pad,
        grouped=grouped, bias=bias, relu=relu,
    )  # fmt: skip


def _norm(name: str, *, relu: bool = True, after: str = "") -> Layer:
    return Layer(op="norm", name=name, takes=(after,), relu=relu)


def _pool(op: Op, name: str, kernel: int = 3, stride: int = 2, pad: int = 0) -> Layer:
    return Layer(op=op, name=name, takes=("",), kernel=kernel, stride=stride, pad=pad)


def _fc(name: str, *, relu: bool = False) -> Layer:
    return Layer(op="fc", name=name, takes=("",), relu=relu)


def _linked(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Let each layer that names no input take the one before it."""
    before, linked = "data", []
    for layer in layers:
        linked.append(replace(layer, takes=tuple(name or before for name in layer.takes)))
        before = layer.name
    return tuple(linked)


@dataclass(frozen=True, slots=True)
class Probe:
    """A linear classifier behind a layer: pooling, batch norm, fully connected."""

    after: str
    pooled: str
    kernel: int
    stride: int
    pad: int
    classifier: str

    def layers(self) -> tuple[Layer, ...]:
        """Return its layers."""
        window = (self.kernel, self.stride, self.pad)
        pool = replace(_pool("average", self.pooled, *window), takes=(self.after,))
        first = (pool,) if self.kernel else ()
        norm = _norm(f"{self.pooled}_bn", relu=False, after=self.pooled)
        head = replace(_fc(self.classifier), takes=(norm.name,))
        return tuple(replace(layer, head=True) for layer in (*first, norm, head))


def _probe(after: str, stride: int, kernel: int, classifier: str) -> Probe:
    return Probe(after, f"{after}_s{stride}k{kernel}_resize", kernel, stride, 0, classifier)


def resnet(
    blocks: Collection[int], *, basic: bool = False, colorization: bool = False,
    stride_in_1x1: bool = False, identity: bool = False, probes: bool = False,
    classifier: str | None = None, pool5_bn: bool = False,
) -> Network:  # fmt: skip
    """Describe a ResNet (He et al. 2016); colorization has stride 1 in stage 5.

    Args:
        blocks: Blocks of each stage, from stage 2 on.
        basic: Two 3×3 convolutions a block in place of 1×1, 3×3, 1×1.
        colorization: The benchmark's colorization model.
        stride_in_1x1: Where a stage's stride stands.
        identity: Whether nothing stands in the way around the first block of stage 2, as in
            ResNet-18 and -34, where neither width nor side change.
        probes: The linear classifiers behind every stage (`…_finetune_linear`).
        classifier: The fully connected layer on the last features.
        pool5_bn: Whether a batch norm stands before it.

    Example:
        >>> [layer.name for layer in resnet([1]).layers][:5]
        ['conv1', 'res_conv1_bn', 'pool1', 'res2_0_branch2a', 'res2_0_branch2a_bn']
    """
    layers = [
        _conv("conv1", 7, 2, 3, bias=False),
        _norm("res_conv1_bn"),
        _pool("max", "pool1", pad=1),
    ]
    stages = {"conv1": "res_conv1_bn", "pool1": "pool1"}
    before = "pool1"
    for stage, count in enumerate(blocks, 2):
        for block in range(count):
            stride = 1 if block or stage == 2 or (stage == 5 and colorization) else 2
            place = f"res{stage}_{block}"
            around = block == 0 and not (identity and stage == 2)
            layers += _block(place, before, stride, around, basic, stride_in_1x1)
            before = layers[-1].name
        stages[f"res{stage}"] = before
    layers.append(replace(_pool("mean", "pool5"), takes=(before,)))
    stages["pool5"] = "pool5"
    heads: list[Layer] = []
    if probes:
        heads += [layer for probe in _resnet_probes(stages, colorization)
                  for layer in probe.layers()]  # fmt: skip
    elif classifier is not None or pool5_bn:
        if pool5_bn:
            heads.append(_norm("pool5_bn", relu=False))
        if classifier is not None:
            heads.append(_fc(classifier))
    layers += [replace(layer, head=True) for layer in heads]
    stages |= {layer.name: layer.name for layer in heads if layer.op == "fc"}
    return Network(
        kind="ResNet", layers=_linked(layers), stages=stages, size=224, blocks=tuple(blocks),
        basic=basic, stride_in_1x1=stride_in_1x1, colorization=colorization,
    )  # fmt: skip


def _block(
    place: str, before: str, stride: int, first: bool, basic: bool, stride_in_1x1: bool
) -> Iterator[Layer]:
    kernels = {"2a": 3, "2b": 3} if basic else {"2a": 1, "2b": 3, "2c": 1}
    with_stride = "2a" if basic or stride_in_1x1 else "2b"
    after, last = before, max(kernels)
    for branch, kernel in kernels.items():
        name = f"{place}_branch{branch}"
        step = stride if branch == with_stride else 1
        grouped = int(branch == "2b" and not basic)
        yield _conv(name, kernel, step, kernel // 2, bias=False, grouped=grouped, after=after)
        after = f"{name}_bn"
        yield _norm(after, relu=branch != last)
    around = before
    if first:
        yield _conv(f"{place}_branch1", 1, stride, bias=False, after=before)
        around = f"{place}_branch1_bn"
        yield _norm(around, relu=False)
    yield Layer(op="add", name=place, takes=(after, around), relu=True)


def _resnet_probes(stages: Mapping[str, str], colorization: bool) -> list[Probe]:
    def after(stage: int, stride: int, kernel: int) -> Probe:
        place = stages[f"res{stage}"]
        probe = _probe(f"{place}_branch2c_bn", stride, kernel, f"conv{stage}_cls")
        return replace(probe, after=place)

    return [
        Probe("res_conv1_bn", "res_conv1_bn_resize", 10, 10, 4, "conv1_cls"),
        Probe("pool1", "pool1_resize", 5, 5, 2, "pool1_cls"),
        after(2, 8, 16),
        after(3, 5, 13),
        after(4, 3, 8),
        after(5, 2, 12) if colorization else after(5, 1, 6),
        Probe("pool5", "pool5", 0, 0, 0, "pool5_cls"),
    ]


def alexnet(kind: Kind, *, probes: bool = False, classifier: str | None = None,
            fc: int = 2) -> Network:  # fmt: skip
    """Describe one of the benchmark's three AlexNets (Krizhevsky et al. 2012), for 227 pixels.

    Args:
        kind: Which: they differ in norms, and in the names and order of what follows conv1.
        probes: The linear classifiers behind every layer (`…_finetune_linear`). Jigsaw's then
            has stride 2 in conv1 and no local response norms.
        classifier: The layer behind fc7.
        fc: How many of fc6 and fc7 are there.
    """
    norms, order = _ALEXNETS[kind]
    lrn = "" if kind == "AlexNet Jigsaw" and probes else order
    layers: list[Layer] = []
    stages: dict[str, str] = {}
    for i, (kernel, stride, pad, grouped) in enumerate(_CONVS, 1):
        norm = norms.get(f"conv{i}", "")
        step = 2 if i == 1 and kind == "AlexNet Jigsaw" and probes else stride
        layers.append(_conv(f"conv{i}", kernel, step, pad, grouped=grouped, relu=not norm))
        layers += [_norm(f"conv{i}{norm}")] if norm else []
        stages[f"conv{i}"] = layers[-1].name
        local = [Layer(op="lrn", name=f"norm{i}", takes=("",))] if i < 3 else []
        layers += local if lrn == "before" else []
        layers += [_pool("max", f"pool{i}")] if i in (1, 2, 5) else []
        layers += local if lrn == "after" else []
    stages["pool5"] = "pool5"
    for name, kernel in (("fc6", 6), ("fc7", 1))[:fc]:
        norm = norms.get(name, "")
        if kind == "AlexNet colorization":
            layers.append(_conv(f"{name}_1", kernel))
        else:
            layers.append(_fc(name, relu=not norm))
        layers += [_norm(f"{layers[-1].name}{norm}")] if norm else []
        stages[name] = layers[-1].name
    heads = [layer for probe in _alexnet_probes(kind) for layer in probe.layers()] if probes else []
    if classifier is not None:
        heads.append(replace(_fc(classifier), head=True))
    stages |= {layer.name: layer.name for layer in heads if layer.op == "fc"}
    return Network(
        kind=kind, layers=_linked([*layers, *heads]), stages=stages, size=227,
        colorization=kind == "AlexNet colorization",
    )  # fmt: skip


_CONVS = ((11, 4, 0, 0), (5, 1, 2, 2), (3, 1, 1, 0), (3, 1, 1, 2), (3, 1, 1, 2))
"""Kernel, stride, padding and groups of conv1 to conv5."""
_FCS = ("fc6", "fc7")
_ALEXNETS: dict[Kind, tuple[dict[str, str], str]] = {
    "AlexNet Jigsaw": (
        dict.fromkeys(("conv3", "conv4", "conv5"), "_bn") | dict.fromkeys(_FCS, "_reshape_bn"),
        "after",
    ),
    "AlexNet colorization": (
        {f"conv{i}": "norm" for i in range(1, 6)} | dict.fromkeys(_FCS, "_norm"),
        "",
    ),
    "CaffeNet": ({}, "before"),
}
"""How each spells its norms, and whether local response norms stand before or after pooling."""


def _alexnet_probes(kind: Kind) -> list[Probe]:
    """Return the linear classifiers; Jigsaw's maps are twice as large."""
    norms, _ = _ALEXNETS[kind]
    jigsaw = kind == "AlexNet Jigsaw"
    large = ((9, 28), (6, 24), (3, 14), (3, 14), (2, 16))
    found = []
    for i, (stride, kernel) in enumerate(
        large if jigsaw else ((4, 19), (3, 12), (1, 9), (1, 9), (1, 8)), 1
    ):
        after = f"conv{i}{norms.get(f'conv{i}', '')}"
        relu = "_relu" if jigsaw and i > 2 else ""
        found.append(replace(_probe(f"{after}{relu}", stride, kernel, f"fc_c{i}"), after=after))
    if jigsaw:
        return [
            *found,
            Probe("pool1", "pool1_resize", 6, 6, 3, "fc_pool1"),
            Probe("pool2", "pool2_resize", 4, 4, 0, "fc_pool2"),
            Probe("pool5", "pool5_resize", 2, 2, 0, "fc_pool5"),
        ]
    return [*found, Probe("pool5", "pool5", 0, 0, 0, "fc_pool5")] if norms else found


def probes(network: Network) -> dict[str, Probe]:
    """Return the pooling and classifier of the linear protocol behind each stage.

    Example:
        >>> found = probes(resnet((3, 4, 6, 3)))["res2"]
        >>> found.kernel, found.stride, found.pad
        (16, 8, 0)
    """
    if network.kind == "ResNet":
        behind = _resnet_probes(network.stages, network.colorization)
    else:
        behind = _alexnet_probes(network.kind)
    stages = {layer: stage for stage, layer in network.stages.items()}
    return {stages[probe.after]: probe for probe in behind if probe.after in stages}
