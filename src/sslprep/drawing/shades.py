"""A table of shades: the larger the value, the darker the cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from sslprep.drawing.charts import CHARACTER, WIDTH
from sslprep.drawing.numbers import tick_text
from sslprep.drawing.svg import Drawing


def shades(
    values: NDArray[Any],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    cell: float = 32,
    tip: str = "{row}, {column}: {value}",
    depths: tuple[float, float] = (0.06, 1.0),
    from_smallest: bool = False,
) -> Drawing:
    """Draw a table whose cells are the darker the larger their value.

    Args:
        values: (rows, columns), finite, 0 or more.
        rows: Names of the rows, short; thinned out where they would touch.
        columns: Names of the columns, likewise.
        title: Name of the chart.
        description: What it shows, in words.
        x_label: What the columns are.
        y_label: What the rows are.
        cell: Height of a cell.
        tip: What shows when the pointer rests on a cell.
        depths: Shade of the least and of the most, between 0 and 1.
        from_smallest: The least is the smallest value, not 0.
    """
    left = 30 + CHARACTER * max((len(r) for r in rows), default=0)
    wide = min(cell * 1.25, (WIDTH - left - 6) / max(1, len(columns)))
    height = 44 + cell * len(rows)
    drawing = Drawing(WIDTH, height, title=title, description=description)
    middle = left + wide * len(columns) / 2
    drawing.text(middle, 13, x_label, css="label", anchor="middle")
    drawing.text(13, 40 + cell * len(rows) / 2, y_label, css="label", anchor="middle", turned=True)
    low = float(values.min()) if from_smallest and values.size else 0.0
    high = float(values.max()) if values.size else 1.0
    longest = max((len(c) for c in columns), default=0) * CHARACTER + 3
    every, every_row = max(1, math.ceil(longest / wide)), max(1, math.ceil(12 / cell))
    for j, name in [*enumerate(columns)][::every]:
        drawing.text(left + wide * (j + 0.5), 33, name, css="tick", anchor="middle")
    for i, name in enumerate(rows):
        y = 40 + cell * i
        if i % every_row == 0:
            drawing.text(left - 6, y + cell / 2 + 4, name, css="tick", anchor="end")
        for j, column in enumerate(columns):
            value = float(values[i, j])
            share = (value - low) / (high - low) if high > low else 0.5
            text = tick_text(value)
            hint = tip.format(row=name, column=column, value=text)
            x = left + wide * j
            depth = depths[0] + (depths[1] - depths[0]) * share
            drawing.box(x, y, wide - 2, cell - 2, css="shade", tip=hint, opacity=depth, radius=2)
            if len(text) * CHARACTER < wide - 2:
                css = "inshade dark" if depth > 0.55 else "inshade"
                drawing.text(x + wide / 2 - 1, y + cell / 2 + 3, text, css=css, anchor="middle")
    return drawing
