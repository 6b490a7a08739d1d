"""Stratified cross-validation, not shuffled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stratified_folds(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return for each row the fold in which it is held out.

    The same folds as scikit-learn's `StratifiedKFold(count)`: every class is cut into consecutive
    runs of rows. How many of a class a fold gets comes from dealing out the sorted labels like
    cards, classes in the order in which they first appear.

    Args:
        labels: Class of each row (rows,).
        count: Number of folds.

    Example:
        >>> stratified_folds(np.array([1, 0, 0, 1, 0, 0]), 2)
        array([0, 0, 0, 1, 1, 1])
    """
    _, first, classes = np.unique(labels, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[classes]  # classes numbered as they appear
    dealt = np.sort(place)
    folds = np.empty(len(labels), np.int64)
    for number in range(len(first)):
        runs = [np.count_nonzero(dealt[fold::count] == number) for fold in range(count)]
        folds[place == number] = np.repeat(np.arange(count), runs)
    return folds
