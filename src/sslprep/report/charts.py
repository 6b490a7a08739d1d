"""The charts of the page: columns, curves, tables of shades.

All are drawn for a width of 330 units, about that of a telephone, so that their texts can be
read there; on wide screens several stand side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.report.axes import (
    Scale,
    count_text,
    power_text,
    powers_of_ten,
    round_ticks,
    tick_text,
)
from sslprep.report.svg import Drawing

WIDTH = 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 8, 30, 44
_CHARACTER = 6.6
"""Width of a digit at the charts' font size, to keep labels apart."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A line drawn across the value axis, such as a bound."""

    value: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart: a name, x and y."""

    name: str
    x: Sequence[float] | NDArray[Any]
    y: Sequence[float] | NDArray[Any]


class _Frame:
    """The axes of one chart, and where a value falls on them."""

    def __init__(self, drawing: Drawing, x: Scale, y: Scale, *, x_label: str, y_label: str) -> None:
        self.drawing, self.x, self.y = drawing, x, y
        bottom = drawing.height - _BOTTOM
        drawing.line(_LEFT, bottom, drawing.width - _RIGHT, bottom, css="axis")
        middle = (_LEFT + drawing.width - _RIGHT) / 2
        drawing.text(middle, drawing.height - 8, x_label, css="label", anchor="middle")
        drawing.text(4, 12, y_label, css="label")

    def y_ticks(self, ticks: Sequence[float], texts: Sequence[str]) -> None:
        for value, text in zip(ticks, texts, strict=True):
            place = self.y(value)
            self.drawing.line(_LEFT, place, self.drawing.width - _RIGHT, place, css="grid")
            self.drawing.text(_LEFT - 7, place + 4, text, css="tick", anchor="end")

    def x_tick(self, place: float, text: str) -> None:
        bottom = self.drawing.height - _BOTTOM
        self.drawing.line(place, bottom, place, bottom + 4, css="axis")
        self.drawing.text(place, bottom + 17, text, css="tick", anchor="middle")


def columns(
    names: Sequence[str],
    counts: Sequence[float] | NDArray[Any],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    marks: Sequence[Mark] = (),
    log: bool = False,
) -> Drawing:
    """Draw one column for each name; `marks` are positions among the columns, from 0.

    Args:
        names: What stands below the columns; thinned out where they would touch.
        counts: Their heights, 0 or more.
        title: Name of the chart.
        description: What it shows, in words.
        x_label: Name and unit of what the columns are.
        y_label: Name and unit of their heights.
        marks: Dashed lines with a label; on a tick of its own.
        log: Heights by powers of ten; columns of nothing are left out.
    """
    height = 236
    drawing = Drawing(WIDTH, height, title=title, description=description)
    heights = [float(c) if math.isfinite(c) else 0.0 for c in counts]
    top = _TOP + 16 * len(marks) + 10
    floor = [1.0] if log else []  # a column of 1 is the least there is
    y, ticks, texts = _upward([*floor, *heights], top, height - _BOTTOM, log=log)
    frame = _Frame(drawing, Scale(0, 1, 0, 1), y, x_label=x_label, y_label=y_label)
    frame.y_ticks(ticks, texts)
    slot = (WIDTH - _LEFT - _RIGHT) / max(1, len(heights))
    bar = max(0.8, min(slot * 0.82, 34))
    longest = max((len(name) for name in names), default=1)
    every = max(1, math.ceil((longest * _CHARACTER + 8) / slot))
    placed = [
        (
            min(max(_LEFT + slot * (mark.value + 0.5), _LEFT), WIDTH - _RIGHT),
            _TOP + 4 + 16 * i,
            mark,
        )
        for i, mark in enumerate(sorted(marks, key=lambda mark: mark.value))
    ]
    labelled = all(len(tick_text(v)) * _CHARACTER < slot for v in heights)
    for place, level, _ in placed:
        drawing.line(place, level - 8, place, height - _BOTTOM, css="mark")
    for i, (name, value) in enumerate(zip(names, heights, strict=True)):
        middle = _LEFT + slot * (i + 0.5)
        if value > 0:
            peak = min(y(value), height - _BOTTOM - 1.2)
            tip = f"{name}: {count_text(value)}"
            size = height - _BOTTOM - peak
            drawing.box(middle - bar / 2, peak, bar, size, css="bar", tip=tip, radius=1.5)
            if labelled:
                drawing.text(middle, peak - 4, tick_text(value), css="value", anchor="middle")
        if i % every == 0:
            frame.x_tick(middle, name)
    for place, level, mark in placed:
        if place > (_LEFT + WIDTH) / 2:
            drawing.text(place - 5, level + 1, mark.label, css="marklabel", anchor="end")
        else:
            drawing.text(place + 5, level + 1, mark.label, css="marklabel")
    return drawing


def _upward(
    values: Sequence[float], top: float, bottom: float, *, log: bool
) -> tuple[Scale, list[float], list[str]]:
    positive = [v for v in values if v > 0]
    if log and positive:
        ticks = powers_of_ten(min(positive), max(positive))
        texts = [power_text(t) for t in ticks]
        return Scale(ticks[0], ticks[-1], bottom, top, log=True), ticks, texts
    whole = all(v == int(v) for v in values)
    ticks = round_ticks(0, max(values, default=1) or 1, 4, whole=whole)
    return Scale(0, ticks[-1], bottom, top), ticks, [tick_text(t) for t in ticks]


def curves(
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    least: float = 0,
) -> Drawing:
    """Draw up to three lines over one pair of axes, with a legend where there is more than one.

    Values that are not finite are left out, and with `log` those not above `least`.
    """
    height = 240 + (18 if len(series) > 1 else 0)
    drawing = Drawing(WIDTH, height, title=title, description=description)
    lines = [(line.name, *_drawable(line, least if log else None)) for line in series]
    xs = np.concatenate([x for _, x, _ in lines]) if lines else np.empty(0)
    ys = np.concatenate([y for _, _, y in lines]) if lines else np.empty(0)
    top = _TOP + (18 if len(series) > 1 else 0)
    y, ticks, texts = _upward(ys.tolist() or [1.0], top, height - _BOTTOM, log=log)
    low, high = (float(xs.min()), float(xs.max())) if xs.size else (0.0, 1.0)
    x_ticks = [t for t in round_ticks(low, high, 5, whole=True) if low <= t <= high]
    x = Scale(low, high, _LEFT + 4, WIDTH - _RIGHT - 8)
    frame = _Frame(drawing, x, y, x_label=x_label, y_label=y_label)
    frame.y_ticks(ticks, texts)
    for tick in x_ticks:
        frame.x_tick(x(tick), tick_text(tick))
    place = float(_LEFT)
    for number, (name, px, py) in enumerate(lines, start=1):
        if len(series) > 1:
            drawing.box(place, _TOP - 1, 14, 4, css=f"key{number}", radius=2)
            drawing.text(place + 19, _TOP + 5, name, css="tick")
            place += 34 + len(name) * _CHARACTER
        points = [(x(a), y(b)) for a, b in zip(*_thinned(px, py), strict=True)]
        drawing.polyline(points, css=f"line{number}")
    return drawing


def _drawable(line: Series, least: float | None) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    keep = np.isfinite(x) & np.isfinite(y)
    if least is not None:
        keep &= y > least
    return x[keep], y[keep]


def _thinned(
    x: NDArray[Any], y: NDArray[Any], points: int = 400
) -> tuple[list[float], list[float]]:
    """Keep at most `points` of a line, its ends among them."""
    if len(x) > points:
        keep = np.linspace(0, len(x) - 1, points).round().astype(int)
        x, y = x[keep], y[keep]
    return x.tolist(), y.tolist()


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
        rows: Names of the rows, short.
        columns: Names of the columns, short.
        title: Name of the chart.
        description: What it shows, in words.
        x_label: What the columns are.
        y_label: What the rows are.
        cell: Height of a cell.
        tip: What shows when the pointer rests on a cell.
        depths: Shade of the least and of the most, between 0 and 1.
        from_smallest: The least is the smallest value, not 0.
    """
    left = 30 + _CHARACTER * max((len(r) for r in rows), default=0)
    wide = min(cell * 1.25, (WIDTH - left - 6) / max(1, len(columns)))
    height = 44 + cell * len(rows)
    drawing = Drawing(WIDTH, height, title=title, description=description)
    middle = left + wide * len(columns) / 2
    drawing.text(middle, 13, x_label, css="label", anchor="middle")
    drawing.text(13, 40 + cell * len(rows) / 2, y_label, css="label", anchor="middle", turned=True)
    low = float(values.min()) if from_smallest and values.size else 0.0
    high = float(values.max()) if values.size else 1.0
    for j, name in enumerate(columns):
        drawing.text(left + wide * (j + 0.5), 33, name, css="tick", anchor="middle")
    for i, name in enumerate(rows):
        y = 40 + cell * i
        drawing.text(left - 6, y + cell / 2 + 4, name, css="tick", anchor="end")
        for j, column in enumerate(columns):
            value = float(values[i, j])
            share = (value - low) / (high - low) if high > low else 0.5
            text = tick_text(value)
            hint = tip.format(row=name, column=column, value=text)
            x = left + wide * j
            depth = depths[0] + (depths[1] - depths[0]) * share
            drawing.box(x, y, wide - 2, cell - 2, css="shade", tip=hint, opacity=depth, radius=2)
            if len(text) * _CHARACTER < wide - 2:
                css = "inshade dark" if depth > 0.55 else "inshade"
                drawing.text(x + wide / 2 - 1, y + cell / 2 + 3, text, css=css, anchor="middle")
    return drawing
