import itertools
from fractions import Fraction

import numpy as np
import pytest

from sslprep.jigsaw import distances
from sslprep.jigsaw.distances import (
    counts_table,
    duplicate_rows,
    histogram_by_pairs,
    histogram_by_positions,
    mean_distance,
    measure,
)


def random_set(n, m, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(m) for _ in range(n)], dtype=np.uint8)


def plain_histogram(rows):
    counts = [0] * (rows.shape[1] + 1)
    for a, b in itertools.combinations(rows.tolist(), 2):
        counts[sum(x != y for x, y in zip(a, b, strict=True))] += 1
    return counts


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 2), (7, 3), (150, 5), (129, 9), (40, 16)])
def test_both_histograms_equal_a_loop(n, m):
    rows = random_set(n, m)
    expected = plain_histogram(rows)
    assert histogram_by_pairs(rows) == expected
    if m <= 9:
        assert histogram_by_positions(rows) == expected


def test_blocks_meet_every_pair_once(monkeypatch):
    rows = random_set(61, 6)
    expected = plain_histogram(rows)
    for height, width in ((1, 1), (7, 5), (60, 61), (64, 64)):
        monkeypatch.setattr(distances, "_TILE_ROWS", height)
        monkeypatch.setattr(distances, "_TILE_COLUMNS", width)
        assert histogram_by_pairs(rows) == expected


def test_large_sets_of_few_tiles_are_counted_by_positions(monkeypatch):
    rows = random_set(20_000, 4)
    expected = histogram_by_pairs(rows)
    monkeypatch.setattr(distances, "histogram_by_pairs", None)
    assert distances.pair_histogram(rows) == expected


def test_more_tiles_than_a_signed_byte_holds():
    rows = np.stack([np.arange(255), np.roll(np.arange(255), 1), np.arange(255)]).astype(np.uint8)
    assert measure(rows).histogram == (1, *[0] * 254, 2)


def test_mean_comes_from_the_counts_alone():
    rows = random_set(100, 7)
    histogram = plain_histogram(rows)
    total = sum(d * pairs for d, pairs in enumerate(histogram))
    assert mean_distance(counts_table(rows)) == Fraction(total, 4950)


def test_single_permutation_has_no_distances():
    found = measure(random_set(1, 9))
    assert (found.minimum, found.mean, found.minimum_bound, found.mean_bound) == (None,) * 4
    assert sum(found.histogram) == 0


def test_duplicates_are_rows_that_came_before():
    rows = random_set(10, 9)
    assert duplicate_rows(rows) == 0
    assert duplicate_rows(rows[[0, 1, 0, 0, 2, 1]]) == 3


def test_set_larger_than_all_permutations_has_no_bound_on_the_minimum():
    found = measure(random_set(9, 3))
    assert (found.minimum, found.minimum_bound) == (0, None)
    assert found.mean_bound is not None


def test_progress_counts_every_row():
    done = []
    measure(random_set(300, 9), done.append)
    assert sum(done) == 300


def test_identity_row_is_found():
    rows = np.array([[1, 0, 2], [0, 1, 2]], dtype=np.uint8)
    assert measure(rows).identity == 1
    assert measure(rows[:1]).identity is None
