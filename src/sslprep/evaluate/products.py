"""The products of rows that the SVMs need, computed once where they fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.evaluate.svm import Floats, gram_matrix, normalise

_KEPT_ROWS = 8192
"""Training rows of which all products are kept: 0.5 GB of them (VOC2007's trainval has 5,011)."""
_BLOCK = 512


class Products:
    """Products of training rows with each other and with test rows.

    Args:
        train: Features of the training images (images, dims), as they are in the file.
        test: Features of the test images.
        pool: Where to compute what is kept.
        keep: Whether each class trains on rows of its own, so that products are used often.
    """

    def __init__(
        self, train: NDArray[Any], test: NDArray[Any], pool: ThreadPoolExecutor, *, keep: bool
    ) -> None:
        self._train, self._test = train, normalise(test)
        self._kept: tuple[Floats, Floats] | None = None
        if keep and len(train) <= _KEPT_ROWS:
            rows = normalise(train)
            self._kept = _cross(rows, rows, pool.map), _cross(rows, self._test, pool.map)
            self._test = self._test[:0]

    def gram(self, rows: NDArray[np.intp]) -> Floats:
        """Return the products of some training rows with each other (rows, rows)."""
        if self._kept is not None:
            return self._kept[0][np.ix_(rows, rows)]
        chosen = normalise(self._train[rows])
        return _cross(chosen, chosen)

    def scorer(self, rows: NDArray[np.intp]) -> Callable[[Floats], Floats]:
        """Return what turns coefficients (machines, rows) into test scores (machines, images)."""
        if self._kept is not None:
            crossed = self._kept[1][rows]
            return lambda coefficients: coefficients @ crossed
        chosen = normalise(self._train[rows])
        if 2 * len(rows) <= chosen.shape[1]:
            crossed = _cross(chosen, self._test)
            return lambda coefficients: coefficients @ crossed
        # With many rows it is cheaper to go by way of the weights; the bias is their sum.
        return lambda beta: (beta @ chosen) @ self._test.T + beta.sum(axis=1, keepdims=True)


def _cross(rows: Floats, others: Floats, do: Callable[..., Any] = map) -> Floats:
    """Return `gram_matrix` in blocks, whose sums do not depend on the number of threads."""
    products = np.empty((len(rows), len(others)))

    def compute(start: int) -> None:
        part = slice(start, start + _BLOCK)
        first = start if others is rows else 0
        products[part, first:] = gram_matrix(rows[part], others[first:])
        if others is rows:
            products[first:, part] = products[part, first:].T

    list(do(compute, range(0, len(rows), _BLOCK)))
    return products
