"""The SVMs against scikit-learn's LinearSVC, which is LIBLINEAR."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from sslprep.evaluate import svm
from sslprep.evaluate.average_precision import class_ap
from sslprep.evaluate.protocols import PROTOCOLS

COSTS = PROTOCOLS["goyal2019"].costs


def features(images, dims, *, seed=0):
    """Features like those of a network: not negative, sparse, with classes in them."""
    random = np.random.default_rng(seed)
    labels = random.random((images, 4)) < (0.1, 0.2, 0.3, 0.5)
    hidden = random.normal(size=(images, 20)) + labels @ random.normal(size=(4, 20))
    values = hidden @ random.normal(size=(20, dims)) + 3 * random.normal(size=(images, dims))
    return np.maximum(values, 0).astype(np.float32), labels


def sklearn_scores(rows, signs, others, cost):
    machine = LinearSVC(
        penalty="l2",
        loss="squared_hinge",
        dual=True,
        C=cost,
        class_weight={1: 2, -1: 1},
        tol=1e-8,
        max_iter=1_000_000,
    )
    return machine.fit(rows, signs).decision_function(others)


def test_rows_are_divided_by_their_length_and_a_hundred_thousandth():
    """As the benchmark's program does: for short rows it is no unit length."""
    rows = np.array([[3.0, 4.0], [3e-5, 4e-5]], np.float32)
    assert svm.normalise(rows) == pytest.approx(rows / np.array([[5.00001], [6e-5]]))


@pytest.mark.parametrize("k", [1, 4, 16, 96])
def test_scores_are_those_of_liblinear_at_all_costs(k):
    random = np.random.default_rng(k)
    x, labels = features(1200, 400, seed=k)
    rows = svm.normalise(x)
    train, test = rows[:800], rows[800:]
    positive, negative = np.flatnonzero(labels[:800, 2]), np.flatnonzero(~labels[:800, 2])
    chosen = np.concatenate(
        [random.choice(positive, k, False), random.choice(negative, 3 * k, False)]
    )
    signs = np.repeat([1.0, -1.0], [k, 3 * k])
    gram = svm.gram_matrix(train[chosen], train[chosen])
    ours = svm.train(gram, signs[None], COSTS)
    products = svm.gram_matrix(test, train[chosen])
    truth = labels[800:, 2].astype(int)
    for cost, trained in zip(COSTS, ours, strict=True):
        mine = products @ trained.coefficients[0]
        theirs = sklearn_scores(train[chosen], signs, test, cost)
        assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(theirs).max(), cost
        assert abs(class_ap(mine, truth, "envelope") - class_ap(theirs, truth, "envelope")) < 1e-3


def test_large_systems_are_as_exact_as_small_ones(monkeypatch):
    x, labels = features(700, 300)
    rows = svm.normalise(x)
    gram = svm.gram_matrix(rows, rows)
    signs = np.where(labels, 1, -1).T
    signs[1, random_rows(700, 100)] = 0  # rows that take no part
    iterated = svm.train(gram, signs, (1e-4, 1.0, 100.0))
    monkeypatch.setattr(svm, "_DIRECT", 10_000)
    eliminated = svm.train(gram, signs, (1e-4, 1.0, 100.0))
    for one, other in zip(iterated, eliminated, strict=True):
        largest = np.abs(other.scores).max()
        assert np.abs(one.scores - other.scores).max() <= 1e-8 * largest
        assert (one.coefficients[signs == 0] == 0).all()


def random_rows(count, wanted):
    return np.random.default_rng(5).choice(count, wanted, replace=False)


@pytest.mark.parametrize(("seed", "share"), [(4, 0.1), (5, 0.5), (13, 0.1)])
def test_fewer_numbers_than_rows_at_high_costs_come_to_an_end(seed, share):
    """Coefficients grow with the cost, and what is then lost in float32 is found again."""
    random = np.random.default_rng(seed)
    rows = svm.normalise(random.standard_normal((400, 30)))
    signs = np.where(random.random((20, 400)) < share, 1.0, -1.0)
    signs[:, 0] = 1
    gram, costs = svm.gram_matrix(rows, rows), (*COSTS, 1000.0)
    for cost, trained in zip(costs, svm.train(gram, signs, costs), strict=True):
        scores = trained.coefficients @ gram
        weights = 2 * cost * np.where(signs > 0, svm.POSITIVE_WEIGHT, 1)
        optimum = weights * np.where(signs * scores < 1, signs - scores, 0)
        assert np.abs(trained.coefficients - optimum).max() < 1e-8 * weights.max()


def test_rows_that_repeat_and_overflow_in_float32_are_no_warning():
    """Of 400 rows 40 differ; at a cost of 1000 conjugate gradients leave float32's range."""
    random = np.random.default_rng(0)
    rows = svm.normalise(random.standard_normal((40, 28))[random.integers(0, 40, 437)])
    signs = np.where(random.random((6, 437)) < 0.5, 1.0, -1.0)
    gram = svm.gram_matrix(rows, rows)
    (trained,) = svm.train(gram, signs, (1000.0,))
    weights = 2000 * np.where(signs > 0, svm.POSITIVE_WEIGHT, 1)
    scores = trained.coefficients @ gram
    optimum = weights * np.where(signs * scores < 1, signs - scores, 0)
    assert np.abs(trained.coefficients - optimum).max() < 1e-8 * weights.max()


def test_the_order_of_costs_does_not_matter():
    x, labels = features(60, 20)
    rows = svm.normalise(x)
    gram, signs = svm.gram_matrix(rows, rows), np.where(labels, 1, -1).T
    up, down = (svm.train(gram, signs, costs) for costs in ((0.01, 1.0), (1.0, 0.01)))
    assert np.array_equal(up[0].scores, down[1].scores)
    assert np.array_equal(up[1].scores, down[0].scores)


def test_rows_that_are_equal_are_no_trouble():
    rows = np.ones((40, 3))
    signs = np.where(np.arange(40) < 10, 1, -1)[None]
    trained = svm.train(svm.gram_matrix(rows, rows), signs, (1e-7, 1.0, 1000.0))
    for cost, machine in zip((1.0, 1000.0), trained[1:], strict=True):
        assert machine.scores[0, 0] == pytest.approx(
            sklearn_scores(rows, signs[0], rows[:1], cost)[0], rel=1e-4
        )


def test_a_step_uphill_is_halved_until_it_leads_downhill():
    one, start, far = np.ones((1, 1)), np.zeros((1, 1)), np.full((1, 1), 10.0)
    # (score² + 2·max(0, 1 - score)²) / 2 is 1 at the start; at 10, 5 and 2.5 it is more.
    beta, scores = svm._descend(one, 2 * one, (start, start), (far, far))
    assert beta.item() == scores.item() == 1.25
