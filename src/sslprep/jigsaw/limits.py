"""What each method can serve, checked before any work, and what the finished set must reach."""

from __future__ import annotations

import math
from typing import Literal

from sslprep.errors import ParameterError, PermutationError
from sslprep.jigsaw import bounds, codes
from sslprep.jigsaw.distances import MAX_TILES
from sslprep.jigsaw.listing import MAX_LISTED

Method = Literal["code", "max_min", "max_avg", "max_min_avg"]
Ties = Literal["reference", "lexicographic", "random"]

MAX_SET = 1_000_000
"""Largest N; the pretext tasks in print have 10,000 classes at most."""


def check_request(
    n: int,
    m: int,
    method: Method,
    ties: Ties,
    min_distance: int | None,
    first: tuple[int, ...] | None,
    seed: int,
) -> None:
    """Refuse what cannot work; the arguments are those of `generate`.

    Raises:
        ParameterError: A number is out of range.
        PermutationError: There is no such set, or the method cannot serve this M.
    """
    if n < 1:
        raise ParameterError(f"N = {n}", expected="at least one permutation")
    if n > MAX_SET:
        raise ParameterError(f"N = {n}", expected=f"at most {MAX_SET}")
    if not 2 <= m <= MAX_TILES:
        raise ParameterError(f"M = {m} tiles", expected=f"2 to {MAX_TILES}, such as 9 for 3 × 3")
    if n > math.factorial(m):
        raise PermutationError(
            f"there are only {math.factorial(m)} permutations of {m} tiles, N = {n} asked for",
            remedy="Ask for fewer permutations, or cut the image into more tiles.",
        )
    if seed < 0:
        raise ParameterError(f"seed = {seed}", expected="0 or a positive integer")
    if method == "code":
        codes.find(n, m)
    elif m > MAX_LISTED and method != "max_avg":
        raise PermutationError(
            f"{method} compares all M! candidates, too many for M = {m} tiles",
            expected=f"M at most {MAX_LISTED}",
            remedy="Use --method max_avg, which works for any M"
            f"{', or --method code' if codes.best(n, m) else ''}.",
        )
    elif m > MAX_LISTED and ties == "reference":
        raise PermutationError(
            f"--ties reference adds up rounding errors of all M! candidates, too many for M = {m}",
            expected=f"M at most {MAX_LISTED}",
            remedy="Use --ties random or --ties lexicographic.",
        )
    if first is not None and sorted(first) != list(range(m)):
        one_based = sorted(first) == list(range(1, m + 1))
        raise PermutationError(
            f"the first permutation {','.join(map(str, first))} is none of 0…{m - 1}",
            expected=f"each of 0…{m - 1} once",
            remedy="It counts from 1; subtract 1 from each entry." if one_based else None,
        )
    if min_distance is not None:
        bound = bounds.largest_minimum(n, m)
        if min_distance < 0 or min_distance > m:
            raise ParameterError(f"min_distance = {min_distance}", expected=f"0 to M = {m}")
        if bound is not None and bound.value < min_distance:
            raise PermutationError(
                f"no {n} permutations of {m} tiles have minimum distance {min_distance}",
                expected=f"at most {bound.value}: {bound.reason}",
                remedy="Lower --min-distance, or ask for fewer permutations.",
            )


def check_result(min_distance: int, minimum: int, method: Method, n: int, m: int) -> None:
    """Refuse a finished set with two permutations that are too near.

    Raises:
        PermutationError: Its minimum distance is below `min_distance`.
    """
    if minimum >= min_distance:
        return
    better = codes.best(n, m)
    if better is not None and better.distance >= min_distance and method != "code":
        remedy = (
            f"Use --method code, which has {better.distance} at this size; nothing was written."
        )
    else:
        remedy = "Lower --min-distance, or ask for fewer permutations; nothing was written."
    raise PermutationError(
        f"the set by {method} has minimum distance {minimum}",
        expected=f"at least {min_distance}",
        remedy=remedy,
    )
