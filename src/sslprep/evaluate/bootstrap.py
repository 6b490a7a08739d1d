"""How far a figure depends on which images happen to be in the test set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sslprep.evaluate.average_precision import Definition, TestLabels
from sslprep.evaluate.svm import Floats

GENERATOR = "PCG64, seed: images drawn with replacement"
_LARGE = 10_000


def resamples(images: int) -> int:
    """Return how many times a test set is drawn anew: 1,000, or 200 for more than 10,000 images."""
    return 1000 if images <= _LARGE else 200


def draw_counts(images: int, seed: int) -> NDArray[np.float32]:
    """Draw test sets with replacement.

    Returns:
        How often each image is in each of them: (images, resamples).
    """
    random = np.random.default_rng(seed)
    return np.stack(
        [
            np.bincount(random.integers(0, images, images), minlength=images)
            for _ in range(resamples(images))
        ],
        axis=1,
    ).astype(np.float32)


def interval(
    samples: Sequence[Floats], test: TestLabels, counts: NDArray[np.float32], definition: Definition
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of mAP, mean over samples, in percent.

    It is that of the drawn sets, less how far their mean is from the figure itself: average
    precision of a set with copies in it is higher, which shows where a class has few positives.
    A class of which a drawn set holds no positive takes no part in its mean.

    `samples` are the scores of the test images for each sample (classes, images), `counts` are from
    `draw_counts`.
    """
    means, figures = [], []
    for scores in samples:
        figures += [test.ap(row, n, definition) for n, row in enumerate(scores)]
        of_class = [
            _weighted_ap(row, test.kept[n], test.positive[n], counts, definition)
            for n, row in enumerate(scores)
        ]
        means.append(np.nanmean(of_class, axis=0))
    drawn = 100 * np.mean(means, axis=0)
    low, high = np.percentile(drawn, [2.5, 97.5]) - (drawn.mean() - np.mean(figures))
    return float(low), float(high)


def _weighted_ap(
    scores: NDArray[np.float64],
    kept: NDArray[np.intp],
    positive: NDArray[np.bool_],
    counts: NDArray[np.float32],
    definition: Definition,
) -> NDArray[np.float64]:
    """Return the average precision in each drawn set, `nan` where it holds no positive.

    Copies of an image rank side by side. A positive that was not drawn has no weight, and its
    precision is below that of the drawn one before it, so it bears on nothing.
    """
    order = np.argsort(-scores[kept], kind="stable")
    places = np.flatnonzero(positive[order])
    ranked = kept[order[: places[-1] + 1]]
    found = counts[kept[order[places]]]
    upto_next = [counts[part].sum(axis=0) for part in np.split(ranked, places[:-1] + 1)]
    shown = np.cumsum(upto_next, axis=0)
    precision = np.cumsum(found, axis=0) / np.maximum(shown, 1)
    if definition == "envelope":
        precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    total = found.sum(axis=0, dtype=np.float64)
    gained = np.einsum("pr,pr->r", found, precision)
    return np.where(total > 0, gained / np.maximum(total, 1), np.nan)
