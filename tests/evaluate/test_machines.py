"""Samples trained and tested: against the protocol written out with scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC

from sslprep.evaluate.average_precision import TestLabels, class_ap
from sslprep.evaluate.bootstrap import draw_counts, interval, resamples
from sslprep.evaluate.folds import stratified_folds
from sslprep.evaluate.products import Products
from sslprep.evaluate.sample_machines import TrainingRows, score_test, threads, try_costs
from sslprep.evaluate.svm import normalise

COSTS = (0.01, 1.0, 100.0)


@pytest.mark.parametrize("count", [2, 3])
def test_folds_are_scikit_learns(count):
    random = np.random.default_rng(count)
    for _ in range(30):
        labels = random.integers(0, 3, 40)
        labels[:9] = [2, 2, 2, 0, 0, 0, 1, 1, 1]
        ours = stratified_folds(labels, count)
        for fold, (_, held) in enumerate(StratifiedKFold(count).split(labels, labels)):
            assert np.flatnonzero(ours == fold).tolist() == held.tolist()


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    labels = (random.random((160, 3)) < 0.35).astype(np.int8)
    hidden = random.normal(size=(160, 8)) + 1.5 * labels @ random.normal(size=(3, 8))
    features = np.maximum(hidden @ random.normal(size=(8, 40)), 0).astype(np.float32)
    train = labels[:100].copy()
    for column in range(3):  # rows that take no part, others for each class
        train[random.choice(100, 40, replace=False), column] = -1
    return features[:100], train, features[100:], labels[100:]


def machine(cost):
    return LinearSVC(
        loss="squared_hinge",
        dual=True,
        C=cost,
        class_weight={1: 2, -1: 1},
        tol=1e-8,
        max_iter=1_000_000,
    )


def measure(x, y, rows, truth, definition, keep=True):
    with threads() as pool:
        made = Products(x, y, pool, keep=keep)
        return try_costs(pool, made, rows, TestLabels(truth), COSTS, definition, validate=True)


def test_each_class_trains_on_its_own_rows(data):
    x, labels, y, truth = data
    rows = TrainingRows(9, np.arange(100), labels)
    found = measure(x, y, rows, truth, "envelope")
    for n in range(3):
        used = labels[:, n] != -1
        signs = np.where(labels[used, n] == 1, 1, -1)
        for place, cost in enumerate(COSTS):
            fitted = machine(cost).fit(normalise(x)[used], signs)
            scores = fitted.decision_function(normalise(y))
            assert found.test[place, n] == pytest.approx(class_ap(scores, truth[:, n], "envelope"))
            inside = cross_val_score(
                machine(cost), normalise(x)[used], signs, cv=3, scoring="average_precision"
            )
            assert found.inside[place, n] == pytest.approx(100 * inside.mean(), abs=1e-6)


def test_classes_that_share_their_rows_give_the_same(data):
    x, _, y, truth = data
    single = np.eye(3, dtype=np.int8)[np.arange(100) % 3]
    rows = TrainingRows(k=30, rows=np.arange(100), labels=single)
    for keep in (True, False):  # all products kept; by way of the weights
        found = measure(x, y, rows, truth, "step", keep=keep)
        assert found.inside.shape == (3, 3)
        for n in range(3):
            signs = np.where(single[:, n] == 1, 1, -1)
            for place, cost in enumerate(COSTS):
                scores = machine(cost).fit(normalise(x), signs).decision_function(normalise(y))
                expected = 100 * average_precision_score(truth[:, n], scores)
                assert found.test[place, n] == pytest.approx(expected)


def test_few_rows_of_many_dims_are_crossed_with_the_test_rows(data):
    x, _, y, truth = data
    rows = TrainingRows(k=5, rows=np.arange(15), labels=np.eye(3, dtype=np.int8)[[0, 1, 2] * 5])

    def scores(keep):
        with threads() as pool:
            made = Products(x, y, pool, keep=keep)
            test = TestLabels(truth)
            return score_test(
                made, try_costs(pool, made, rows, test, COSTS, "step", validate=False), 1
            )

    assert np.allclose(scores(True), scores(False), rtol=1e-9)


def test_a_sample_of_one_positive_is_not_cross_validated(data):
    x, _, y, truth = data
    labels = np.full((100, 3), -1, np.int8)
    labels[:3] = np.eye(3)
    rows = TrainingRows(k=1, rows=np.arange(3), labels=labels[:3])
    assert measure(x, y, rows, truth, "envelope").inside is None


def test_the_interval_is_that_of_resampled_test_sets(data):
    truth = data[3]
    random = np.random.default_rng(1)
    scores = [random.normal(size=(60, 3)) + truth for _ in range(2)]
    truth = truth.copy()
    truth[:5, 1] = -1
    counts = draw_counts(60, seed=3)
    low, high = interval([s.T for s in scores], TestLabels(truth), counts, "envelope")
    means = []
    for drawn in counts.T.astype(int):
        images = np.repeat(np.arange(60), drawn)
        means.append(
            np.mean(
                [
                    [class_ap(s[images, n], truth[images, n], "envelope") for n in range(3)]
                    for s in scores
                ]
            )
        )
    figure = np.mean([class_ap(s[:, n], truth[:, n], "envelope") for n in range(3) for s in scores])
    shift = np.mean(means) - figure  # copies raise average precision
    assert (low, high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5]) - shift))
    assert low < figure < high


def test_large_test_sets_are_drawn_anew_less_often():
    """As docs/evaluate.md says: 1,000 resamples, 200 above 10,000 images."""
    assert resamples(10_000) == 1000
    assert resamples(10_001) == 200
    assert draw_counts(10_001, 0).shape == (10_001, 200)
