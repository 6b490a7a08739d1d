"""Train and test the machines of one sample, and cross-validate inside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sslprep.evaluate import svm
from sslprep.evaluate.average_precision import Definition, TestLabels, step
from sslprep.evaluate.folds import stratified_folds
from sslprep.evaluate.labels import Labels
from sslprep.evaluate.products import Products
from sslprep.evaluate.protocols import FOLDS, SHARED_FOLDS
from sslprep.evaluate.svm import Floats
from sslprep.executors import cores

_THREADS = 4
"""At most: each holds its own part of the products, some 200 MB for VOC2007 at k = 96."""
_TOGETHER = 128
"""Classes of one thread, where all train on the same rows."""


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """Open threads to compute in, each with a BLAS of one thread.

    BLAS's own threads cost more than they save on matrices of some hundred rows, and the order of
    their sums would depend on their number.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(cores(), _THREADS)) as pool:
        yield pool


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """What one sample trains on."""

    k: int  #: positives drawn of each class
    rows: NDArray[np.intp]  #: of the features (rows,)
    labels: Labels  #: (rows, classes); 1 positive, 0 negative, -1 takes no part for this class

    @property
    def shared(self) -> bool:
        """Whether all classes train on the same rows."""
        return not (self.labels == -1).any()


class Machines(NamedTuple):
    """The machines of some classes."""

    classes: range  #: their columns
    rows: NDArray[np.intp]  #: what they train on
    coefficients: list[Floats]  #: at each cost (classes, rows)


class SampleAP(NamedTuple):
    """Average precision of one sample, in percent."""

    test: Floats  #: on the test set (costs, classes)
    inside: Floats | None  #: step-wise, by cross-validation (costs, classes), where it was made
    machines: list[Machines]  #: to be used again at the chosen cost


def train_classes(
    gram: Floats, labels: Labels, costs: Sequence[float], held: NDArray[np.int64] | None
) -> tuple[list[Floats], Floats | None]:
    """Train classes on the same rows at every cost, and cross-validate.

    Args:
        gram: Products of the rows.
        labels: (rows, classes); what is not 1 is a negative.
        costs: The costs.
        held: The fold in which a row is held out (rows,), or also for each class (classes, rows);
            `None` for no cross-validation.

    Returns:
        At each cost coefficients (classes, rows); and the step-wise AP on the rows held out,
        mean over the folds, in percent (costs, classes).
    """
    signs = np.where(labels == 1, 1.0, -1.0).T
    count = len(signs)
    if held is None:
        return [t.coefficients for t in svm.train(gram, signs, costs)], None
    out = [held == fold for fold in range(held.max() + 1)]
    of_fold: list[list[Floats]]
    if held.ndim == 2:
        # Side by side they cost little more than one: the time goes into reading the matrix.
        masked = [np.where(o, 0.0, signs) for o in out]
        trained = svm.train(gram, np.vstack([signs, *masked]), costs)
        whole = [t.coefficients[:count] for t in trained]
        of_fold = [list(np.split(t.scores[count:], len(out))) for t in trained]
    else:
        whole = [t.coefficients for t in svm.train(gram, signs, costs)]
        of_fold = [[np.empty_like(signs) for _ in out] for _ in costs]
        for fold, o in enumerate(out):
            across = gram[np.ix_(~o, o)]
            trained = svm.train(gram[np.ix_(~o, ~o)], signs[:, ~o], costs)
            for of_cost, t in zip(of_fold, trained, strict=True):
                of_cost[fold][:, o] = t.coefficients @ across
        out = [np.broadcast_to(o, signs.shape) for o in out]
    inside = np.zeros((len(costs), count))
    for at, of_cost in enumerate(of_fold):
        for scores, o in zip(of_cost, out, strict=True):
            inside[at] += [step(scores[n, o[n]], signs[n, o[n]] > 0) for n in range(count)]
    return whole, 100 * (inside / len(out))


def try_costs(
    pool: ThreadPoolExecutor,
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
        pool: Where to compute.
        products: Of all rows.
        train: The sample.
        test: Labels of the test set.
        costs: The costs.
        definition: Of average precision on the test set.
        validate: Whether to cross-validate: by `FOLDS` (`SHARED_FOLDS`) folds, or k where that is
            smaller. One positive a class cannot be.
    """
    classes = train.labels.shape[1]
    folds = min(SHARED_FOLDS if train.shared else FOLDS, train.k) if validate and train.k > 1 else 0
    tested, inside = (np.empty((len(costs), classes)) for _ in range(2))
    whole = (products.gram(train.rows), products.scorer(train.rows)) if train.shared else None

    def work(of: range) -> Machines:
        labels, rows = train.labels[:, of.start : of.stop], train.rows
        if whole is not None:
            gram, score = whole
            held = stratified_folds(train.labels.argmax(axis=1), folds) if folds else None
        else:
            used = labels[:, 0] != -1
            labels, rows = labels[used], rows[used]
            gram, score = products.gram(rows), products.scorer(rows)
            held = stratified_folds(labels[:, 0], folds)[None] if folds else None
        coefficients, validated = train_classes(gram, labels, costs, held)
        if validated is not None:
            inside[:, of.start : of.stop] = validated
        if len(of) == 1:  # one product for all its costs, else one for each cost
            scores: Iterable[Floats] = score(np.vstack(coefficients))[:, None]
        else:
            scores = map(score, coefficients)
        for place, of_cost in enumerate(scores):
            for n, row in zip(of, of_cost, strict=True):
                tested[place, n] = test.ap(row, n, definition)
        return Machines(of, rows, coefficients)

    machines = list(pool.map(work, groups(classes, _TOGETHER if train.shared else 1)))
    return SampleAP(tested, inside if folds else None, machines)


def groups(count: int, most: int) -> list[range]:
    """Cut classes into as few groups as need be, of about the same size."""
    parts = -(-count // most)
    return [range(count * n // parts, count * (n + 1) // parts) for n in range(parts)]


def score_test(products: Products, sample: SampleAP, place: int) -> Floats:
    """Return a sample's scores of the test images at one of its costs (classes, images)."""
    rows = np.unique(np.concatenate([machines.rows for machines in sample.machines]))
    coefficients = np.zeros((sample.test.shape[1], len(rows)))
    for machines in sample.machines:
        places = np.searchsorted(rows, machines.rows)
        coefficients[np.array(machines.classes)[:, None], places] = machines.coefficients[place]
    return products.scorer(rows)(coefficients)
