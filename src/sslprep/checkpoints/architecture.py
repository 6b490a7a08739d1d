"""What a model must consist of: its trunk, found from its names and checked by its shapes.

Widths are never assumed: a convolution must take what the one before it gives. So a model of
any width is checked as strictly as the published one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.names import STEM_CONV, STEM_NORM, BlobName, parse_caffe2
from sslprep.errors import CheckpointError

Blobs = Mapping[str, NDArray[Any]]
Arch = Literal["R-50", "R-101", "R-152"]

BLOCKS: dict[Arch, tuple[int, int, int, int]] = {
    "R-50": (3, 4, 6, 3),
    "R-101": (3, 4, 23, 3),
    "R-152": (3, 8, 36, 3),
}
"""Bottleneck blocks of stages 2 to 5 (He et al. 2016, arXiv 1512.03385, table 1)."""

NORM_PARAMS = ("s", "b", "rm", "riv")
_KERNELS = {"2a": 1, "2b": 3, "2c": 1, "1": 1}
_ALEXNET_KERNELS = {"conv1": 11, "conv2": 5, "conv3": 3, "conv4": 3, "conv5": 3}


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """The network below the heads, as far as names and shapes tell.

    Attributes:
        family: `resnet` or `alexnet`.
        blocks: Blocks of each ResNet stage 2–5; empty for AlexNet.
        layers: Layer names of the trunk, in the order of the forward pass.
        channels: Channels that conv1 takes; 0 when there is no conv1.
    """

    family: Literal["resnet", "alexnet"]
    blocks: tuple[int, ...]
    layers: tuple[str, ...]
    channels: int

    @property
    def arch(self) -> str | None:
        """`R-50`, `R-101`, `R-152`, `AlexNet`, or `None` for other numbers of blocks."""
        if self.family == "alexnet":
            return "AlexNet"
        return next((name for name, blocks in BLOCKS.items() if blocks == self.blocks), None)

    @property
    def colorization(self) -> bool:
        """Whether it takes one channel (L); such a ResNet has stride 1 in res5."""
        return self.channels == 1

    @property
    def describe(self) -> str:
        """One word for people, such as `R-50` or `ResNet with blocks 3-4-5-3`."""
        return self.arch or f"ResNet with blocks {'-'.join(map(str, self.blocks))}"


def find_trunk(blobs: Blobs) -> Trunk:
    """Find out from names which network the blobs (one tower, Caffe2 names) belong to.

    Raises:
        CheckpointError: Neither a ResNet nor an AlexNet.
    """
    names = list(_model_names(blobs))
    units = [unit for name in names if (unit := name.unit) is not None]
    conv1 = blobs.get("conv1_w")
    channels = conv1.shape[1] if conv1 is not None and conv1.ndim == 4 else 0
    if units:
        blocks = tuple(
            1 + max((u.block for u in units if u.stage == stage), default=-1)
            for stage in range(2, 6)
        )
        return Trunk(
            family="resnet",
            blocks=blocks,
            layers=tuple(resnet_layers(blocks)),
            channels=channels,
        )
    layers = {name.layer for name in names}
    if "conv2" in layers:
        trunk = tuple(sorted(n for n in layers if n.startswith("conv")))
        linear = tuple(sorted(n for n in layers & {"fc6", "fc7"}))
        return Trunk(family="alexnet", blocks=(), layers=trunk + linear, channels=channels)
    raise CheckpointError(
        "neither a ResNet (res2_0_branch2a_w …) nor an AlexNet (conv1_w, conv2_w …)",
        expected="blobs of the benchmark's networks in Caffe2 names",
    )


def resnet_layers(blocks: Iterable[int]) -> Iterator[str]:
    """Yield the layers of a ResNet in the order of the forward pass.

    Example:
        >>> list(resnet_layers([1]))[2:5]
        ['res2_0_branch2a', 'res2_0_branch2b', 'res2_0_branch2c']
    """
    yield STEM_CONV
    yield STEM_NORM
    for stage, count in enumerate(blocks, 2):
        for block in range(count):
            for branch in ("2a", "2b", "2c", "1") if block == 0 else ("2a", "2b", "2c"):
                yield f"res{stage}_{block}_branch{branch}"


def trunk_names(trunk: Trunk, *, norm_params: Iterable[str] = NORM_PARAMS) -> list[str]:
    """List every blob that a ResNet trunk has, in the order of the forward pass.

    Example:
        >>> trunk = Trunk(family="resnet", blocks=(3, 4, 6, 3), layers=(), channels=3)
        >>> len(trunk_names(trunk))
        265
    """
    norm_params = tuple(norm_params)
    names = []
    for layer in resnet_layers(trunk.blocks):
        if layer != STEM_NORM:
            names.append(f"{layer}_w")
        if layer != STEM_CONV:
            names += [f"{layer}_bn_{param}" for param in norm_params]
    return names


def missing_blobs(
    blobs: Blobs, trunk: Trunk, *, norm_params: Iterable[str] = NORM_PARAMS
) -> list[str]:
    """List what the trunk lacks: whole layers of a ResNet or AlexNet, parts of any norm.

    Args:
        blobs: One tower, Caffe2 names.
        trunk: Of these blobs.
        norm_params: The parts that a norm must have.
    """
    norm_params = tuple(norm_params)
    if trunk.family == "resnet":
        wanted = trunk_names(trunk, norm_params=norm_params)
    else:
        wanted = [f"{layer}_w" for layer in ("conv1", "conv2", "conv3", "conv4", "conv5")]
        wanted += [
            f"{layer}_b"
            for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
            if f"{layer}_w" in blobs
        ]
    for name in _model_names(blobs):
        if name.norm:
            wanted += [f"{name.module}_{param}" for param in norm_params]
    return [name for name in dict.fromkeys(wanted) if name not in blobs]


def _model_names(blobs: Blobs) -> Iterator[BlobName]:
    for text in blobs:
        name = parse_caffe2(text)
        if name is not None and not name.momentum and name.tower is None:
            yield name


def check_values(blobs: Blobs) -> None:
    """Check that weights are finite floats and that variances can be divided by.

    Raises:
        CheckpointError: Names up to five blobs that are not, and why.
    """
    problems = []
    for text, array in blobs.items():
        if array.dtype.kind != "f":
            problems.append(f"{text} holds {array.dtype}, not floats")
        elif not _all_finite(array):
            bad = int(array.size - np.isfinite(array).sum())
            problems.append(f"{text} holds {bad:,} values that are NaN or infinite")
        elif text.endswith("_riv") and array.size and not array.min() > 0:
            kind = "negative" if array.min() < 0 else "zero"
            count = int((array <= 0).sum())
            problems.append(f"{text} holds {count:,} {kind} variances (smallest {array.min():g})")
    raise_together(problems, remedy="The checkpoint is damaged or diverged; take another one.")


def _all_finite(array: NDArray[Any]) -> bool:
    # A sum is one fast pass, and not finite whenever a term is not; it may overflow by itself.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


def check_shapes(blobs: Blobs, trunk: Trunk) -> None:
    """Check that the shapes fit together: every layer takes what the one before it gives.

    Raises:
        CheckpointError: Names up to five blobs with the shape they have and should have.
    """
    problems: list[str] = []
    _check_norm_shapes(blobs, problems)
    if trunk.family == "resnet":
        _check_resnet(blobs, trunk, problems)
    else:
        _check_alexnet(blobs, problems)
    raise_together(problems, remedy="The file is not the network that its names say.")


def _check_norm_shapes(blobs: Blobs, problems: list[str]) -> None:
    for name in _model_names(blobs):
        array = blobs[str(name)]
        if not name.norm:
            if name.param == "b" and f"{name.layer}_w" in blobs:
                width = blobs[f"{name.layer}_w"].shape[:1]
                _expect(str(name), array, width, problems)
            continue
        layer = STEM_CONV if name.layer == STEM_NORM else name.layer
        weights = blobs.get(f"{layer}_w")
        scale = blobs.get(f"{name.module}_s")
        wanted = weights if weights is not None else scale
        if wanted is not None and wanted.ndim:
            _expect(str(name), array, wanted.shape[:1], problems)


def _check_resnet(blobs: Blobs, trunk: Trunk, problems: list[str]) -> None:
    conv1 = blobs.get("conv1_w")
    width = _outputs(conv1)
    if conv1 is not None:
        given = conv1.shape[1] if conv1.ndim == 4 and conv1.shape[1] in (1, 3) else "3 or 1"
        _expect("conv1_w", conv1, (width, given, 7, 7), problems)
    for stage, count in enumerate(trunk.blocks, 2):
        for block in range(count):
            place = f"res{stage}_{block}_branch"
            first, second, third, around = (blobs.get(f"{place}{b}_w") for b in _KERNELS)
            # A block gives what its last convolution does, and adds it to what goes around.
            out = _outputs(third) or (_outputs(around) if block == 0 else width)
            for branch, array, given, gives in (
                ("2a", first, width, _outputs(first)),
                ("2b", second, _outputs(first), _outputs(second)),
                ("2c", third, _outputs(second), out if block == 0 else width or out),
                ("1", around, width, out),
            ):
                if array is not None:
                    kernel = _KERNELS[branch]
                    wanted = (gives, given, kernel, kernel)
                    _expect(f"{place}{branch}_w", array, wanted, problems)
            width = out


def _outputs(weights: NDArray[Any] | None) -> int | None:
    """Return how many channels a convolution gives, if it is one."""
    return weights.shape[0] if weights is not None and weights.ndim == 4 else None


def _check_alexnet(blobs: Blobs, problems: list[str]) -> None:
    width: int | None = None
    for layer, kernel in _ALEXNET_KERNELS.items():
        array = blobs.get(f"{layer}_w")
        if array is None:
            continue
        takes: Any = array.shape[1] if array.ndim == 4 else None
        if width is not None and takes not in (width, width // 2):
            takes = f"{width} or {width // 2}"  # one group or two (Krizhevsky et al. 2012)
        elif width is None and takes not in (1, 3):
            takes = "3 or 1"
        width = _outputs(array)
        _expect(f"{layer}_w", array, (width, takes, kernel, kernel), problems)


def _expect(
    name: str, array: NDArray[Any], wanted: tuple[int | str | None, ...], problems: list[str]
) -> None:
    """Note a shape that is not the wanted one, in which `None` stands for any length but 0."""
    if array.ndim == len(wanted) and all(
        length == want if want is not None else length > 0
        for length, want in zip(array.shape, wanted, strict=True)
    ):
        return
    text = ", ".join("any" if want is None else str(want) for want in wanted)
    problems.append(f"{name} has shape {array.shape}, not ({text}{',' * (len(wanted) == 1)})")


def raise_together(problems: list[str], *, remedy: str) -> None:
    """Report problems of one kind together, the first five in full.

    Raises:
        CheckpointError: There is at least one.
    """
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError("; ".join(problems[:5]) + more, remedy=remedy)
