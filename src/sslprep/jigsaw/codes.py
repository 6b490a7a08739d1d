"""Permutation codes: sets with the largest minimum distance known, built from groups.

Every code here is closed under a regular group T of the tile positions: it is a union of cosets
p ∘ T, and the M rows of a coset form a Latin square. Listed coset by coset, each prefix has
every value in every position as evenly as can be, so its mean distance is the largest possible
(see `bounds.largest_mean`), for every N and not only for whole groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import PermutationError
from sslprep.jigsaw import groups
from sslprep.jigsaw.fields import field
from sslprep.jigsaw.groups import Permutations

# Cosets of AGL(2, 3) and of PΓL(2, 8) whose union still has distance 5 and 4. Digits are the
# values at positions 0…8. Points: (a, b) is 3a + b; the elements of GF(8), then ∞.
_AGL23_COSETS = "012345678 015274638 017256384 014276853 018236745 016243587 013275486"
_PGAMMAL28_COSETS = (
    "012345678 012483765 012584637 012435876 012546738 012376584 "
    "012573846 012487536 012453687 012358764 012438567 012347856"
)

# Images of the unit vectors 8, 4, 2, 1 of GF(2)^4 under two generators of A₇ in GL(4, 2) ≅ A₈.
# Found by trying pairs of an element of order 7 and one of order 4 until 2520 elements came out,
# the order of A₇. No element but the identity fixes more than four vectors, hence distance 12.
_A7_GENERATORS = ((1, 2, 5, 14), (1, 2, 8, 4))


@dataclass(frozen=True, kw_only=True)
class Cosets:
    """A code as coset representatives p, (cosets, M), and the regular group T, (M, M)."""

    representatives: Permutations
    regular: Permutations

    def rows(self, cosets: NDArray[np.intp]) -> Permutations:
        """Return all p ∘ t of some cosets, coset by coset: (len(cosets)·M, M) uint8."""
        picked = self.representatives[cosets]
        return picked[:, self.regular].reshape(-1, self.regular.shape[1])


@dataclass(frozen=True, kw_only=True)
class Code:
    """One code.

    Attributes:
        m: Number of tiles.
        size: How many permutations it holds; any prefix may be taken.
        distance: Its minimum distance.
        name: The group or union it is made of.
        build: Makes it.
    """

    m: int
    size: int
    distance: int
    name: str
    build: Callable[[], Cosets]


def _translations(order: int) -> Cosets:
    regular = groups.translations(field(order))
    return Cosets(representatives=regular[:1], regular=regular)


def _affine_line(order: int) -> Cosets:
    line = field(order)
    return Cosets(representatives=groups.multiplications(line), regular=groups.translations(line))


def _affine_line_with_frobenius(order: int, powers: int) -> Cosets:
    """AGL(1, q) and its images under x → x^p, …: two of them agree where x^p = a·x + b."""
    line, affine = field(order), _affine_line(order)
    cosets, power = [affine.representatives], line.frobenius
    for _ in range(powers - 1):
        cosets.append(power[affine.representatives])
        power = line.frobenius[power]
    return Cosets(representatives=np.concatenate(cosets), regular=affine.regular)


def _projective_line_of_eight(*, semilinear: bool, cosets: str) -> Cosets:
    """PGL(2, 8) or PΓL(2, 8) on nine points, and unions of its left cosets."""
    line = field(8)
    group = groups.projective_line(line)
    regular = groups.powers_of_a_full_cycle(group)
    if semilinear:
        group = groups.extended_by(group, np.append(line.frobenius, np.uint8(8)))
    return _left_cosets(cosets, Cosets(representatives=groups.fixing_zero(group), regular=regular))


def _affine_plane_of_three() -> Cosets:
    """Left cosets of AGL(2, 3) on nine points."""
    plane = Cosets(
        representatives=groups.general_linear_plane(3), regular=groups.translations(field(9))
    )
    return _left_cosets(_AGL23_COSETS, plane)


def _left_cosets(texts: str, group: Cosets) -> Cosets:
    left = np.array([list(map(int, text)) for text in texts.split()], dtype=np.uint8)
    representatives = left[:, group.representatives].reshape(-1, left.shape[1])
    return Cosets(representatives=representatives, regular=group.regular)


def _all_of_nine(*, even_only: bool) -> Cosets:
    """A₉ or S₉: every (even) order of 1…8 behind a 0, and its rotations (which are even)."""
    rest = np.array(list(itertools.permutations(range(1, 9))), dtype=np.uint8)
    if even_only:
        inversions = sum(
            (rest[:, i] > rest[:, j]).astype(np.uint8) for i in range(8) for j in range(i + 1, 8)
        )
        rest = rest[np.asarray(inversions) % 2 == 0]
    representatives = np.concatenate([np.zeros((len(rest), 1), dtype=np.uint8), rest], axis=1)
    every = np.arange(9)
    regular = ((every[:, None] + every) % 9).astype(np.uint8)
    return Cosets(representatives=representatives, regular=regular)


def _affine_alternating() -> Cosets:
    """2⁴:A₇: the translations of GF(2)^4 and the A₇ in GL(4, 2)."""
    generators = groups.linear_maps(np.array(_A7_GENERATORS, dtype=np.uint8), 2)
    return Cosets(
        representatives=groups.generated_by(generators), regular=groups.translations(field(16))
    )


def _contracted_projective_line(order: int) -> Cosets:
    """PGL(2, q) without ∞; the translations fix ∞, so they still act."""
    line = field(order)
    rows = groups.contracted(groups.projective_line(line))
    return Cosets(representatives=groups.fixing_zero(rows), regular=groups.translations(line))


CODES = (
    Code(m=4, size=4, distance=4, name="V4", build=lambda: _translations(4)),
    Code(m=4, size=12, distance=3, name="A4 = AGL(1,4)", build=lambda: _affine_line(4)),
    Code(
        m=4,
        size=24,
        distance=2,
        name="S4 = AΓL(1,4)",
        build=lambda: _affine_line_with_frobenius(4, 2),
    ),
    Code(m=9, size=9, distance=9, name="translations of GF(9)", build=lambda: _translations(9)),
    Code(m=9, size=72, distance=8, name="AGL(1,9)", build=lambda: _affine_line(9)),
    Code(
        m=9,
        size=504,
        distance=7,
        name="PGL(2,8)",
        build=lambda: _projective_line_of_eight(semilinear=False, cosets="012345678"),
    ),
    Code(
        m=9,
        size=1512,
        distance=6,
        name="PΓL(2,8)",
        build=lambda: _projective_line_of_eight(semilinear=True, cosets="012345678"),
    ),
    Code(
        m=9,
        size=3024,
        distance=5,
        name="7 left cosets of AGL(2,3)",
        build=_affine_plane_of_three,
    ),
    Code(
        m=9,
        size=18144,
        distance=4,
        name="12 left cosets of PΓL(2,8)",
        build=lambda: _projective_line_of_eight(semilinear=True, cosets=_PGAMMAL28_COSETS),
    ),
    Code(m=9, size=181440, distance=3, name="A9", build=lambda: _all_of_nine(even_only=True)),
    Code(m=9, size=362880, distance=2, name="S9", build=lambda: _all_of_nine(even_only=False)),
    Code(
        m=16, size=16, distance=16, name="translations of GF(16)", build=lambda: _translations(16)
    ),
    Code(m=16, size=240, distance=15, name="AGL(1,16)", build=lambda: _affine_line(16)),
    Code(
        m=16,
        size=480,
        distance=14,
        name="AGL(1,16) and its coset by x → x²",
        build=lambda: _affine_line_with_frobenius(16, 2),
    ),
    Code(m=16, size=40320, distance=12, name="2⁴:A7", build=_affine_alternating),
    Code(
        m=25, size=25, distance=25, name="translations of GF(25)", build=lambda: _translations(25)
    ),
    Code(m=25, size=600, distance=24, name="AGL(1,25)", build=lambda: _affine_line(25)),
    Code(
        m=25,
        size=15600,
        distance=21,
        name="contracted PGL(2,25)",
        build=lambda: _contracted_projective_line(25),
    ),
)
"""All codes, by number of tiles and then by size: the first that is large enough is the best."""


def best(n: int, m: int) -> Code | None:
    """Return the best code for n permutations of m tiles, if there is one."""
    return next((code for code in CODES if code.m == m and code.size >= n), None)


def find(n: int, m: int) -> Code:
    """Return the best code for n permutations of m tiles.

    Raises:
        PermutationError: There is none.
    """
    if (code := best(n, m)) is not None:
        return code
    sizes = [code.size for code in CODES if code.m == m]
    if sizes:
        problem = f"the codes for {m} tiles end at N = {sizes[-1]}, got N = {n}"
    else:
        problem = f"no code is known here for M = {m} tiles, only for M = 4, 9, 16 and 25"
    methods = "max_min_avg, max_min or max_avg" if m <= 10 else "max_avg"
    raise PermutationError(problem, remedy=f"Use --method {methods}, which works at this size.")


def generate(
    n: int,
    m: int,
    *,
    rng: np.random.Generator,
    first: Permutations | None = None,
) -> Permutations:
    """Return n permutations of m tiles from the best code.

    The generator shuffles the cosets and relabels values and positions; neither changes a
    distance's bound or the mean. Sets from the same code and seed are prefixes of each other.

    Args:
        n: How many.
        m: Number of tiles.
        rng: Chooses among the equally good.
        first: Relabels the values so that this is the first row.

    Returns:
        The permutations, (n, m) uint8.

    Raises:
        PermutationError: There is no code for this size.

    Example:
        >>> rows = generate(100, 9, rng=np.random.default_rng(0))
        >>> min((a != b).sum() for a, b in itertools.combinations(rows, 2))
        np.int64(7)
    """
    cosets = find(n, m).build()
    order = rng.permutation(len(cosets.representatives))
    values = rng.permutation(m).astype(np.uint8)
    positions = rng.permutation(m)
    rows = cosets.rows(order[: -(-n // m)])[:n]
    rows = values[rows[:, positions]]
    if first is not None:
        relabel = np.empty_like(values)
        relabel[rows[0]] = first
        rows = relabel[rows]
    return rows
