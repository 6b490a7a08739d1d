"""The grid of bin centres that follows from the colours which 8-bit sRGB can show.

Zhang, Isola, Efros: Colorful Image Colorization, ECCV 2016, arXiv 1603.08511, "quantize the ab
output space into bins with grid size 10 and keep the Q = 313 values which are in-gamut". They
give no rule, but there is one that gives their 313 points in their order, and such a set for
every other size: the corners of all size × size cells that the convex hull of the gamut meets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# IEC 61966-2-1 (sRGB): linear RGB to XYZ; rows X, Y, Z.
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def ab_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a and b in float, (..., 2), of 8-bit sRGB colours, (..., 3), white point D65."""
    value = np.arange(256) / 255
    levels = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    white = _TO_XYZ.sum(1)  # that of R = G = B = 1, which is D65
    delta = 6 / 29  # CIE 15:2004, 8.2.1.1
    x, y, z = (
        np.where(t > delta**3, np.cbrt(t), t / (3 * delta**2) + 4 / 29)
        for row, n in zip(_TO_XYZ, white, strict=True)
        for t in [sum(levels[rgb[..., i]] * row[i] for i in range(3)) / n]
    )
    return np.stack([500 * (x - y), 200 * (y - z)], -1)


def gamut_hull() -> NDArray[np.float64]:
    """Return the corners of the convex hull of all 8-bit sRGB colours, (corners, 2): a and b.

    Anticlockwise from the least a. The edges of the RGB cube hold the outline of the gamut in the
    ab plane: its faces add no corner.
    """
    full, ends = np.arange(256, dtype=np.uint8), np.array([0, 255], np.uint8)
    edges = ((full, ends, ends), (ends, full, ends), (ends, ends, full))
    colours = [np.stack(np.meshgrid(*edge, indexing="ij"), -1).reshape(-1, 3) for edge in edges]
    points = np.unique(ab_of(np.concatenate(colours)), axis=0)
    return np.array([*_turning_left(points), *_turning_left(points[::-1])])


def _turning_left(points: NDArray[np.float64]) -> list[list[float]]:
    """Return one side of the hull of sorted points, without its last (A. M. Andrew, 1979)."""
    side: list[list[float]] = []
    for a, b in points.tolist():
        while len(side) > 1:
            (a0, b0), (a1, b1) = side[-2:]
            if (a1 - a0) * (b - b0) > (b1 - b0) * (a - a0):
                break
            side.pop()
        side.append([a, b])
    return side[:-1]


def grid_points(size: int) -> NDArray[np.int64]:
    """Return the corners, int64 [Q, 2], of all size × size cells that the gamut's hull meets."""
    hull = gamut_hull() / size  # in cells, anticlockwise
    low, high = np.floor(hull.min(0)), np.ceil(hull.max(0))
    cells = np.stack(np.meshgrid(*map(np.arange, low, high)), -1).reshape(-1, 1, 2)
    corners = cells + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    # A cell misses a convex figure if all its corners lie to the right of one edge.
    meets = np.full(len(cells), True)
    for edge, (a, b) in zip(np.roll(hull, -1, axis=0) - hull, hull, strict=True):
        right = edge[0] * (corners[..., 1] - b) < edge[1] * (corners[..., 0] - a)
        meets &= ~right.all(1)
    return np.asarray(np.unique(corners[meets].reshape(-1, 2), axis=0).astype(int) * size)
