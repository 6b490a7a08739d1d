"""Batch norm as an affine layer, and an affine layer as a batch norm.

In test mode a batch norm gives `s · (x - rm) / sqrt(riv + eps) + b` (Ioffe and Szegedy 2015,
arXiv 1502.03167, algorithm 2), which is affine in x. All arithmetic is float32, in the order of
operations that is written here, so the results equal those of the 2019 script bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]

EPS = 1e-5
"""What Caffe2's SpatialBN and PyTorch's BatchNorm2d add to the variance."""


def fold(s: Floats, b: Floats, rm: Floats, riv: Floats, eps: float = EPS) -> tuple[Floats, Floats]:
    """Return scale and shift of the affine layer that equals the norm; all are (channels,).

    Order of operations: `s / std` and `b - ((rm * s) / std)`.

    Example:
        >>> one = np.ones(1, np.float32)
        >>> fold(one * 2, one, one * 3, one * 4, eps=0.0)
        (array([1.], dtype=float32), array([-2.], dtype=float32))
    """
    std = np.sqrt(riv + np.float32(eps))
    return s / std, b - rm * s / std


def decompose(rm: Floats, riv: Floats, eps: float = EPS) -> tuple[Floats, Floats]:
    """Return scale and shift of the norm without its own s and b: `1 / std` and `-rm / std`."""
    std = np.sqrt(riv + np.float32(eps))
    return np.float32(1) / std, -rm / std


def unfold(s: Floats, b: Floats, eps: float = EPS) -> dict[str, Floats]:
    """Return the batch norm that equals an affine layer: mean 0, variance 1 - eps.

    Example:
        >>> one = np.ones(1, np.float32)
        >>> unfold(one, one)["riv"]
        array([0.99999], dtype=float32)
    """
    zero = np.zeros_like(s)
    return {"s": s, "b": b, "rm": zero, "riv": zero + np.float32(1 - eps)}
