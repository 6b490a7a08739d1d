"""Train and test the machines of one low-shot sample, and cross-validate inside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

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

_THREADS = 4
"""At most: each holds its own part of the products, some 200 MB for VOC2007 at k = 96."""
_SHARING = 32
"""Classes of one thread, where all train on the same rows."""


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
    rows: NDArray[np.intp]
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
        machines: The machines, to be used again at the chosen cost.
    """

    test: Floats
    inside: Floats | None
    machines: list[Machines]


class Machines(NamedTuple):
    """The machines of some classes: their columns, their rows, and coefficients at each cost."""

    classes: list[int]
    rows: NDArray[np.intp]
    coefficients: list[Floats]


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
    inside = np.empty((len(costs), classes))
    machines = []

    def work(group: _Group) -> None:
        whole = _train(group, costs, folds, inside) if folds else group.train(costs)
        # One class at all costs in one product, or all classes at one cost after the other.
        count = len(group.classes)
        together = range(0, len(costs), len(costs) if count == 1 else 1)
        coefficients = [t.coefficients for t in whole]
        machines.append(Machines(group.classes, group.rows, coefficients))
        for first in together:
            some = np.hstack(coefficients[first : first + together.step])
            for at, scores in enumerate(group.products.test_scores(some).T):
                place, n = first + at // count, group.classes[at % count]
                tested[place, n] = test.ap(scores, n, definition)

    _for_each_group(products, train, work)
    return SampleAP(test=tested, inside=inside if folds else None, machines=machines)


def score_test(products: Products, sample: SampleAP, place: int) -> Floats:
    """Return a sample's scores of the test images at one of its costs (images, classes)."""
    rows = np.unique(np.concatenate([machines.rows for machines in sample.machines]))
    coefficients = np.zeros((len(rows), sample.test.shape[1]))
    for machines in sample.machines:
        places = np.searchsorted(rows, machines.rows)
        coefficients[places[:, None], machines.classes] = machines.coefficients[place]
    return products.test_scores(rows, coefficients)


@dataclass(frozen=True, eq=False)
class _Group:
    """Classes that train on the same rows.

    Attributes:
        classes: Their columns.
        rows: Their rows of the features (rows,).
        products: Of these.
        labels: (rows, classes); 1 positive, 0 negative.
        kinds: What the folds are stratified by (rows,).
    """

    classes: list[int]
    rows: NDArray[np.intp]
    products: RowProducts
    labels: Labels
    kinds: NDArray[np.int64]

    @property
    def signs(self) -> Floats:
        """1 for positives, -1 for negatives (rows, classes)."""
        return np.where(self.labels == 1, 1.0, -1.0)

    def train(self, costs: Sequence[float]) -> list[Trained]:
        """Train on all rows."""
        return Trainer(self.products.gram, self.signs).train(costs)


def _for_each_group(
    products: Products, train: TrainingRows, work: Callable[[_Group], None]
) -> None:
    """Do some work for all classes, in threads of a class or some classes that share their rows.

    BLAS stays in the thread that calls it: its own threads cost more than they save on matrices
    of some hundred rows, and the order of their sums would depend on their number.
    """
    classes = train.labels.shape[1]
    shared = products.of(train.rows) if train.shared else None
    step = _SHARING if train.shared else 1

    def work_from(first: int) -> None:
        of_group = list(range(first, min(first + step, classes)))
        if shared is not None:
            kinds = train.labels.argmax(axis=1)
            labels = train.labels[:, of_group]
            work(_Group(of_group, train.rows, shared, labels, kinds))
            return
        used = np.flatnonzero(train.labels[:, first] != -1)
        labels, rows = train.labels[used, first : first + 1], train.rows[used]
        kinds = labels[:, 0].astype(np.int64)
        work(_Group(of_group, rows, products.of(rows), labels, kinds))

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(cores(), _THREADS)) as pool:
        for _ in pool.map(work_from, range(0, classes, step)):
            pass  # what a thread raises is raised here


def _train(group: _Group, costs: Sequence[float], folds: int, inside: Floats) -> list[Trained]:
    """Train on all rows and on all but each fold.

    Args:
        group: The classes.
        costs: The costs.
        folds: Number of folds.
        inside: Where the step-wise AP on the rows held out is put, mean over the folds
            (costs, classes).

    Returns:
        The machines of all rows at each cost.
    """
    gram, signs, count = group.products.gram, group.signs, len(group.classes)
    held = stratified_folds(group.kinds, folds)
    out = [held == fold for fold in range(folds)]
    if count == 1:
        # Side by side they cost little more than one: the time goes into reading the matrix.
        masked = [np.where(o[:, None], 0.0, signs) for o in out]
        trained = Trainer(gram, np.hstack([signs, *masked])).train(costs)
        whole = [Trained(t.coefficients[:, :1], t.scores[:, :1]) for t in trained]
        of_fold = [[t.scores[o, 1 + f : 2 + f] for t in trained] for f, o in enumerate(out)]
    else:
        whole = group.train(costs)
        of_fold = []
        for o in out:
            left = Trainer(gram[np.ix_(~o, ~o)], signs[~o]).train(costs)
            across = gram[np.ix_(o, ~o)]
            of_fold.append([across @ t.coefficients for t in left])
    for at, n in enumerate(group.classes):
        positive = [group.labels[o, at] == 1 for o in out]
        for place in range(len(costs)):
            ap = [step(of_fold[f][place][:, at], p) for f, p in enumerate(positive)]
            inside[place, n] = 100 * np.mean(ap)
    return whole
