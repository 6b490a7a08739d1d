"""What no permutation set of a given size can surpass: its minimum and its mean distance."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    (11, 6): 158617,
    (11, 7): 36718,
    (12, 7): 361395,
    (13, 8): 879527,
}
"""Largest size by (M, minimum distance), where below the other bounds and a million.

Delsarte's linear program over the conjugacy classes of S_M (Tarnanen, Upper bounds on permutation
codes via linear programming, European J. Combinatorics 20, 1999). Each entry has a certificate in
tests/jigsaw/certificates.json, which proves it by integer arithmetic alone.
"""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A bound and why it holds, in a sentence."""

    value: int
    reason: str


def _size_bounds(m: int, distance: int) -> Iterator[tuple[int, str]]:
    """Yield bounds on the size of a set of this minimum distance, the plainest argument first."""
    # Two members never agree in the same m - distance + 1 places.
    yield (
        math.factorial(m) // math.factorial(distance - 1),
        f"{m}!/{distance - 1}!: Frankl and Deza 1977",
    )
    # What differs from a member in at most `radius` places is nearer to it than to any other.
    radius = (distance - 1) // 2
    ball = sum(math.comb(m, k) * _derangements(k) for k in range(radius + 1))
    yield math.factorial(m) // ball, f"{m}!/{ball}: sphere packing"
    if (m, distance) in _BY_LINEAR_PROGRAMMING:
        yield (
            _BY_LINEAR_PROGRAMMING[m, distance],
            "linear programming bound: Tarnanen 1999",
        )


def _derangements(k: int) -> int:
    """Return how many permutations of k things leave none in its place."""
    return sum((-1) ** i * math.perm(k, k - i) for i in range(k + 1))


def largest_size(m: int, distance: int) -> int:
    """Return how many permutations of m tiles can be pairwise at least `distance` apart, at most.

    Example:
        >>> largest_size(9, 6)
        1962
    """
    return min(size for size, _ in _size_bounds(m, distance))


def largest_minimum(n: int, m: int) -> Bound | None:
    """Return a bound on the minimum distance of n permutations of m tiles.

    None for n = 1: there are no pairs.

    Example:
        >>> largest_minimum(2000, 9).value
        5
    """
    if n < 2:
        return None
    reason = f"two permutations of {m} tiles differ in at most {m} places"
    for distance in range(m, 1, -1):
        against = next((found for found in _size_bounds(m, distance) if found[0] < n), None)
        if against is None:
            return Bound(value=distance, reason=reason)
        size, why = against
        reason = f"at most {size} permutations of {m} tiles are pairwise {distance} apart ({why})"
    raise ValueError(f"there are no {n} permutations of {m} tiles")


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
