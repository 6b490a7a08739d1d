"""Laws of permutation sets, one per claim."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sslprep.jigsaw import assignment, codes, greedy
from sslprep.jigsaw.bounds import largest_mean, largest_minimum
from sslprep.jigsaw.distances import (
    histogram_by_pairs,
    histogram_by_positions,
    measure,
)
from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.listing import Listing


@st.composite
def permutation_sets(draw, most=40):
    m = draw(st.integers(2, 7))
    rows = draw(st.lists(st.permutations(range(m)), min_size=1, max_size=most))
    return np.array(rows, dtype=np.uint8)


@st.composite
def sizes(draw):
    """(M, N, first) for sets that exist."""
    m = draw(st.integers(2, 6))
    n = draw(st.integers(1, min(60, math.factorial(m))))
    first = np.array(draw(st.permutations(range(m))), dtype=np.uint8)
    return m, n, first


@given(permutation_sets())
def test_both_ways_to_the_histogram_agree(rows):
    """The number of pairs at each distance, by comparing pairs and by inclusion and exclusion."""
    assert histogram_by_pairs(rows) == histogram_by_positions(rows)


@given(permutation_sets())
def test_distance_is_zero_only_for_equal_rows_and_never_one(rows):
    """Hamming distance is 0 only for equal; two permutations cannot differ in one place."""
    histogram = measure(rows).histogram
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert histogram[0] == sum(math.comb(int(c), 2) for c in counts)
    assert histogram[1] == 0


@given(permutation_sets())
def test_mean_of_the_counts_is_the_mean_of_the_histogram(rows):
    """The mean exactly from the count table."""
    found = measure(rows)
    pairs = sum(found.histogram)
    if pairs:
        total = sum(d * count for d, count in enumerate(found.histogram))
        assert found.mean_exact == Fraction(total, pairs)


@given(permutation_sets())
def test_no_set_surpasses_its_bounds(rows):
    """Upper bounds of minimum and mean."""
    rows = np.unique(rows, axis=0)
    if len(rows) > 1:
        found = measure(rows)
        assert found.minimum <= found.minimum_bound.value
        assert found.mean <= found.mean_bound


@given(permutation_sets(), st.randoms(use_true_random=False))
def test_relabelling_changes_no_distance(rows, random):
    """Relabelling values and positions changes neither number."""
    m = rows.shape[1]
    values, positions = (random.sample(range(m), m) for _ in range(2))
    changed = np.array(values, dtype=np.uint8)[rows][:, positions]
    assert histogram_by_pairs(changed) == histogram_by_pairs(rows)


@settings(max_examples=60)
@given(st.integers(2, 3024), st.integers(0, 2**64))
def test_codes_keep_minimum_and_mean_for_every_size_and_seed(n, seed):
    """At every N the mean equals its upper bound exactly and the minimum is the table's."""
    found = measure(codes.generate(n, 9, Draws(seed)))
    assert found.minimum >= codes.find(n, 9).distance
    assert found.mean_exact == largest_mean(n, 9)


@given(st.sampled_from([4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 20, 24, 25]), st.data())
def test_codes_of_other_grids_keep_their_distance(m, data):
    """Codes of every grid: the table's minimum, and the largest mean, for every N and seed."""
    n = data.draw(st.integers(2, min(700, codes.codes_for(m)[-1].size)))
    found = measure(codes.generate(n, m, Draws(data.draw(st.integers(0, 99)))))
    assert codes.find(n, m).distance <= found.minimum <= largest_minimum(n, m).value
    assert found.mean == found.mean_bound


@given(st.integers(0, 2**70), st.lists(st.integers(1, 2**32), max_size=9))
def test_draws_are_within_bounds_and_permutations_whole(seed, sizes):
    draws = Draws(seed)
    for n in sizes:
        assert 0 <= draws.below(n) < n
        order = draws.permutation(n % 50)
        assert sorted(order.tolist()) == list(range(n % 50))


@given(sizes())
def test_integer_and_assignment_versions_agree(size):
    """Integer and linear-assignment versions of max_avg agree with each other."""
    _, n, first = size
    assert np.array_equal(greedy.max_avg(n, first), assignment.max_avg(n, first))


@given(sizes(), st.integers(0, 99))
def test_greedy_sets_are_distinct_and_begin_with_the_first(size, seed):
    """All rows distinct permutations; `--first` fixes the first pick."""
    m, n, first = size
    for rows in (
        greedy.max_min(n, first),
        greedy.max_min_avg(n, first),
        greedy.max_avg(n, first, Draws(seed)),
        assignment.max_avg(n, first, Draws(seed)),
        greedy.max_avg_in_floats(n, first),
    ):
        assert np.array_equal(rows[0], first)
        assert (np.sort(rows, axis=1) == np.arange(m)).all()
        assert len(np.unique(rows, axis=0)) == n


@given(sizes())
def test_float_ties_are_a_choice_among_the_integer_optima(size):
    """Rounding decides between equal means and never against a larger one."""
    m, n, first = size
    rows = greedy.max_avg_in_floats(n, first)
    table = Listing(m)
    every = np.array([table.permutation(i) for i in range(len(table))])
    total = np.zeros(len(every), dtype=np.int64)
    for k in range(n):
        at = table.index(rows[k])
        open_ = total[total >= 0]
        assert k == 0 or total[at] == open_.min()
        total += (every == rows[k]).sum(axis=1)
        total[at] = -(1 << 40)


@given(st.integers(2, 9), st.data())
def test_listing_numbers_every_permutation_once(m, data):
    """Place and permutation are inverse to each other, in lexicographic order."""
    table = Listing(m)
    one, two = (data.draw(st.integers(0, math.factorial(m) - 1)) for _ in range(2))
    a, b = table.permutation(one), table.permutation(two)
    assert table.index(a) == one
    assert (a.tolist() < b.tolist()) == (one < two)
