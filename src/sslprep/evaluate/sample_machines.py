"""Train and test the machines of one low-shot sample, and cross-validate inside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sslprep.evaluate.average_precision import Definition, TestLabels, step
from sslprep.evaluate.folds import stratified_folds
from sslprep.evaluate.labels import Labels
from sslprep.evaluate.products import Products, RowProducts
from sslprep.evaluate.protocols import FOLDS
from sslprep.evaluate.svm import Floats, Trained, Trainer
from sslprep.executors import cores

Rows = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRows:
    """What one sample trains on.

    Attributes:
        k: Positives drawn of each class.
        sample: Number of the sample.
        rows: Rows of the features (rows,), ascending.
        labels: (rows, classes) int8; 1 positive, 0 negative, -1 takes no part for this class.
    """

    k: int
    sample: int
    rows: Rows
    labels: Labels

    @property
    def shared(self) -> bool:
        """Whether all classes train on the same rows."""
        return not (self.labels == -1).any()


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleAP:
    """Average precision of one sample, in percent.

    Attributes:
        test: On the test set (costs, classes).
        inside: Step-wise, by cross-validation inside the sample (costs, classes); `None` where
            the sample is too small for it.
    """

    test: Floats
    inside: Floats | None


def fold_count(k: int) -> int:
    """Return how many folds a sample with k positives of each class is cut into; 0 for none."""
    return min(FOLDS, k) if k > 1 else 0


def try_costs(
    products: Products,
    train: TrainingRows,
    test: TestLabels,
    costs: Sequence[float],
    definition: Definition,
    *,
    validate: bool,
) -> SampleAP:
    """Train a sample at every cost; measure it on the test set and by cross-validation.

    Args:
        products: Of all rows.
        train: The sample.
        test: Labels of the test set.
        costs: The costs.
        definition: Of average precision on the test set.
        validate: Whether to cross-validate.
    """
    classes = train.labels.shape[1]
    folds = fold_count(train.k) if validate else 0
    tested = np.empty((len(costs), classes))
    inside = np.empty((len(costs), classes)) if folds else None

    def work(group: NDArray[np.intp]) -> None:
        part, labels = _rows_of(products, train, group)
        whole, held_out = _train(part, labels, costs, folds)
        # One class at all costs in one product, or all classes at one cost after the other.
        together = range(0, len(costs), len(costs) if len(group) == 1 else 1)
        for first in together:
            machines = [t.coefficients for t in whole[first : first + together.step]]
            for at, scores in enumerate(part.test_scores(np.hstack(machines)).T):
                place, n = first + at // len(group), group[at % len(group)]
                tested[place, n] = test.ap(scores, int(n), definition)
        if inside is not None:
            inside[:, group] = held_out

    _for_each_group(train, work)
    return SampleAP(test=tested, inside=inside)


def score_test(products: Products, train: TrainingRows, cost: float) -> Floats:
    """Train a sample at one cost and return its scores of the test images (images, classes)."""
    scores = np.empty((products.tested, train.labels.shape[1]))

    def work(group: NDArray[np.intp]) -> None:
        part, labels = _rows_of(products, train, group)
        (trained,) = Trainer(part.gram, _signs(labels)).train([cost])
        scores[:, group] = part.test_scores(trained.coefficients)

    _for_each_group(train, work)
    return scores


def _for_each_group(train: TrainingRows, work: Callable[[NDArray[np.intp]], None]) -> None:
    """Do some work for the classes that share their rows, which may be each of its own.

    Classes of their own go to a thread each, with BLAS in that thread alone: its own threads
    would cost more than they save on matrices of this size, and the order of their sums would
    depend on their number.
    """
    classes = train.labels.shape[1]
    if train.shared:
        work(np.arange(classes))
        return
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(work, np.arange(classes)[:, None]):
            pass  # what a thread raises is raised here


def _rows_of(
    products: Products, train: TrainingRows, group: NDArray[np.intp]
) -> tuple[RowProducts, Labels]:
    """Return the products and labels of the rows that a group of classes trains on."""
    labels = train.labels[:, group]
    used = np.flatnonzero((labels != -1).any(axis=1))
    return products.of(train.rows[used]), labels[used]


def _signs(labels: Labels) -> Floats:
    return np.where(labels == 1, 1.0, -1.0)


def _train(
    part: RowProducts, labels: Labels, costs: Sequence[float], folds: int
) -> tuple[list[Trained], list[Floats]]:
    """Train on all rows and on all but each fold.

    Returns:
        The machines of all rows at each cost; and for each cost the AP of each class on the rows
        held out, mean over the folds.
    """
    signs = _signs(labels)
    if not folds:
        return Trainer(part.gram, signs).train(costs), []
    held = _held_out(labels, folds)
    if signs.shape[1] == 1:
        # Side by side they cost little more than one: the time goes into reading the matrix.
        masked = np.where(held == np.arange(folds), 0.0, signs)
        trained = Trainer(part.gram, np.hstack([signs, masked])).train(costs)
        whole = [Trained(t.coefficients[:, :1], t.scores[:, :1]) for t in trained]
        of_fold = [
            [t.scores[held[:, 0] == f, 1 + f : 2 + f] for t in trained] for f in range(folds)
        ]
    else:
        whole = Trainer(part.gram, signs).train(costs)
        of_fold = [_leave_out(part, signs, held[:, 0] == f, costs) for f in range(folds)]
    positive = [labels[held[:, 0] == f] == 1 for f in range(folds)]
    inside = [
        np.mean(
            [
                [100 * step(of_fold[f][c][:, n], positive[f][:, n]) for n in range(labels.shape[1])]
                for f in range(folds)
            ],
            axis=0,
        )
        for c in range(len(costs))
    ]
    return whole, inside


def _held_out(labels: Labels, folds: int) -> NDArray[np.int64]:
    """Return the fold of each row: (rows, 1). Of single-label sets it is one for all classes."""
    kinds = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    return stratified_folds(kinds, folds)[:, None]


def _leave_out(
    part: RowProducts, signs: Floats, out: NDArray[np.bool_], costs: Sequence[float]
) -> list[Floats]:
    """Train without some rows and return their scores at each cost."""
    gram = part.gram[np.ix_(~out, ~out)]
    across = part.gram[np.ix_(out, ~out)]
    return [across @ t.coefficients for t in Trainer(gram, signs[~out]).train(costs)]
