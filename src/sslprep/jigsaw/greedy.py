"""Greedy permutation sets over all M! candidates, M ≤ 10.

Algorithm 1 of Noroozi and Favaro (arXiv 1603.09246): from a first permutation on, take the one that
is farthest from those chosen, by its smallest distance (`max_min`) or its mean distance
(`max_avg`). Distance and agreements add up to M, so in exact integers agreements are minimised; the
argmin of an array in lexicographic order is the rule for ties.

All take n ≤ M!, the first permutation, (M,) uint8, and `advance`, which is told now and then how
many were chosen; they return the set, (n, M) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.listing import Listing, Permutation, indicator

Advance = Callable[[int], None]


def silent(_: int) -> None:
    """Tell nobody how many were chosen."""


def max_min(n: int, first: Permutation, advance: Advance = silent) -> NDArray[np.uint8]:
    """Choose by the smallest distance to those chosen; ties: first in lexicographic order.

    Example:
        >>> max_min(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    listing = Listing(len(first))
    agreements = np.empty(listing.shape, dtype=np.uint8)
    most = np.zeros(listing.shape, dtype=np.uint8)  # agreements with the nearest chosen one

    def farthest(latest: Permutation, _: int) -> int:
        np.maximum(most, listing.sums(indicator(latest), agreements), out=most)
        # A chosen one agrees with itself in all M places, any other in M - 2 at most.
        return int(most.argmin())

    return _grow(n, first, listing, farthest, advance)


def max_avg(
    n: int, first: Permutation, draws: Draws | None = None, advance: Advance = silent
) -> NDArray[np.uint8]:
    """Choose by the mean distance to those chosen.

    The agreements of a candidate with all those chosen are the sum of the counts of its values at
    their positions, so the table of counts is all that has to be kept. Chance decides between
    equals where there are `draws`, else the lexicographic order.

    Example:
        >>> max_avg(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    listing = Listing(len(first))
    counts = np.zeros((len(first), len(first)), dtype=np.int64)
    places = np.empty(n, dtype=np.intp)
    buffers: dict[np.dtype[Any], NDArray[Any]] = {}

    def farthest(latest: Permutation, k: int) -> int:
        places[k - 1] = listing.index(latest)
        counts[np.arange(len(first)), latest] += 1
        weights = _equivalent(counts, room=lambda largest: largest + 1)
        sums = buffers.setdefault(weights.dtype, np.empty(listing.shape, dtype=weights.dtype))
        flat = listing.sums(weights, sums).reshape(-1)
        flat[places[:k]] = np.iinfo(weights.dtype).max
        if draws is None:
            return int(flat.argmin())
        ties = np.flatnonzero(flat == flat.min())
        return int(ties[draws.below(len(ties))])

    return _grow(n, first, listing, farthest, advance)


def max_avg_in_floats(n: int, first: Permutation, advance: Advance = silent) -> NDArray[np.uint8]:
    """Choose by the mean distance to those chosen as a float64, as the program of 2019 did.

    After every M picks that form a Latin square all candidates have the same mean distance, and
    that program took the one whose sum of float64 distances happened to be rounded up most. To get
    its sets, the same additions are made in the same order,

        S(p) = (M - a₁)/M + (M - a₂)/M + …,  aₖ = agreements of p with the k-th pick,

    and the next pick is the first in lexicographic order with the largest S/k.

    Example:
        >>> max_avg_in_floats(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    m = len(first)
    listing = Listing(m)
    agreements = np.empty(listing.shape, dtype=np.uint8)
    sums, step, mean = np.zeros(listing.shape), np.empty(listing.shape), np.empty(listing.shape)

    def farthest(latest: Permutation, k: int) -> int:
        listing.sums(indicator(latest), agreements)
        np.add(sums, np.divide(m - agreements, m, out=step), out=sums)
        sums.reshape(-1)[listing.index(latest)] = -np.inf
        return int(np.divide(sums, k, out=mean).argmax())

    return _grow(n, first, listing, farthest, advance)


def max_min_avg(n: int, first: Permutation, advance: Advance = silent) -> NDArray[np.uint8]:
    """Choose by the smallest distance, ties by the mean, then the first in lexicographic order.

    Example:
        >>> max_min_avg(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    m = len(first)
    listing = Listing(m)
    agreements = np.empty(listing.shape, dtype=np.uint8)
    most = np.zeros(listing.shape, dtype=np.uint8)
    counts = np.zeros((m, m), dtype=np.int64)

    def farthest(latest: Permutation, _: int) -> int:
        np.maximum(most, listing.sums(indicator(latest), agreements), out=most)
        counts[np.arange(m), latest] += 1
        # One key per candidate: its nearest first, then its sum of agreements.
        weights = _equivalent(counts, room=lambda largest: (m + 1) * (largest + 1))
        step = int(weights.max(axis=1).sum()) + 1
        key = listing.sums(weights, np.empty(listing.shape, dtype=weights.dtype))
        key += np.multiply(most, step, dtype=weights.dtype)
        return int(key.argmin())

    return _grow(n, first, listing, farthest, advance)


def _grow(
    n: int,
    first: Permutation,
    listing: Listing,
    farthest: Callable[[Permutation, int], int],
    advance: Advance,
) -> NDArray[np.uint8]:
    """Add permutations: `farthest` gives the next one's place, told the k-th and last, and k."""
    chosen = np.empty((n, len(first)), dtype=np.uint8)
    chosen[0] = first
    for k in range(1, n):
        chosen[k] = listing.permutation(farthest(chosen[k - 1], k))
        advance(1)
    return chosen


def _equivalent(counts: NDArray[np.int64], room: Callable[[int], int]) -> NDArray[Any]:
    """Shift the counts, which keeps the order of their sums, into the smallest unsigned dtype.

    Args:
        counts: (m, m), by position and value.
        room: The largest value that the dtype must hold, given the largest sum.
    """
    shifted = counts - counts.min(axis=1, keepdims=True)
    largest = int(shifted.max(axis=1).sum())
    weights: NDArray[Any] = shifted.astype(np.min_scalar_type(room(largest)))
    return weights
