"""Pictures of a permutation set: distances of all pairs, and which tile stands where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.charts import Mark, columns
from sslprep.drawing.numbers import count_text
from sslprep.drawing.shades import shades
from sslprep.drawing.svg import Drawing

_MOST_CELLS = 36
"""In a row of the table: with more, tiles and positions are taken together."""


def distance_histogram(
    histogram: Sequence[int],
    *,
    minimum_bound: int | None = None,
    mean_bound: float | None = None,
) -> Drawing:
    """Draw how many pairs have which Hamming distance, on a logarithmic axis, with the bounds.

    Args:
        histogram: Entry d is the number of pairs at distance d, d = 0…M.
        minimum_bound: No set of this size has a larger smallest distance.
        mean_bound: No set of this size has a larger mean distance.

    Example:
        >>> drawing = distance_histogram([0, 0, 3, 7], minimum_bound=2, mean_bound=2.7)
        >>> drawing.root.findtext("desc")
        '10 pairs; by distance: 2: 3, 3: 7. Bounds: smallest at most 2, mean at most 2.7000.'
    """
    counts = [int(pairs) for pairs in histogram]
    by_distance = ", ".join(f"{d}: {count_text(c)}" for d, c in enumerate(counts) if c)
    marks, bounds = [], []
    if minimum_bound is not None:
        marks.append(
            Mark(value=minimum_bound, label=f"bound on the smallest distance: {minimum_bound}")
        )
        bounds.append(f"smallest at most {minimum_bound}")
    if mean_bound is not None:
        marks.append(Mark(value=mean_bound, label=f"bound on the mean distance: {mean_bound:.4f}"))
        bounds.append(f"mean at most {mean_bound:.4f}")
    description = f"{count_text(sum(counts))} pairs; by distance: {by_distance}."
    return columns(
        [str(d) for d in range(len(counts))],
        counts,
        title="Pairs by Hamming distance, with the bounds",
        description=description + (f" Bounds: {', '.join(bounds)}." if bounds else ""),
        x_label="Hamming distance (positions that differ)",
        y_label="pairs (logarithmic)",
        marks=marks,
        log=True,
    )


def position_table(counts: NDArray[Any]) -> Drawing:
    """Shade how often each tile stands at each position.

    Args:
        counts: (M, M): row is the position, column the tile.
    """
    m = len(counts)
    low, high = int(counts.min()), int(counts.max())
    even = high - low <= 1
    description = f"From {low} to {high} times; {counts.sum() / m**2:.1f} would be even."
    starts = np.arange(0, m, together := -(-m // _MOST_CELLS))
    names = [str(i) for i in range(m)]
    if together > 1:
        names = [f"{i}–{min(i + together, m) - 1}" for i in starts.tolist()]
        description += f" A cell is the mean of {together} tiles at {together} positions."
        sizes = np.diff(starts, append=m)
        sums = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
        counts = sums / np.outer(sizes, sizes)
    return shades(
        counts,
        rows=names,
        columns=names,
        title="How often each tile stands at each position",
        description=description,
        x_label="tile",
        y_label="position",
        cell=24 if m <= 9 else 216 / len(counts),
        tip="tile {column} at position {row}: {value} times",
        depths=(0.12, 0.32) if even else (0.06, 1.0),
        from_smallest=True,
    )
