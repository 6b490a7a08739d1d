"""A picture of a set of bins: the colours they stand for, and how likely each is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.color.binfiles import read_points, read_priors
from sslprep.color.lab import Picture, opencv
from sslprep.color.priors import Points
from sslprep.errors import ManifestError, ParameterError
from sslprep.files import MANIFEST_SUFFIX, OutputSet

_SCALE = 3  # pixels per unit of a and b
_HALF = 130  # a and b shown: -130…130
_SIDE = 2 * _HALF * _SCALE
_MARGIN = 70
_TOP = 60
_BAR = 130
_INK, _PALE = (40, 40, 40), (225, 225, 225)


def colours_at(points: Points, *, lightness: float = 50.0) -> Picture:
    """Return how bins look: (Q, 3) uint8, BGR; out of gamut they are clipped.

    Args:
        points: [Q, 2], a and b.
        lightness: L, 0…100.
    """
    cv2 = opencv()
    lab = np.empty((len(points), 1, 3), np.float32)
    lab[..., 0] = lightness
    lab[:, 0, 1:] = points
    bgr = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)
    picture: Picture = (bgr[:, 0].clip(0, 1) * 255).round().astype(np.uint8)
    return picture


def spacing(points: Points) -> float:
    """Return the distance of the grid: the smallest step between two values of a, or of b.

    Example:
        >>> spacing(np.array([[0, 0], [0, 10], [10, 0]]))
        10.0
    """
    steps = [np.diff(np.unique(points[:, axis])) for axis in (0, 1)]
    smallest = [float(step.min()) for step in steps if len(step)]
    return min(smallest, default=10.0)


def draw(
    points: Points, priors: NDArray[np.float64], *, size: float, left_edges: bool = False
) -> Picture:
    """Draw bins as they look at L = 50, and the logarithm of their priors beside it.

    Args:
        points: [Q, 2], a and b.
        priors: float64 [Q].
        size: Side of a bin.
        left_edges: Whether points are the bins' lower left corners, else their centres.

    Returns:
        The picture, uint8, BGR.
    """
    cv2 = opencv()
    logs = np.log10(np.maximum(priors, np.finfo(np.float64).tiny))
    low, high = float(logs.min()), float(logs.max())
    shades = ((logs - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    shades = cv2.applyColorMap(shades[:, None], cv2.COLORMAP_VIRIDIS)[:, 0]
    width = 2 * (_MARGIN + _SIDE) + _BAR
    canvas: Picture = np.full((_TOP + _SIDE + _MARGIN, width, 3), 255, np.uint8)
    second = 2 * _MARGIN + _SIDE
    centre = points + size / 2 if left_edges else points
    for left, fills, title in (
        (_MARGIN, colours_at(centre), f"{len(points)} bins of size {size:g}, at L = 50"),
        (second, shades, "log10 of the prior"),
    ):
        _axes(canvas, left, title)
        for (a, b), fill in zip(centre - size / 2, fills, strict=True):
            corner, opposite = _pixel(a, b, left), _pixel(a + size, b + size, left)
            opposite = (opposite[0], opposite[1] + 1)
            cv2.rectangle(canvas, corner, opposite, fill.tolist(), cv2.FILLED)
    _bar(canvas, second + _SIDE + 20, low, high)
    return canvas


def _pixel(a: float, b: float, left: int) -> tuple[int, int]:
    x = left + round((min(max(b, -_HALF), _HALF) + _HALF) * _SCALE)
    return x, _TOP + round((_HALF - min(max(a, -_HALF), _HALF)) * _SCALE)


def _axes(canvas: Picture, left: int, title: str) -> None:
    cv2 = opencv()
    _text(canvas, title, (left, _TOP - 22), 0.75)
    for value in range(-100, 101, 50):
        x, y = _pixel(value, value, left)
        cv2.line(canvas, (x, _TOP), (x, _TOP + _SIDE), _PALE, 1)
        cv2.line(canvas, (left, y), (left + _SIDE, y), _PALE, 1)
        _text(canvas, str(value), (x - 16, _TOP + _SIDE + 24), 0.55)
        _text(canvas, str(value), (left - 50, y + 6), 0.55)
    cv2.rectangle(canvas, (left, _TOP), (left + _SIDE, _TOP + _SIDE), _INK, 1)
    _text(canvas, "b", (left + _SIDE // 2 - 5, _TOP + _SIDE + 52), 0.75)
    _text(canvas, "a", (left - 40, _TOP + _SIDE // 2 - 25), 0.75)


def _bar(canvas: Picture, left: int, low: float, high: float) -> None:
    cv2 = opencv()
    ramp = np.linspace(255, 0, _SIDE).round().astype(np.uint8)[:, None]
    canvas[_TOP : _TOP + _SIDE, left : left + 24] = cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)
    cv2.rectangle(canvas, (left, _TOP), (left + 24, _TOP + _SIDE), _INK, 1)
    for part in range(5):
        y = _TOP + round(_SIDE * part / 4)
        _text(canvas, f"{high - (high - low) * part / 4:.1f}", (left + 32, y + 6), 0.55)


def _text(canvas: Picture, text: str, place: tuple[int, int], scale: float) -> None:
    cv2 = opencv()
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)


@dataclass(frozen=True, kw_only=True)
class PlotResult:
    """What was drawn.

    Attributes:
        written: The picture and its manifest.
        bins: Number of bins.
    """

    written: tuple[Path, ...]
    bins: int


def plot(
    *,
    points: Path,
    priors: Path | None = None,
    output_file: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> PlotResult:
    """Draw colour bins as they look at L = 50, and the logarithm of their priors beside them.

    Args:
        points: The bins, a `pts_in_hull_….npy`.
        priors: Their priors; the `priors_….npy` beside the bins if not given.
        output_file: The picture, a .png; beside the bins under their name if not given.
        overwrite: Replace an existing picture.
        hash_inputs: Hash inputs also when they are above 1 GB.

    Returns:
        Number of bins, and the files.

    Raises:
        ArrayError: Bins or priors are malformed, do not fit, or stand under each other's name.
        ParameterError: The picture's name does not end in .png, or no priors are to be found.
        OutputError: The picture exists, or cannot be written.
    """
    cv2 = opencv()
    if priors is None:
        if "pts_in_hull" not in points.name:
            raise ParameterError(
                "--priors is not given", remedy="Give it, or bins named pts_in_hull_….npy."
            )
        priors = points.with_name(points.name.replace("pts_in_hull", "priors"))
    target = points.with_suffix(".png") if output_file is None else output_file
    if target.suffix != ".png":
        raise ParameterError(f"--output-file is {target}", expected="a name ending in .png")
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(points)
    inputs.add_file(priors)
    bins = read_points(points)
    shares = read_priors(priors, len(bins))
    details = _details_of(points)
    size = details.get("bin_size")
    side = float(size) if isinstance(size, int) else spacing(bins)
    picture = draw(bins, shares, size=side, left_edges=details.get("points_are") == "left edges")
    record = f"{target.name}{MANIFEST_SUFFIX}"
    with OutputSet(target.parent, [target.name], manifests=[record], overwrite=overwrite) as out:
        out.save_bytes(target.name, cv2.imencode(".png", picture)[1].tobytes())
        manifest.write(
            out,
            record,
            kind="color-plot",
            command="color plot",
            parameters={"points": str(points), "priors": str(priors)},
            inputs=inputs.records(),
            counts={"bins": len(bins)},
        )
        out.commit()
    return PlotResult(written=(target, target.with_name(record)), bins=len(bins))


def _details_of(points: Path) -> dict[str, Any]:
    """Return what the bins' manifest says of them, if there is one."""
    try:
        return manifest.read(points.with_suffix(MANIFEST_SUFFIX)).details
    except ManifestError:
        return {}
