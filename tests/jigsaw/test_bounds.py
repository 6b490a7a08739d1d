"""The bounds, proven: certificates in integers, and exhaustive search where it can be."""

import itertools
import json
import math
import runpy
from fractions import Fraction
from pathlib import Path

import pytest

from sslprep.jigsaw.bounds import (
    _BY_LINEAR_PROGRAMMING,
    _size_bounds,
    largest_mean,
    largest_minimum,
    largest_size,
)

HERE = Path(__file__).parent
MAKER = runpy.run_path(str(HERE / "make_certificates.py"))
CERTIFICATES = json.loads((HERE / "certificates.json").read_text())
character, partitions = MAKER["character"], MAKER["partitions"]


@pytest.mark.parametrize(("pair", "size"), _BY_LINEAR_PROGRAMMING.items())
def test_certificate_proves_the_bound_in_integers(pair, size):
    weights = CERTIFICATES["{} {}".format(*pair)]
    assert all(isinstance(a, int) and a > 0 for a in weights.values())
    assert MAKER["bound_of"](*pair, weights) == size


def test_certificate_of_less_distance_proves_nothing():
    weights = CERTIFICATES["9 6"]
    assert (MAKER["bound_of"](9, 5, weights) or math.inf) > 1962


@pytest.mark.parametrize("m", [3, 6, 9])
def test_characters_are_orthogonal_and_whole(m):
    """Σ χ(a)·χ(b) over all characters is the order of a's centraliser for a = b, else 0."""
    shapes = list(partitions(m))
    for a, b in itertools.combinations_with_replacement(shapes, 2):
        total = sum(character(s, a) * character(s, b) for s in shapes)
        centraliser = math.prod(k ** a.count(k) * math.factorial(a.count(k)) for k in set(a))
        assert total == (centraliser if a == b else 0)


def test_every_exception_is_below_the_counting_bound():
    for (m, d), size in _BY_LINEAR_PROGRAMMING.items():
        assert size < math.factorial(m) // math.factorial(d - 1)
        assert largest_size(m, d) == size


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


@pytest.mark.parametrize(("m", "distance"), [(5, 3), (6, 5), (7, 4), (7, 7)])
def test_spheres_hold_what_differs_in_less_than_half_the_distance(m, distance):
    ball = sum(
        2 * sum(x != y for x, y in zip(p, range(m), strict=True)) < distance
        for p in itertools.permutations(range(m))
    )
    found = {why: size for size, why in _size_bounds(m, distance)}
    assert found[f"{m}!/{ball}: sphere packing"] == math.factorial(m) // ball


def test_ten_thousand_of_nine_need_only_sphere_packing():
    assert "at most 9807" in largest_minimum(10000, 9).reason
    assert "9!/37: sphere packing" in largest_minimum(10000, 9).reason


def test_reasons_name_the_plainest_argument_that_does():
    assert "Tarnanen" in largest_minimum(2000, 9).reason
    assert "9!/7!" in largest_minimum(100, 9).reason
    assert "differ in at most 9 places" in largest_minimum(5, 9).reason
