"""A network's forward pass in NumPy, float64, straight from the source's Caffe2 blobs.

It follows a `Network`'s layers and shares no line with `forward_torch`, so a proof compares two
programs. Plain definitions: a convolution is a sum over the positions of its window, a batch
norm in test mode is `s · (x - rm) / sqrt(riv + eps) + b` (Ioffe and Szegedy 2015, arXiv
1502.03167, algorithm 2), padding is not counted in an average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.networks import Layer, Network

Floats = NDArray[np.float64]
Blobs = Mapping[str, NDArray[Any]]

LRN_SIZE, LRN_ALPHA, LRN_BETA = 5, 1e-4, 0.75


def forward(network: Network, blobs: Blobs, picture: Floats, *, eps: float) -> dict[str, Floats]:
    """Send one picture through a network.

    Args:
        network: Its layers.
        blobs: One tower, Caffe2 names. A norm without statistics is taken as an affine layer.
        picture: (C, H, W), as the network takes it.
        eps: What the batch norms add to the variance.

    Returns:
        What comes out of each stage, (C, H, W) or (C,).
    """
    outputs: dict[str, Floats] = {"data": picture}
    for layer in network.layers:
        taken = [outputs[name] for name in layer.takes]
        result = _compute(layer, taken, blobs, eps)
        outputs[layer.name] = np.maximum(result, 0) if layer.relu else result
    return {stage: outputs[name] for stage, name in network.stages.items()}


def _compute(layer: Layer, taken: list[Floats], blobs: Blobs, eps: float) -> Floats:
    x = taken[0]
    match layer.op:
        case "conv":
            return _convolve(layer, x, blobs)
        case "norm":
            return _normalise(layer.name, x, blobs, eps)
        case "fc":
            flat = x.reshape(-1)
            return _blob(blobs, f"{layer.name}_w") @ flat + _blob(blobs, f"{layer.name}_b")
        case "max":
            padded = _pad(x, layer.pad, -np.inf)
            return np.asarray(np.maximum.reduce([w for _, _, w in _windows(layer, padded)]))
        case "average":
            sums: Any = sum(w for _, _, w in _windows(layer, _pad(x, layer.pad, 0.0)))
            ones = _pad(np.ones((1, *x.shape[1:])), layer.pad, 0.0)
            return np.asarray(sums / sum(w for _, _, w in _windows(layer, ones)))
        case "mean":
            return np.asarray(x.mean(axis=(1, 2)))
        case "lrn":
            squares = np.pad(np.square(x), ((LRN_SIZE // 2,) * 2, (0, 0), (0, 0)))
            near = sum(squares[i : i + len(x)] for i in range(LRN_SIZE))
            return np.asarray(x / (1 + LRN_ALPHA / LRN_SIZE * near) ** LRN_BETA)
        case "add":
            return x + taken[1]


def _blob(blobs: Blobs, name: str) -> Floats:
    return np.asarray(blobs[name], dtype=np.float64)


def _pad(x: Floats, pad: int, value: float) -> Floats:
    return np.pad(x, ((0, 0), (pad, pad), (pad, pad)), constant_values=value) if pad else x


def _windows(layer: Layer, x: Floats) -> Iterator[tuple[int, int, Floats]]:
    """Yield, for each position in the window, what it meets: (C, out height, out width)."""
    height, width = ((side - layer.kernel) // layer.stride + 1 for side in x.shape[1:])
    for i in range(layer.kernel):
        for j in range(layer.kernel):
            rows = slice(i, i + layer.stride * (height - 1) + 1, layer.stride)
            columns = slice(j, j + layer.stride * (width - 1) + 1, layer.stride)
            yield i, j, x[:, rows, columns]


def _convolve(layer: Layer, x: Floats, blobs: Blobs) -> Floats:
    weights = _blob(blobs, f"{layer.name}_w")
    groups = len(x) // weights.shape[1]
    # One contiguous matrix for each position of the window: BLAS takes no others.
    weights = weights.reshape(groups, -1, *weights.shape[1:]).transpose(3, 4, 0, 1, 2).copy()
    total: Any = 0.0
    for i, j, window in _windows(layer, _pad(x, layer.pad, 0.0)):
        met = window.reshape(groups, len(x) // groups, -1)
        total = total + weights[i, j] @ met
        shape = window.shape[1:]
    result: Floats = total.reshape(-1, *shape)
    bias = f"{layer.name}_b"
    return result + _blob(blobs, bias)[:, None, None] if bias in blobs else result


def _normalise(norm: str, x: Floats, blobs: Blobs, eps: float) -> Floats:
    shape = (-1,) + (1,) * (x.ndim - 1)
    s, b = (_blob(blobs, f"{norm}_{param}").reshape(shape) for param in ("s", "b"))
    if f"{norm}_riv" not in blobs:
        if f"{norm}_norm_s" in blobs:
            first, shift = (_blob(blobs, f"{norm}_norm_{p}").reshape(shape) for p in ("s", "b"))
            x = first * x + shift
        return s * x + b
    rm, riv = (_blob(blobs, f"{norm}_{param}").reshape(shape) for param in ("rm", "riv"))
    return np.asarray(s * (x - rm) / np.sqrt(riv + eps) + b)
