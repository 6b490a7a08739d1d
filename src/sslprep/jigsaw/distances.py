"""Hamming distances within a permutation set, all exact.

A set is an array (N, M) uint8: row n, entry i is the tile (numbered row by row from the top left)
that is put at position i. The distance of two rows is the number of positions where they differ.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
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
    """What there is to say about a set of permutations; of one alone there is no distance."""

    n: int  #: number of permutations
    m: int  #: number of tiles
    name: str  #: what a paper can call the set: tiles, size, beginning of the content hash
    content_sha256: str  #: SHA-256 of the rows, counted from 0, one byte an entry
    identity: int | None  #: the first row that shuffles nothing, if there is one
    histogram: tuple[int, ...]  #: entry d is the number of pairs at distance d, d = 0…m
    minimum: int | None  #: smallest distance of a pair
    minimum_bound: Bound | None  #: what it cannot surpass; None also for more than m! rows
    mean: float | None  #: mean distance of the pairs
    mean_exact: Fraction | None  #: the same as a fraction
    mean_bound: float | None  #: what it cannot surpass

    def facts(self) -> dict[str, object]:
        """Return all but the size as a manifest holds it."""
        bound, largest = self.minimum_bound, largest_mean(self.n, self.m)
        mean = None if self.mean is None else {"exact": str(self.mean_exact), "value": self.mean}
        return {
            "name": self.name,
            "content_sha256": self.content_sha256,
            "identity": self.identity,
            "minimum": self.minimum,
            "mean": mean,
            "histogram": list(self.histogram),
            "bounds": {
                "minimum": None if bound is None else asdict(bound),
                "mean": largest and {"exact": str(largest), "value": self.mean_bound},
            },
        }

    def lines(self) -> list[str]:
        """Return what a person wants to know first."""
        lines = []
        if self.mean is not None:
            bound = self.minimum_bound
            most = f"no set of this size has more than {bound.value}" if bound else "N > M!"
            lines = [
                f"minimum distance {self.minimum} ({most})",
                f"mean distance {self.mean:.4f} (at most {self.mean_bound:.4f})",
            ]
        if self.identity is not None:
            lines.append(f"row {self.identity} shuffles nothing")
        return [*lines, f"{self.name} (content SHA-256 {self.content_sha256})"]


def measure(permutations: Permutations, advance: Callable[[int], None] | None = None) -> Distances:
    """Return the distances of a set and the bounds for its size.

    Args:
        permutations: (N, M) uint8.
        advance: Told how many rows were done, now and then.

    Example:
        >>> found = measure(np.array([[0, 1, 2], [0, 2, 1], [1, 2, 0]], dtype=np.uint8))
        >>> found.histogram, found.name
        ((0, 0, 2, 1), 'jigsaw-3-3-267caec4')
    """
    n, m = permutations.shape
    histogram = pair_histogram(permutations, advance)
    digest = content_hash(permutations)
    unshuffled = np.flatnonzero((permutations == np.arange(m)).all(axis=1))
    mean, mean_bound = mean_distance(counts_table(permutations)), largest_mean(n, m)
    return Distances(
        n=n,
        m=m,
        name=f"jigsaw-{m}-{n}-{digest[:8]}",
        content_sha256=digest,
        identity=int(unshuffled[0]) if len(unshuffled) else None,
        histogram=tuple(histogram),
        minimum=next((d for d, pairs in enumerate(histogram) if pairs), None),
        # A file with duplicates may hold more rows than there are permutations.
        minimum_bound=largest_minimum(n, m) if n <= math.factorial(m) else None,
        mean=None if mean is None else float(mean),
        mean_exact=mean,
        mean_bound=None if mean_bound is None else float(mean_bound),
    )


def content_hash(permutations: Permutations) -> str:
    """Return the SHA-256 of a set: of its rows, counted from 0, one byte an entry.

    The same for every dtype of a file, and for files that count from 1.
    """
    return hashlib.sha256(np.ascontiguousarray(permutations).tobytes()).hexdigest()


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

    Takes the cheaper of two exact ways: comparing all pairs; or counting, for every set of
    positions, the pairs that agree there.
    """
    n, m = permutations.shape
    if 2.0**m * 400 < n / 2 * m:  # measured: a sort costs some 400 byte compares per row
        return histogram_by_positions(permutations)
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
