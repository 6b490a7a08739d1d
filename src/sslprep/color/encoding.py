"""Soft labels from colours and back, for training code (NumPy only).

Zhang, Isola, Efros: Colorful Image Colorization, ECCV 2016, arXiv 1603.08511, section 2:
a colour becomes a distribution over its nearest bins, and a predicted distribution becomes a
colour by the annealed mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslprep.errors import ArrayError, ParameterError

_ROWS = 1 << 14


def encode(
    ab: ArrayLike, points: ArrayLike, *, neighbors: int = 5, sigma: float = 5.0
) -> NDArray[np.float64]:
    """Turn colours into soft labels over the bins.

    Each colour gives weight `exp(-d² / 2 sigma²)` to its nearest bins, `d` the distance in ab,
    scaled to sum to 1 (section 2.1: "5-nearest neighbors", "σ = 5").

    Args:
        ab: Colours, (..., 2): a and b of CIE Lab, as floats or signed, -128 to 128.
        points: Bins, [Q, 2]: a and b.
        neighbors: How many bins share a colour.
        sigma: Width of the Gaussian, in ab units.

    Returns:
        Soft labels, (..., Q), each row with at most `neighbors` entries above 0, sum 1.

    Raises:
        ArrayError: The shapes do not fit, or a value is unsigned or not of that range.
        ParameterError: Fewer than one neighbour or more than bins, or a sigma not above 0.
    """
    bins, colours = _points(points), np.asarray(ab, np.float64)
    if colours.ndim == 0 or colours.shape[-1] != 2:
        raise ArrayError(f"ab has shape {colours.shape}", expected="(..., 2)")
    if np.asarray(ab).dtype.kind == "u" or not (np.abs(colours) <= 128).all():
        remedy = "OpenCV's 8-bit Lab has 128 added to both: give ab.astype(int) - 128."
        wanted = "a and b of CIE Lab, signed, within -128…128"
        raise ArrayError("ab holds values that are none", expected=wanted, remedy=remedy)
    if not 1 <= neighbors <= len(bins):
        raise ParameterError(f"neighbors is {neighbors}", expected=f"1 to {len(bins)} (the bins)")
    if not 0 < sigma * sigma < np.inf:
        raise ParameterError(f"sigma is {sigma}", expected="a number above 0")
    flat = colours.reshape(-1, 2)
    labels = np.zeros((len(flat), len(bins)))
    for start in range(0, len(flat), _ROWS):
        part = flat[start : start + _ROWS]
        squared = ((part[:, None, :] - bins) ** 2).sum(-1)
        nearest = np.argpartition(squared, neighbors - 1, axis=1)[:, :neighbors]
        distance = np.take_along_axis(squared, nearest, axis=1)
        # The nearest gets weight 1 before scaling, so no row vanishes however far its colour is.
        weights = np.exp((distance.min(1, keepdims=True) - distance) / (2 * sigma**2))
        weights /= weights.sum(1, keepdims=True)
        np.put_along_axis(labels[start : start + _ROWS], nearest, weights, axis=1)
    return labels.reshape(*colours.shape[:-1], len(bins))


def decode(
    probabilities: ArrayLike, points: ArrayLike, *, temperature: float = 0.38
) -> NDArray[np.float64]:
    """Turn distributions over the bins into colours by the annealed mean.

    `f_T(z) = exp(log(z) / T) / Σ exp(log(z) / T)` (equation 5), then the mean of the bins.
    A temperature of 1 is the mean; towards 0 it becomes the most likely bin.

    Args:
        probabilities: Not negative, (..., Q); rows need not sum to 1.
        points: Bins, [Q, 2]: a and b.
        temperature: T above 0; the paper's choice is 0.38.

    Returns:
        Colours, (..., 2): a and b.

    Raises:
        ArrayError: The shapes do not fit, or a row is negative, not finite or all 0.
        ParameterError: The temperature is not above 0.
    """
    bins, z = _points(points), np.asarray(probabilities, np.float64)
    if z.ndim == 0 or z.shape[-1] != len(bins):
        raise ArrayError(
            f"probabilities have shape {z.shape}",
            expected=f"(..., {len(bins)}), one for each bin, in the last axis",
        )
    if not (np.isfinite(z) & (z >= 0)).all():
        raise ArrayError("probabilities hold values below 0 or not finite")
    if not 0 < temperature < np.inf:
        raise ParameterError(f"temperature is {temperature}", expected="a number above 0")
    highest = z.max(-1, keepdims=True)
    if not (highest > 0).all():
        raise ArrayError("a row of probabilities is all 0", expected="a distribution")
    annealed = (z / highest) ** (1 / temperature)
    return np.asarray(annealed / annealed.sum(-1, keepdims=True) @ bins)


def _points(points: ArrayLike) -> NDArray[np.float64]:
    bins = np.asarray(points, np.float64)
    if bins.ndim != 2 or bins.shape[1] != 2 or not len(bins):
        raise ArrayError(f"points have shape {bins.shape}", expected="(Q, 2): a and b of each bin")
    if not np.isfinite(bins).all():
        raise ArrayError("points hold values that are not finite", expected="a and b of each bin")
    return bins
