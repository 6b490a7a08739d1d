"""A plain ResNet in PyTorch with torchvision's names, written anew: the target of the proof.

It is what a user builds around a converted state dict: bottleneck blocks with the stride on the
3×3 convolution (ResNet v1.5), batch norm with eps 1e-5. Its norm layer can be swapped for
Detectron's affine layer and Detectron2's frozen batch norm. Nothing here knows of Caffe2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class Affine(nn.Module):
    """Detectron's AffineChannel: x · weight + bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return an array of the shape of x, (N, C, H, W)."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class DecomposedAffine(nn.Module):
    """Two affine layers: the statistics of a batch norm, then its scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Affine(channels)
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return an array of the shape of x, (N, C, H, W)."""
        normed: Tensor = self.norm(x)
        return normed * self.weight[:, None, None] + self.bias[:, None, None]


class FrozenBatchNorm(nn.Module):
    """A batch norm whose statistics do not change, as Detectron2 computes it: eps added here."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps: float = eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return an array of the shape of x, (N, C, H, W)."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride), 1×1, and the way around them."""

    def __init__(self, given: int, middle: int, out: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, middle, 1, bias=False)
        self.bn1 = norm(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, bias=False)
        self.bn2 = norm(middle)
        self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
        self.bn3 = norm(out)
        self.downsample: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, C, H, W)."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        around: Tensor = x if self.downsample is None else self.downsample(x)
        return torch.relu(y + around)


class PlainResNet(nn.Module):
    """A ResNet with torchvision's names.

    Args:
        blocks: Blocks of each of the four layers.
        strides: Stride of each layer's first block; (1, 2, 2, 1) for colorization models.
        channels: Input channels.
        width: Channels of conv1.
        classes: Outputs of `fc`; 0 for none.
        norm: Makes a norm layer for a number of channels.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (3, 4, 6, 3),
        *,
        strides: Sequence[int] = (1, 2, 2, 2),
        channels: int = 3,
        width: int = 64,
        classes: int = 0,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = norm(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        given = width
        for number, (count, stride) in enumerate(zip(blocks, strides, strict=True), 1):
            middle = width << (number - 1)
            layer = []
            for index in range(count):
                step = stride if index == 0 else 1
                block = Bottleneck(given, middle, 4 * middle, step, norm)
                if index == 0:
                    block.downsample = nn.Sequential(
                        nn.Conv2d(given, 4 * middle, 1, step, bias=False), norm(4 * middle)
                    )
                layer.append(block)
                given = 4 * middle
            self.add_module(f"layer{number}", nn.Sequential(*layer))
        self.fc = nn.Linear(given, classes) if classes else None

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Return what comes out of each stage, by the stage's Caffe2 name."""
        stages: OrderedDict[str, Tensor] = OrderedDict()
        stages["conv1"] = x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for number in range(1, 5):
            stages[f"res{number + 1}"] = x = self.get_submodule(f"layer{number}")(x)
        stages["pool5"] = x = x.mean((2, 3))
        if self.fc is not None:
            stages["fc"] = self.fc(x)
        return stages


class PlainAlexNet(nn.Module):
    """An AlexNet with the names that the converter gives: `conv3`, `conv3_bn`, `fc6_reshape_bn`.

    Args:
        shapes: Shapes of its tensors by name; conv1's stride and the poolings are the paper's.
        norm: Makes a norm layer for a number of channels.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], *, norm: Norm) -> None:
        super().__init__()
        given = shapes["conv1.weight"][1]
        for number in range(1, 6):
            out, takes, kernel, _ = shapes[f"conv{number}.weight"]
            stride, pad = (4, 2) if number == 1 else (1, kernel // 2)
            conv = nn.Conv2d(given, out, kernel, stride, pad, groups=given // takes)
            self.add_module(f"conv{number}", conv)
            given = out
        for name in ("fc6", "fc7"):
            if f"{name}.weight" in shapes:
                out, takes = shapes[f"{name}.weight"]
                self.add_module(name, nn.Linear(takes, out))
        for name, shape in shapes.items():
            layer = name.removesuffix(".weight")
            if layer.endswith("_bn") and layer != name:
                self.add_module(layer, norm(shape[0]))
        self.pool = nn.MaxPool2d(3, 2)

    def _finish(self, x: Tensor, layer: str) -> Tensor:
        modules = dict(self.named_children())
        if layer in modules:
            four = x if x.ndim == 4 else x[:, :, None, None]
            x = modules[layer](four).reshape(x.shape)
        return x.relu()

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Return what comes out of each layer, by its Caffe2 name."""
        stages: OrderedDict[str, Tensor] = OrderedDict()
        modules = dict(self.named_children())
        for number in range(1, 6):
            x = self._finish(modules[f"conv{number}"](x), f"conv{number}_bn")
            stages[f"conv{number}"] = x = self.pool(x) if number in (1, 2, 5) else x
        x = x.flatten(1)
        for name in ("fc6", "fc7"):
            linear = modules.get(name)
            if not isinstance(linear, nn.Linear) or linear.in_features != x.shape[1]:
                break
            norm = "_reshape_bn" if f"{name}_reshape_bn" in modules else "_bn"
            stages[name] = x = self._finish(linear(x), name + norm)
        return stages


NORMS: dict[str, Callable[[float], Norm]] = {
    "batch": lambda eps: partial(nn.BatchNorm2d, eps=eps),
    "frozen": lambda eps: partial(FrozenBatchNorm, eps=eps),
    "affine": lambda _: Affine,
    "decomposed": lambda _: DecomposedAffine,
}


def load(model: nn.Module, tensors: dict[str, Any]) -> nn.Module:
    """Load named NumPy arrays strictly, and set the model to test mode."""
    state = {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
    model.load_state_dict(state, strict=True)
    return model.eval()
