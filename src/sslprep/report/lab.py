"""CIE L*a*b* to sRGB, to show colours as they look."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
