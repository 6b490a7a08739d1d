"""A dot plot: a row for each name, a dot for each value, all on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sslprep.drawing.axes import Scale
from sslprep.drawing.charts import (
    BOTTOM,
    KEY_LINE,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    Mark,
    axis,
    legend,
    legend_rows,
)
from sslprep.drawing.numbers import tick_text
from sslprep.drawing.svg import Drawing, digits_wide, fitted


def dots(
    names: Sequence[str],
    values: Sequence[tuple[str, Sequence[float]]],
    *,
    title: str,
    description: str,
    x_label: str,
    log: bool = False,
    marks: Sequence[Mark] = (),
    row: float = 12.5,
) -> Drawing:
    """Draw rows of dots: William Cleveland's dot plot.

    Args:
        names: What the rows are, from top to bottom; short.
        values: Up to four series, each a name and a value for each row, 0 or more; values that
            are not finite are left out, and with `log` those of 0.
        title: Name of the chart.
        description: What it shows, in words.
        x_label: Name and unit of the values.
        log: By powers of ten.
        marks: Dashed lines, such as a limit; explained above the chart.
        row: Height of a row.

    Example:
        >>> drawing = dots(["cat", "dog"], [("train", [5, 50])], title="t", description="d",
        ...     x_label="images", log=True)
        >>> drawing.__html__().count("<circle")
        2
    """
    rows = legend_rows([name for name, _ in values] if len(values) > 1 else [])
    head = TOP - 12 + KEY_LINE * (len(marks) + len(rows))
    height = head + row * len(names) + BOTTOM
    drawing = Drawing(WIDTH, height, title=title, description=description)
    shown = [fitted(name, 16) for name in names]
    left = 16 + 7.1 * max(map(digits_wide, shown), default=1)
    known = [v for _, part in values for v in part if math.isfinite(v)]
    every = [*known, *(mark.value for mark in marks)]
    x, ticks, texts = axis(every, left, WIDTH - RIGHT - 8, log=log)
    y = Scale(0, max(1, len(names)), head, height - BOTTOM)
    frame = Frame(drawing, x, y, x_label=x_label, y_label="")
    for tick, text in zip(ticks, texts, strict=True):
        drawing.line(x(tick), head, x(tick), frame.bottom, css="grid")
        frame.x_tick(x(tick), text)
    legend(drawing, rows, 13, dots=True)
    frame.marks(marks, x, TOP - 4 + KEY_LINE * len(rows))
    for line, name in enumerate(names):
        middle = y(line + 0.5)
        drawing.text(left - 8, middle + 4, shown[line], css="tick", anchor="end")
        drawing.line(left, middle, x.end, middle, css="grid")
        # The last series first, so that the first lies on top.
        for number, (series, part) in reversed([*enumerate(values, start=1)]):
            value = part[line]
            if math.isfinite(value) and (value > 0 or not log):
                tip = f"{name}, {series}: {tick_text(value)}" if series else tick_text(value)
                drawing.dot(x(value), middle, 4, css=f"key{number}", tip=tip)
    return drawing
