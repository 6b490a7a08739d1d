"""The plane of a and b: bins in their own colours, and how often each occurs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sslprep.report.axes import count_text, share_text, tick_text
from sslprep.report.blocks import Figure
from sslprep.report.charts import WIDTH
from sslprep.report.lab import lab_to_srgb
from sslprep.report.svg import Drawing, coordinate

_MOST_DRAWN = 1500
LEFT, TOP, PLOT = 56, 12, 262
_STEPS = 8
DECADES = 6
"""Powers of ten that the shades and curves of priors span; smoothing leaves some far below."""


class Plane:
    """The a-b plane of a drawing: a to the right, b upwards."""

    def __init__(
        self,
        drawing: Drawing,
        a: tuple[float, float],
        b: tuple[float, float],
        scale: float,
    ) -> None:
        self.drawing, self.a, self.b, self.scale = drawing, a, b, scale
        self.left = LEFT

    def x(self, a: float) -> float:
        """Return where a value of a lies."""
        return self.left + (a - self.a[0]) * self.scale

    def y(self, b: float) -> float:
        """Return where a value of b lies."""
        return TOP + (self.b[1] - b) * self.scale

    def axes(self) -> None:
        """Draw both axes, with a tick every 50."""
        bottom = self.y(self.b[0])
        right = self.x(self.a[1])
        self.drawing.line(self.left, bottom, right, bottom, css="axis")
        self.drawing.line(self.left, TOP, self.left, bottom, css="axis")
        for value in range(-100, 101, 50):
            text = tick_text(value)
            if self.a[0] <= value <= self.a[1]:
                self.drawing.line(self.x(value), bottom, self.x(value), bottom + 4, css="axis")
                self.drawing.text(self.x(value), bottom + 17, text, css="tick", anchor="middle")
            if self.b[0] <= value <= self.b[1]:
                y = self.y(value)
                self.drawing.line(self.left - 4, y, self.left, y, css="axis")
                self.drawing.text(self.left - 7, y + 4, text, css="tick", anchor="end")
        middle = (self.left + right) / 2
        self.drawing.text(middle, bottom + 35, "a: green to red", css="label", anchor="middle")
        middle = (TOP + bottom) / 2
        text = "b: blue to yellow"
        self.drawing.text(13, middle, text, css="label", anchor="middle", turned=True)


def bin_size(points: NDArray[np.float64]) -> float:
    """Return the distance of neighbours along a or b."""
    steps = np.concatenate([np.diff(np.unique(points[:, axis])) for axis in (0, 1)])
    steps = steps[steps > 1e-6]
    return float(np.clip(np.median(steps), 0.5, 128)) if len(steps) else 10.0


def _plane(
    points: NDArray[np.float64],
    size: float,
    *,
    title: str,
    description: str,
    below: float = 0,
) -> tuple[Drawing, Plane]:
    low, high = points.min(axis=0) - size / 2, points.max(axis=0) + size / 2
    scale = PLOT / max(high - low)
    height = (high[1] - low[1]) * scale
    drawing = Drawing(WIDTH, TOP + height + 44 + below, title=title, description=description)
    plane = Plane(drawing, (low[0], high[0]), (low[1], high[1]), scale)
    plane.axes()
    return drawing, plane


def gamut(
    points: NDArray[np.float64],
    centres: NDArray[np.float64],
    size: float,
    label: str,
    *,
    corner: bool,
) -> Figure:
    """Draw each bin in its own colour at lightness 50.

    Args:
        points: (Q, 2) of a, b as the files name the bins.
        centres: (Q, 2), the middles of the bins.
        size: Width of a bin.
        label: Which set it is, for the texts.
        corner: Whether points are lower corners.
    """
    drawing, plane = _plane(
        centres,
        size,
        title=f"The gamut in bins, {label}",
        description=f"{len(points)} bins, each in its own colour at lightness 50.",
    )
    side = size * plane.scale
    shown = centres[:_MOST_DRAWN]
    for (a, b), colour in zip(shown.tolist(), lab_to_srgb(50, shown).tolist(), strict=True):
        x, y = plane.x(a) - side / 2, plane.y(b) - side / 2
        fill = "#{:02x}{:02x}{:02x}".format(*colour)
        drawing.box(x, y, side - 0.6, side - 0.6, fill=fill)
    where = "the files name each bin by its lower corner" if corner else "points are centres"
    return Figure(
        title=f"Gamut, {label}",
        body=drawing,
        caption=f"{count_text(len(points))} bins; {where}. "
        "Colours outside sRGB are drawn as the nearest inside.",
    )


def prior(
    points: NDArray[np.float64],
    centres: NDArray[np.float64],
    size: float,
    priors: NDArray[np.float64],
    label: str,
) -> Figure:
    """Shade each bin by the logarithm of its prior; parameters as for `gamut`."""
    positive = priors[priors > 0]
    high = float(np.log10(positive.max())) if len(positive) else 0.0
    least = float(np.log10(positive.min())) if len(positive) else -1.0
    low = max(least, high - DECADES)
    top = points[int(priors.argmax())]
    drawing, plane = _plane(
        centres,
        size,
        title=f"How often each bin occurs, {label}",
        description=(
            f"Priors from 10^{least:.1f} to 10^{high:.1f}; largest at a {top[0]:g}, b {top[1]:g}."
        ),
        below=22,
    )
    side = size * plane.scale
    # Bins of one shade share a path: a tenth of the bytes of one element each.
    levels = np.zeros(len(priors), int)
    if high > low:
        some = priors > 0
        above = np.maximum(0, np.log10(priors[some]) - low)
        levels[some] = 1 + np.floor(above / (high - low) * (_STEPS - 0.01))
    else:
        levels[priors > 0] = _STEPS
    for level in range(_STEPS + 1):
        chosen = centres[levels == level][:_MOST_DRAWN]
        data = "".join(
            f"M{coordinate(plane.x(a) - side / 2)} {coordinate(plane.y(b) - side / 2)}"
            f"h{coordinate(side - 0.6)}v{coordinate(side - 0.6)}h-{coordinate(side - 0.6)}z"
            for a, b in chosen.tolist()
        )
        if data:
            drawing.path(data, css=f"depth depth-{level}")
    place, line = LEFT + 30, drawing.height - 12
    text = f"{'≤ ' if least < low else ''}{10**low:.0e}"
    drawing.text(place - 6, line + 9, text, css="tick", anchor="end")
    for level in range(1, _STEPS + 1):
        drawing.box(place + 19 * (level - 1), line, 18, 10, css=f"depth depth-{level}")
    drawing.text(place + 19 * _STEPS + 6, line + 9, f"{10**high:.2g}", css="tick")
    share = float(np.sort(priors)[::-1][: max(1, len(priors) // 10)].sum() / (priors.sum() or 1))
    return Figure(
        title=f"Prior (logarithm), {label}",
        body=drawing,
        caption=f"The most frequent tenth of the bins holds {share_text(share, 1)} of the pixels.",
    )
