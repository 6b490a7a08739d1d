"""Hamming distances within a permutation set, all exact.

A set is an array (N, M) uint8: row n, entry i is the tile (numbered row by row from the top left)
that is put at position i. The distance of two rows is the number of positions where they differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.bounds import Bound, largest_mean, largest_minimum

Permutations = NDArray[np.uint8]
MAX_TILES = 255

_TILE_ROWS, _TILE_COLUMNS = 128, 4096
"""One tile of pairs: its uint8 counters and the compare beside them stay in the L2 cache."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """What there is to say about a set of permutations.

    Attributes:
        n: Number of permutations.
        m: Number of tiles.
        histogram: Entry d is the number of pairs at distance d, d = 0…m.
        minimum: Smallest distance of a pair; None for a single permutation.
        mean: Mean distance of the pairs, exact; None for a single permutation.
        minimum_bound: What the minimum cannot surpass at this size.
        mean_bound: What the mean cannot surpass.
    """

    n: int
    m: int
    histogram: tuple[int, ...]
    minimum: int | None
    mean: Fraction | None
    minimum_bound: Bound | None
    mean_bound: Fraction | None


def measure(permutations: Permutations, advance: Callable[[int], None] | None = None) -> Distances:
    """Return the distances of a set and the bounds for its size.

    Args:
        permutations: (N, M) uint8.
        advance: Told how many rows were done, now and then.

    Example:
        >>> measure(np.array([[0, 1, 2], [0, 2, 1], [1, 2, 0]], dtype=np.uint8)).histogram
        (0, 0, 2, 1)
    """
    n, m = permutations.shape
    histogram = pair_histogram(permutations, advance)
    several = n <= math.factorial(m)  # a file with duplicates may hold more than there are
    return Distances(
        n=n,
        m=m,
        histogram=tuple(histogram),
        minimum=next((d for d, pairs in enumerate(histogram) if pairs), None),
        mean=mean_distance(counts_table(permutations)),
        minimum_bound=largest_minimum(n, m) if several else None,
        mean_bound=largest_mean(n, m),
    )


def counts_table(permutations: Permutations) -> NDArray[np.int64]:
    """Return how often each value (column) stands at each position (row), (M, M)."""
    m = permutations.shape[1]
    return np.stack([np.bincount(column, minlength=m) for column in permutations.T])


def mean_distance(counts: NDArray[np.int64]) -> Fraction | None:
    """Return the exact mean distance of all pairs, given the counts table alone.

    A pair agrees at a position where both have the same value there: c(c-1)/2 pairs for a value
    that occurs c times. None where there are no pairs.
    """
    m = len(counts)
    n = int(counts[0].sum())
    if n < 2:
        return None
    agreements = sum(math.comb(c, 2) for c in counts.ravel().tolist())
    return m - Fraction(agreements, math.comb(n, 2))


def pair_histogram(
    permutations: Permutations, advance: Callable[[int], None] | None = None
) -> list[int]:
    """Return the number of pairs at each distance 0…M.

    Takes the cheapest of three exact ways: comparing all pairs; where the set falls into cosets,
    comparing one row of each with all; or counting, for every set of positions, the pairs that
    agree there.
    """
    n, m = permutations.shape
    group = coset_group(permutations)
    compares = n * n / 2 * m if group is None else float(n * n)
    by_positions = 2.0**m * n * 400  # measured: a sort costs some 400 byte compares per row
    if by_positions < compares:
        return histogram_by_positions(permutations)
    if group is not None:
        return histogram_by_cosets(permutations, advance)
    return histogram_by_pairs(permutations, advance)


def histogram_by_pairs(
    permutations: Permutations, advance: Callable[[int], None] | None = None
) -> list[int]:
    """Compare every pair, in blocks of uint8 counters: N²·M/2 byte compares."""
    n, m = permutations.shape
    columns = np.ascontiguousarray(permutations.T)
    agreeing = np.zeros(m + 1, dtype=np.int64)
    for top in range(0, n, _TILE_ROWS):
        bottom = min(top + _TILE_ROWS, n)
        block = columns[:, top:bottom]
        # The block against itself meets each pair twice, and each row once with itself.
        own = _agreements(block, block)
        own[m] -= bottom - top
        agreeing += own // 2 + _agreements(block, columns[:, bottom:])
        if advance is not None:
            advance(bottom - top)
    return [int(pairs) for pairs in agreeing[::-1]]


def coset_group(permutations: Permutations) -> Permutations | None:
    """Return the group T of positions, (M, M), if the rows come in cosets p ∘ T of M rows each.

    A set that was made so is recognised by its rows alone: T is what makes the first M rows of the
    first, every whole block of M rows must be what T makes of its first, and T must be closed.
    """
    n, m = permutations.shape
    whole = n // m
    if whole < 2:
        return None
    group = np.argsort(permutations[0])[permutations[:m]]
    blocks = permutations[: whole * m].reshape(whole, m, m)
    for part in (slice(1, 2), slice(2, None)):  # most other sets fail at once
        if not np.array_equal(blocks[part], blocks[part, 0][:, group]):
            return None
    members = {row.tobytes() for row in group}
    closed = all(row.tobytes() in members for one in group for row in one[group])
    return group.astype(np.uint8) if closed and len(members) == m else None


def histogram_by_cosets(
    permutations: Permutations, advance: Callable[[int], None] | None = None
) -> list[int]:
    """Compare the first row of each coset p ∘ T with all rows: N² byte compares.

    Rearranging the positions of both rows alike changes no distance, and the t in T only
    exchange rows within cosets. So p ∘ t has the same distances to the set as p.

    Args:
        permutations: A set of which `coset_group` is not None.
        advance: Told how many rows were done, now and then.
    """
    n, m = permutations.shape
    whole = n // m * m
    columns = np.ascontiguousarray(permutations.T)
    agreeing = np.zeros(m + 1, dtype=np.int64)
    firsts = np.ascontiguousarray(columns[:, :whole:m])
    for top in range(0, firsts.shape[1], _TILE_ROWS):
        block = firsts[:, top : top + _TILE_ROWS]
        agreeing += _agreements(block, columns[:, :whole])
        if advance is not None:
            advance(block.shape[1] * m)
    agreeing *= m
    agreeing[m] -= whole  # each row with itself
    agreeing //= 2
    rest = columns[:, whole:]
    agreeing += _agreements(rest, columns[:, :whole])
    own = _agreements(rest, rest)
    own[m] -= n - whole
    agreeing += own // 2
    if advance is not None:
        advance(n - whole)
    return [int(pairs) for pairs in agreeing[::-1]]


def _agreements(some: Permutations, others: Permutations) -> NDArray[np.int64]:
    """Count the pairs (one of some, one of the others) by number of agreements.

    Args:
        some: Few permutations as columns, (M, n).
        others: Permutations as columns, (M, any).
    """
    m, rows = some.shape
    counts = np.zeros(m + 1, dtype=np.int64)
    for left in range(0, others.shape[1], _TILE_COLUMNS):
        part = others[:, left : left + _TILE_COLUMNS]
        total = np.zeros((rows, part.shape[1]), dtype=np.uint8)
        same = np.empty(total.shape, dtype=bool)
        for one, other in zip(some, part, strict=True):
            np.equal(one[:, None], other, out=same)
            total += same.view(np.uint8)
        pending = total.size
        for k in range(m + 1):  # few agreements are the most frequent, so this ends early
            found = int(np.count_nonzero(np.equal(total, k, out=same)))
            counts[k] += found
            pending -= found
            if not pending:
                break
    return counts


def histogram_by_positions(permutations: Permutations) -> list[int]:
    """Count, for every set of positions, the pairs that agree there: 2^M sorts of N keys.

    The pairs agreeing in exactly k positions follow by inclusion and exclusion. Sets of positions
    in which no pair agrees are not extended, so for a code only few remain.
    """
    n, m = permutations.shape
    columns = [column.astype(np.uint64) for column in permutations.T]
    at_least = [0] * (m + 1)  # pairs × sets of k positions in which they agree
    at_least[0] = math.comb(n, 2)

    def extend(rows: NDArray[np.intp], key: NDArray[np.uint64], start: int, size: int) -> None:
        for i in range(start, m):
            finer = key * np.uint64(m) + columns[i][rows]
            _, group, counts = np.unique(finer, return_inverse=True, return_counts=True)
            shared = counts[group] > 1
            if not shared.any():
                continue
            at_least[size + 1] += int((counts * (counts - 1) // 2).sum())
            if i + 1 < m:
                # Numbering the groups anew keeps the key below N·M.
                extend(rows[shared], group[shared].astype(np.uint64), i + 1, size + 1)

    extend(np.arange(n), np.zeros(n, dtype=np.uint64), 0, 0)
    exactly = [
        sum((-1) ** (j - k) * math.comb(j, k) * at_least[j] for j in range(k, m + 1))
        for k in range(m + 1)
    ]
    return exactly[::-1]


def duplicate_rows(permutations: Permutations) -> int:
    """Return how many rows repeat an earlier one."""
    rows = np.ascontiguousarray(permutations)
    keys = rows.view(np.dtype((np.void, rows.shape[1]))).reshape(-1)
    return len(keys) - len(np.unique(keys))
