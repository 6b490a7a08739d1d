"""Published low-shot curves on VOC2007, to compare one's own with.

From OpenSelfSup's model zoo: ResNet-50, best layer, protocol `openselfsup`, mAP in percent, mean
of five samples; `full` is all of trainval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PublishedCurve:
    """One published curve: mAP (percent) at each k, and on the whole training set."""

    name: str
    mean: tuple[float, ...]
    full: float
    k: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 96)
    protocol: str = "openselfsup"
    source: str = "OpenSelfSup's model zoo"


CURVES: tuple[PublishedCurve, ...] = (
    PublishedCurve(
        name="supervised (torchvision)",
        mean=(52.99, 63.55, 73.70, 78.79, 81.76, 83.75, 85.18, 85.97),
        full=87.17,
    ),
    PublishedCurve(
        name="MoCo v2",
        mean=(43.00, 52.48, 63.43, 71.74, 76.35, 78.90, 81.31, 82.45),
        full=84.26,
    ),
    PublishedCurve(
        name="SimCLR (200 epochs)",
        mean=(32.45, 40.76, 50.40, 59.01, 65.45, 70.13, 73.58, 75.35),
        full=78.95,
    ),
    PublishedCurve(
        name="NPID",
        mean=(24.19, 31.24, 39.69, 50.99, 59.03, 64.40, 68.69, 70.84),
        full=74.50,
    ),
    PublishedCurve(
        name="Rotation (feat4)",
        mean=(18.91, 23.33, 30.57, 38.22, 45.83, 52.23, 58.08, 61.11),
        full=67.38,
    ),
    PublishedCurve(
        name="random weights (feat2)",
        mean=(9.15, 9.39, 11.09, 12.30, 14.30, 17.41, 21.32, 23.77),
        full=30.54,
    ),
)

VOC_CLASSES = frozenset(
    (
        *("aeroplane", "bicycle", "bird", "boat", "bottle"),
        *("bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person"),
        *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    )
)


def is_voc(classes: Sequence[str]) -> bool:
    """Whether classes are the twenty of VOC, which the published curves are about."""
    return frozenset(classes) == VOC_CLASSES
