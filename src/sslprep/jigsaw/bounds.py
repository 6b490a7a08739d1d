"""What no permutation set of a given size can surpass: its minimum and its mean distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

_BY_LINEAR_PROGRAMMING = {
    (7, 4): 543,
    (7, 5): 140,
    (8, 4): 4135,
    (8, 5): 926,
    (9, 4): 32989,
    (9, 5): 7128,
    (9, 6): 1962,
    (10, 4): 302400,
    (10, 5): 64800,
    (10, 6): 16941,
    (10, 7): 4699,
}
"""Largest size by (M, minimum distance), where below M!/(d-1)!.

Delsarte's linear program over the conjugacy classes of S_M (Tarnanen, Upper bounds on permutation
codes via linear programming, European J. Combinatorics 20, 1999). The tests solve it again.
"""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A bound and why it holds, in a sentence."""

    value: int
    reason: str


def largest_size(m: int, distance: int) -> int:
    """Return how many permutations of m tiles can be pairwise at least `distance` apart, at most.

    M!/(d-1)!: two members never agree in the same M-d+1 places (Frankl and Deza, 1977).
    """
    by_counting = math.factorial(m) // math.factorial(distance - 1)
    return min(by_counting, _BY_LINEAR_PROGRAMMING.get((m, distance), by_counting))


def largest_minimum(n: int, m: int) -> Bound | None:
    """Return a bound on the minimum distance of n permutations of m tiles.

    None for n = 1: there are no pairs.

    Example:
        >>> largest_minimum(2000, 9).value
        5
    """
    if n < 2:
        return None
    for distance in range(m, 1, -1):
        if n <= largest_size(m, distance):
            return Bound(value=distance, reason=_reason(m, distance))
    raise ValueError(f"there are no {n} permutations of {m} tiles")


def _reason(m: int, distance: int) -> str:
    if distance == m:
        return f"two permutations of {m} tiles differ in at most {m} places"
    beyond = distance + 1
    size = largest_size(m, beyond)
    text = f"at most {size} permutations of {m} tiles are pairwise {beyond} apart"
    if (m, beyond) in _BY_LINEAR_PROGRAMMING:
        return f"{text} (linear programming bound: Tarnanen 1999)"
    return f"{text} ({m}!/{beyond - 1}!: Frankl and Deza 1977)"


def largest_mean(n: int, m: int) -> Fraction | None:
    """Return the largest possible mean distance of n permutations of m tiles.

    Reached where in every position each value occurs equally often, up to one: with n = q·m + r,
    a position has r values that occur q + 1 times and m - r that occur q times, and each pair of
    equal values is an agreement. None for n = 1.

    Example:
        >>> largest_mean(100, 9), round(float(largest_mean(100, 9)), 4)
        (Fraction(202, 25), 8.08)
    """
    if n < 2:
        return None
    q, r = divmod(n, m)
    agreements = m * (r * math.comb(q + 1, 2) + (m - r) * math.comb(q, 2))
    return m - Fraction(agreements, math.comb(n, 2))
