"""Checkpoints with the names, shapes and types of the benchmark's networks, and made-up weights.

Names and shapes follow from a few rules, so a whole nine-tower ResNet-50 is a page of code; the
weights are drawn so that a picture sent through the network keeps a sensible size at every
depth, and the variances of the batch norms span what a really trained model has: 2e-15 to 6e4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Depth = Literal[50, 101, 152]
Floats = NDArray[np.float32]

_BLOCKS: dict[int, tuple[int, int, int, int]] = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_TOWER = re.compile("_s[0-9]")
_SMALLEST_VARIANCE, _LARGEST_VARIANCE = 2e-15, 6e4


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """A ResNet of the benchmark, as its training wrote it.

    Attributes:
        depth: 50, 101 or 152 layers.
        towers: Jigsaw towers; 0 for a model without.
        channels: Input channels: 3 (BGR), or 1 (L) for colorization.
        width: Channels of conv1; 64 in the published models, fewer make a small copy.
        heads: Layer name to shape of its weights, such as `{"pred": (1000, 2048)}`.
        head_norms: Batch norms among the heads, such as `{"pool5": 2048}`.
        momentum: Whether the optimiser's momentum is there.
        blocks: Blocks of each stage, in place of those of `depth`.
    """

    depth: Depth = 50
    towers: int = 0
    channels: int = 3
    width: int = 64
    heads: dict[str, tuple[int, int]] = field(default_factory=dict)
    head_norms: dict[str, int] = field(default_factory=dict)
    momentum: bool = True
    blocks: tuple[int, ...] | None = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every array, momentum left out."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, shape in self._convolutions():
            shapes[f"{layer}{self._tower(0)}_w"] = shape
            norm = "res_conv1" if layer == "conv1" else layer
            for tower in range(max(self.towers, 1)):
                for param in ("s", "b", "rm", "riv"):
                    shapes[f"{norm}_bn{self._tower(tower)}_{param}"] = shape[:1]
        for layer, shape in self.heads.items():
            shapes[f"{layer}_w"] = shape
            shapes[f"{layer}_b"] = shape[:1]
        for layer, size in self.head_norms.items():
            for tower in range(max(self.towers, 1)):
                for param in ("s", "b", "rm", "riv"):
                    shapes[f"{layer}{self._tower(tower)}_bn_{param}"] = (size,)
        return shapes

    def _tower(self, number: int) -> str:
        return f"_s{number}" if self.towers else ""

    def _convolutions(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width = self.width
        yield "conv1", (width, self.channels, 7, 7)
        given = width
        for stage, count in enumerate(self.blocks or _BLOCKS[self.depth], 2):
            middle = width << (stage - 2)
            for block in range(count):
                place = f"res{stage}_{block}_branch"
                yield f"{place}2a", (middle, given, 1, 1)
                yield f"{place}2b", (middle, middle, 3, 3)
                yield f"{place}2c", (4 * middle, middle, 1, 1)
                if block == 0:
                    yield f"{place}1", (4 * middle, given, 1, 1)
                given = 4 * middle


@dataclass(frozen=True, kw_only=True)
class AlexNet:
    """The benchmark's AlexNet: two groups in conv2, conv4, conv5; norms from conv3 on.

    Attributes:
        towers: Jigsaw towers; 1 as a fine-tuned Jigsaw model has them, 0 for none.
        classes: Outputs of fc8.
        scale: Divisor of all widths; 1 in the published models.
        momentum: Whether the optimiser's momentum is there.
    """

    towers: int = 1
    classes: int = 20
    scale: int = 1
    momentum: bool = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every array, momentum left out."""
        n = self.scale
        fc = 4096 // n
        convolutions: dict[str, tuple[int, ...]] = {
            "conv1": (96 // n, 3, 11, 11),
            "conv2": (256 // n, 48 // n, 5, 5),
            "conv3": (384 // n, 256 // n, 3, 3),
            "conv4": (384 // n, 192 // n, 3, 3),
            "conv5": (256 // n, 192 // n, 3, 3),
        }
        linear = {
            "fc6": (fc, 256 // n * 36),
            "fc7": (fc, fc),
            "fc8": (self.classes, fc),
        }
        tower = "_s0" if self.towers else ""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, shape in {**convolutions, **linear}.items():
            # fc6 sees all towers side by side, so it belongs to none.
            name = layer if layer == "fc6" else layer + tower
            shapes[f"{name}_w"] = shape
            shapes[f"{name}_b"] = shape[:1]
            if layer in ("conv1", "conv2", "fc8"):
                continue
            norm = f"{name}_reshape_bn" if layer in linear else f"{name}_bn"
            for param in ("s", "b", "rm", "riv"):
                shapes[f"{norm}_{param}"] = shape[:1]
        return shapes


JIGSAW = ResNet(towers=9, heads={"fc6": (1024, 18432), "pred": (2000, 1024)})
"""The nine-tower pretext model: 361 MB."""
SUPERVISED = ResNet(heads={"pred": (1000, 2048)})
COLORIZATION = ResNet(channels=1, heads={"pred": (20, 2048)}, head_norms={"pool5": 2048})
ALEXNET = AlexNet()


def small(model: ResNet, *, width: int = 4, blocks: tuple[int, ...] | None = None) -> ResNet:
    """Return the same kind of model with fewer channels (and blocks), for fast tests."""
    last = 32 * width
    heads = {name: (min(n, 10), _narrow(m, last)) for name, (n, m) in model.heads.items()}
    norms = dict.fromkeys(model.head_norms, last)
    return replace(model, width=width, heads=heads, head_norms=norms, blocks=blocks)


def _narrow(inputs: int, last: int) -> int:
    return last * (inputs // 2048) if inputs % 2048 == 0 else min(inputs, 10)


def blobs(
    model: ResNet | AlexNet, *, seed: int = 0, iteration: int = 100_000
) -> dict[str, Floats | int]:
    """Draw a checkpoint: float32 arrays, `lr` as an array of one and `model_iter` a bare number.

    Args:
        model: Which network.
        seed: Of the weights.
        iteration: Value of `model_iter`.

    Example:
        >>> made = blobs(small(JIGSAW, blocks=(1, 1, 1, 1)))
        >>> made["res2_0_branch2a_bn_s8_riv"].shape, made["lr"].shape, made["model_iter"]
        ((4,), (1,), 100000)
    """
    random = np.random.default_rng(seed)
    shapes = model.shapes()
    # Before anything else, as the scale s depends on the variance; towers are near each other.
    bases: dict[str, Floats] = {}
    variances: dict[str, Floats] = {}
    for name, shape in shapes.items():
        if name.endswith("_riv"):
            layer = _TOWER.sub("", name)
            if layer not in bases:
                bases[layer] = _variances(random, shape[0])
            noise = np.exp(random.normal(0, 0.05, shape)).astype(np.float32)
            variances[name.removesuffix("_riv")] = bases[layer] * noise
    made: dict[str, Any] = {}
    for name, shape in shapes.items():
        made[name] = _draw(random, name, shape, variances)
        if model.momentum and not name.endswith(("_rm", "_riv")):
            made[f"{name}_momentum"] = made[name] * np.float32(0.01)
    made["lr"] = np.array([0.001], np.float32)
    made["model_iter"] = iteration
    return made


def _draw(
    random: np.random.Generator,
    name: str,
    shape: tuple[int, ...],
    variances: dict[str, Floats],
) -> Floats:
    values: Floats = random.standard_normal(shape, dtype=np.float32)
    norm, _, param = name.rpartition("_")
    if norm in variances:
        std: Floats = np.sqrt(variances[norm] + np.float32(1e-5))
        if param == "riv":
            return variances[norm]
        if param == "rm":
            return values * np.float32(0.1) * std
        if param == "s":
            gain = 0.3 if "branch2c" in norm else 1.0
            return np.float32(gain) * std * (1 + np.float32(0.1) * values)
    if name.startswith("conv1") and param == "w":
        return _edges(random, shape)
    scale = 0.1 if param == "b" else float(np.sqrt(2 / np.prod(shape[1:])))
    values *= np.float32(scale)
    return values


def _edges(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw what trained first layers look like: oriented stripes, some of them coloured.

    Each filter is a Gabor function, a wave under a Gaussian; colour is a weight for each channel.
    """
    count, channels, height, width = shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1))
    waves = random.uniform(2, 6, (count, 1, 1))
    wave = np.cos(waves * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    colours = (
        1
        + random.normal(0, 0.8, (count, channels, 1, 1))
        * (random.random(count) < 0.4)[:, None, None, None]
    )
    filters = colours * (wave * np.exp(-2 * (x**2 + y**2)))[:, None]
    filters += random.normal(0, 0.02, shape)
    norm = np.sqrt((filters**2).sum(axis=(1, 2, 3), keepdims=True))
    drawn: Floats = (np.sqrt(2) * filters / norm).astype(np.float32)
    return drawn


def _variances(random: np.random.Generator, size: int) -> Floats:
    """Draw variances: mostly between 0.01 and 10, with dead and huge channels among them."""
    riv = np.exp(random.uniform(np.log(0.01), np.log(10), size)).astype(np.float32)
    riv[:: max(2, size // 3)] = np.float32(_SMALLEST_VARIANCE)
    riv[1 :: max(2, size // 2)] = np.float32(_LARGEST_VARIANCE)
    return riv
