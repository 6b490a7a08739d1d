"""`max_avg` for any number of tiles, where M! candidates cannot be listed.

The candidate that agrees least with those chosen is a linear assignment of values to positions,
at the cost of the table of counts. The Hungarian method turns the table into surcharges ≥ 0: what
an assignment's surcharges add up to is what it costs above the optimum, so the optimal candidates
are the perfect matchings of the zeros. Choosing one adds 1 to M surcharges, and from there the
method goes on. A walk visits candidates in lexicographic order up to the first that is not chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.greedy import Advance, silent
from sslprep.jigsaw.listing import Permutation

Matching = dict[int, int]
"""The row that holds each column; a column is a power of 2."""


def max_avg(
    n: int, first: Permutation, draws: Draws | None = None, advance: Advance = silent
) -> NDArray[np.uint8]:
    """Choose by the mean distance to those chosen, like `greedy.max_avg`.

    `draws` take ties in a random order of positions and values, anew for each pick.

    Example:
        >>> max_avg(4, np.array([0, 1, 2], dtype=np.uint8)).tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]
    """
    m = len(first)
    surcharges = np.zeros((m, m), dtype=np.int64)
    positions = values = np.arange(m)
    chosen = np.empty((n, m), dtype=np.uint8)
    chosen[0] = first
    seen = {first.tobytes()}

    def is_new(columns: list[int]) -> bool:
        chosen[k, positions] = values[columns]
        return chosen[k].tobytes() not in seen

    for k in range(1, n):
        surcharges[np.arange(m), chosen[k - 1]] += 1
        if draws is not None:
            positions, values = draws.permutation(m), draws.permutation(m)
        table = surcharges[np.ix_(positions, values)]
        optimal = _matching_of_zeros(table)
        surcharges[np.ix_(positions, values)] = table
        # All optimal ones may be chosen already; then those that cost one more, and so on.
        for surplus in itertools.count():
            if _walk(table, surplus, optimal, is_new):
                break
        seen.add(chosen[k].tobytes())
        advance(1)
    return chosen


def _matching_of_zeros(surcharges: NDArray[np.int64]) -> Matching:
    """Shift surcharges ≥ 0, in place, until their zeros hold a perfect matching; return it."""
    allowed = _at_most(surcharges, 0)
    matching: Matching = {}
    for row in range(len(surcharges)):
        while (tried := _place(row, allowed, matching, 0)) >= 0:
            # Rows that compete for the columns tried, all of them taken: their cheapest way out.
            columns = np.array([tried >> i & 1 for i in range(len(surcharges))], dtype=bool)
            rows = [row, *(matching[1 << i] for i in np.flatnonzero(columns).tolist())]
            surcharges[:, columns] += (least := surcharges[rows][:, ~columns].min())
            surcharges[rows] -= least
            allowed = _at_most(surcharges, 0)
    return matching


def _at_most(surcharges: NDArray[np.int64], budget: int) -> list[int]:
    """Return the columns that each row may take within a budget, as bits."""
    packed = np.packbits(surcharges <= budget, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _place(row: int, allowed: list[int], matching: Matching, closed: int) -> int:
    """Give a row a column, moving others where that helps (an augmenting path).

    Args:
        row: A row without a column.
        allowed: Columns that each row may take, as bits.
        matching: Changed in place, where there is a way.
        closed: Columns that may not be used, as bits.

    Returns:
        -1, or, where there is no way, the closed columns and all those tried.
    """
    while options := allowed[row] & ~closed:
        later = options >> row << row or options  # not all rows the same first: shorter paths
        column = later & -later
        closed |= column
        if column in matching:
            tried = _place(matching[column], allowed, matching, closed)
            if tried >= 0:
                closed = tried
                continue
        matching[column] = row
        return -1
    return closed


def _walk(
    surcharges: NDArray[np.int64],
    surplus: int,
    optimal: Matching,
    is_new: Callable[[list[int]], bool],
) -> bool:
    """Visit the assignments within a sum of surcharges in lexicographic order, up to a new one."""
    m = len(surcharges)
    costs: list[list[int]] = surcharges.tolist()
    columns: list[int] = []

    def search(budget: int, allowed: list[int], taken: int, matching: Matching | None) -> bool:
        row = len(columns)
        if row == m:
            return is_new(columns)
        options = allowed[row] & ~taken
        while options:
            column = options & -options
            options ^= column
            number = column.bit_length() - 1
            left = budget - costs[row][number]
            still, known = allowed, matching
            if left < budget:  # with less to spend some columns are closed: match anew
                still, known = _at_most(surcharges, left), None
            trial = _matching_after(row, m, column, still, taken, known)
            if trial is not None:
                columns.append(number)
                if search(left, still, taken | column, trial):
                    return True
                columns.pop()
        return False

    return search(surplus, _at_most(surcharges, surplus), 0, None if surplus else optimal)


def _matching_after(
    row: int, m: int, column: int, allowed: list[int], taken: int, known: Matching | None
) -> Matching | None:
    """Return a matching of the rows after one that takes a column, where there is any.

    Args:
        row: The row.
        m: Number of rows.
        column: One of its columns, as a bit.
        allowed: Columns that each row may take, as bits.
        taken: Columns of the rows before it, as bits.
        known: A matching of this row and those after it, if one is known.
    """
    if known is None:
        trial, unplaced = {}, list(range(row + 1, m))
    else:
        trial = {c: r for c, r in known.items() if r != row}
        unplaced = [trial.pop(column)] if column in trial else []
    for other in unplaced:
        if _place(other, allowed, trial, taken | column) >= 0:
            return None
    return trial
