"""`max_avg` for any number of tiles, where M! candidates cannot be listed.

The candidate that agrees least with those chosen is a linear assignment of values to positions,
at the cost of the table of counts. Its dual prices turn the table into surcharges ≥ 0 that are 0
on every optimal assignment, so the optimal candidates are the perfect matchings of a bipartite
graph; a walk visits them in lexicographic order up to the first that is not chosen yet.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.greedy import Advance, tick
from sslprep.jigsaw.listing import Permutation


def max_avg(
    n: int,
    first: Permutation,
    rng: np.random.Generator | None = None,
    advance: Advance = lambda _: None,
) -> NDArray[np.uint8]:
    """Choose by the mean distance to those chosen.

    Args:
        n: How many, at most M!.
        first: The first permutation, (M,) uint8.
        rng: Takes ties in a random order of positions and values, anew for each pick; None takes
            them in lexicographic order.
        advance: Told how many were chosen, now and then.

    Returns:
        The set, (n, M) uint8.

    Example:
        >>> max_avg(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    m = len(first)
    counts = np.zeros((m, m), dtype=np.int64)
    positions = values = np.arange(m)
    chosen = np.empty((n, m), dtype=np.uint8)
    chosen[0] = first
    seen = {first.tobytes()}
    for k in range(1, n):
        counts[np.arange(m), chosen[k - 1]] += 1
        if rng is not None:
            positions, values = rng.permutation(m), rng.permutation(m)
        surcharges, optimal = _optimum(counts[np.ix_(positions, values)])
        walk = _Walk(surcharges, chosen[k], positions, values, seen)
        # All optimal ones may be chosen already; then those that cost one more, and so on.
        for surplus in itertools.count():
            if walk.reaches(surplus, optimal):
                break
        seen.add(chosen[k].tobytes())
        tick(k, n, advance)
    return chosen


def _optimum(costs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Solve an assignment problem exactly, prices included.

    Args:
        costs: (m, m) by row and column, below 2^53.

    Returns:
        The surcharges, (m, m): every assignment's sum of surcharges is what it costs above the
        optimum; and one optimal assignment, (m,).
    """
    from scipy.optimize import linear_sum_assignment

    costs = costs - costs.min(axis=1, keepdims=True)
    rows, columns = linear_sum_assignment(costs)
    paid = costs[rows, columns]
    # Prices of rows are shortest paths over exchanges: row i takes over the column of row k.
    exchange = costs[:, columns] - paid
    prices = np.zeros_like(paid)
    while not np.array_equal(lower := (exchange + prices).min(axis=1), prices):
        prices = lower
    surcharges = costs - prices[:, None]
    surcharges[:, columns] -= paid - prices
    return surcharges, columns


class _Walk:
    """Assignments of given surplus in lexicographic order, up to the first that is new.

    Args:
        surcharges: (m, m) by row and column, integers ≥ 0.
        result: Where the permutation goes, (m,) uint8.
        positions: The position that each row stands for.
        values: The value that each column stands for.
        seen: Permutations that are not new, as bytes.
    """

    def __init__(
        self,
        surcharges: NDArray[np.int64],
        result: Permutation,
        positions: NDArray[np.intp],
        values: NDArray[np.intp],
        seen: set[bytes],
    ) -> None:
        self._surcharges: list[list[int]] = surcharges.tolist()
        self._table = surcharges
        self._result, self._positions, self._values, self._seen = result, positions, values, seen
        self._m = len(surcharges)
        self._assigned = [0] * self._m

    def reaches(self, surplus: int, optimal: NDArray[np.intp]) -> bool:
        """Write the first new assignment of exactly this surplus into the result, if any."""
        return self._search(
            0, surplus, self._allowed(surplus), (1 << self._m) - 1, optimal.tolist()
        )

    def _allowed(self, budget: int) -> list[int]:
        """Return the columns that each row may take within a budget, as bits."""
        packed = np.packbits(self._table <= budget, axis=1, bitorder="little")
        return [int.from_bytes(row.tobytes(), "little") for row in packed]

    def _search(
        self, row: int, budget: int, allowed: list[int], free: int, matching: list[int]
    ) -> bool:
        """Assign the rows from `row` on, given that `matching` assigns them to free columns."""
        if row == self._m:
            return budget == 0 and self._is_new()
        columns = allowed[row] & free
        while columns:
            bit = columns & -columns
            columns ^= bit
            column = bit.bit_length() - 1
            left = budget - self._surcharges[row][column]
            if left == budget:
                still_allowed, trial = allowed, matching.copy()
            else:  # with less to spend some columns are closed, so look for a new matching
                still_allowed, trial = self._allowed(left), [-1] * self._m
            if _complete(row, column, still_allowed, free, trial):
                self._assigned[row] = column
                if self._search(row + 1, left, still_allowed, free ^ bit, trial):
                    return True
        return False

    def _is_new(self) -> bool:
        self._result[self._positions] = self._values[self._assigned]
        return self._result.tobytes() not in self._seen


def _complete(row: int, column: int, allowed: list[int], free: int, matching: list[int]) -> bool:
    """Give `column` to `row` and repair the matching of the rows after it, if that can be done.

    Args:
        row: The row.
        column: One of the free columns.
        allowed: Columns that each row may take, as bits.
        free: Columns that no row before this one has, as bits.
        matching: Column of each row from this one on, -1 where none is known; changed in place.
    """
    m = len(matching)
    owner = {matching[r]: r for r in range(row + 1, m) if matching[r] >= 0}
    matching[row] = column
    evicted = owner.pop(column, None)
    if evicted is not None:
        matching[evicted] = -1
    closed = ~free | 1 << column

    def place(r: int) -> bool:
        nonlocal closed
        while options := allowed[r] & ~closed:
            bit = options & -options
            closed |= bit
            wanted = bit.bit_length() - 1
            if wanted not in owner or place(owner[wanted]):
                owner[wanted], matching[r] = r, wanted
                return True
        return False

    for r in range(row + 1, m):
        if matching[r] < 0:
            closed = ~free | 1 << column
            if not place(r):
                return False
    return True
