"""Greedy permutation sets over all M! candidates, M ≤ 10, in exact integers.

Algorithm 1 of Noroozi and Favaro (arXiv 1603.09246): from a first permutation on, take the one that
is farthest from those chosen, by its smallest distance (`max_min`) or its mean distance
(`max_avg`). Distance and agreements add up to M, so everything here minimises agreements; the
argmin of an array in lexicographic order is the rule for ties.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.listing import Listing, Permutation, indicator

Advance = Callable[[int], None]
_TICK = 64


def max_min(n: int, first: Permutation, advance: Advance = lambda _: None) -> NDArray[np.uint8]:
    """Choose by the smallest distance to those chosen; ties: first in lexicographic order.

    Args:
        n: How many, at most M!.
        first: The first permutation, (M,) uint8.
        advance: Told how many were chosen, now and then.

    Returns:
        The set, (n, M) uint8.

    Example:
        >>> max_min(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    listing = Listing(len(first))
    agreements = np.empty(listing.shape, dtype=np.uint8)
    most = np.zeros(listing.shape, dtype=np.uint8)  # agreements with the nearest chosen one
    chosen = np.empty((n, len(first)), dtype=np.uint8)
    chosen[0] = first
    for k in range(1, n):
        listing.sums(indicator(chosen[k - 1]), agreements)
        np.maximum(most, agreements, out=most)
        # A chosen one agrees with itself in all M places, any other in M - 2 at most.
        chosen[k] = listing.permutation(int(most.argmin()))
        tick(k, n, advance)
    return chosen


def max_avg(
    n: int,
    first: Permutation,
    rng: np.random.Generator | None = None,
    advance: Advance = lambda _: None,
) -> NDArray[np.uint8]:
    """Choose by the mean distance to those chosen.

    The agreements of a candidate with all those chosen are the sum of the counts of its values at
    their positions, so the table of counts is all that has to be kept.

    Args:
        n: How many, at most M!.
        first: The first permutation, (M,) uint8.
        rng: Chooses among ties; None takes the first in lexicographic order.
        advance: Told how many were chosen, now and then.

    Returns:
        The set, (n, M) uint8.

    Example:
        >>> max_avg(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    m = len(first)
    listing = Listing(m)
    counts = np.zeros((m, m), dtype=np.int64)
    places = np.empty(n, dtype=np.intp)
    chosen = np.empty((n, m), dtype=np.uint8)
    chosen[0] = first
    buffers: dict[np.dtype[Any], NDArray[Any]] = {}
    for k in range(1, n):
        places[k - 1] = listing.index(chosen[k - 1])
        counts[np.arange(m), chosen[k - 1]] += 1
        weights = _equivalent(counts, room=lambda largest: largest + 1)
        sums = buffers.setdefault(weights.dtype, np.empty(listing.shape, dtype=weights.dtype))
        listing.sums(weights, sums)
        flat = sums.reshape(-1)
        flat[places[:k]] = np.iinfo(weights.dtype).max
        if rng is None:
            place = int(flat.argmin())
        else:
            ties = np.flatnonzero(flat == flat.min())
            place = int(ties[rng.integers(len(ties))])
        chosen[k] = listing.permutation(place)
        tick(k, n, advance)
    return chosen


def max_min_avg(n: int, first: Permutation, advance: Advance = lambda _: None) -> NDArray[np.uint8]:
    """Choose by the smallest distance, ties by the mean, then the first in lexicographic order.

    Args:
        n: How many, at most M!.
        first: The first permutation, (M,) uint8.
        advance: Told how many were chosen, now and then.

    Returns:
        The set, (n, M) uint8.

    Example:
        >>> max_min_avg(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    m = len(first)
    listing = Listing(m)
    agreements = np.empty(listing.shape, dtype=np.uint8)
    most = np.zeros(listing.shape, dtype=np.uint8)
    counts = np.zeros((m, m), dtype=np.int64)
    chosen = np.empty((n, m), dtype=np.uint8)
    chosen[0] = first
    for k in range(1, n):
        listing.sums(indicator(chosen[k - 1]), agreements)
        np.maximum(most, agreements, out=most)
        counts[np.arange(m), chosen[k - 1]] += 1
        # One key per candidate: its nearest first, then its sum of agreements.
        weights = _equivalent(counts, room=lambda largest: (m + 1) * (largest + 1))
        step = int(weights.max(axis=1).sum()) + 1
        key = np.empty(listing.shape, dtype=weights.dtype)
        listing.sums(weights, key)
        key += np.multiply(most, step, dtype=weights.dtype)
        chosen[k] = listing.permutation(int(key.argmin()))
        tick(k, n, advance)
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


def tick(k: int, n: int, advance: Advance) -> None:
    """Tell that the k-th of the picks 1…n-1 is done, once per `_TICK` picks and at the end."""
    if k % _TICK == 0 or k == n - 1:
        advance(_TICK if k % _TICK == 0 else k % _TICK)
