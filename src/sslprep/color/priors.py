"""Bins and priors from a table of counts: pure functions on arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslprep.color.gamut import grid_points
from sslprep.errors import ImagesError

Table = NDArray[np.int64]
"""Counts, [256, 256]: `table[a + 128, b + 128]` pixels have that a and b of 8-bit CIE Lab."""
Points = NDArray[Any]
"""Bins, [Q, 2]: a and b."""

LAMBDA = 0.5
"""Share of the uniform distribution in the rebalancing weights (arXiv 1603.08511, equation 4)."""
_BLOCK = 1 << 22  # distances held at a time


class Bins(NamedTuple):
    """Bins, [Q, 2], a ascending, then b (a given set keeps its order), and their priors, sum 1.

    `counts` are the pixels in each, fractions where bins share some; `outside` is in none.
    """

    points: Points
    priors: NDArray[np.float64]
    counts: NDArray[Any]
    outside: int = 0


def fair_bins(table: Table, size: int) -> Bins:
    """Bin as the 2019 script did: `np.histogram2d` over `arange(-128, 128, size)`.

    A value belongs to the largest edge not above it. The last edge only closes the last bin:
    a value equal to it is in that bin, one above it in none. Points are left edges, bins without
    a pixel are left out, and priors are counts over all counted pixels.
    """
    counts = _fair_counts(table, size)
    total = int(counts.sum())
    if total == 0:
        raise ImagesError(
            f"no pixel has a and b within [-128, {127 - 255 % size}], the bins of size {size}",
            remedy="Choose a smaller --bin-size.",
        )
    cells, kept = np.argwhere(counts), counts[counts > 0]
    return Bins(cells * size - 128, kept / total, kept, int(table.sum()) - total)


def _fair_counts(table: Table, size: int) -> NDArray[np.int64]:
    """Count the pixels of every bin of the fair grid, [bins, bins]."""
    edges = np.arange(0, 256, size)
    counts = table[: edges[-1] + 1, : edges[-1] + 1]
    for axis in (0, 1):  # the last sum runs to the end, edge included
        counts = np.add.reduceat(counts, edges[:-1], axis=axis)
    return counts


def zhang_bins(table: Table, size: int, sigma: float, points: Points | None = None) -> Bins:
    """Bin on the centres of the grid of `size`, or on `points`, after Zhang et al. (2016).

    A pixel goes to the nearest, none is dropped; `sigma` is the width of smoothing in ab units.
    """
    centres = grid_points(size) if points is None else points
    counts = nearest_counts(table, centres)
    return Bins(centres, smooth_priors(counts, centres, sigma), counts)


def nearest_counts(table: Table, points: ArrayLike) -> NDArray[np.float64]:
    """Count each pixel at its nearest point, float64 [Q]; points at equal distances share it.

    a and b are integers, so on a grid of even size every fifth pixel or so lies half-way; giving
    those to one side would shift all priors.
    """
    bins = np.asarray(points, np.float64)
    cells, pixels = np.argwhere(table) - 128.0, table[table != 0]
    sums = np.zeros(len(bins))
    half_squares = (bins**2).sum(1) / 2
    rows = max(1, _BLOCK // len(bins))
    for start in range(0, len(cells), rows):
        # |v - p|² / 2 without |v|² / 2; exact for integer points, so ties are ties.
        part = slice(start, start + rows)
        distance = half_squares - cells[part] @ bins.T
        nearest = distance == distance.min(1, keepdims=True)
        value, point = np.nonzero(nearest)
        sums += np.bincount(point, (pixels[part] / nearest.sum(1))[value], len(bins))
    return sums


def smooth_priors(counts: ArrayLike, points: ArrayLike, sigma: float) -> NDArray[np.float64]:
    """Turn counts, [Q], into priors, float64 [Q], smoothed by a Gaussian over the bins.

    Each bin's share is spread over all bins by `exp(-d² / 2 sigma²)`, `d` in ab units, scaled to
    sum to 1 (arXiv 1603.08511, section 2.2); sigma 0 does not smooth. Where that leaves a bin at 0
    (sigma 0, or bins far apart), one pixel is shared out among all bins: no prior is 0.
    """
    held = np.asarray(counts, np.float64)
    total = held.sum()
    priors = _spread((held / total)[:, None], points, sigma)[:, 0]
    if not priors.all():
        priors = (priors * total + 1 / len(priors)) / (total + 1)
    return np.asarray(priors / priors.sum())


def _spread(shares: NDArray[np.float64], points: ArrayLike, sigma: float) -> NDArray[np.float64]:
    """Spread each column of shares, [Q, columns], over the bins by the Gaussian."""
    if sigma**2 == 0:  # none, or one whose square is too small for a float
        return shares
    bins = np.asarray(points, np.float64)
    spread = np.zeros_like(shares)
    held = np.flatnonzero(shares.any(1))
    columns = max(1, _BLOCK // len(bins))
    for start in range(0, len(held), columns):
        part = held[start : start + columns]
        squared = ((bins[:, None] - bins[part]) ** 2).sum(-1)
        with np.errstate(under="ignore", over="ignore"):
            kernel = np.exp(-squared / (2 * sigma**2))
        spread += (kernel / kernel.sum(0)) @ shares[part]
    return spread


def standard_errors(
    groups: NDArray[np.int64], bins: Bins, share: float, *, fair_size: int | None, sigma: float
) -> NDArray[np.float64]:
    """Return the standard error, float64 [Q], of priors from a sample of that share of the images.

    The sample was dealt into random groups, of tables [groups, 256, 256], and how these differ
    tells how samples differ (Wolter: Introduction to Variance Estimation, 2007, chapter 2). Pixels
    of one image are alike, so counting them as independent would promise far too much. `fair_size`
    is that of the fair grid; priors of centres were smoothed by `sigma`.
    """
    if fair_size is None:
        counts = np.stack([nearest_counts(table, bins.points) for table in groups], 1)
    else:
        rows, columns = ((bins.points + 128) // fair_size).T
        counts = np.stack([_fair_counts(t, fair_size)[rows, columns] for t in groups], 1)
    number, total = counts.shape[1], counts.sum()
    # How far each group is from what the whole lets expect of its pixels.
    off = (counts - np.outer(counts.sum(1) / total, counts.sum(0))) / total
    if fair_size is None:
        off = _spread(off, bins.points, sigma)
    return np.asarray(np.sqrt((1 - share) * number / (number - 1) * (off**2).sum(1)))


def rebalancing_weights(priors: ArrayLike) -> NDArray[np.float64]:
    """Return weights that favour rare colours: `w ∝ 1 / ((1 - λ) p + λ / Q)`, `Σ p w = 1`.

    arXiv 1603.08511, equation 4; λ is `LAMBDA`.
    """
    p = np.asarray(priors, np.float64)
    weights = 1 / ((1 - LAMBDA) * p + LAMBDA / len(p))
    return np.asarray(weights / (p * weights).sum())
