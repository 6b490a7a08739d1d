"""The source's own arithmetic, written straight from Caffe2 blobs, in float64.

No layer classes and no names but those of the blobs: what Caffe2's Conv, SpatialBN in test
mode, Relu, MaxPool (3/2/1) and AveragePool compute, so that the proof compares two programs that
share no line. Stride 2 stands on the 3×3 convolution and the shortcut of a stage's first block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.architecture import Trunk

Blobs = Mapping[str, NDArray[Any]]


def resnet_stages(
    blobs: Blobs, image: NDArray[np.float64], trunk: Trunk, *, eps: float
) -> dict[str, NDArray[np.float64]]:
    """Send an image through a ResNet.

    Args:
        blobs: One tower, Caffe2 names, batch norms unfolded.
        image: (1, C, H, W), as the benchmark's networks take it: BGR, `(x / 255 - mean) / std`.
        trunk: Of the blobs.
        eps: Added to the variances.

    Returns:
        What comes out of conv1 (after the pooling), res2 … res5 and pool5.
    """
    import torch
    import torch.nn.functional as ops

    def blob(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(blobs[name], dtype=np.float64))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        s, b, rm, riv = (blob(f"{name}_{p}")[:, None, None] for p in ("s", "b", "rm", "riv"))
        return s * (x - rm) / (riv + eps) ** 0.5 + b

    def conv(x: torch.Tensor, layer: str, stride: int, pad: int) -> torch.Tensor:
        return norm(ops.conv2d(x, blob(f"{layer}_w"), None, stride, pad), f"{layer}_bn")

    stages: dict[str, NDArray[np.float64]] = {}
    with torch.inference_mode():
        x = ops.conv2d(torch.from_numpy(image), blob("conv1_w"), None, 2, 3)
        x = ops.max_pool2d(norm(x, "res_conv1_bn").clamp(min=0), 3, 2, 1)
        stages["conv1"] = x.numpy()
        for stage, count in enumerate(trunk.blocks, 2):
            for block in range(count):
                place = f"res{stage}_{block}_branch"
                first_stride = 1 if stage == 2 or (stage == 5 and trunk.colorization) else 2
                stride = first_stride if block == 0 else 1
                y = conv(x, f"{place}2a", 1, 0).clamp(min=0)
                y = conv(y, f"{place}2b", stride, 1).clamp(min=0)
                y = conv(y, f"{place}2c", 1, 0)
                x = (y + (conv(x, f"{place}1", stride, 0) if block == 0 else x)).clamp(min=0)
            stages[f"res{stage}"] = x.numpy()
        stages["pool5"] = x.mean((2, 3)).numpy()
    return stages


def alexnet_stages(
    blobs: Blobs, image: NDArray[np.float64], trunk: Trunk, *, eps: float
) -> dict[str, NDArray[np.float64]]:
    """Send an image through an AlexNet (Krizhevsky et al. 2012), norms where the blobs have them.

    Poolings (3/2 after conv1, conv2, conv5), conv1's stride (4) and the local response norms
    (left out) are not in the blobs; the same choice stands in `network`, so the proof is of
    weights, groups and batch norms.
    """
    import torch
    import torch.nn.functional as ops

    def blob(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(blobs[name], dtype=np.float64))

    def finish(x: torch.Tensor, norm: str) -> torch.Tensor:
        if f"{norm}_s" in blobs:
            shape = (-1,) + (1,) * (x.ndim - 2)
            s, b, rm, riv = (blob(f"{norm}_{p}").reshape(shape) for p in ("s", "b", "rm", "riv"))
            x = s * (x - rm) / (riv + eps) ** 0.5 + b
        return x.clamp(min=0)

    stages: dict[str, NDArray[np.float64]] = {}
    with torch.inference_mode():
        x = torch.from_numpy(image)
        for number in range(1, 6):
            weights = blob(f"conv{number}_w")
            stride, pad = (4, 2) if number == 1 else (1, weights.shape[-1] // 2)
            groups = x.shape[1] // weights.shape[1]
            x = ops.conv2d(x, weights, blob(f"conv{number}_b"), stride, pad, groups=groups)
            x = finish(x, f"conv{number}_bn")
            if number in (1, 2, 5):
                x = ops.max_pool2d(x, 3, 2)
            stages[f"conv{number}"] = x.numpy()
        x = x.flatten(1)
        for layer in ("fc6", "fc7"):
            if layer not in trunk.layers:
                break
            weights = blob(f"{layer}_w")
            if weights.shape[1] != x.shape[1]:
                break  # it takes several towers side by side
            norm = "_reshape_bn" if f"{layer}_reshape_bn_s" in blobs else "_bn"
            x = finish(x @ weights.T + blob(f"{layer}_b"), layer + norm)
            stages[layer] = x.numpy()
    return stages
