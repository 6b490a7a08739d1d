"""Published low-shot curves on VOC2007, to compare one's own with.

From OpenSelfSup's model zoo: ResNet-50, best layer, protocol `openselfsup`, mAP in percent, mean
of five samples; `full` is all of trainval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedCurve:
    """One published curve: mAP (percent) on the whole training set, and at each k."""

    name: str
    full: float
    mean: tuple[float, ...]
    k: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 96)
    protocol: str = "openselfsup"
    source: str = "OpenSelfSup's model zoo"


_TABLE: dict[str, tuple[float, ...]] = {
    "supervised (torchvision)": (87.17, 52.99, 63.55, 73.70, 78.79, 81.76, 83.75, 85.18, 85.97),
    "MoCo v2": (84.26, 43.00, 52.48, 63.43, 71.74, 76.35, 78.90, 81.31, 82.45),
    "SimCLR (200 epochs)": (78.95, 32.45, 40.76, 50.40, 59.01, 65.45, 70.13, 73.58, 75.35),
    "NPID": (74.50, 24.19, 31.24, 39.69, 50.99, 59.03, 64.40, 68.69, 70.84),
    "Rotation (feat4)": (67.38, 18.91, 23.33, 30.57, 38.22, 45.83, 52.23, 58.08, 61.11),
    "random weights (feat2)": (30.54, 9.15, 9.39, 11.09, 12.30, 14.30, 17.41, 21.32, 23.77),
}
CURVES = tuple(PublishedCurve(name, full, tuple(mean)) for name, (full, *mean) in _TABLE.items())

VOC_CLASSES = frozenset(
    (
        *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
        *("train", "tvmonitor"),
    )
)


def is_voc(classes: Sequence[str]) -> bool:
    """Whether classes are the twenty of VOC, which the published curves are about."""
    return frozenset(classes) == VOC_CLASSES
