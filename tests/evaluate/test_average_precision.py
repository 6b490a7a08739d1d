"""Average precision against plain loops and scikit-learn, ties included."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sslprep.evaluate.average_precision import DEFINITIONS, TestLabels, class_ap


def points(scores, positive):
    """Recall and precision after each image in rank order; of equal scores the first row first."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    found, result = 0, []
    for rank, row in enumerate(order, 1):
        found += bool(positive[row])
        result.append((found, found / rank))
    return result


def plain_envelope(scores, positive):
    curve, total = points(scores, positive), int(sum(positive))
    area, before = 0.0, 0
    for at, (found, _) in enumerate(curve):
        if found > before:
            area += (found - before) / total * max(p for _, p in curve[at:])
            before = found
    return area


def plain_eleven(scores, positive):
    curve, total = points(scores, positive), int(sum(positive))
    levels = [max((p for f, p in curve if 10 * f >= t * total), default=0.0) for t in range(11)]
    return sum(levels) / 11


def plain_step(scores, positive):
    total, area, before = int(sum(positive)), 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        shown = [row for row in range(len(scores)) if scores[row] >= threshold]
        found = sum(bool(positive[row]) for row in shown)
        area += (found - before) / total * found / len(shown)
        before = found
    return area


PLAIN = {"envelope": plain_envelope, "eleven": plain_eleven, "step": plain_step}


@pytest.mark.parametrize("definition", sorted(DEFINITIONS))
@pytest.mark.parametrize("levels", [2, 7, 10**6], ids=["two values", "many ties", "few ties"])
def test_equals_plain_loops(definition, levels):
    random = np.random.default_rng(levels)
    for count in (1, 2, 10, 60):
        for _ in range(20):
            scores = random.integers(0, levels, count) / 7 - 1
            positive = random.random(count) < 0.3
            positive[random.integers(count)] = True
            ours = DEFINITIONS[definition](scores, positive)
            assert ours == pytest.approx(PLAIN[definition](scores, positive), abs=1e-12)


def test_step_is_scikit_learns():
    random = np.random.default_rng(1)
    for _ in range(50):
        scores, positive = random.integers(0, 9, 40), random.random(40) < 0.2
        positive[0] = True
        expected = average_precision_score(positive, scores)
        assert DEFINITIONS["step"](scores, positive) == pytest.approx(expected, abs=1e-12)


def test_equal_scores_rank_in_the_order_of_the_file():
    scores = np.zeros(4)
    assert DEFINITIONS["envelope"](scores, np.array([1, 0, 0, 0], bool)) == 1
    assert DEFINITIONS["envelope"](scores, np.array([0, 0, 0, 1], bool)) == 0.25


def test_a_recall_of_exactly_three_tenths_is_reached():
    # In floats, 3/10 is less than the fourth of eleven equal steps, 0.30000000000000004.
    scores = -np.arange(20.0)
    positive = np.isin(np.arange(20), [0, 1, 2, *range(13, 20)])
    expected = (4 * 1 + 7 * 0.5) / 11
    assert DEFINITIONS["eleven"](scores, positive) == pytest.approx(expected, abs=1e-12)


def test_ignored_images_are_left_out_or_negative():
    scores, labels = np.array([3.0, 2.0, 1.0]), np.array([-1, 1, 0])
    assert class_ap(scores, labels, "envelope") == 100
    assert class_ap(scores, labels, "envelope", ignored_is_negative=True) == 50
    assert np.isnan(class_ap(scores, np.zeros(3), "envelope"))


@pytest.mark.parametrize("ignored_is_negative", [False, True])
def test_labels_made_ready_once_give_the_figures_of_each_class(ignored_is_negative):
    random = np.random.default_rng(2)
    labels = random.integers(-1, 2, (30, 3))
    ready = TestLabels(labels, ignored_is_negative=ignored_is_negative)
    for place in range(3):
        scores = random.random(30)
        expected = class_ap(
            scores, labels[:, place], "step", ignored_is_negative=ignored_is_negative
        )
        assert ready.ap(scores, place, "step") == expected
