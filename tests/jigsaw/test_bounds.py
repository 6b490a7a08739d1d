"""The bounds, found again: linear programs from scratch, and exhaustive search where it can be."""

import itertools
import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from scipy.optimize import linprog

from sslprep.jigsaw.bounds import (
    _BY_LINEAR_PROGRAMMING,
    largest_mean,
    largest_minimum,
    largest_size,
)


def partitions(n, largest=None):
    if n == 0:
        yield ()
    for part in range(min(n, largest or n), 0, -1):
        for rest in partitions(n - part, part):
            yield (part, *rest)


@cache
def character(shape, cycles):
    """Character of S_n by the rule of Murnaghan and Nakayama, on beta numbers."""
    if not cycles:
        return 1
    beta = [part + len(shape) - 1 - i for i, part in enumerate(shape)]
    total = 0
    for b in beta:
        moved = b - cycles[0]
        if moved >= 0 and moved not in beta:
            height = sum(moved < x < b for x in beta)
            fresh = sorted({*beta} - {b} | {moved}, reverse=True)
            rest = tuple(x - (len(shape) - 1 - i) for i, x in enumerate(fresh))
            total += (-1) ** height * character(rest, cycles[1:])
    return total


def linear_program(m, distance):
    """Delsarte: largest 1 + Σ aₖ, a ≥ 0 on classes moving ≥ distance points, all transforms ≥ 0."""
    shapes = list(partitions(m))
    classes = [c for c in shapes if m - c.count(1) >= distance]
    degrees = [character(s, (1,) * m) for s in shapes]
    table = [[character(s, c) / d for c in classes] for s, d in zip(shapes, degrees, strict=True)]
    answer = linprog(-np.ones(len(classes)), A_ub=-np.array(table), b_ub=np.ones(len(shapes)))
    assert answer.success
    return 1 - answer.fun


@pytest.mark.parametrize("m", [4, 5, 6, 7, 8, 9, 10])
def test_sizes_are_those_of_the_linear_program(m):
    for distance in range(2, m + 1):
        assert math.floor(linear_program(m, distance) + 1e-6) == largest_size(m, distance)


def test_every_exception_is_below_the_counting_bound():
    for (m, d), size in _BY_LINEAR_PROGRAMMING.items():
        assert size < math.factorial(m) // math.factorial(d - 1)


@pytest.mark.parametrize(
    ("n", "bound"),
    [
        (1, None), (2, 9), (9, 9), (10, 8), (72, 8), (73, 7), (504, 7), (505, 6), (1512, 6),
        (1962, 6), (1963, 5), (7128, 5), (7129, 4), (32989, 4), (32990, 3), (181440, 3),
        (181441, 2), (362880, 2),
    ],
)  # fmt: skip
def test_bounds_for_nine_tiles(n, bound):
    found = largest_minimum(n, 9)
    assert (found and found.value) == bound


def test_more_than_all_permutations_have_no_bound():
    with pytest.raises(ValueError, match="there are no 7 permutations of 3 tiles"):
        largest_minimum(7, 3)


def test_largest_mean_is_that_of_the_best_set_of_three_tiles():
    every = list(itertools.permutations(range(3)))
    for n in range(2, 7):
        best = max(
            Fraction(
                sum(
                    sum(x != y for x, y in zip(a, b, strict=True))
                    for a, b in itertools.combinations(chosen, 2)
                ),
                math.comb(n, 2),
            )
            for chosen in itertools.combinations(every, n)
        )
        assert best == largest_mean(n, 3)


def test_reasons_name_their_source():
    assert "Tarnanen" in largest_minimum(2000, 9).reason
    assert "9!/7!" in largest_minimum(100, 9).reason
    assert "differ in at most 9 places" in largest_minimum(5, 9).reason
