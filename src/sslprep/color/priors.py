"""Bins and priors from a table of counts: pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslprep.color.gamut import grid_points
from sslprep.color.lab import Table
from sslprep.errors import ArrayError, ImagesError

Points = NDArray[Any]
"""Bins, [Q, 2]: a and b."""

LAMBDA = 0.5
"""Share of the uniform distribution in the rebalancing weights (arXiv 1603.08511, equation 4)."""
_BLOCK = 1 << 22  # distances held at a time


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Bins with their priors.

    Attributes:
        points: [Q, 2], a and b; a ascending, then b (a given set keeps its order).
        priors: float64 [Q], sum 1.
        counts: int64 [Q], pixels in each bin.
        outside: Pixels that no bin holds.
        empty: Bins without a pixel.
    """

    points: Points
    priors: NDArray[np.float64]
    counts: NDArray[np.int64]
    outside: int
    empty: int


def fair_bins(table: Table, size: int) -> Bins:
    """Bin as the 2019 script did: `np.histogram2d` over `arange(-128, 128, size)`.

    A value belongs to the largest edge not above it. The last edge only closes the last bin:
    a value equal to it is in that bin, one above it in none. Points are left edges, bins without
    a pixel are left out, and priors are counts over all counted pixels.

    Args:
        table: Counts, int64 [256, 256].
        size: Side of a bin, 1 to 255.

    Raises:
        ImagesError: No pixel lies in any bin.

    Example:
        >>> table = np.zeros((256, 256), np.int64)
        >>> table[128, 128], table[127, 130] = 3, 1
        >>> bins = fair_bins(table, 10)
        >>> bins.points.tolist(), bins.priors.tolist()
        ([[-8, -8], [-8, 2]], [0.75, 0.25])
    """
    edges = np.arange(-128, 128, size)
    last = edges[-1]
    inside = table[: last + 129, : last + 129]
    # Sum the rows, then the columns, of each bin; the last sum runs to the end, edge included.
    starts = edges[:-1] + 128
    counts = np.add.reduceat(np.add.reduceat(inside, starts, axis=0), starts, axis=1)
    total = int(counts.sum())
    if total == 0:
        raise ImagesError(
            f"no pixel has a and b within [-128, {last}], the bins of size {size}",
            remedy="Choose a smaller --bin-size.",
        )
    rows, columns = np.nonzero(counts)
    kept: NDArray[np.int64] = counts[rows, columns]
    return Bins(
        points=np.stack([edges[rows], edges[columns]], -1).astype(np.int64),
        priors=kept / total,
        counts=kept,
        outside=int(table.sum()) - total,
        empty=0,
    )


def nearest_counts(table: Table, points: ArrayLike) -> NDArray[np.int64]:
    """Count each pixel at its nearest point; at equal distances at the first of them.

    Args:
        table: Counts, int64 [256, 256].
        points: [Q, 2], a and b.

    Returns:
        int64 [Q]; nothing is dropped.
    """
    bins = np.asarray(points, np.float64)
    a, b = np.nonzero(table)
    values = np.stack([a - 128.0, b - 128.0], -1)
    pixels = table[a, b]
    sums = np.zeros(len(bins), np.int64)
    half_squares = (bins**2).sum(1) / 2
    rows = max(1, _BLOCK // len(bins))
    for start in range(0, len(values), rows):
        # |v - p|² / 2 without |v|² / 2; exact for integer points, so ties are ties.
        part = slice(start, start + rows)
        nearest = (half_squares - values[part] @ bins.T).argmin(1)
        np.add.at(sums, nearest, pixels[part])
    return sums


def smooth_priors(
    counts: NDArray[np.int64], points: ArrayLike, sigma: float
) -> NDArray[np.float64]:
    """Turn counts into priors, smoothed by a Gaussian over the bins; none is 0.

    Each bin's share is spread over all bins by `exp(-d² / 2 sigma²)`, `d` in ab units, scaled to
    sum to 1 (arXiv 1603.08511, section 2.2). Where that leaves a bin at 0 (sigma 0, or bins far
    apart), one pixel is shared out among all bins.

    Args:
        counts: int64 [Q].
        points: [Q, 2], a and b.
        sigma: Width in ab units; 0 does not smooth.

    Returns:
        float64 [Q], positive, sum 1.

    Example:
        >>> smooth_priors(np.array([3, 1]), [[0, 0], [10, 0]], 0).tolist()
        [0.75, 0.25]
    """
    bins = np.asarray(points, np.float64)
    total = int(counts.sum())
    priors = counts / total
    if sigma > 0:
        spread = np.zeros(len(bins))
        held = np.flatnonzero(counts)
        columns = max(1, _BLOCK // len(bins))
        for start in range(0, len(held), columns):
            part = held[start : start + columns]
            squared = np.subtract.outer(bins[:, 0], bins[part, 0]) ** 2
            squared += np.subtract.outer(bins[:, 1], bins[part, 1]) ** 2
            with np.errstate(under="ignore", over="ignore"):
                kernel = np.exp(-squared / (2 * sigma**2))
            spread += (kernel / kernel.sum(0) * priors[part]).sum(1)
        priors = spread
    if not priors.all():
        priors = (priors * total + 1 / len(bins)) / (total + 1)
    scaled: NDArray[np.float64] = priors / priors.sum()
    return scaled


def zhang_bins(table: Table, size: int, sigma: float, points: Points | None = None) -> Bins:
    """Bin on centres, after Zhang et al. (2016): nearest centre, smoothed, nothing dropped.

    Args:
        table: Counts, int64 [256, 256].
        size: Distance of the centres; not used with `points`.
        sigma: Width of the smoothing, in ab units.
        points: Centres to use, [Q, 2]; by default `gamut.grid_points(size)`.
    """
    centres = grid_points(size) if points is None else points
    counts = nearest_counts(table, centres)
    return Bins(
        points=centres,
        priors=smooth_priors(counts, centres, sigma),
        counts=counts,
        outside=0,
        empty=int((counts == 0).sum()),
    )


def rebalancing_weights(priors: ArrayLike, *, uniform: float = LAMBDA) -> NDArray[np.float64]:
    """Return weights that favour rare colours: `w ∝ 1 / ((1 - λ) p + λ / Q)`, `Σ p w = 1`.

    arXiv 1603.08511, equation 4.

    Args:
        priors: float64 [Q], sum 1.
        uniform: λ, 0…1; 1 gives equal weights.

    Example:
        >>> rebalancing_weights([0.9, 0.1]).round(3).tolist()
        [0.882, 2.059]
    """
    p = np.asarray(priors, np.float64)
    weights = 1 / ((1 - uniform) * p + uniform / len(p))
    scaled: NDArray[np.float64] = weights / (p * weights).sum()
    return scaled


def check_points(array: NDArray[Any], where: object) -> Points:
    """Check a given set of bins: [Q, 2], within -128…128, no bin twice.

    Raises:
        ArrayError: It is not one.
    """
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ArrayError(
            f"got shape {array.shape}", where=str(where), expected="(Q, 2): a and b of each bin"
        )
    if not (np.isfinite(array) & (np.abs(array.astype(np.float64)) <= 128)).all():
        raise ArrayError("holds values outside -128…128", where=str(where), expected="a and b")
    if len(np.unique(array, axis=0)) != len(array):
        raise ArrayError("holds a bin twice", where=str(where), expected="each bin once")
    return array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)
