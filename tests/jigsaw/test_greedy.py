"""The greedy sets against plain transcriptions of the published algorithm."""

import itertools
import math

import numpy as np
import pytest

from sslprep.jigsaw import assignment, greedy
from sslprep.jigsaw.distances import measure
from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.listing import Listing, indicator


def hamming(some, others):
    """Shares of places that differ, float64: (some, others)."""
    differing = np.zeros((len(some), len(others)), dtype=np.int64)
    for one, other in zip(some.T, others.T, strict=True):
        differing += one[:, None] != other
    return differing / some.shape[1]


def published(n, first, mean):
    """Algorithm 1 as printed: all distances anew at each step, float64 mean or minimum."""
    rest = np.array(list(itertools.permutations(range(len(first)))))
    at = int((rest == first).all(axis=1).argmax())
    chosen = []
    for _ in range(n):
        chosen.append(rest[at])
        rest = np.delete(rest, at, axis=0)
        if len(rest):
            distances = hamming(np.array(chosen), rest)
            at = (distances.mean(axis=0) if mean else distances.min(axis=0)).argmax()
    return np.array(chosen)


def published_in_steps(n, first, mean):
    """The same arithmetic in the same order, for sizes where the above takes minutes."""
    rest = np.array(list(itertools.permutations(range(len(first)))))
    at = int((rest == first).all(axis=1).argmax())
    kept = np.zeros(len(rest)) if mean else np.full(len(rest), np.inf)
    chosen = []
    for k in range(1, n + 1):
        chosen.append(rest[at])
        distance = hamming(rest[at : at + 1], rest)[0]
        kept = kept + distance if mean else np.minimum(kept, distance)
        kept[at] = -np.inf
        at = (kept / k if mean else kept).argmax()
    return np.array(chosen)


def first_of(m, seed=0):
    return np.random.default_rng(seed).permutation(m).astype(np.uint8)


SMALL = [
    (m, n, seed)
    for m in (2, 3, 4, 5, 6)
    for n in {1, 2, m, 2 * m + 1, 60, math.factorial(m)}
    if n <= min(math.factorial(m), 200)
    for seed in (0, 1)
]


@pytest.mark.parametrize(("m", "n", "seed"), SMALL)
def test_max_min_equals_the_published_algorithm(m, n, seed):
    first = first_of(m, seed)
    assert np.array_equal(greedy.max_min(n, first), published(n, first, mean=False))


@pytest.mark.parametrize(("m", "n", "seed"), SMALL)
def test_reference_ties_equal_the_published_algorithm(m, n, seed):
    first = first_of(m, seed)
    assert np.array_equal(greedy.max_avg_in_floats(n, first), published(n, first, mean=True))


@pytest.mark.parametrize("mean", [True, False])
def test_the_transcription_in_steps_is_the_published_algorithm(mean):
    first = first_of(7)
    one, two = published(120, first, mean), published_in_steps(120, first, mean)
    assert np.array_equal(one, two)


def test_max_min_of_a_hundred_of_nine_tiles_equals_the_published_algorithm():
    first = first_of(9)
    assert np.array_equal(greedy.max_min(100, first), published_in_steps(100, first, mean=False))


def test_reference_ties_of_a_hundred_of_nine_tiles_equal_the_published_algorithm():
    first = first_of(9)
    assert np.array_equal(
        greedy.max_avg_in_floats(100, first), published_in_steps(100, first, mean=True)
    )


def test_reference_ties_hold_when_no_square_can_be_completed():
    # All 720 of six tiles: towards the end every continuation of a square is taken already.
    first = first_of(6, 3)
    assert np.array_equal(
        greedy.max_avg_in_floats(720, first), published_in_steps(720, first, mean=True)
    )


def plain_max_avg(n, first):
    """Exact integers, ties in lexicographic order."""
    every = np.array(list(itertools.permutations(range(len(first)))))
    agreements = np.zeros(len(every), dtype=np.int64)
    chosen = [np.asarray(first)]
    for _ in range(n - 1):
        agreements += (every == chosen[-1]).sum(axis=1)
        agreements[(every == chosen[-1]).all(axis=1)] = np.iinfo(np.int64).max // 2
        chosen.append(every[agreements.argmin()])
    return np.array(chosen)


@pytest.mark.parametrize(("m", "n"), [(2, 2), (3, 6), (4, 24), (5, 120), (6, 720), (7, 400)])
def test_all_ways_to_the_largest_mean_agree(m, n):
    first = first_of(m)
    expected = plain_max_avg(n, first)
    assert np.array_equal(greedy.max_avg(n, first), expected)
    assert np.array_equal(assignment.max_avg(n, first), expected)


def test_assignment_and_listing_agree_for_nine_and_ten_tiles():
    for m, n in ((9, 250), (10, 60)):
        first = first_of(m)
        assert np.array_equal(greedy.max_avg(n, first), assignment.max_avg(n, first))


@pytest.mark.parametrize("chooser", [greedy.max_avg, assignment.max_avg])
def test_random_ties_are_distinct_seeded_and_have_the_largest_mean(chooser):
    first = first_of(7)
    one, again, other = (chooser(200, first, Draws(s)) for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert len(np.unique(one, axis=0)) == 200
    found = measure(one)
    assert found.mean == found.mean_bound


@pytest.mark.parametrize("chooser", [greedy.max_avg, assignment.max_avg])
def test_random_ties_can_take_every_permutation(chooser):
    chosen = chooser(120, first_of(5), Draws(0))
    assert len(np.unique(chosen, axis=0)) == 120


@pytest.mark.parametrize("m", [11, 16, 25])
def test_assignment_serves_any_number_of_tiles(m):
    chosen = assignment.max_avg(3 * m + 2, first_of(m))
    found = measure(chosen)
    assert found.mean == found.mean_bound
    assert found.histogram[0] == 0


def plain_max_min_avg(n, first):
    every = np.array(list(itertools.permutations(range(len(first)))))
    most, total = (np.zeros(len(every), dtype=np.int64) for _ in range(2))
    chosen = [np.asarray(first)]
    while len(chosen) < n:
        agreements = (every == chosen[-1]).sum(axis=1)
        most, total = np.maximum(most, agreements), total + agreements
        chosen.append(every[np.lexsort((total, most))[0]])  # a stable sort: first among equals
    return np.array(chosen)


# With 600 of seven tiles the counts become uneven enough to need more than a byte.
@pytest.mark.parametrize(("m", "n"), [(2, 2), (3, 6), (4, 24), (5, 100), (7, 600)])
def test_max_min_avg_breaks_ties_by_the_mean(m, n):
    first = first_of(m)
    assert np.array_equal(greedy.max_min_avg(n, first), plain_max_min_avg(n, first))


def test_progress_counts_every_pick():
    for chooser in (greedy.max_min, greedy.max_avg, greedy.max_min_avg, greedy.max_avg_in_floats):
        done = []
        chooser(150, first_of(6), advance=done.append)
        assert sum(done) == 149


@pytest.mark.parametrize("m", [2, 3, 5, 6, 7])
def test_listing_is_in_lexicographic_order(m):
    listing = Listing(m)
    every = list(itertools.permutations(range(m)))
    assert len(listing) == len(every) == listing.shape[0] * listing.shape[1]
    for i in range(0, len(every), 17):
        assert tuple(listing.permutation(i)) == every[i]
        assert listing.index(listing.permutation(i)) == i


@pytest.mark.parametrize("m", [2, 4, 6, 7])
def test_listing_sums_equal_a_loop(m):
    listing = Listing(m)
    weights = np.random.default_rng(m).integers(30, size=(m, m)).astype(np.uint16)
    sums = np.empty(listing.shape, dtype=np.uint16)
    listing.sums(weights, sums)
    every = np.array(list(itertools.permutations(range(m))))
    assert np.array_equal(sums.reshape(-1), weights[np.arange(m), every].sum(axis=1))


def test_indicator_counts_agreements():
    listing, first = Listing(5), first_of(5)
    out = np.empty(listing.shape, dtype=np.uint8)
    listing.sums(indicator(first), out)
    every = np.array(list(itertools.permutations(range(5))))
    assert np.array_equal(out.reshape(-1), (every == first).sum(axis=1))
