"""Codes, verified by exact computation on the sets themselves."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sslprep.errors import PermutationError
from sslprep.jigsaw import codes
from sslprep.jigsaw.bounds import largest_mean, largest_minimum
from sslprep.jigsaw.distances import histogram_by_pairs, measure

NINE = [code for code in codes.CODES if code.m == 9]
COMPARABLE = [code for code in codes.CODES if code.size <= 40320]
SEEDS = (0, 1, 2019)


def whole(code, seed=0):
    return codes.generate(code.size, code.m, rng=np.random.default_rng(seed))


def name(code):
    return f"{code.m}-{code.size}"


@pytest.mark.parametrize("code", codes.CODES, ids=name)
def test_rows_are_distinct_permutations(code):
    rows = whole(code)
    assert rows.shape == (code.size, code.m)
    assert (np.sort(rows, axis=1) == np.arange(code.m)).all()
    assert len(np.unique(rows, axis=0)) == code.size


@pytest.mark.parametrize("code", COMPARABLE, ids=name)
def test_minimum_distance_is_the_tables(code):
    histogram = histogram_by_pairs(whole(code))
    assert next(d for d, pairs in enumerate(histogram) if pairs) == code.distance


def test_alternating_group_has_no_pair_that_differs_by_one_exchange():
    rows = whole(NINE[-2]).astype(np.int64)
    inversions = sum(rows[:, i] > rows[:, j] for i in range(9) for j in range(i + 1, 9))
    parity = np.asarray(inversions) % 2
    assert (parity == parity[0]).all()  # an exchange of two would change it
    assert len(rows) == math.factorial(9) // 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("code", NINE[:-1], ids=name)  # beyond A9 no set has more than 2
def test_minimum_is_the_tables_from_the_first_n_of_each_code(code, seed):
    # Minima of prefixes only fall, and end at the code's: equal at the start, equal throughout.
    n = max([2, *(smaller.size + 1 for smaller in NINE if smaller.size < code.size)])
    found = measure(codes.generate(n, 9, rng=np.random.default_rng(seed)))
    assert found.minimum == code.distance


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("code", [code for code in COMPARABLE if code.size <= 18144], ids=name)
def test_every_prefix_has_the_largest_possible_mean(code, seed):
    rows = whole(code, seed)
    earlier = np.zeros(rows.shape, dtype=np.int64)  # rows before with the same value there
    for i in range(code.m):
        for value in range(code.m):
            at = np.flatnonzero(rows[:, i] == value)
            earlier[at, i] = np.arange(len(at))
    agreements = np.cumsum(earlier.sum(axis=1)).tolist()
    for n in range(2, code.size + 1):
        mean = code.m - Fraction(agreements[n - 1], math.comb(n, 2))
        assert mean == largest_mean(n, code.m)


@pytest.mark.parametrize("seed", [*SEEDS, 7, 123456789])
@pytest.mark.parametrize(
    ("n", "minimum", "mean"),
    [(100, 7, 8.0800), (701, 6, 8.0114), (2000, 5, 8.0040), (5000, 4, 8.0016), (10000, 4, 8.0008)],
)
def test_sizes_of_the_paper(n, minimum, mean, seed):
    found = measure(codes.generate(n, 9, rng=np.random.default_rng(seed)))
    assert (found.minimum, round(float(found.mean), 4)) == (minimum, mean)
    assert found.mean == largest_mean(n, 9)


@pytest.mark.parametrize("n", [9, 72, 100, 504, 701, 1512, 2000, 3024, 10000, 18144])
def test_optimal_sizes_reach_the_bound(n):
    assert codes.find(n, 9).distance == largest_minimum(n, 9).value


def test_sets_of_one_code_and_seed_are_prefixes_of_each_other():
    long = codes.generate(1500, 9, rng=np.random.default_rng(5))
    short = codes.generate(701, 9, rng=np.random.default_rng(5))
    assert np.array_equal(long[:701], short)


def test_seeds_give_different_sets():
    one, two = (codes.generate(100, 9, rng=np.random.default_rng(s)) for s in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("m", [4, 9, 16, 25])
def test_first_row_is_the_one_given_and_distances_stay(m):
    first = np.roll(np.arange(m, dtype=np.uint8), 3)
    n = codes.CODES[[code.m for code in codes.CODES].index(m) + 1].size
    fixed = codes.generate(n, m, rng=np.random.default_rng(0), first=first)
    free = codes.generate(n, m, rng=np.random.default_rng(0))
    assert np.array_equal(fixed[0], first)
    assert histogram_by_pairs(fixed) == histogram_by_pairs(free)


@pytest.mark.parametrize(
    ("n", "m", "words"),
    [
        (40321, 16, "end at N = 40320"),
        (15601, 25, "end at N = 15600"),
        (10, 8, "only for M = 4, 9, 16 and 25"),
    ],
)
def test_sizes_without_a_code_name_the_method_that_works(n, m, words):
    with pytest.raises(PermutationError, match=words) as error:
        codes.find(n, m)
    assert ("max_min" in str(error.value)) == (m <= 10)
    assert "max_avg" in str(error.value)
