"""Codes, verified by exact computation on the sets themselves."""

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from sslprep.errors import PermutationError
from sslprep.jigsaw import codes
from sslprep.jigsaw.bounds import largest_mean, largest_minimum
from sslprep.jigsaw.codes import codes_for
from sslprep.jigsaw.distances import histogram_by_pairs, measure
from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.groups import FIELDS, field

GRIDS = (*range(2, 31), 32, 36, 42, 48, 49, 64)
ALL = [(m, code) for m in range(2, 66) for code in codes_for(m)]
USUAL = [(m, code) for m, code in ALL if m in GRIDS and code.size <= 41_000]
NINE = codes_for(9)
SEEDS = (0, 1, 2019)


def name(value):
    return value.name.replace(" ", "_") if isinstance(value, codes.Code) else str(value)


@cache
def whole(m, code):
    blocks = code.build()
    return blocks.rows(np.arange(len(blocks.representatives)))


class Places:
    """Where a row stands in a set, found by a hash and then compared in full."""

    def __init__(self, rows):
        self.rows = rows
        rng = np.random.default_rng(0)
        self.weights = rng.integers(1 << 63, size=rows.shape[1], dtype=np.uint64)
        keys = self._keys(rows)
        self.order = np.argsort(keys)
        self.sorted = keys[self.order]
        assert (np.diff(self.sorted) > 0).all()  # so all rows are distinct

    def _keys(self, rows):
        return sum(column * weight for column, weight in zip(rows.T, self.weights, strict=True))

    def of(self, rows):
        """Return the places of some rows, None if one is not in the set."""
        at = np.searchsorted(self.sorted, self._keys(rows))
        places = self.order[np.minimum(at, len(self.order) - 1)]
        return places if np.array_equal(self.rows[places], rows) else None


def candidates(rows):
    """Yield rearrangements of the positions that may take a set to itself."""
    n, m = rows.shape
    if m in FIELDS:
        line = field(m)
        yield from line.add[[line.p**k for k in range(6) if line.p**k < m]]
        cycles = {a: len(set(powers(line.multiply[a], m))) for a in range(1, m)}
        yield line.multiply[max(cycles, key=cycles.get)]  # by a primitive element
    back = np.argsort(rows[0])
    for i in np.random.default_rng(1).integers(n // 12 + 1, size=40):
        yield back[rows[i]]


def powers(multiply, m):
    x = 1
    for _ in range(m):
        yield x
        x = int(multiply[x])


def minimum_of_all_pairs(rows):
    """Return the minimum distance, over all pairs, of a set with symmetries.

    Where p → p ∘ h takes the set to itself, p and p ∘ h have the same distances to it. So one row
    of each orbit under such h is compared with all rows. Which h do is found by trying some.
    """
    n, m = rows.shape
    places = Places(rows)
    symmetries = []
    orbit = np.arange(n)
    for h in candidates(rows):
        if places.of(rows[:40, h]) is None or (to := places.of(rows[:, h])) is None:
            continue
        symmetries.append(to)
        before = None
        while not np.array_equal(orbit, before):
            before = orbit
            for to in symmetries:
                for _ in range(7):  # the least of 2, 4, … 128 places of a cycle
                    orbit, to = np.minimum(orbit, orbit[to]), to[to]
        if len(np.unique(orbit)) <= m + 1 or len(symmetries) == 8:
            break
    columns = np.ascontiguousarray(rows.T)
    nearest = m
    for place in np.unique(orbit):
        agreements = np.zeros(n, dtype=np.uint8)
        for column, value in zip(columns, rows[place], strict=True):
            agreements += column == value
        agreements[place] = 0
        nearest = min(nearest, m - int(agreements.max()))
    return nearest


@pytest.mark.parametrize(("m", "code"), ALL, ids=name)
def test_minimum_distance_over_all_pairs_is_the_tables(m, code):
    rows = whole.__wrapped__(m, code)
    assert rows.shape == (code.size, m)
    seen = np.zeros(rows.shape, dtype=bool)
    for column in rows.T:
        seen[np.arange(len(rows)), column] = True
    assert seen.all()  # so every row is a permutation
    assert minimum_of_all_pairs(rows) == code.distance


@pytest.mark.parametrize("code", [code for code in NINE if code.size <= 18144], ids=name)
def test_symmetries_give_the_same_minimum_as_a_plain_comparison(code):
    rows = whole(9, code)
    histogram = histogram_by_pairs(rows)
    assert next(d for d, pairs in enumerate(histogram) if pairs) == minimum_of_all_pairs(rows)
    spoilt = rows.copy()
    spoilt[-1] = spoilt[0][[1, 0, *range(2, 9)]]  # two apart from the first
    assert minimum_of_all_pairs(spoilt) == 2


@pytest.mark.parametrize("code", NINE[:-1], ids=name)  # beyond A9 no set has more than 2
@pytest.mark.parametrize("seed", SEEDS)
def test_minimum_is_the_tables_from_the_first_n_of_each_code(code, seed):
    # Minima of prefixes only fall, and end at the code's: equal at the start, equal throughout.
    n = max([2, *(smaller.size + 1 for smaller in NINE if smaller.size < code.size)])
    found = measure(codes.generate(n, 9, Draws(seed)))
    assert found.minimum == code.distance


@pytest.mark.parametrize(("m", "code"), USUAL, ids=name)
def test_every_prefix_has_the_largest_possible_mean(m, code):
    rows = codes.generate(code.size, m, Draws(code.size % 3))
    earlier = np.zeros(len(rows), dtype=np.int64)  # agreements with the rows before
    for column in rows.T:
        order = np.argsort(column, kind="stable")
        starts = np.searchsorted(column[order], np.arange(m))
        earlier[order] += np.arange(len(rows)) - starts[column[order]]
    agreements = np.cumsum(earlier).tolist()
    for n in {*range(2, min(code.size, 3 * m) + 1), *range(2, code.size + 1, 97), code.size}:
        mean = m - Fraction(agreements[n - 1], math.comb(n, 2))
        assert mean == largest_mean(n, m)


@pytest.mark.parametrize("seed", [*SEEDS, 7, 123456789])
@pytest.mark.parametrize(
    ("n", "minimum", "mean"),
    [(100, 7, 8.0800), (701, 6, 8.0114), (2000, 5, 8.0040), (5000, 4, 8.0016), (10000, 4, 8.0008)],
)
def test_sizes_of_the_paper(n, minimum, mean, seed):
    found = measure(codes.generate(n, 9, Draws(seed)))
    assert (found.minimum, round(found.mean, 4)) == (minimum, mean)
    assert found.mean_exact == largest_mean(n, 9)


@pytest.mark.parametrize("n", [9, 72, 100, 504, 701, 1512, 2000, 3024, 10000, 18144])
def test_optimal_sizes_reach_the_bound(n):
    assert codes.find(n, 9).distance == largest_minimum(n, 9).value


@pytest.mark.parametrize(
    ("m", "size", "distance"),
    [
        (5, 20, 4), (6, 120, 4), (7, 42, 6), (8, 56, 7), (8, 336, 6), (10, 720, 8), (11, 7920, 8),
        (12, 1320, 10), (12, 95040, 8), (13, 156, 12), (14, 2184, 12), (20, 6840, 18),
        (24, 12144, 22), (16, 480, 14), (25, 600, 24),
    ],
)  # fmt: skip
def test_optimal_codes_of_other_grids_meet_their_bound(m, size, distance):
    code = codes.find(size, m)
    assert (code.size, code.distance) == (size, distance)
    assert largest_minimum(size, m).value == distance


def test_five_by_five_has_twenty_two_up_to_twelve_hundred():
    assert [(c.size, c.distance) for c in codes_for(25)] == [
        (25, 25), (600, 24), (1200, 22), (15600, 21)
    ]  # fmt: skip


def test_codes_of_one_grid_grow_as_their_distance_falls():
    for m in range(2, 256):
        found = codes_for(m)
        sizes, distances = [c.size for c in found], [c.distance for c in found]
        assert found[0].size == found[0].distance == m
        assert sizes == sorted(set(sizes))
        assert distances == sorted(set(distances), reverse=True)


@pytest.mark.parametrize(("m", "size", "distance"), [(7, 56, 5), (22, 506, 20)])
def test_affine_groups_act_on_their_field_without_0_too(m, size, distance):
    found = [(code.size, code.distance, code.name) for code in codes_for(m)]
    assert (size, distance, f"AGL(1,{m + 1}) without 0") in found


def test_all_permutations_of_nine_tiles_are_a_code_and_the_even_ones():
    assert [(c.size, c.distance) for c in codes_for(9)[-2:]] == [(181440, 3), (362880, 2)]


def test_sets_of_one_code_and_seed_are_prefixes_of_each_other():
    long = codes.generate(1500, 9, Draws(5))
    short = codes.generate(701, 9, Draws(5))
    assert np.array_equal(long[:701], short)


def test_seeds_give_different_sets():
    one, two = (codes.generate(100, 9, Draws(s)) for s in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("m", [4, 6, 9, 12, 15, 16, 25])
def test_first_row_is_the_one_given_and_distances_stay(m):
    first = np.roll(np.arange(m, dtype=np.uint8), 3)
    n = codes_for(m)[1].size
    fixed = codes.generate(n, m, Draws(0), first=first)
    free = codes.generate(n, m, Draws(0))
    assert np.array_equal(fixed[0], first)
    assert histogram_by_pairs(fixed) == histogram_by_pairs(free)


@pytest.mark.parametrize(
    ("n", "m", "end"), [(40321, 16, 40320), (15601, 25, 15600), (1441, 10, 1440)]
)
def test_sizes_without_a_code_name_the_method_that_works(n, m, end):
    with pytest.raises(PermutationError, match=f"end at N = {end}") as error:
        codes.find(n, m)
    assert ("max_min" in str(error.value)) == (m <= 10)
    assert "max_avg" in str(error.value)
