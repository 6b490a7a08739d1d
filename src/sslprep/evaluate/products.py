"""The products of rows that the SVMs need, computed once where they fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.evaluate.svm import Floats, gram_matrix, normalise

_KEPT_ROWS = 8192
"""Training rows of which all products are kept: 0.5 GB of them (VOC2007's trainval has 5,011)."""
_BLOCK = 1024


class Products:
    """Products of training rows with each other and with test rows.

    Args:
        train: Features of the training images (images, dims), as they are in the file.
        test: Features of the test images.
    """

    def __init__(self, train: NDArray[Any], test: NDArray[Any]) -> None:
        self._train = train
        self._all: tuple[Floats, Floats] | None = None
        if len(train) <= _KEPT_ROWS:
            rows = normalise(train)
            crossed = np.empty((len(test), len(train)))
            for start in range(0, len(test), _BLOCK):
                part = normalise(test[start : start + _BLOCK])
                crossed[start : start + len(part)] = gram_matrix(part, rows)
            self._all = gram_matrix(rows, rows), crossed
        self._test = normalise(test[:0] if self._all else test)

    def of(self, rows: NDArray[np.intp]) -> RowProducts:
        """Return the products of some training rows."""
        if self._all is not None:
            gram, crossed = self._all
            return RowProducts(gram[np.ix_(rows, rows)], crossed[:, rows], None)
        chosen = normalise(self._train[rows])
        gram = gram_matrix(chosen, chosen)
        # With many rows it is cheaper to go by way of the weights than to cross all rows.
        if 2 * len(rows) > chosen.shape[1]:
            return RowProducts(gram, self._test, chosen)
        return RowProducts(gram, gram_matrix(self._test, chosen), None)

    def test_scores(self, rows: NDArray[np.intp], coefficients: Floats) -> Floats:
        """Return scores of the test images by machines on some training rows.

        Args:
            rows: The training rows (rows,).
            coefficients: Of the machines (rows, machines).

        Returns:
            (images, machines).
        """
        if self._all is None:
            chosen = normalise(self._train[rows])
            return RowProducts(np.empty((0, 0)), self._test, chosen).test_scores(coefficients)
        crossed = self._all[1]
        whole = np.zeros((crossed.shape[1], coefficients.shape[1]))
        whole[rows] = coefficients
        return _product(crossed, whole)


@dataclass(frozen=True, eq=False)
class RowProducts:
    """Products of the rows that some machines train on.

    Attributes:
        gram: With each other (rows, rows).
        test: Products of the test rows with them (images, rows); or the test rows themselves.
        rows: Then also these rows (rows, dims).
    """

    gram: Floats
    test: Floats
    rows: Floats | None

    def test_scores(self, coefficients: Floats) -> Floats:
        """Return scores of the test images (images, machines).

        Args:
            coefficients: Of the machines (rows, machines).
        """
        if self.rows is None:
            return _product(self.test, coefficients)
        scores = _product(self.test, _product(self.rows.T, coefficients))
        scores += coefficients.sum(axis=0)  # the bias
        return scores


def _product(one: Floats, other: Floats) -> Floats:
    product: Floats = one @ other
    return product
