"""Axes, legends and marks of charts, and curves over a pair of axes.

All charts are drawn for a width of 330 units, about that of a telephone, so that their texts can be
read there; on wide screens several stand side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.axes import Scale, powers_of_ten, round_ticks
from sslprep.drawing.numbers import power_texts, tick_text
from sslprep.drawing.svg import Drawing, coordinate, digits_wide, fitted

WIDTH = 330
LEFT, RIGHT, TOP, BOTTOM = 50, 8, 30, 44
CHARACTER = 6.6
"""Width of a digit at the charts' font size, to keep labels apart."""
KEY_LINE = 17
_KEY = 34
"""Digits that a name in the legend may be wide."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A dashed line across the value axis, such as a bound; `label` stands in the legend."""

    value: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart.

    Attributes:
        name: What it is, for the legend.
        x: Places, ascending.
        y: Values.
        low: Lower edge of a band around the line, such as the smallest of several runs.
        high: Upper edge of the band.
        reference: A thin grey line to compare with, labelled at its end.
    """

    name: str
    x: Sequence[float] | NDArray[Any]
    y: Sequence[float] | NDArray[Any]
    low: Sequence[float] | NDArray[Any] | None = None
    high: Sequence[float] | NDArray[Any] | None = None
    reference: bool = False


class Frame:
    """The axes of one chart, and where a value falls on them."""

    def __init__(self, drawing: Drawing, x: Scale, y: Scale, *, x_label: str, y_label: str) -> None:
        self.drawing, self.x, self.y = drawing, x, y
        self.bottom = drawing.height - BOTTOM
        drawing.line(x.start, self.bottom, x.end, self.bottom, css="axis")
        middle = (x.start + x.end) / 2
        drawing.text(middle, drawing.height - 8, x_label, css="label", anchor="middle")
        if y_label:
            drawing.text(4, 12, y_label, css="label")

    def y_ticks(self, ticks: Sequence[float], texts: Sequence[str]) -> None:
        """Draw a grid line and a label at each tick."""
        for value, text in zip(ticks, texts, strict=True):
            place = self.y(value)
            self.drawing.line(self.x.start, place, self.x.end, place, css="grid")
            self.drawing.text(self.x.start - 7, place + 4, text, css="tick", anchor="end")

    def x_tick(self, place: float, text: str) -> None:
        """Draw a tick and its label below the axis."""
        self.drawing.line(place, self.bottom, place, self.bottom + 4, css="axis")
        self.drawing.text(place, self.bottom + 17, text, css="tick", anchor="middle")

    def marks(self, marks: Sequence[Mark], place: Any, top: float) -> None:
        """Draw dashed lines and, above the chart, what each means."""
        for number, mark in enumerate(marks):
            css = f"mark{number % 2 + 1}"
            key = top + KEY_LINE * number
            self.drawing.line(self.x.start, key - 4, self.x.start + 22, key - 4, css=css)
            self.drawing.text(self.x.start + 28, key, mark.label, css="tick")
        for number, mark in enumerate(marks):
            x = min(max(place(mark.value), self.x.start), self.x.end)
            above = top + KEY_LINE * len(marks) - 10
            self.drawing.line(x, above, x, self.bottom, css=f"mark{number % 2 + 1}")


def axis(
    values: Sequence[float], start: float, end: float, *, log: bool
) -> tuple[Scale, list[float], list[str]]:
    """Return an axis that encloses the values (from 0 unless `log`), its ticks and their texts."""
    positive = [v for v in values if v > 0]
    if log and positive:
        ticks = powers_of_ten(min(positive), max(positive))
        return Scale(ticks[0], ticks[-1], start, end, log=True), ticks, power_texts(ticks)
    whole = all(v == int(v) for v in values)
    ticks = round_ticks(0, max(values, default=1) or 1, 4, whole=whole)
    return Scale(0, ticks[-1], start, end), ticks, [tick_text(t) for t in ticks]


def curves(
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    least: float = 0,
    x_ticks: Sequence[float] | None = None,
    points: bool = False,
) -> Drawing:
    """Draw lines over one pair of axes, with a legend where there is more than one.

    Args:
        series: Up to four lines, and any number that are `reference`. Values that are not finite
            are left out.
        title: Name of the chart.
        description: What it shows, in words.
        x_label: Name and unit of x.
        y_label: Name and unit of y.
        log: y by powers of ten.
        least: With `log`, the smallest value that is drawn; smaller ones lie on the axis.
        x_ticks: The x of a logarithmic x axis that are labelled, such as k = 1, 2, 4; by default
            x is in proportion and round numbers are labelled.
        points: Mark each value with a dot; a single one always is.
    """
    own = [line for line in series if not line.reference]
    keys = own if len(series) > 1 else []
    rows = legend_rows([line.name for line in keys])
    drawing = Drawing(WIDTH, 202 + KEY_LINE * len(rows), title=title, description=description)
    lines = [_finite(line, least if log else None) for line in series]
    ys = [v for line in lines for part in (line.y, line.low, line.high) for v in _list(part)]
    xs = [v for line in lines for v in _list(line.x)] or [0.0, 1.0]
    y, ticks, texts = axis(
        ys or [1.0], drawing.height - BOTTOM, TOP + KEY_LINE * len(rows), log=log
    )
    margin = 8 + max((5.6 * len(line.name) for line in series if line.reference), default=0)
    x = Scale(min(xs), max(xs), LEFT + 4, WIDTH - RIGHT - margin, log=x_ticks is not None)
    frame = Frame(drawing, x, y, x_label=x_label, y_label=y_label)
    frame.y_ticks(ticks, texts)
    places = _x_ticks(x, x_ticks)
    powers = bool(x_ticks) and all(math.log10(place).is_integer() for place in places)
    for tick, text in zip(
        places, power_texts(places) if powers else map(tick_text, places), strict=True
    ):
        frame.x_tick(x(tick), text)
    legend(drawing, rows, TOP - 1)
    for line in lines:
        if line.reference:
            _line(drawing, frame, line, css="reference")
    _end_labels(drawing, frame, [line for line in lines if line.reference])
    for number, line in enumerate((line for line in lines if not line.reference), start=1):
        if line.low is not None and line.high is not None and len(_list(line.x)) > 1:
            edge = [*zip(line.x, line.high, strict=True)]
            edge += reversed([*zip(line.x, line.low, strict=True)])
            corners = (f"{coordinate(x(a))} {coordinate(y(b))}" for a, b in edge)
            drawing.path(f"M{'L'.join(corners)}z", css=f"band key{number}")
        _line(drawing, frame, line, css=f"line{number}")
        if points or len(_list(line.x)) == 1:  # a line of one point cannot be seen
            for a, b in zip(line.x, line.y, strict=True):
                tip = f"{line.name}, {tick_text(a)}: {tick_text(b)}"
                drawing.dot(x(a), y(b), 3.2, css=f"key{number}", tip=tip)
    return drawing


def _list(values: Sequence[float] | NDArray[Any] | None) -> list[float]:
    return [] if values is None else [float(v) for v in values]


def _x_ticks(x: Scale, wanted: Sequence[float] | None) -> list[float]:
    """Return the labelled places of an x axis, thinned out where labels would touch."""
    if wanted is None:
        return [t for t in round_ticks(x.low, x.high, 5, whole=True) if x.low <= t <= x.high]
    kept: list[float] = []
    room = (max((len(tick_text(tick)) for tick in wanted), default=0) + 1) * CHARACTER
    for tick in wanted:
        if x.low <= tick <= x.high and (not kept or x(tick) - x(kept[-1]) >= room):
            kept.append(tick)
    return kept


def legend_rows(names: Sequence[str]) -> list[list[tuple[int, str]]]:
    """Lay the names of a legend out in rows; each comes with its number, from 1."""
    rows: list[list[tuple[int, str]]] = []
    room = 0.0
    for number, name in enumerate((fitted(name, _KEY) for name in names), start=1):
        need = 34 + digits_wide(name) * CHARACTER
        if not rows or need > room:
            rows.append([])
            room = WIDTH - LEFT
        rows[-1].append((number, name))
        room -= need
    return rows


def legend(
    drawing: Drawing, rows: Sequence[Sequence[tuple[int, str]]], top: float, *, dots: bool = False
) -> None:
    """Draw the rows of a legend, with a piece of each line or with a dot before its name."""
    for level, row in enumerate(rows):
        place, y = float(LEFT), top + KEY_LINE * level
        for number, name in row:
            if dots:
                drawing.dot(place + 12, y, 4, css=f"key{number}")
            else:
                drawing.line(place, y, place + 18, y, css=f"line{number}")
            drawing.text(place + 23, y + 4, name, css="tick")
            place += 34 + digits_wide(name) * CHARACTER


def _end_labels(drawing: Drawing, frame: Frame, lines: Sequence[Series]) -> None:
    """Write the names of reference lines at their ends, pushed apart where they would touch."""
    ends = sorted((frame.y(line.y[-1]), line.name) for line in lines if len(line.y))
    below = -math.inf
    for y, name in ends:
        below = max(y, below + 12)
        drawing.text(frame.x.end + 5, below + 3.5, name, css="small")


def _line(drawing: Drawing, frame: Frame, line: Series, *, css: str) -> None:
    x, y = _thinned(np.asarray(line.x, float), np.asarray(line.y, float))
    drawing.polyline([(frame.x(a), frame.y(b)) for a, b in zip(x, y, strict=True)], css=css)


def _finite(line: Series, least: float | None) -> Series:
    """Leave out what cannot be drawn; raise what lies below `least` to it."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    band = [np.asarray(b, float) for b in (line.low, line.high) if b is not None]
    keep = np.isfinite(x) & np.isfinite(y)
    for edge in band:
        keep &= np.isfinite(edge)
    if least is not None:
        keep &= y > 0
        y = np.maximum(y, least)
        band = [np.maximum(edge, least) for edge in band]
    low, high = (edge[keep] for edge in band) if len(band) == 2 else (None, None)
    return Series(
        name=line.name, x=x[keep], y=y[keep], low=low, high=high, reference=line.reference
    )


def _thinned(
    x: NDArray[Any], y: NDArray[Any], points: int = 400
) -> tuple[list[float], list[float]]:
    """Keep at most `points` of a line, its ends among them."""
    if len(x) > points:
        keep = np.linspace(0, len(x) - 1, points).round().astype(int)
        x, y = x[keep], y[keep]
    return x.tolist(), y.tolist()
