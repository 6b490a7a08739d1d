"""`max_avg` with the ties of the published sets, which float64 rounding decided.

After every M picks that form a Latin square, all candidates have the same mean distance, and the
2019 program took the one whose sum of float64 distances happened to be rounded up most. To get
its sets, the same additions have to be made in the same order:

    S(p) = ((M - a₁)/M + (M - a₂)/M) + …,  aₖ = agreements of p with the k-th pick,

and the next pick is the first in lexicographic order with the largest S/k.

What is saved: rounding (below 1e-4 even after M! additions) never outweighs a whole agreement
(1/M), so while picks complete Latin squares, only candidates that agree with none of the picks
since the last complete square compete. Each of them adds exactly (M - 0)/M = 1 per pick, so the
full table of sums is brought up to date only once per square, in runs that fit the cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.greedy import Advance, tick
from sslprep.jigsaw.listing import Listing, Permutation, indicator

_RUN = 1 << 19
"""Sums brought up to date at a time: 4 MiB of float64, all of them for M = 9."""


def max_avg(n: int, first: Permutation, advance: Advance = lambda _: None) -> NDArray[np.uint8]:
    """Choose by the mean distance to those chosen as a float64, as the 2019 program did.

    Args:
        n: How many, at most M!; M at most 10.
        first: The first permutation, (M,) uint8.
        advance: Told how many were chosen, now and then.

    Returns:
        The set, (n, M) uint8.

    Example:
        >>> max_avg(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    m = len(first)
    listing = Listing(m)
    table = _Sums(listing)
    agreements = np.empty(listing.shape, dtype=np.uint8)
    agreeing = agreements.reshape(-1)
    squares = True  # the picks are complete Latin squares and the beginning of one
    rivals, sums = np.empty(0, np.intp), np.empty(0)  # that can continue the square
    chosen = np.empty((n, m), dtype=np.uint8)
    chosen[0] = first
    for k in range(1, n):
        latest = chosen[k - 1]
        table.add(latest)
        if squares and len(table.waiting) < m:
            listing.sums(indicator(latest), agreements)
            if len(table.waiting) == 1:
                rivals = np.flatnonzero(agreeing == 0)
                sums = table.flat[rivals]
                still = sums > -np.inf
            else:
                still = agreeing[rivals] == 0
            rivals, sums = rivals[still], sums[still] + 1.0
            squares = len(rivals) > 0  # else all that could continue it are chosen already
        if squares and table.waiting_for_more:
            place = int(rivals[(sums / k).argmax()])
        else:
            table.catch_up()
            place = table.farthest(k)
        chosen[k] = listing.permutation(place)
        tick(k, n, advance)
    return chosen


class _Sums:
    """The float64 sum of distances of every permutation, and the picks not yet added to it."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.table = np.zeros(listing.shape)
        self.flat = self.table.reshape(-1)
        self.waiting: list[Permutation] = []
        m = listing.m
        self._distances = (m - np.arange(m + 1)) / m  # by number of agreements
        self._rows = max(1, _RUN // listing.shape[1])
        # Distances of tails behind heads of 0, 1, … agreements.
        self._tails = np.empty((listing.head + 1, listing.sets, listing.shape[1]))
        self._buffer = np.empty((self._rows, listing.shape[1]))

    @property
    def waiting_for_more(self) -> bool:
        return 0 < len(self.waiting) < self.listing.m

    def add(self, permutation: Permutation) -> None:
        """Note a pick; it is no candidate any more."""
        self.flat[self.listing.index(permutation)] = -np.inf
        self.waiting.append(permutation)

    def catch_up(self) -> None:
        """Add the distances to all waiting picks, pick by pick, in their order."""
        for permutation in self.waiting:
            in_head, in_tail = self.listing.partial_sums(indicator(permutation))
            index = in_tail.astype(np.intp)
            for a, tails in enumerate(self._tails):
                self._distances[a:].take(index, out=tails, mode="clip")
            rows = in_head * np.intp(len(index)) + self.listing.set_of_head
            by_row = self._tails.reshape(-1, self.table.shape[1])
            for start in range(0, len(self.table), self._rows):
                part = self.table[start : start + self._rows]
                buffer = self._buffer[: len(part)]
                by_row.take(rows[start : start + self._rows], axis=0, out=buffer, mode="clip")
                part += buffer
        self.waiting.clear()

    def farthest(self, k: int) -> int:
        """Return the first place with the largest mean S/k."""
        largest = self.flat.max()
        mean = largest / k
        smallest = largest  # that gives the same mean
        while (lower := np.nextafter(smallest, 0.0)) / k == mean:
            smallest = lower
        return int((self.flat >= smallest).argmax())
