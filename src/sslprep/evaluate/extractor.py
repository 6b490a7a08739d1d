"""A network's features, pooled as the benchmark's linear protocol pools them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from sslprep.checkpoints import networks
from sslprep.checkpoints.networks import Network, Probe
from sslprep.errors import ParameterError

EPS = 1.0000001e-5
"""What Caffe2's batch norms add to the variance."""
Pooling = Literal["goyal", "global"]


class Extractor:
    """Computes pooled features of batches of pictures.

    Args:
        network: The network.
        weights: Its weights, by Caffe2 name.
        layers: Layers to take.
        pooling: `goyal` or `global`.
        device: Where to compute.
    """

    def __init__(
        self,
        network: Network,
        weights: dict[str, NDArray[Any]],
        layers: Sequence[str],
        pooling: Pooling,
        device: str = "cpu",
    ) -> None:
        from sslprep.checkpoints.forward_torch import TorchNetwork

        self._network = TorchNetwork(network, weights, eps=EPS, device=device)
        self._layers = list(layers)
        self._probes = networks.probes(network) if pooling == "goyal" else {}

    def __call__(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the features of a batch.

        Args:
            inputs: (pictures, channels, height, width).

        Returns:
            (pictures, dims) for each layer; dims are channels · height · width after pooling.
        """
        import torch

        with torch.inference_mode():
            stages = self._network(torch.from_numpy(inputs), stages=self._layers)
            return {layer: self._pool(layer, stages[layer]) for layer in self._layers}

    def _pool(self, layer: str, stage: Any) -> NDArray[Any]:
        import torch.nn.functional as ops

        probe: Probe | None = self._probes.get(layer)
        if probe is None:
            stage = stage.mean((2, 3))
        else:
            # Padding is not counted, as in Caffe2: a map of ones stays ones at its borders.
            stage = ops.avg_pool2d(
                stage, probe.kernel, probe.stride, probe.pad, count_include_pad=False
            )
        pooled: NDArray[Any] = stage.flatten(1).cpu().numpy()
        return pooled


def network_for_features(network: Network, pooling: Pooling) -> Network:
    """Return the network as the benchmark's linear protocol runs it.

    Jigsaw's AlexNet then has stride 2 in conv1 and no local response norms, whatever network
    its weights were taken from.
    """
    if network.kind == "AlexNet Jigsaw" and pooling == "goyal":
        return networks.alexnet("AlexNet Jigsaw", probes=True, fc=0).without_heads()
    return network


def choose_layers(network: Network, asked: Sequence[str] | None) -> list[str]:
    """Return the layers to take: those asked for, else every stage but the first.

    Raises:
        ParameterError: A layer that the network does not have, or one named twice.
    """
    pooled = networks.probes(network)
    known = [n for n in network.stages if n in pooled and n[:-1] in ("res", "conv")]
    layers = list(asked or (n for n in known if n != "conv1" or network.kind != "ResNet"))
    for layer in layers:
        if layer not in known or layers.count(layer) > 1:
            raise ParameterError(
                f"--layers names {layer}{' twice' if layer in known else ''}",
                expected=f"layers of {network.describe}: {', '.join(known)}",
            )
    return layers
