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


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of the forward pass.

    Attributes:
        op: `conv`, `norm` (batch norm in test mode), `max` and `average` pooling (padding is
            not counted in the average), `mean` over all positions, `lrn` (local response norm
            over 5 channels, alpha 1e-4, beta 0.75, k 1), `fc` (fully connected, takes its input
            flattened channel first), `add`.
        name: What others take it by; of conv, norm and fc also what its blobs' names begin with.
        kernel: Side of the window.
        stride: Step of the window.
        pad: Zeros around the input.
        takes: The layers that it takes, `data` is the picture; in the descriptions below, none
            stands for the one before.
        grouped: Whether a conv may be split: 2 for AlexNet's two groups (or none), 1 for any
            number of groups (ResNeXt), 0 for none.
        bias: Whether a conv has a blob `…_b`; an fc always has.
        relu: Whether negative outputs become 0.
        head: Whether it is a classifier, or stands only before one.
    """

    op: Op
    name: str
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    takes: tuple[str, ...] = ()
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


def _linked(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    before, linked = "data", []
    for layer in layers:
        linked.append(layer if layer.takes else replace(layer, takes=(before,)))
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

    def layers(self) -> list[Layer]:
        """Return its layers; without a kernel nothing is pooled."""
        window = (self.kernel, self.stride, self.pad)
        pool = Layer("average", self.pooled, *window, takes=(self.after,), head=True)
        norm = Layer("norm", f"{self.pooled}_bn", takes=(self.pooled,), head=True)
        return [*[pool][: self.kernel], norm, Layer("fc", self.classifier, head=True)]


def _probe(after: str, pooled: str, stride: int, kernel: int, classifier: str) -> Probe:
    return Probe(after, f"{pooled}_s{stride}k{kernel}_resize", kernel, stride, 0, classifier)


def resnet(
    blocks: Collection[int],
    *,
    basic: bool = False,
    colorization: bool = False,
    stride_in_1x1: bool = False,
    identity: bool = False,
    probes: bool = False,
    classifier: str | None = None,
    pool5_bn: bool = False,
) -> Network:
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
        Layer("conv", "conv1", 7, 2, 3),
        Layer("norm", "res_conv1_bn", relu=True),
        Layer("max", "pool1", 3, 2, 1),
    ]
    stages = {"conv1": "res_conv1_bn", "pool1": "pool1"}
    for stage, count in enumerate(blocks, 2):
        for block in range(count):
            stride = 1 if block or stage == 2 or (stage == 5 and colorization) else 2
            around = block == 0 and not (identity and stage == 2)
            before, place = layers[-1].name, f"res{stage}_{block}"
            layers += _block(place, before, stride, around, basic, stride_in_1x1)
        stages[f"res{stage}"] = layers[-1].name
    layers.append(Layer("mean", "pool5"))
    stages["pool5"] = "pool5"
    if probes:
        for probe in _resnet_probes(stages, colorization):
            layers += probe.layers()
    else:
        layers += [Layer("norm", "pool5_bn", head=True)] * pool5_bn
        layers += [Layer("fc", classifier, head=True)] if classifier else []
    stages |= {layer.name: layer.name for layer in layers if layer.op == "fc"}
    return Network(
        kind="ResNet",
        layers=_linked(layers),
        stages=stages,
        size=224,
        blocks=tuple(blocks),
        basic=basic,
        stride_in_1x1=stride_in_1x1,
        colorization=colorization,
    )


def _block(
    place: str, before: str, stride: int, first: bool, basic: bool, stride_in_1x1: bool
) -> Iterator[Layer]:
    kernels = {"2a": 3, "2b": 3} if basic else {"2a": 1, "2b": 3, "2c": 1}
    with_stride = "2a" if basic or stride_in_1x1 else "2b"
    for branch, kernel in kernels.items():
        name = f"{place}_branch{branch}"
        step = stride if branch == with_stride else 1
        grouped = int(branch == "2b" and not basic)
        yield Layer("conv", name, kernel, step, kernel // 2, grouped=grouped)
        yield Layer("norm", f"{name}_bn", relu=branch != max(kernels))
    around = before
    if first:
        yield Layer("conv", f"{place}_branch1", 1, stride, takes=(before,))
        around = f"{place}_branch1_bn"
        yield Layer("norm", around)
    yield Layer("add", place, takes=(f"{place}_branch{max(kernels)}_bn", around), relu=True)


def _resnet_probes(stages: Mapping[str, str], colorization: bool) -> list[Probe]:
    windows = ((8, 16), (5, 13), (3, 8), (2, 12) if colorization else (1, 6))
    return [
        Probe("res_conv1_bn", "res_conv1_bn_resize", 10, 10, 4, "conv1_cls"),
        Probe("pool1", "pool1_resize", 5, 5, 2, "pool1_cls"),
        *(
            _probe(
                stages[f"res{stage}"],
                f"{stages[f'res{stage}']}_branch2c_bn",
                stride,
                kernel,
                f"conv{stage}_cls",
            )
            for stage, (stride, kernel) in enumerate(windows, 2)
        ),
        Probe("pool5", "pool5", 0, 0, 0, "pool5_cls"),
    ]


def alexnet(
    kind: Kind, *, probes: bool = False, classifier: str | None = None, fc: int = 2
) -> Network:
    """Describe one of the benchmark's three AlexNets (Krizhevsky et al. 2012), for 227 pixels.

    Args:
        kind: Which: they differ in norms, and in the names and order of what follows conv1.
        probes: The linear classifiers behind every layer (`…_finetune_linear`). Jigsaw's then
            has stride 2 in conv1 and no local response norms.
        classifier: The layer behind fc7.
        fc: How many of fc6 and fc7 are there.
    """
    norms, lrn = _ALEXNETS[kind]
    strides = [stride for _, stride, _, _ in _CONVS]
    if kind == "AlexNet Jigsaw" and probes:
        lrn, strides[0] = "", 2
    layers: list[Layer] = []
    stages: dict[str, str] = {}
    for i, (kernel, _, pad, grouped) in enumerate(_CONVS, 1):
        norm = norms.get(f"conv{i}", "")
        layers.append(
            Layer(
                "conv",
                f"conv{i}",
                kernel,
                strides[i - 1],
                pad,
                grouped=grouped,
                bias=True,
                relu=not norm,
            )
        )
        layers += [Layer("norm", f"conv{i}{norm}", relu=True)] if norm else []
        stages[f"conv{i}"] = layers[-1].name
        local = Layer("lrn", f"norm{i}")
        layers += [local] if i < 3 and lrn == "before" else []
        layers += [Layer("max", f"pool{i}", 3, 2)] if i in (1, 2, 5) else []
        layers += [local] if i < 3 and lrn == "after" else []
    stages["pool5"] = "pool5"
    for name, kernel in (("fc6", 6), ("fc7", 1))[:fc]:
        norm = norms.get(name, "")
        if kind == "AlexNet colorization":
            layers.append(Layer("conv", f"{name}_1", kernel, bias=True))
        else:
            layers.append(Layer("fc", name, relu=not norm))
        layers += [Layer("norm", f"{layers[-1].name}{norm}", relu=True)] if norm else []
        stages[name] = layers[-1].name
    heads = [layer for probe in _alexnet_probes(kind) for layer in probe.layers()] if probes else []
    heads += [Layer("fc", classifier, head=True)] if classifier else []
    stages |= {layer.name: layer.name for layer in heads if layer.op == "fc"}
    return Network(
        kind=kind,
        layers=_linked([*layers, *heads]),
        stages=stages,
        size=227,
        colorization=kind == "AlexNet colorization",
    )


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
    windows = ((4, 19), (3, 12), (1, 9), (1, 9), (1, 8))
    if jigsaw:
        windows = ((9, 28), (6, 24), (3, 14), (3, 14), (2, 16))
    found = []
    for i, (stride, kernel) in enumerate(windows, 1):
        after = f"conv{i}{norms.get(f'conv{i}', '')}"
        pooled = f"{after}_relu" if jigsaw and i > 2 else after
        found.append(_probe(after, pooled, stride, kernel, f"fc_c{i}"))
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
