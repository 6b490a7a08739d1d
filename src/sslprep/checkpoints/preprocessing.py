"""What a network takes: the order of its colours, and what is done to their values.

Every kind of network is one record, `(x - mean) / std` on values of 0 to 255, so what is printed,
what stands in the manifest and what a proof feeds are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import CheckpointError

Order = Literal["RGB", "BGR", "L"]

_MEAN_BGR = (255 * 0.406, 255 * 0.456, 255 * 0.485)
_STD_BGR = (255 * 0.225, 255 * 0.224, 255 * 0.229)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes a network's input: `(x - mean) / std` for each channel.

    Attributes:
        order: `RGB`, `BGR`, or `L` (lightness of 8-bit OpenCV Lab); `None` when nobody knows.
        mean: Taken off values of 0 to 255, in that order.
        std: What they are divided by then; 1 where they are not divided.
    """

    order: Order | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def reversed(self) -> Preprocessing:
        """Return the same for conv1 with its input channels reversed."""
        order: dict[Order | None, Order | None] = {"RGB": "BGR", "BGR": "RGB"}
        return Preprocessing(
            order=order.get(self.order, self.order), mean=self.mean[::-1], std=self.std[::-1]
        )

    def absorbed(self) -> Preprocessing:
        """Return the same for conv1 with the std absorbed."""
        return replace(self, std=(1.0,) * len(self.std))

    @property
    def divides(self) -> bool:
        """Whether values are divided at all."""
        return any(std != 1 for std in self.std)

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return an RGB picture (H, W, 3) as the network takes it: (C, H, W).

        For `L` the picture's luma stands for the lightness, a twentieth of it: next to ±50 a proof
        would hardly see the norms' shifts. For an unknown order its channels are taken in turn.
        """
        planes = picture.astype(np.float64).transpose(2, 0, 1)
        if self.order == "BGR":
            planes = planes[::-1]
        elif self.order == "L":
            planes = 127.5 + np.tensordot([[0.299, 0.587, 0.114]], planes - 127.5, 1) / 20
        elif self.order is None:
            planes = planes[np.arange(len(self.mean)) % 3]
        mean, std = (np.array(values)[:, None, None] for values in (self.mean, self.std))
        return np.ascontiguousarray((planes - mean) / std)

    def text(self) -> str:
        """Say it in a sentence."""
        if self.order == "L":
            return "conv1 takes L of 8-bit OpenCV Lab as L * 100 / 255 - 50."
        if self.order is None:
            return f"conv1 takes {len(self.mean)} channels; what they are is not in the file."
        if not self.divides:
            return (
                f"conv1 takes {self.order}, x - 255 * mean with 255 * mean {_numbers(self.mean)}; "
                "x of 0 to 255 is divided neither by 255 nor by a std."
            )
        if not any(self.mean):
            return f"conv1 takes {self.order}, x / 255 (no mean and no std)."
        mean, std = (tuple(value / 255 for value in values) for values in (self.mean, self.std))
        return (
            f"conv1 takes {self.order}, (x / 255 - mean) / std with mean {_numbers(mean)} and std "
            f"{_numbers(std)}{', as torchvision has it' * (self == IMAGENET_RGB)}."
        )

    def record(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {
            "order": self.order,
            "input": "(x - mean) / std, x from 0 to 255",
            "mean": [round(value, 3) for value in self.mean],
            "std": [round(value, 3) for value in self.std],
        }


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


IMAGENET_BGR = Preprocessing(order="BGR", mean=_MEAN_BGR, std=_STD_BGR)
"""The benchmark's ResNets and Jigsaw's AlexNet."""
IMAGENET_RGB = IMAGENET_BGR.reversed()
CAFFENET = IMAGENET_BGR.absorbed()
"""CaffeNet, and the ResNets of MSRA: the mean is taken off, nothing is divided."""
LIGHTNESS = Preprocessing(order="L", mean=(127.5,), std=(2.55,))
"""L * 100 / 255 - 50 of the colorization models."""
ZERO_TO_ONE = Preprocessing(order="RGB", mean=(0.0,) * 3, std=(255.0,) * 3)
"""SimCLR of TensorFlow."""


def unknown(channels: int) -> Preprocessing:
    """Return what is known of a network of other than 3 channels: nothing."""
    return Preprocessing(order=None, mean=(0.0,) * channels, std=(255.0,) * channels)


def absorb_std(conv1_w: NDArray[Any], taken: Preprocessing) -> NDArray[np.float32]:
    """Return conv1 for pixels that are not divided by the standard deviation.

    The benchmark's pixel is `(img / 255 - mean) / std`, Detectron's is `img - 255 * mean`; so
    the weights of channel c are divided by `255 * std[c]`. The divisor is computed in float64
    and rounded once to float32, the division is float32.

    Args:
        conv1_w: Weights (out, 3, height, width).
        taken: What the network takes.
    """
    if conv1_w.ndim != 4 or conv1_w.shape[1] != 3:
        what = "lightness (a colorization model)" if taken.order == "L" else "unknown"
        raise CheckpointError(
            f"conv1_w has shape {conv1_w.shape}, so its input is not BGR but {what}",
            expected="3 input channels to absorb the std of B, G and R into",
            remedy="Leave --absorb_std out, and feed the model the input that it was trained on.",
        )
    out = np.array(conv1_w, dtype=np.float32)
    for channel, std in enumerate(taken.std):
        out[:, channel] /= np.float32(std)
    return out


def reverse_channels(conv1_w: NDArray[Any]) -> NDArray[Any]:
    """Return conv1 with its three input channels reversed (the same step leads back).

    Contiguous: PyTorch refuses negative strides and safetensors writes them wrongly.
    """
    return np.ascontiguousarray(conv1_w[:, ::-1])
