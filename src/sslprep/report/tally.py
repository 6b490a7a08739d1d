"""What the labels of a partition add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sslprep.report.collect import Artefact
from sslprep.report.fields import Fields

MOST_CELLS = 60_000_000
"""Labels looked at; of larger matrices, rows in evenly spaced blocks."""

MOST_CLASSES = 100_000
_BLOCKS = 64


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the labels of a partition add up to.

    Attributes:
        rows: Images looked at, all of them unless the labels are very many.
        images: Images there are.
        present: Images per class.
        ignored: Images per class whose label is to be ignored; `None` for single labels.
        per_image: `per_image[n]` images have n classes; `None` for single labels.
        outside: Labels that are none of the classes.
    """

    rows: int
    images: int
    present: NDArray[np.int64]
    ignored: NDArray[np.int64] | None = None
    per_image: NDArray[np.int64] | None = None
    outside: int = 0


def tally(labels: NDArray[np.integer], classes: int, *, most: int = MOST_CELLS) -> Tally:
    """Count the labels of a partition.

    Args:
        labels: (images,) of class numbers, or (images, classes) of 1, 0 and -1.
        classes: How many classes there are.
        most: Labels looked at.

    Example:
        >>> found = tally(np.array([[1, 1, 0], [0, 1, -1]]), 3)
        >>> found.present.tolist(), found.ignored.tolist(), found.per_image.tolist()
        ([1, 2, 0], [0, 0, 1], [0, 1, 1])
    """
    if labels.ndim == 1:
        inside = (labels >= 0) & (labels < classes)
        present = np.bincount(labels[inside], minlength=classes)
        outside = int(len(labels) - np.count_nonzero(inside))
        return Tally(rows=len(labels), images=len(labels), present=present, outside=outside)
    width = labels.shape[1]
    present, ignored = np.zeros(width, np.int64), np.zeros(width, np.int64)
    per_image = np.zeros(width + 1, np.int64)
    rows = 0
    for part in _parts(labels, most):
        here = part == 1
        present += np.count_nonzero(here, axis=0)
        ignored += np.count_nonzero(part == -1, axis=0)
        per_image += np.bincount(np.count_nonzero(here, axis=1), minlength=width + 1)
        rows += len(part)
    last = int(np.flatnonzero(per_image).max(initial=0))
    return Tally(
        rows=rows,
        images=len(labels),
        present=present,
        ignored=ignored,
        per_image=per_image[: last + 1],
    )


def _parts(labels: NDArray[np.integer], most: int) -> Sequence[NDArray[np.integer]]:
    """Cut a label matrix into blocks of rows; into evenly spaced ones if larger than `most`."""
    rows, width = labels.shape
    if rows * width <= most:
        step = max(1, 4_000_000 // max(1, width))
        return [labels[start : start + step] for start in range(0, rows, step)]
    size = max(1, most // _BLOCKS // width)
    starts = np.linspace(0, rows - size, _BLOCKS, dtype=int).tolist()
    return [labels[start : start + size] for start in starts]


def class_count(labels: NDArray[np.integer]) -> int:
    """Return how many classes labels speak of, where the manifest lists none."""
    if labels.ndim == 2:
        return int(labels.shape[1])
    return min(MOST_CLASSES, int(labels.max(initial=0)) + 1)


def tally_of_manifest(artefact: Artefact) -> Tally | None:
    """Take the counts from the manifest where the labels themselves are gone."""
    details = artefact.details
    present = details.numbers("images_per_class")
    ignored = details.numbers("ignored_per_class")
    images = Fields(artefact.manifest.counts).whole("images")
    if not present or images is None:
        return None
    return Tally(
        rows=images,
        images=images,
        present=np.array(present, np.int64),
        ignored=np.array(ignored, np.int64) if len(ignored) == len(present) else None,
    )
