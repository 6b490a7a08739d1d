"""The networks, as data: each is a short list of layers in Caffe2's names.

One description serves recognition, the list of what is missing, both sides of a proof
(`forward_numpy`, `forward_torch`) and the features of `sslprep evaluate`. Facts are those of the
benchmark's twelve networks as a real Caffe2 builds them: what stands where, kernels, strides and
padding. Groups are not written down: a convolution's weights say how many channels each takes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Op = Literal["conv", "norm", "max", "average", "mean", "lrn", "fc", "add"]
Kind = Literal["ResNet", "AlexNet Jigsaw", "AlexNet colorization", "CaffeNet"]

NORM_PARAMS = ("s", "b", "rm", "riv")
BLOCKS = {"R-50": (3, 4, 6, 3), "R-101": (3, 4, 23, 3), "R-152": (3, 8, 36, 3)}
"""Bottleneck blocks of stages 2 to 5 (He et al. 2016, arXiv 1512.03385, table 1)."""
BASIC_BLOCKS = {"R-18": (2, 2, 2, 2), "R-34": (3, 4, 6, 3)}


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
        bias: Whether a conv needs a blob `…_b`; an fc always does, a ResNet's conv may have one.
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
        style: What its widths make of a ResNet, with `{}` for the depth.
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
    style: str = "R-{}"
    stride_in_1x1: bool = False
    colorization: bool = False

    def _like(self, stages: int) -> str | None:
        """Return the first usual ResNet whose blocks differ in so many stages."""
        for name, usual in (BASIC_BLOCKS if self.basic else BLOCKS).items():
            if sum(map(operator.ne, usual, self.blocks)) == stages and self.kind == "ResNet":
                return name
        return None

    @property
    def depth(self) -> int | None:
        """50 and its like, `None` for other numbers of blocks and other networks."""
        return int(name[2:]) if (name := self._like(0)) else None

    @property
    def nearly(self) -> str | None:
        """The usual ResNet that it would be if one stage had other blocks; ResNet-200 is usual."""
        return None if self.depth or self.blocks == (3, 24, 36, 3) else self._like(1)

    @property
    def arch(self) -> str | None:
        """`R-50`, `ResNeXt-50 32x4d`, `AlexNet`, …, or `None` for other numbers of blocks."""
        if self.kind != "ResNet":
            return "CaffeNet" if self.kind == "CaffeNet" else "AlexNet"
        return self.style.format(self.depth) if self.depth else None

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


def _linked(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    before, linked = "data", []
    for layer in layers:
        linked.append(layer if layer.takes else replace(layer, takes=(before,)))
        before = layer.name
    return tuple(linked)


def resnet(
    blocks: Collection[int],
    *,
    basic: bool = False,
    style: str = "R-{}",
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
        basic: As in `Network`, like `style`, `colorization` and `stride_in_1x1`.
        style: Such as `Wide ResNet-{}-2`.
        colorization: The benchmark's colorization model.
        stride_in_1x1: Not in the 3×3.
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
    trunk = Network(
        kind="ResNet",
        layers=_linked(layers),
        stages=stages,
        size=224,
        blocks=tuple(blocks),
        basic=basic,
        style=style,
        stride_in_1x1=stride_in_1x1,
        colorization=colorization,
    )
    pool5 = [Layer("norm", "pool5_bn", head=True)] * (pool5_bn and not probes)
    return _with_heads(trunk, pool5, classifier=None if probes else classifier, linear=probes)


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
    fine = kind == "AlexNet Jigsaw" and probes
    absent = (*("fc6", "fc7")[fc:], *["norm"] * fine)
    names = [name for name in _ALEXNETS[kind].split() if not name.startswith(absent)]
    layers, stages = [], {}
    for name, after in zip(names, [*names[1:], ""], strict=True):
        layer = _ALEXNET_LAYERS.get(name) or Layer("norm", name)
        relu = layer.op in ("conv", "fc", "norm") and not after.startswith(name)
        stride = 2 if fine and name == "conv1" else layer.stride
        layers.append(replace(layer, stride=stride, relu=relu))
        if found := re.match("conv.|pool5|fc.", name):
            stages[found[0]] = name
    trunk = Network(
        kind=kind,
        layers=_linked(layers),
        stages=stages,
        size=227,
        colorization=kind == "AlexNet colorization",
    )
    return _with_heads(trunk, classifier=classifier, linear=probes)


_ALEXNETS: dict[Kind, str] = {
    "AlexNet Jigsaw": "conv1 pool1 norm1 conv2 pool2 norm2 conv3 conv3_bn conv4 conv4_bn "
    "conv5 conv5_bn pool5 fc6 fc6_reshape_bn fc7 fc7_reshape_bn",
    "AlexNet colorization": "conv1 conv1norm pool1 conv2 conv2norm pool2 conv3 conv3norm "
    "conv4 conv4norm conv5 conv5norm pool5 fc6_1 fc6_1_norm fc7_1 fc7_1_norm",
    "CaffeNet": "conv1 norm1 pool1 conv2 norm2 pool2 conv3 conv4 conv5 pool5 fc6 fc7",
}
"""The layers of each in order; what is not below is a batch norm. A layer's relu is behind it."""
_ALEXNET_LAYERS = {
    layer.name: layer
    for layer in (
        Layer("conv", "conv1", 11, 4, bias=True),
        Layer("conv", "conv2", 5, 1, 2, grouped=2, bias=True),
        Layer("conv", "conv3", 3, 1, 1, bias=True),
        Layer("conv", "conv4", 3, 1, 1, grouped=2, bias=True),
        Layer("conv", "conv5", 3, 1, 1, grouped=2, bias=True),
        Layer("conv", "fc6_1", 6, bias=True),
        Layer("conv", "fc7_1", 1, bias=True),
        *(Layer("fc", name) for name in ("fc6", "fc7")),
        *(Layer("lrn", name) for name in ("norm1", "norm2")),
        *(Layer("max", name, 3, 2) for name in ("pool1", "pool2", "pool5")),
    )
}


class Probe(NamedTuple):
    """A linear classifier behind a stage: average pooling, batch norm, fully connected.

    `pooled` is what the pooling is called, with `{}` for the layer before; without a kernel
    nothing is pooled.
    """

    pooled: str
    kernel: int
    stride: int
    pad: int
    classifier: str


_CAFFENET_PROBES = {
    "conv1": Probe("{}_s4k19_resize", 19, 4, 0, "fc_c1"),
    "conv2": Probe("{}_s3k12_resize", 12, 3, 0, "fc_c2"),
    "conv3": Probe("{}_s1k9_resize", 9, 1, 0, "fc_c3"),
    "conv4": Probe("{}_s1k9_resize", 9, 1, 0, "fc_c4"),
    "conv5": Probe("{}_s1k8_resize", 8, 1, 0, "fc_c5"),
}
_PROBES: dict[Kind, dict[str, Probe]] = {
    "ResNet": {
        "conv1": Probe("{}_resize", 10, 10, 4, "conv1_cls"),
        "pool1": Probe("{}_resize", 5, 5, 2, "pool1_cls"),
        "res2": Probe("{}_branch2c_bn_s8k16_resize", 16, 8, 0, "conv2_cls"),
        "res3": Probe("{}_branch2c_bn_s5k13_resize", 13, 5, 0, "conv3_cls"),
        "res4": Probe("{}_branch2c_bn_s3k8_resize", 8, 3, 0, "conv4_cls"),
        "res5": Probe("{}_branch2c_bn_s1k6_resize", 6, 1, 0, "conv5_cls"),
        "pool5": Probe("{}", 0, 0, 0, "pool5_cls"),
    },
    "AlexNet Jigsaw": {
        "conv1": Probe("{}_s9k28_resize", 28, 9, 0, "fc_c1"),
        "conv2": Probe("{}_s6k24_resize", 24, 6, 0, "fc_c2"),
        "conv3": Probe("{}_relu_s3k14_resize", 14, 3, 0, "fc_c3"),
        "conv4": Probe("{}_relu_s3k14_resize", 14, 3, 0, "fc_c4"),
        "conv5": Probe("{}_relu_s2k16_resize", 16, 2, 0, "fc_c5"),
        "pool1": Probe("{}_resize", 6, 6, 3, "fc_pool1"),
        "pool2": Probe("{}_resize", 4, 4, 0, "fc_pool2"),
        "pool5": Probe("{}_resize", 2, 2, 0, "fc_pool5"),
    },
    "AlexNet colorization": {**_CAFFENET_PROBES, "pool5": Probe("{}", 0, 0, 0, "fc_pool5")},
    "CaffeNet": _CAFFENET_PROBES,
}
_LARGER_RES5 = {"res5": Probe("{}_branch2c_bn_s2k12_resize", 12, 2, 0, "conv5_cls")}


def probes(network: Network) -> dict[str, Probe]:
    """Return the linear protocol's pooling and classifier by what each stands behind."""
    larger = network.kind == "ResNet" and network.colorization
    return _PROBES[network.kind] | (_LARGER_RES5 if larger else {})


def _with_heads(
    trunk: Network, before: Sequence[Layer] = (), *, classifier: str | None, linear: bool
) -> Network:
    """Return a network with its classifier on the last layer, or one behind every stage."""
    heads = list(before)
    for stage, probe in probes(trunk).items() if linear else ():
        after = trunk.stages.get(stage, stage)
        pooled, window = probe.pooled.format(after), (probe.kernel, probe.stride, probe.pad)
        if probe.kernel:
            heads.append(Layer("average", pooled, *window, takes=(after,), head=True))
        heads.append(Layer("norm", f"{pooled}_bn", takes=(pooled,), head=True))
        heads.append(Layer("fc", probe.classifier, head=True))
    heads += [Layer("fc", classifier, head=True)] if classifier else []
    stages = dict(trunk.stages) | {head.name: head.name for head in heads if head.op == "fc"}
    return replace(trunk, layers=_linked([*trunk.layers, *heads]), stages=stages)
