"""A permutation set at a glance, as one SVG: distances beside their bounds, and the counts."""

from __future__ import annotations

import math
from html import escape

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.distances import Distances

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1c2430 }
.head { font-weight: 600; font-size: 13px }
.small { font-size: 10px; fill: #5a6675 }
.axis { stroke: #8a94a3; stroke-width: 1 }
.bar { fill: #3b6fb6 }
.bound { stroke: #c2410c; stroke-width: 1.5; stroke-dasharray: 4 3 }
.mark { fill: #c2410c }
.page { fill: #ffffff }
.cell { fill: #3b6fb6 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6eaf0 } .small { fill: #a3adba } .axis { stroke: #6b7686 }
  .bar, .cell { fill: #7aa7e8 } .bound { stroke: #fb923c } .mark { fill: #fb923c }
  .page { fill: #14181f }
}
"""
_LEFT, _TOP, _WIDE, _HIGH = 56, 76, 400, 250
_MOST_LABELLED = 30
_MOST_LETTERS = 90


def drawing(distances: Distances, counts: NDArray[np.int64], title: str) -> str:
    """Draw the histogram of distances beside the bounds, and the position-value table.

    Args:
        distances: Of the set.
        counts: How often each value (column) stands at each position (row), (M, M).
        title: Name of the set.

    Returns:
        The SVG, a self-contained XML document for light and dark pages.
    """
    table_left = _LEFT + _WIDE + 70
    width, height = table_left + _HIGH + 30, _TOP + _HIGH + 62
    mean = "none" if distances.mean is None else f"{float(distances.mean):.4f}"
    about = (
        f"{distances.n:,} permutations of {distances.m} tiles, minimum distance "
        f"{'none' if distances.minimum is None else distances.minimum}, mean {mean}"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title about">',
        f'<title id="title">{_text(title)}</title><desc id="about">{_text(about)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="head" x="{_LEFT}" y="22">{_text(_shortened(title))}</text>',
        f'<text class="small" x="{_LEFT}" y="38">{_text(about)}</text>',
        *_histogram(distances),
        *_table(counts, table_left),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _histogram(distances: Distances) -> list[str]:
    """Draw bars on a logarithmic axis, since the few near pairs are what matters."""
    m = distances.m
    step = _WIDE / (m + 1)
    tallest = max(1, *distances.histogram)
    decades = math.log10(tallest) + 0.5
    floor = _TOP + _HIGH

    def height(pairs: int) -> float:
        return 0.0 if not pairs else (math.log10(pairs) + 0.5) / decades * _HIGH

    def center(distance: float) -> float:
        return _LEFT + (distance + 0.5) * step

    head = "Pairs by Hamming distance (logarithmic)"
    parts = [f'<text class="head" x="{_LEFT}" y="{_TOP - 8}">{head}</text>']
    for power in range(math.floor(math.log10(tallest)) + 1):
        y = floor - height(10**power)
        parts.append(f'<path class="axis" opacity=".35" d="M{_LEFT} {y:.1f}h{_WIDE}"/>')
        label = f"{10**power:,}" if power < 5 else f"1e{power}"
        parts.append(
            f'<text class="small" text-anchor="end" x="{_LEFT - 6}" y="{y + 3:.1f}">{label}</text>'
        )
    every = math.ceil((m + 1) / _MOST_LABELLED)
    for distance, pairs in enumerate(distances.histogram):
        x, tall = center(distance), height(pairs)
        parts.append(
            f'<rect class="bar" x="{x - step * 0.4:.1f}" y="{floor - tall:.1f}" '
            f'width="{step * 0.8:.1f}" height="{tall:.1f}">'
            f"<title>distance {distance}: {pairs:,} pairs</title></rect>"
        )
        if distance % every == 0:
            parts.append(
                f'<text class="small" text-anchor="middle" x="{x:.1f}" y="{floor + 14}">'
                f"{distance}</text>"
            )
    parts.append(f'<path class="axis" d="M{_LEFT} {floor}h{_WIDE}"/>')
    if distances.minimum_bound is not None:
        least = distances.minimum_bound.value
        parts += _bound(center(least), floor, f"minimum at most {least}", 34)
    if distances.mean_bound is not None:
        mean = float(distances.mean_bound)
        parts += _bound(center(mean), floor, f"mean at most {mean:.4f}", 50)
    return parts


def _bound(x: float, floor: int, label: str, below: int) -> list[str]:
    return [
        f'<path class="bound" d="M{x:.1f} {_TOP}V{floor}M{x:.1f} {floor + 18}v{below - 30}"/>',
        f'<text class="small mark" text-anchor="end" x="{x + 4:.1f}" y="{floor + below}">'
        f"{label}</text>",
    ]


def _table(counts: NDArray[np.int64], left: int) -> list[str]:
    """Shade each position and value by its count, from the smallest to the largest."""
    m = len(counts)
    side = _HIGH / m
    low, high = int(counts.min()), int(counts.max())
    spread = f"{low:,} to {high:,}" if high > low else f"{low:,}"
    head = f"Tile counts: {spread} times"
    parts = [f'<text class="head" x="{left}" y="{_TOP - 8}">{head}</text>']
    for position, row in enumerate(counts.tolist()):
        for value, count in enumerate(row):
            shade = 0.15 + 0.85 * (count - low) / (high - low) if high > low else 0.5
            parts.append(
                f'<rect class="cell" opacity="{shade:.2f}" x="{left + value * side:.1f}" '
                f'y="{_TOP + position * side:.1f}" width="{side - 0.5:.2f}" '
                f'height="{side - 0.5:.2f}">'
                f"<title>tile {value} at position {position}: {count:,}</title></rect>"
            )
    every = math.ceil(m / _MOST_LABELLED)
    for i in range(0, m, every):
        middle = (i + 0.5) * side
        parts.append(
            f'<text class="small" text-anchor="middle" x="{left + middle:.1f}" '
            f'y="{_TOP + _HIGH + 14}">{i}</text>'
            f'<text class="small" text-anchor="end" x="{left - 6}" y="{_TOP + middle + 3:.1f}">'
            f"{i}</text>"
        )
    parts.append(
        f'<text class="small" text-anchor="middle" x="{left + _HIGH / 2}" '
        f'y="{_TOP + _HIGH + 30}">tile (down: position)</text>'
    )
    return parts


def _shortened(title: str) -> str:
    return title if len(title) <= _MOST_LETTERS else f"{title[:_MOST_LETTERS]}…"


def _text(value: str) -> str:
    """Escape for XML, which knows no control characters."""
    return escape("".join(c if c.isprintable() else "�" for c in value))
