"""Permutation codes: sets with the largest minimum distance known, built from groups.

Every code here falls into blocks p ∘ T, where T is one list of M rearrangements of the positions
that takes each position to every other exactly once. The M rows of a block form a Latin square.
Listed block by block, each prefix has every value in every position as evenly as can be, so its
mean distance is the largest possible (see `bounds.largest_mean`), for every N and not only for
whole blocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import PermutationError
from sslprep.jigsaw import groups
from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.groups import FIELDS, Field, Permutations, field

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

_MOST_LISTED = 9
"""Tiles up to which all (even) permutations are taken as a code: 362,880 of them."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A code as p, (blocks, M), and the rearrangements T, (M, M), of all blocks p ∘ T."""

    representatives: Permutations
    square: Permutations

    def rows(self, blocks: NDArray[np.intp]) -> Permutations:
        """Return all p ∘ t of some blocks, block by block: (len(blocks)·M, M) uint8."""
        picked = self.representatives[blocks]
        return picked[:, self.square].reshape(-1, self.square.shape[1])


@dataclass(frozen=True)
class Code:
    """One code."""

    size: int  #: how many permutations it holds; any prefix may be taken
    distance: int  #: its minimum distance
    name: str  #: the group or union that it is made of
    build: Callable[[], Blocks]  #: makes it


def codes_for(m: int) -> tuple[Code, ...]:
    """Return the codes for m tiles: each is larger than those before and has less distance.

    Example:
        >>> [(code.size, code.distance, code.name) for code in codes_for(12)]
        [(12, 12, 'rotations'), (1320, 10, 'PGL(2,11)'), (95040, 8, 'M12')]
    """
    kept: list[Code] = []
    for code in sorted(_candidates(m), key=lambda code: (-code.distance, -code.size)):
        if code.distance > 1 and (not kept or code.size > kept[-1].size):
            kept.append(code)
    return tuple(kept)


def _candidates(m: int) -> Iterator[Code]:
    """Yield the members of every family that act on m points, and the special ones."""
    if m in FIELDS:
        q, p = m, FIELDS[m][0]
        agl = f"AGL(1,{q})"
        yield Code(q, q, f"translations of GF({q})", partial(_affine, q, translations_only=True))
        yield Code(q * (q - 1), q - 1, agl, partial(_affine, q))
        if p == 2:  # x² = a·x + b has at most two solutions
            twice, name = lambda line: line.frobenius, f"{agl} and its coset by x → x²"
            yield Code(2 * q * (q - 1), q - 2, name, partial(_affine, q, twice))
        # 1/x = a·x + b has at most two solutions; 0, which stands for its own inverse, may agree.
        inverse, name = lambda line: line.inverse, f"{agl} and its coset by x → 1/x"
        yield Code(2 * q * (q - 1), q - 3, name, partial(_affine, q, inverse))
        distance = q - 4 if q % 3 == 1 else q - 3
        yield Code(q**3 - q, distance, f"PGL(2,{q}) without ∞", partial(_projective_less_one, q))
    yield Code(m, m, "rotations", partial(_rotations, m))
    if (q := m - 1) in FIELDS:
        yield Code(q**3 - q, q - 1, f"PGL(2,{q})", partial(_projective, q))
    if (q := m + 1) in FIELDS:
        distance = q - 4 if q % 3 == 1 else q - 3
        yield Code(q * (q - 1), distance, f"AGL(1,{q}) without 0", partial(_affine_less_one, q))
    if 3 <= m <= _MOST_LISTED:
        size = math.factorial(m)
        yield Code(size // 2, 3, f"A{m}", partial(_all, m, even_only=True))
        yield Code(size, 2, f"S{m}", partial(_all, m, even_only=False))
    yield from _SPECIAL.get(m, ())


def _affine(
    q: int,
    image: Callable[[Field], Permutations] | None = None,
    *,
    translations_only: bool = False,
) -> Blocks:
    """AGL(1, q), and its image under a map of the field that fixes 0."""
    line = field(q)
    multiplications = line.multiply[1 : 2 if translations_only else q]
    if image is not None:
        multiplications = np.concatenate([multiplications, image(line)[multiplications]])
    return Blocks(representatives=multiplications, square=line.add)


def _affine_less_one(q: int) -> Blocks:
    """AGL(1, q) without 0: what goes to 0 goes where 0 goes. Multiplications still act."""
    line = field(q)
    affine = line.multiply[1:][:, line.add].reshape(-1, q)
    zero_last = (np.arange(q) + 1) % q
    renumbered = np.argsort(zero_last).astype(np.uint8)[affine[:, zero_last]]
    return _blocks(groups.contracted(renumbered), line.multiply[1:, 1:] - 1)


def _projective(q: int) -> Blocks:
    group = groups.projective_line(field(q))
    return _blocks(group, groups.powers_of_a_full_cycle(group))


def _projective_less_one(q: int) -> Blocks:
    """PGL(2, q) without ∞; the translations fix ∞, so they still act."""
    line = field(q)
    return _blocks(groups.contracted(groups.projective_line(line)), line.add)


def _rotations(m: int) -> Blocks:
    square = groups.rotations(m)
    return Blocks(representatives=square[:1], square=square)


def _semilinear(q: int) -> Blocks:
    """PΓL(2, q): PGL(2, q) and x → x^p."""
    line = field(q)
    group = groups.projective_line(line)
    square = groups.powers_of_a_full_cycle(group)
    return _blocks(groups.extended_by(group, np.append(line.frobenius, np.uint8(q))), square)


def _affine_plane_of_three() -> Blocks:
    """AGL(2, 3) on nine points."""
    return Blocks(representatives=groups.general_linear(2, 3), square=field(9).add)


def _left_cosets(texts: str, build: Callable[[], Blocks]) -> Blocks:
    """The union of left cosets of a group."""
    group = build()
    left = np.array([list(map(int, text)) for text in texts.split()], dtype=np.uint8)
    representatives = left[:, group.representatives].reshape(-1, left.shape[1])
    return Blocks(representatives=representatives, square=group.square)


def _all(m: int, *, even_only: bool) -> Blocks:
    """A_m or S_m: every (even) order of the rest behind a 0, and a Latin square (of even ones)."""
    rest = np.array(list(itertools.permutations(range(1, m))), dtype=np.uint8).reshape(-1, m - 1)
    representatives = np.concatenate([np.zeros((len(rest), 1), dtype=np.uint8), rest], axis=1)
    square = groups.rotations(m)  # even if m is odd
    if even_only:
        representatives = groups.evens(representatives)
        if m % 2 == 0:
            every = np.array(list(itertools.permutations(range(m))), dtype=np.uint8)
            square = groups.latin_square(groups.evens(every))
    return Blocks(representatives=representatives, square=square)


def _general_linear_of_two(k: int, *, affine: bool) -> Blocks:
    """GL(k, 2) on the vectors but 0, or AGL(k, 2) on all."""
    maps = groups.general_linear(k, 2)
    if affine:
        return Blocks(representatives=maps, square=field(2**k).add)
    rows = maps[:, 1:] - 1
    return _blocks(rows, groups.powers_of_a_full_cycle(rows))


def _alternating_of_seven(*, affine: bool) -> Blocks:
    """2⁴:A₇ on the vectors of GF(2)^4, or A₇ on those but 0."""
    generators = groups.linear_maps(np.array(_A7_GENERATORS, dtype=np.uint8), 2)
    maps = groups.generated_by(generators)
    if affine:
        return Blocks(representatives=maps, square=field(16).add)
    rows = maps[:, 1:] - 1
    return _blocks(rows, groups.latin_square(rows))


def _mathieu(points: int) -> Blocks:
    group = groups.mathieu(points)
    return _blocks(group, groups.latin_square(group))


def _mathieu_less_one() -> Blocks:
    """M12 without its last point; M11, which fixes that point, still acts."""
    square = groups.powers_of_a_full_cycle(groups.mathieu(11))
    return _blocks(groups.contracted(groups.mathieu(12)), square)


def _blocks(rows: Permutations, square: Permutations) -> Blocks:
    """Divide a set that is closed under a square's rows (p → p ∘ t) into blocks.

    Each p has exactly one t for which p ∘ t sends 0 to 0, so the rows that do stand for the blocks.
    """
    return Blocks(representatives=rows[rows[:, 0] == 0], square=square)


_SPECIAL: dict[int, tuple[Code, ...]] = {
    7: (Code(168, 4, "GL(3,2)", partial(_general_linear_of_two, 3, affine=False)),),
    8: (Code(1344, 4, "AGL(3,2)", partial(_general_linear_of_two, 3, affine=True)),),
    9: (
        Code(1512, 6, "PΓL(2,8)", partial(_semilinear, 8)),
        Code(
            3024,
            5,
            "7 left cosets of AGL(2,3)",
            partial(_left_cosets, _AGL23_COSETS, _affine_plane_of_three),
        ),
        Code(
            18144,
            4,
            "12 left cosets of PΓL(2,8)",
            partial(_left_cosets, _PGAMMAL28_COSETS, partial(_semilinear, 8)),
        ),
    ),
    10: (Code(1440, 6, "PΓL(2,9)", partial(_semilinear, 9)),),
    11: (
        Code(7920, 8, "M11", partial(_mathieu, 11)),
        Code(95040, 6, "M12 without a point", _mathieu_less_one),
    ),
    12: (Code(95040, 8, "M12", partial(_mathieu, 12)),),
    15: (Code(2520, 12, "A7 on 15 points", partial(_alternating_of_seven, affine=False)),),
    16: (Code(40320, 12, "2⁴:A7", partial(_alternating_of_seven, affine=True)),),
}
"""Codes of one number of tiles only, by that number."""


def best(n: int, m: int) -> Code | None:
    """Return the best code for n permutations of m tiles, if there is one."""
    return next((code for code in codes_for(m) if code.size >= n), None)


def find(n: int, m: int) -> Code:
    """Return the best code for n permutations of m tiles.

    Raises:
        PermutationError: There is none.
    """
    if (code := best(n, m)) is not None:
        return code
    methods = "max_min_avg, max_min or max_avg" if m <= 10 else "max_avg"
    raise PermutationError(
        f"the codes for {m} tiles end at N = {codes_for(m)[-1].size}, got N = {n}",
        remedy=f"Use --method {methods}, which works at this size.",
    )


def generate(n: int, m: int, draws: Draws, first: Permutations | None = None) -> Permutations:
    """Return n permutations of m tiles from the best code.

    Chance shuffles the blocks and relabels values and positions; neither changes a distance's
    bound or the mean. Sets from the same code and seed are prefixes of each other.

    Args:
        n: How many.
        m: Number of tiles.
        draws: Chooses among the equally good.
        first: Relabels the values so that this is the first row.

    Returns:
        The permutations, (n, m) uint8.

    Raises:
        PermutationError: There is no code for this size.

    Example:
        >>> rows = generate(100, 9, Draws(0))
        >>> min((a != b).sum() for a, b in itertools.combinations(rows, 2))
        np.int64(7)
    """
    blocks = find(n, m).build()
    order = draws.permutation(len(blocks.representatives))
    values = draws.permutation(m).astype(np.uint8)
    positions = draws.permutation(m)
    rows = blocks.rows(order[: -(-n // m)])[:n]
    rows = values[rows[:, positions]]
    return rows if first is None else first[np.argsort(rows[0])][rows]
