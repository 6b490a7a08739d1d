"""Which (a, b) some 8-bit sRGB colour reaches, and the grid of bin centres that follows.

After Zhang, Isola, Efros: Colorful Image Colorization, ECCV 2016, arXiv 1603.08511: they "quantize
the ab output space into bins with grid size 10 and keep the Q = 313 values which are in-gamut".
The paper gives no rule; ours is: a multiple of the size is kept where it is a corner of a cell
that some colour falls in. At size 10 that gives 309 points, every one among their 313; theirs has
(40, 90), (100, -90), (100, -10) and (100, 0) besides, which no 8-bit colour comes near.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

# IEC 61966-2-1 (sRGB): linear RGB to XYZ; rows X, Y, Z.
_TO_XYZ = np.array(
    [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
)


def _linear(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo the sRGB curve; 0…1 to 0…1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _f(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve of CIE Lab (CIE 15:2004, 8.2.1.1)."""
    delta = 6 / 29
    return np.where(t > delta**3, np.cbrt(t), t / (3 * delta**2) + 4 / 29)


def ab_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a and b of 8-bit sRGB colours in float, white point D65.

    Args:
        rgb: Colours, (..., 3), in the order R, G, B.

    Returns:
        (..., 2): a and b, rounded to 1e-9 so that grey is 0 and not ±1e-15.

    Example:
        >>> ab_of(np.array([[119, 119, 119], [255, 0, 0]], np.uint8)).round(1) + 0.0
        array([[ 0. ,  0. ],
               [80.1, 67.2]])
    """
    levels = _linear(np.arange(256) / 255)
    white = _TO_XYZ.sum(1)  # that of R = G = B = 1, which is D65
    x, y, z = (
        _f(sum(levels[rgb[..., i]] * row[i] for i in range(3)) / n)
        for row, n in zip(_TO_XYZ, white, strict=True)
    )
    return np.stack([500 * (x - y), 200 * (y - z)], -1).round(9)


@functools.cache
def unit_cells() -> NDArray[np.bool_]:
    """Return which unit cells of the ab plane hold an 8-bit sRGB colour.

    All faces of the RGB cube are looked at, and every fourth level within it: the cube's outline
    in the ab plane is made of its faces, and the inside is dense. A test compares the result
    with all 2^24 colours.

    Returns:
        bool [256, 256]: entry [i, j] is the cell a in [i - 128, i - 127), b in [j - 128, j - 127).
    """
    cells = np.zeros((256, 256), np.bool_)
    full, coarse = np.arange(256, dtype=np.uint8), np.arange(0, 256, 4, dtype=np.uint8)
    ends = np.array([0, 255], np.uint8)
    for axes in ((ends, full, full), (full, ends, full), (full, full, ends), (coarse,) * 3):
        rgb = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        index = np.floor(ab_of(rgb)).astype(np.intp) + 128
        cells[index[:, 0], index[:, 1]] = True
    return cells


def grid_points(size: int) -> NDArray[np.int64]:
    """Return the centres on multiples of `size` that are corners of a cell with a colour in it.

    Returns:
        int64 [Q, 2]: a and b, a ascending, then b.

    Example:
        >>> len(grid_points(10))
        309
    """
    a, b = np.nonzero(unit_cells())
    # A cell of side `size` is a union of unit cells.
    cell = np.unique(np.stack([(a - 128) // size, (b - 128) // size], -1), axis=0)
    corners = np.concatenate([cell + shift for shift in ([0, 0], [0, 1], [1, 0], [1, 1])])
    points: NDArray[np.int64] = np.unique(corners, axis=0).astype(np.int64) * size
    return points
