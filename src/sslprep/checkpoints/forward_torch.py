"""A network's forward pass in PyTorch, float32 unless told otherwise, for batches of pictures.

It follows a `Network`'s layers and shares no line with `forward_numpy`. `--check` runs it on what
was written to a file; `sslprep evaluate` runs it for features.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as ops
from numpy.typing import NDArray
from torch import Tensor

from sslprep.checkpoints.networks import Layer, Network


class TorchNetwork:
    """A network with its weights on a device.

    Args:
        network: Its layers.
        blobs: Caffe2 names, one tower. A norm is a batch norm where it has `rm` and `riv`, else
            an affine layer (`s`, `b`), after Detectron's first one where it has `norm_s`.
        eps: What the batch norms add to the variance.
        device: Where to compute.
        dtype: In which precision.
    """

    def __init__(
        self,
        network: Network,
        blobs: Mapping[str, NDArray[Any]],
        *,
        eps: float = 1e-5,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.network = network
        self.eps = eps
        self.device, self.dtype = device, dtype
        self._blobs = blobs
        self._tensors: dict[str, Tensor] = {}

    def __call__(self, batch: Tensor, stages: Collection[str] | None = None) -> dict[str, Tensor]:
        """Return what comes out of some stages (all by default).

        Args:
            batch: (N, C, H, W), as the network takes it.
            stages: Names from `network.stages`, such as `res5`.
        """
        wanted = list(self.network.stages if stages is None else stages)
        kept = {self.network.stages[stage] for stage in wanted}
        places = (i for i, layer in enumerate(self.network.layers) if layer.name in kept)
        layers = self.network.layers[: 1 + max(places)]
        last = {name: i for i, layer in enumerate(layers) for name in layer.takes}
        outputs = {"data": batch.to(self.device, self.dtype)}
        with torch.inference_mode():
            for i, layer in enumerate(layers):
                x = self._compute(layer, [outputs[name] for name in layer.takes])
                outputs[layer.name] = x.relu() if layer.relu else x
                for name in layer.takes:
                    if last[name] == i and name not in kept:
                        outputs.pop(name, None)
        return {stage: outputs[self.network.stages[stage]] for stage in wanted}

    def _tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            array = np.array(self._blobs[name], dtype=np.float64, order="C")
            self._tensors[name] = torch.from_numpy(array).to(self.device, self.dtype)
        return self._tensors[name]

    def _compute(self, layer: Layer, taken: list[Tensor]) -> Tensor:
        x, name, window = taken[0], layer.name, (layer.kernel, layer.stride, layer.pad)
        match layer.op:
            case "conv":
                weights = self._tensor(f"{name}_w")
                bias = self._tensor(f"{name}_b") if f"{name}_b" in self._blobs else None
                groups = x.shape[1] // weights.shape[1]
                return ops.conv2d(x, weights, bias, layer.stride, layer.pad, 1, groups)
            case "norm":
                return self._normalise(name, x)
            case "fc":
                return ops.linear(
                    x.flatten(1), self._tensor(f"{name}_w"), self._tensor(f"{name}_b")
                )
            case "max":
                return ops.max_pool2d(x, *window)
            case "average":
                return ops.avg_pool2d(x, *window, count_include_pad=False)
            case "mean":
                return x.mean((2, 3))
            case "lrn":
                return ops.local_response_norm(x, 5, 1e-4, 0.75, 1.0)
            case "add":
                return x + taken[1]

    def _normalise(self, norm: str, x: Tensor) -> Tensor:
        if f"{norm}_riv" in self._blobs:
            rm, riv, s, b = (self._tensor(f"{norm}_{param}") for param in ("rm", "riv", "s", "b"))
            return ops.batch_norm(x, rm, riv, s, b, False, 0.0, self.eps)
        if f"{norm}_norm_s" in self._blobs:
            x = self._affine(f"{norm}_norm", x)
        return self._affine(norm, x)

    def _affine(self, layer: str, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 2)
        s, b = (self._tensor(f"{layer}_{param}").reshape(shape) for param in ("s", "b"))
        return x * s + b
