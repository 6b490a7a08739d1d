"""Batch norm as an affine layer, and the input's standard deviation within conv1.

In test mode a batch norm gives `s · (x - rm) / sqrt(riv + eps) + b` (Ioffe and Szegedy 2015,
arXiv 1502.03167, algorithm 2), which is affine in x. All arithmetic is float32, in the order of
operations that is written here, so the results equal those of the 2019 script bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import CheckpointError, ParameterError

Floats = NDArray[np.float32]

EPS = 1e-5
"""What Caffe2's SpatialBN and PyTorch's BatchNorm2d add to the variance."""

STD_BGR = (0.225, 0.224, 0.229)
MEAN_BGR = (0.406, 0.456, 0.485)
"""Of the pixels of ImageNet in [0, 1]: blue, green, red."""


def std_of(riv: Floats, eps: float = EPS) -> Floats:
    """Return `sqrt(riv + eps)`, float32 of the shape of `riv`."""
    std: Floats = np.sqrt(riv + np.float32(eps))
    return std


def fold(s: Floats, b: Floats, rm: Floats, riv: Floats, eps: float = EPS) -> tuple[Floats, Floats]:
    """Return scale and shift of the affine layer that equals the norm; all are (channels,).

    Order of operations: `s / std` and `b - ((rm * s) / std)`.

    Example:
        >>> one = np.ones(1, np.float32)
        >>> fold(one * 2, one, one * 3, one * 4, eps=0.0)
        (array([1.], dtype=float32), array([-2.], dtype=float32))
    """
    std = std_of(riv, eps)
    return s / std, b - rm * s / std


def decompose(rm: Floats, riv: Floats, eps: float = EPS) -> tuple[Floats, Floats]:
    """Return scale and shift of the norm without its own s and b: `1 / std` and `-rm / std`."""
    std = std_of(riv, eps)
    return np.float32(1) / std, -rm / std


def absorb_std(conv1_w: NDArray[Any]) -> Floats:
    """Return conv1 for pixels that are not divided by the standard deviation.

    The benchmark's pixel is `(img / 255 - mean) / std`, Detectron's is `img - 255 * mean`; so
    the weights of channel c are divided by `255 * std[c]`. The divisor is computed in float64
    and rounded once to float32, the division is float32.

    Args:
        conv1_w: Weights (out, 3, height, width), channels in BGR order.

    Raises:
        CheckpointError: conv1 has other than 3 input channels.
    """
    if conv1_w.ndim != 4 or conv1_w.shape[1] != 3:
        raise CheckpointError(
            f"conv1_w has shape {conv1_w.shape}, so its input is not BGR but "
            + ("lightness (a colorization model)" if _takes_lightness(conv1_w) else "unknown"),
            expected="3 input channels to absorb the std of B, G and R into",
            remedy="Leave --absorb_std out, and feed the model the input that it was trained on.",
        )
    out = np.array(conv1_w, dtype=np.float32)
    for channel, std in enumerate(STD_BGR):
        out[:, channel] /= np.float32(255 * std)
    return out


def _takes_lightness(conv1_w: NDArray[Any]) -> bool:
    return conv1_w.ndim == 4 and conv1_w.shape[1] == 1


def check_eps(eps: float) -> None:
    """Check an eps given by the user.

    Raises:
        ParameterError: Negative or not finite.
    """
    if not (np.isfinite(eps) and eps >= 0):
        raise ParameterError(f"--bn-eps is {eps:g}", expected="a number from 0 up, such as 1e-5")


def bgr_to_rgb(conv1_w: NDArray[Any]) -> NDArray[Any]:
    """Return conv1 with its three input channels reversed (the same step leads back).

    Contiguous: PyTorch refuses negative strides and safetensors writes them wrongly.
    """
    return np.ascontiguousarray(conv1_w[:, ::-1])
