"""Checkpoints of the tests: small ones of every kind, written and read by Python's own pickle.

The networks are those of `sslprep.demo.checkpoints`, whose names and shapes equal the lists of
real checkpoints (`test_models.py`). Files are written and read here without sslprep.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from sslprep.demo import checkpoints as demo

R50 = (3, 4, 6, 3)

SMALL = {
    "jigsaw": demo.small(demo.JIGSAW),
    "supervised": demo.small(demo.SUPERVISED),
    "colorization": demo.small(demo.COLORIZATION),
    "alexnet": demo.AlexNet(scale=16),
    "shallow": demo.small(demo.SUPERVISED, blocks=(1, 1, 1, 1)),
    "shallow jigsaw": demo.small(demo.JIGSAW, blocks=(1, 1, 1, 1)),
}

Blobs = dict[str, Any]


def small(kind: str, seed: int = 0) -> Blobs:
    """Return the blobs of a small model."""
    return demo.blobs(SMALL[kind], seed=seed)


def write(path: Path, blobs: Blobs, **beside: object) -> Path:
    """Write a checkpoint as the benchmark did under Python 3."""
    path.write_bytes(pickle.dumps({"blobs": blobs, **beside}, protocol=2))
    return path


def read(path: Path) -> Blobs:
    """Read all of a pickle as the old readers do."""
    return pickle.loads(path.read_bytes(), encoding="latin1")


def blobs_of(path: Path) -> Blobs:
    return read(path)["blobs"]


def model_part(blobs: Blobs) -> Blobs:
    """Return the blobs without momentum and bookkeeping."""
    training = ("lr", "model_iter", "epoch")
    return {n: a for n, a in blobs.items() if not n.endswith("_momentum") and n not in training}


def one_tower(blobs: Blobs, tower: int = 0) -> Blobs:
    """Take a tower by plain text work: the oracle of step A."""
    result = {}
    for name, array in blobs.items():
        parts = name.split("_")
        numbers = [p for p in parts if len(p) == 2 and p[0] == "s" and p[1].isdigit()]
        if not numbers:
            result[name] = array
            continue
        shared = numbers == ["s0"] and "bn" not in parts
        if numbers == [f"s{tower}"] or shared:
            parts.remove(numbers[0])
            result["_".join(parts)] = array
    return result


def folded(blobs: Blobs, eps: float = 1e-5) -> Blobs:
    """Fold every batch norm in plain loops: the oracle of step B."""
    result = dict(model_part(blobs))
    for name in [n for n in result if n.endswith("_riv")]:
        norm = name[: -len("_riv")]
        std = np.sqrt(result[f"{norm}_riv"] + eps)
        s, b, rm = result[f"{norm}_s"], result[f"{norm}_b"], result[f"{norm}_rm"]
        result[f"{norm}_s"] = s / std
        result[f"{norm}_b"] = b - rm * s / std
        del result[f"{norm}_rm"], result[f"{norm}_riv"]
    return result


def assert_same(found: Blobs, expected: Blobs) -> None:
    """Compare names, types, shapes and every bit."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        if isinstance(array, np.ndarray):
            assert found[name].dtype == array.dtype, name
            assert found[name].shape == array.shape, name
            assert found[name].tobytes() == array.tobytes(), name
        else:
            assert found[name] == array, name


def resnet(
    blocks=R50, *, width=4, classes=0, channels=3, groups=1, base=None, basic=False,
    stride_in_1x1=False, last_stride=2,
):  # fmt: skip
    """Return a ResNet of PyTorch's own layers with torchvision's names and rules.

    Bottlenecks with the stride on the 3×3, or basic blocks; `base` is the width of a group, so
    groups=32, base=4 is ResNeXt and base=128 a wide one. Its weights and statistics are drawn.
    """
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, given, planes, stride):
            super().__init__()
            out = planes if basic else 4 * planes
            inner = planes if basic else planes * (base or width) // width * groups
            first, second = (stride, 1) if basic or stride_in_1x1 else (1, stride)
            kernels = [(3, first, 1), (3, second, 1)] if basic else [
                (1, first, 1), (3, second, groups), (1, 1, 1)]  # fmt: skip
            sizes = [given, inner, out] if basic else [given, inner, inner, out]
            for i, (kernel, step, split) in enumerate(kernels, 1):
                conv = nn.Conv2d(
                    sizes[i - 1], sizes[i], kernel, step, kernel // 2, groups=split, bias=False
                )
                self.add_module(f"conv{i}", conv)
                self.add_module(f"bn{i}", nn.BatchNorm2d(sizes[i]))
            self.count = len(kernels)
            if stride != 1 or given != out:
                self.downsample = nn.Sequential(
                    nn.Conv2d(given, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )

        def forward(self, x):
            y = x
            for i in range(1, self.count + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                y = y.relu() if i < self.count else y
            return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            given = width
            for stage, count in enumerate(blocks):
                planes, layer = width << stage, []
                for i in range(count):
                    stride = 1 if i or stage == 0 else last_stride if stage == 3 else 2
                    layer.append(Block(given, planes, stride))
                    given = planes if basic else 4 * planes
                self.add_module(f"layer{stage + 1}", nn.Sequential(*layer))
            if classes:
                self.fc = nn.Linear(given, classes)

        def forward(self, x):
            x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
            for stage in range(4):
                x = getattr(self, f"layer{stage + 1}")(x)
            x = x.mean((2, 3))
            return self.fc(x) if classes else x

    torch.manual_seed(0)
    net = Net()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()
