"""The plane of a and b: bins in their own colours, and how often each occurs.

In every picture a (green to red) runs to the right and b (blue to yellow) upwards, as in the
diagrams of CIE L*a*b* itself (CIE 15:2004, section 8.2.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslprep.drawing.charts import WIDTH
from sslprep.drawing.numbers import counted, tick_text
from sslprep.drawing.svg import Drawing, coordinate

LEFT, TOP, PLOT = 56, 12, 210
DECADES = 6
"""Powers of ten that the shades of priors span; smoothing leaves some far below."""

_NARROWEST = 40.0
"""What an axis spans at least, in units of a and b: room for its label."""
_STEPS = 8
_TO_LINEAR_RGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""XYZ to linear sRGB, D65 (IEC 61966-2-1)."""
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab_to_srgb(lightness: float, ab: ArrayLike) -> NDArray[np.uint8]:
    """Return the colour of points (…, 2) of a, b at one lightness, as (…, 3) sRGB bytes.

    Points outside sRGB get the nearest value in each channel.

    Example:
        >>> lab_to_srgb(50, [[0, 0], [64, 48], [200, 200]]).tolist()
        [[119, 119, 119], [223, 53, 40], [255, 0, 0]]
    """
    points = np.asarray(ab, float)
    y = (lightness + 16) / 116
    f = np.stack(
        [y + points[..., 0] / 500, np.full(points.shape[:-1], y), y - points[..., 1] / 200], -1
    )
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE
    linear = np.clip(xyz @ _TO_LINEAR_RGB.T, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray((np.clip(curved, 0, 1) * 255).round(), np.uint8)


class Plane:
    """A drawing of the a-b plane: a to the right, b upwards.

    Args:
        low: Least a and b.
        high: Largest a and b; both are moved out where an axis would be too short for its label.
        title: Name of the drawing.
        description: What it shows, in words.
        below: Room to leave below the plane.
    """

    def __init__(
        self, low: ArrayLike, high: ArrayLike, *, title: str, description: str, below: float = 0
    ) -> None:
        middle, span = np.add(low, high) / 2, np.subtract(high, low)
        span = np.maximum(span, max(_NARROWEST, span.max() / 2))
        self.low, self.high = middle - span / 2, middle + span / 2
        self.scale = PLOT / span.max()
        height = TOP + span[1] * self.scale + 44 + below
        self.drawing = Drawing(WIDTH, height, title=title, description=description)
        self._axes()

    def x(self, a: float) -> float:
        """Return where a value of a lies."""
        return float(LEFT + (a - self.low[0]) * self.scale)

    def y(self, b: float) -> float:
        """Return where a value of b lies."""
        return float(TOP + (self.high[1] - b) * self.scale)

    def _axes(self) -> None:
        """Draw both axes, with a tick every 50, or every 100 where those would touch."""
        bottom, right = self.y(self.low[1]), self.x(self.high[0])
        self.drawing.line(LEFT, bottom, right, bottom, css="axis")
        self.drawing.line(LEFT, TOP, LEFT, bottom, css="axis")
        for value in range(-100, 101, 50 if 50 * self.scale > 34 else 100):
            text = tick_text(value)
            if self.low[0] <= value <= self.high[0]:
                self.drawing.line(self.x(value), bottom, self.x(value), bottom + 4, css="axis")
                self.drawing.text(self.x(value), bottom + 17, text, css="tick", anchor="middle")
            if self.low[1] <= value <= self.high[1]:
                y = self.y(value)
                self.drawing.line(LEFT - 4, y, LEFT, y, css="axis")
                self.drawing.text(LEFT - 7, y + 4, text, css="tick", anchor="end")
        middle = (LEFT + right) / 2
        self.drawing.text(middle, bottom + 35, "a: green to red", css="label", anchor="middle")
        middle = (TOP + bottom) / 2
        text = "b: blue to yellow"
        self.drawing.text(13, middle, text, css="label", anchor="middle", turned=True)


def centres_of(points: ArrayLike, size: float, *, corners: bool) -> NDArray[np.float64]:
    """Return the middles of bins, (Q, 2), whose points are lower corners or the middles."""
    return np.asarray(points, float) + (size / 2 if corners else 0.0)


def bin_size(points: ArrayLike) -> float:
    """Return the distance of neighbours along a or b.

    Example:
        >>> bin_size([[0, 0], [0, 10], [10, 0]])
        10.0
    """
    array = np.asarray(points, float)
    steps = np.concatenate([np.diff(np.unique(array[:, axis])) for axis in (0, 1)])
    steps = steps[steps > 1e-6]
    return float(np.clip(np.median(steps), 0.5, 128)) if len(steps) else 10.0


def gamut(points: ArrayLike, size: float, *, corners: bool = False, label: str = "") -> Drawing:
    """Draw each bin in its own colour at lightness 50.

    Args:
        points: (Q, 2) of a, b.
        size: Width of a bin.
        corners: Whether points are lower corners of their bins, else the middles.
        label: Which set it is, for the title.

    Example:
        >>> gamut([[0, 0], [10, 0]], 10).__html__().count("<rect")
        2
    """
    centres = centres_of(points, size, corners=corners)
    plane = Plane(
        centres.min(axis=0) - size / 2,
        centres.max(axis=0) + size / 2,
        title=f"The gamut in bins{label and f', {label}'}",
        description=f"{len(centres)} bins, each in its own colour at lightness 50.",
    )
    side, box = _sides(size, plane)
    for (a, b), colour in zip(centres.tolist(), lab_to_srgb(50, centres).tolist(), strict=True):
        x, y = plane.x(a) - side / 2, plane.y(b) - side / 2
        plane.drawing.box(x, y, box, box, fill="#{:02x}{:02x}{:02x}".format(*colour))
    return plane.drawing


def _sides(size: float, plane: Plane) -> tuple[float, float]:
    """Return how wide a bin is on the paper, and its box: a gap keeps neighbours apart."""
    side = size * plane.scale
    return side, side - min(0.6, side / 8)


def levels_of(priors: ArrayLike, steps: int = _STEPS) -> tuple[NDArray[np.int64], float, float]:
    """Return the shade of each prior by its logarithm: 0 for none, 1 (rarest) to `steps`.

    Returns:
        The shades, and the exponents of ten at which the shades begin and end.

    Example:
        >>> levels, low, high = levels_of([0, 0.001, 0.1, 0.899])
        >>> levels.tolist(), round(low, 2), round(high, 2)
        ([0, 1, 6, 8], -3.0, -0.05)
    """
    values = np.asarray(priors, float)
    levels = np.zeros(len(values), np.int64)
    some = values > 0
    if not some.any():
        return levels, -1.0, 0.0
    logs = np.log10(values[some])
    high = float(logs.max())
    low = max(float(logs.min()), high - DECADES)
    share = np.clip((logs - low) / (high - low), 0, 1) if high > low else np.ones(len(logs))
    levels[some] = 1 + np.minimum(steps - 1, np.floor(share * steps)).astype(np.int64)
    return levels, low, high


def prior(
    points: ArrayLike,
    size: float,
    priors: ArrayLike,
    *,
    corners: bool = False,
    label: str = "",
) -> Drawing:
    """Shade each bin by the logarithm of its prior; bins without a pixel are hollow.

    Args:
        points: (Q, 2) of a, b.
        size: Width of a bin.
        priors: (Q,), 0 or more.
        corners: Whether points are lower corners of their bins, else the middles.
        label: Which set it is, for the title.
    """
    values = np.asarray(priors, float)
    centres = centres_of(points, size, corners=corners)
    levels, low, high = levels_of(values)
    top = np.asarray(points)[int(values.argmax())]
    plane = Plane(
        centres.min(axis=0) - size / 2,
        centres.max(axis=0) + size / 2,
        title=f"How often each bin occurs{label and f', {label}'}",
        description=(
            f"Priors up to 10^{high:.1f}, largest at a {top[0]:g}, b {top[1]:g}; "
            f"{counted(int((values == 0).sum()), 'bin')} without a pixel."
        ),
        below=22,
    )
    drawing = plane.drawing
    side, box = _sides(size, plane)
    box_text = coordinate(box)
    # Bins of one shade share a path: a tenth of the bytes of one element each.
    for level in range(_STEPS + 1):
        data = "".join(
            f"M{coordinate(plane.x(a) - side / 2)} {coordinate(plane.y(b) - side / 2)}"
            f"h{box_text}v{box_text}h-{box_text}z"
            for a, b in centres[levels == level].tolist()
        )
        if data:
            drawing.path(data, css=f"depth depth-{level}" if level else "hollow")
    place, line = LEFT + 34, drawing.height - 12
    least = values[values > 0].min(initial=1)
    below = "≤ " if least < 10**low * 0.999 else ""
    drawing.text(
        place - 6, line + 9, below + tick_text(float(f"{10**low:.1g}")), css="tick", anchor="end"
    )
    for level in range(1, _STEPS + 1):
        drawing.box(place + 19 * (level - 1), line, 18, 10, css=f"depth depth-{level}")
    drawing.text(place + 19 * _STEPS + 6, line + 9, tick_text(float(f"{10**high:.1g}")), css="tick")
    return drawing
