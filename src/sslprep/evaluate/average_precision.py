"""Average precision, by each of the definitions that papers call "mAP".

Images are ranked by score, highest first; among equal scores the image that stands first in the
file ranks first. (`step` alone takes equal scores together, as scikit-learn does.) Precision and
recall change for the better only at a positive, so the ranks of the positives say everything:
the j-th of P positives at rank r has precision j/r and recall j/P.

All definitions take the scores of a class (images,), and whether each image is of it (images,); at
least one is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Definition = Literal["envelope", "eleven", "step"]


def ranks_of_positives(scores: NDArray[Any], positive: NDArray[np.bool_]) -> Floats:
    """Return the ranks of the positives, ascending; the best score has rank 1.

    Example:
        >>> ranks_of_positives(np.array([0.5, 0.9, 0.5]), np.array([True, False, True]))
        array([2., 3.])
    """
    # Sorting values is many times faster than sorting places, and enough where none are equal.
    ascending = np.sort(scores)
    ours = np.sort(scores[positive])
    upto = np.searchsorted(ascending, ours, "right")
    if (ascending[upto - 2] == ours)[upto > 1].any():
        order = np.argsort(-scores, kind="stable")
        return (np.flatnonzero(positive[order]) + 1).astype(np.float64)
    return (len(scores) + 1 - upto[::-1]).astype(np.float64)


def envelope(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Return the area under the precision envelope over all points.

    VOC2010 and later (Everingham et al. 2010, section 4.2), and what the benchmark's own tools
    compute: precision at a recall is the best precision at that recall or any higher one.

    Example:
        >>> envelope(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
        0.8333333333333333
    """
    return float(_enveloped_precision(scores, positive).mean())


def eleven(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Return the mean of the enveloped precision at the recalls 0, 0.1, …, 1.

    VOC2007's own definition. A recall that is exactly a tenth counts as reached: it is compared
    in whole numbers, not in rounded ones.

    Example:
        >>> round(eleven(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])), 4)
        0.8485
    """
    best = _enveloped_precision(scores, positive)
    # The first positive whose recall j/P is at least t/10: j = ceil(t·P / 10), and at least 1.
    first = np.maximum(-(-np.arange(11) * len(best) // 10), 1)
    return float(best[first - 1].mean())


def step(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Return the sum of precision times the step in recall, without an envelope.

    scikit-learn's `average_precision_score`: images of equal score pass the threshold together.

    Example:
        >>> step(np.array([0.9, 0.8, 0.8]), np.array([True, False, True]))
        0.8333333333333333
    """
    ours = np.sort(scores[positive])
    found = len(ours) - np.searchsorted(ours, ours, "left")
    shown = len(scores) - np.searchsorted(np.sort(scores), ours, "left")
    return float((found / shown).mean())


def _enveloped_precision(scores: NDArray[Any], positive: NDArray[np.bool_]) -> Floats:
    """Return for each positive in rank order the best precision there or further down."""
    ranks = ranks_of_positives(scores, positive)
    precision = np.arange(1, len(ranks) + 1) / ranks
    best: Floats = np.maximum.accumulate(precision[::-1])[::-1]
    return best


DEFINITIONS: dict[Definition, Callable[[NDArray[Any], NDArray[np.bool_]], float]] = {
    "envelope": envelope,
    "eleven": eleven,
    "step": step,
}


def class_ap(
    scores: NDArray[Any],
    labels: NDArray[Any],
    definition: Definition,
    *,
    ignored_is_negative: bool = False,
) -> float:
    """Return the average precision of one class in percent; `nan` where it has no positive.

    Labels are 1 present, 0 absent, -1 ignore; ignored images are left out, or counted as absent.

    Example:
        >>> class_ap(np.array([0.9, 0.8, 0.7]), np.array([1, -1, 1]), "envelope")
        100.0
    """
    positive = labels == 1
    if not positive.any():
        return float("nan")
    if not ignored_is_negative:
        kept = labels != -1
        scores, positive = scores[kept], positive[kept]
    return 100 * DEFINITIONS[definition](scores, positive)


class TestLabels:
    """Labels of a test set, made ready for many measurements.

    Args:
        labels: (images, classes); 1 present, 0 absent, -1 ignore. Every class has a positive.
        ignored_is_negative: Count ignored images as absent, not leave them out.
    """

    __test__ = False  # not what pytest takes it for

    def __init__(self, labels: NDArray[Any], *, ignored_is_negative: bool = False) -> None:
        self.kept: list[NDArray[np.intp]] = []
        self.positive: list[NDArray[np.bool_]] = []
        for column in labels.T:
            self.kept.append(np.flatnonzero((column != -1) | ignored_is_negative))
            self.positive.append((column == 1)[self.kept[-1]])

    def ap(self, scores: NDArray[Any], place: int, definition: Definition) -> float:
        """Return the average precision of the class in column `place`, in percent."""
        kept = scores[self.kept[place]]
        return 100 * DEFINITIONS[definition](kept, self.positive[place])
