"""Pictures of a permutation set: distances of all pairs, and which tile stands where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.axes import Scale
from sslprep.drawing.charts import (
    BOTTOM,
    CHARACTER,
    KEY_LINE,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    Mark,
    axis,
)
from sslprep.drawing.numbers import count_text, tick_text
from sslprep.drawing.svg import Drawing

_DIGIT = 5.9
"""Width of a digit above a column."""
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
        label = f"bound on the smallest distance: {minimum_bound}"
        marks.append(Mark(value=minimum_bound, label=label))
        bounds.append(f"smallest at most {minimum_bound}")
    if mean_bound is not None:
        marks.append(Mark(value=mean_bound, label=f"bound on the mean distance: {mean_bound:.4f}"))
        bounds.append(f"mean at most {mean_bound:.4f}")
    description = f"{count_text(sum(counts))} pairs; by distance: {by_distance}."
    drawing = Drawing(
        WIDTH,
        200 + KEY_LINE * len(marks),
        title="Pairs by Hamming distance, with the bounds",
        description=description + (f" Bounds: {', '.join(bounds)}." if bounds else ""),
    )
    top = TOP + KEY_LINE * len(marks) + 10
    # A column of 1 is the least there is.
    y, ticks, texts = axis([1, *counts], drawing.height - BOTTOM, top, log=True)
    x = Scale(-0.5, len(counts) - 0.5, LEFT, WIDTH - RIGHT)
    label = "Hamming distance (positions that differ)"
    frame = Frame(drawing, x, y, x_label=label, y_label="pairs (logarithmic)")
    frame.y_ticks(ticks, texts)
    frame.marks(marks, x, TOP + 6)
    slot = (x.end - x.start) / len(counts)
    bar = max(0.8, min(slot * 0.82, 34))
    every = math.ceil((len(str(len(counts) - 1)) * CHARACTER + 8) / slot)
    labelled = all(len(tick_text(pairs)) * _DIGIT < slot for pairs in counts)
    for distance, pairs in enumerate(counts):
        middle = x(distance)
        if pairs:
            peak = min(y(pairs), frame.bottom - 1.2)
            tip = f"{distance}: {count_text(pairs)}"
            drawing.box(
                middle - bar / 2, peak, bar, frame.bottom - peak, css="bar", tip=tip, radius=1.5
            )
            if labelled:
                drawing.text(middle, peak - 4, tick_text(pairs), css="value", anchor="middle")
        if distance % every == 0:
            frame.x_tick(middle, str(distance))
    return drawing


def position_table(counts: NDArray[Any]) -> Drawing:
    """Shade how often each tile stands at each position: the more often, the darker.

    Args:
        counts: (M, M): row is the position, column the tile.
    """
    m = len(counts)
    low, high = int(counts.min()), int(counts.max())
    # Where all are even up to one, no cell is dark.
    lightest, darkest = (0.12, 0.32) if high - low <= 1 else (0.06, 1.0)
    description = f"From {low} to {high} times; {counts.sum() / m**2:.1f} would be even."
    starts = np.arange(0, m, together := -(-m // _MOST_CELLS))
    names = [str(i) for i in range(m)]
    if together > 1:
        names = [f"{i}–{min(i + together, m) - 1}" for i in starts.tolist()]
        description += f" A cell is the mean of {together} tiles at {together} positions."
        sizes = np.diff(starts, append=m)
        sums = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
        counts = sums / np.outer(sizes, sizes)
    tall = 24 if m <= 9 else 216 / len(counts)
    longest = max(map(len, names)) * CHARACTER
    left = 30 + longest
    wide = min(tall * 1.25, (WIDTH - left - 6) / len(counts))
    title = "How often each tile stands at each position"
    drawing = Drawing(WIDTH, 44 + tall * len(counts), title=title, description=description)
    middle = left + wide * len(counts) / 2
    drawing.text(middle, 13, "tile", css="label", anchor="middle")
    middle = 40 + tall * len(counts) / 2
    drawing.text(13, middle, "position", css="label", anchor="middle", turned=True)
    every, every_row = math.ceil((longest + 3) / wide), math.ceil(12 / tall)
    for j in range(0, len(names), every):
        drawing.text(left + wide * (j + 0.5), 33, names[j], css="tick", anchor="middle")
    least, span = float(counts.min()), float(np.ptp(counts))
    for i, (position, row) in enumerate(zip(names, counts.tolist(), strict=True)):
        y = 40 + tall * i
        if i % every_row == 0:
            drawing.text(left - 6, y + tall / 2 + 4, position, css="tick", anchor="end")
        for j, (tile, value) in enumerate(zip(names, row, strict=True)):
            x, text = left + wide * j, tick_text(value)
            depth = lightest + (darkest - lightest) * ((value - least) / span if span else 0.5)
            tip = f"tile {tile} at position {position}: {text} times"
            drawing.box(x, y, wide - 2, tall - 2, css="shade", tip=tip, opacity=depth, radius=2)
            if len(text) * CHARACTER < wide - 2:
                css = "inshade dark" if depth > 0.55 else "inshade"
                drawing.text(x + wide / 2 - 1, y + tall / 2 + 3, text, css=css, anchor="middle")
    return drawing
