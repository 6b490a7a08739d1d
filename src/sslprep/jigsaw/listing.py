"""All M! permutations in lexicographic order, as a table that is never written out.

An order of M values is one of its first values (the head) followed by one of what is left (the
tail). What a tail scores depends only on the *set* of values left, so the table of all scores,
(heads, tails), is a small array per head plus a small array per set: for M = 9, 3024 heads and 126
sets of five values with 120 tails each stand for 362,880 permutations. Row after row, the table is
in lexicographic order.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Permutation = NDArray[np.uint8]

MAX_LISTED = 10
"""Largest M whose permutations are listed: 3,628,800 of them."""


class Listing:
    """The table of all permutations of m values.

    Args:
        m: 2…MAX_LISTED.
    """

    shape: tuple[int, int]  #: (heads, tails)
    set_of_head: NDArray[np.intp]  #: number of the set of values that each head leaves, (heads,)

    def __init__(self, m: int) -> None:
        self.m = m
        tail = min(5, m)
        heads = list(itertools.permutations(range(m), m - tail))
        by_position = np.array(heads, dtype=np.intp).reshape(len(heads), m - tail).T
        self._heads = list(np.ascontiguousarray(by_position))
        sets = [list(itertools.combinations(range(m), size)) for size in range(tail + 1)]
        numbers = [{values: k for k, values in enumerate(of_size)} for of_size in sets]
        left = [tuple(sorted(set(range(m)) - set(head))) for head in heads]
        self.set_of_head = np.array([numbers[tail][values] for values in left], dtype=np.intp)
        self.shape = (len(heads), math.factorial(tail))
        # For each size: the values of every set, and the sets that remain without each of them.
        self._steps = [
            (
                np.array(sets[size], dtype=np.intp),
                np.array(
                    [
                        [numbers[size - 1][v[:i] + v[i + 1 :]] for i in range(size)]
                        for v in sets[size]
                    ],
                    dtype=np.intp,
                ),
            )
            for size in range(1, tail + 1)
        ]

    def __len__(self) -> int:
        return math.factorial(self.m)

    def permutation(self, index: int) -> Permutation:
        """Return the permutation at a place of the lexicographic order, (m,) uint8.

        Example:
            >>> Listing(4).permutation(23)
            array([3, 2, 1, 0], dtype=uint8)
        """
        left = list(range(self.m))
        values = []
        for size in range(self.m - 1, -1, -1):
            k, index = divmod(index, math.factorial(size))
            values.append(left.pop(k))
        return np.array(values, dtype=np.uint8)

    def index(self, permutation: Permutation) -> int:
        """Return a permutation's place in the lexicographic order.

        Example:
            >>> Listing(4).index(np.array([3, 2, 1, 0], dtype=np.uint8))
            23
        """
        left = list(range(self.m))
        place = 0
        for value in permutation.tolist():
            k = left.index(value)
            place = place * len(left) + k
            del left[k]
        return place

    def sums(self, weights: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
        """Write the sum of weights[i, p[i]] of every permutation p into `out`, and return it.

        Tails grow from the end: one value of a set, followed by a tail of the rest.

        Args:
            weights: (m, m), by position and value, of the dtype of `out`, which must hold the sums.
            out: (heads, tails).
        """
        heads = np.zeros(self.shape[0], dtype=weights.dtype)
        for i, column in enumerate(self._heads):
            heads += weights[i].take(column)
        tails = np.zeros((1, 1), dtype=weights.dtype)
        for size, (values, rest) in enumerate(self._steps, start=1):
            longer = tails.take(rest, axis=0)  # (sets, size, tails of the rest)
            longer += weights[self.m - size].take(values)[:, :, None]
            tails = longer.reshape(len(values), -1)
        np.take(tails, self.set_of_head, axis=0, out=out, mode="clip")
        out += heads[:, None]
        return out


def indicator(permutation: Permutation) -> NDArray[np.uint8]:
    """Return the weights whose sums are the agreements with one permutation, (m, m) uint8."""
    weights = np.zeros((len(permutation), len(permutation)), dtype=np.uint8)
    weights[np.arange(len(permutation)), permutation] = 1
    return weights
