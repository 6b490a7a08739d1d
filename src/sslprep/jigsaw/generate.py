"""The command `jigsaw generate`: a permutation set as a file, with what is known of it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from sslprep import console, manifest
from sslprep.atomic import OutputSet
from sslprep.errors import ParameterError, PermutationError
from sslprep.jigsaw import assignment, bounds, codes, greedy
from sslprep.jigsaw.distances import MAX_TILES, Distances, Permutations, measure
from sslprep.jigsaw.draws import GENERATOR, Draws
from sslprep.jigsaw.listing import MAX_LISTED, Permutation
from sslprep.parameters import NotNegative, command
from sslprep.results import result

Method = Literal["code", "max_min", "max_avg", "max_min_avg"]
Ties = Literal["reference", "lexicographic", "random"]
Size = Annotated[int, Meta(ge=1, le=1_000_000)]  # pretext tasks in print have 10,000 classes
Tiles = Annotated[int, Meta(ge=2, le=MAX_TILES)]

CONVENTION = (
    "Row n is the n-th permutation; entry i is the tile (numbered row by row from the top left, "
    "counted from 0) that is put at position i."
)


@result
class PermutationSet(Distances):
    """What `generate` wrote, and what is known of it."""

    written: tuple[Path, ...]  #: the files, manifest last
    method: str  #: how they were chosen

    def text(self) -> str:
        """Say in a few lines what was made and how good it is."""
        many = "permutation" if self.n == 1 else "permutations"
        lines = [f"{self.n:,} {many} of {self.m} tiles, method {self.method}", *self.lines()]
        better = codes.best(self.n, self.m)
        if better and self.minimum is not None and better.distance > self.minimum:
            lines.append(f"--method code has minimum distance {better.distance} at this size")
        return "\n".join([*lines, *map(str, self.written)])


def choose(
    n: int,
    m: int,
    method: Method,
    draws: Draws,
    *,
    ties: Ties = "random",
    first: Permutation | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Permutations:
    """Choose n ≤ m! permutations of m tiles, (n, m) uint8; the arguments are those of `generate`.

    Example:
        >>> choose(3, 3, "max_min", Draws(0), first=np.arange(3, dtype=np.uint8))
        array([[0, 1, 2],
               [1, 2, 0],
               [2, 0, 1]], dtype=uint8)
    """
    if method == "code":
        return codes.generate(n, m, draws, first)
    if first is None:
        first = draws.permutation(m).astype(np.uint8)
    if method == "max_min":
        return greedy.max_min(n, first, advance)
    if method == "max_min_avg":
        return greedy.max_min_avg(n, first, advance)
    if ties == "reference":
        return greedy.max_avg_in_floats(n, first, advance)
    chooser = greedy.max_avg if m <= MAX_LISTED else assignment.max_avg
    return chooser(n, first, draws if ties == "random" else None, advance)


@command(renamed={"output_dir": "output"})
def generate_permutations(
    output: Path,
    *,
    n: Size = 1000,
    m: Tiles | None = None,
    grid: str | None = None,
    method: Method = "code",
    ties: Ties = "random",
    min_distance: NotNegative | None = None,
    first: tuple[int | Literal["identity"], ...] | None = None,
    without_identity: bool = False,
    seed: NotNegative = 0,
    overwrite: bool = False,
) -> PermutationSet:
    """Generate a set of Jigsaw permutations that are far apart.

    Args:
        output: Where `hamming_perms_{N}_patches_{M}_{method}.npy` and its manifest go.
        n: Number of permutations, the classes of the pretext task.
        m: Number of tiles; 9, a grid of 3 × 3, unless given here or by `grid`.
        grid: Rows and columns of tiles, such as 3x4.
        method: `code` takes the best permutation code known. The others grow a set from its first
            permutation: `max_min` by the smallest distance, `max_avg` by the mean distance (any
            M), `max_min_avg` by the smallest, then the mean.
        ties: What decides between candidates of equal mean distance in `max_avg`; no other
            method looks at it. `reference` repeats the rounding of 2019, `lexicographic` takes
            the first in order, `random` any.
        min_distance: Fail if two permutations of the finished set are nearer than this.
        first: The first permutation, counted from 0, to reproduce or extend a published set, or
            `identity`, which makes class 0 the picture as it is. By default it is drawn.
        without_identity: Let no class be the picture as it is: if one would be, the tiles are
            renamed, which changes no distance.
        seed: Draws the first permutation and random ties; in `code` it relabels and shuffles.
        overwrite: Replace existing files.

    Returns:
        What was written, with the distances and what no set of this size can surpass.

    Raises:
        ParameterError: A number is out of range, or two parameters contradict each other.
        PermutationError: There is no such set, or the method cannot serve this M.
        OutputError: The files exist already or cannot be written.

    Example:
        >>> import tempfile
        >>> made = generate_permutations(Path(tempfile.mkdtemp()), n=100)
        >>> made.minimum, made.mean, made.name
        (7, 8.08, 'jigsaw-9-100-b3e7e80a')
    """
    m = _tiles(m, grid)
    given = _first(first, m)
    _check(n, m, method, ties, min_distance)
    if without_identity and (n == math.factorial(m) or first == ("identity",)):
        raise ParameterError(
            "--without-identity, but "
            + ("--first identity" if first == ("identity",) else f"N = {n} is all of M!"),
            expected="one of them",
        )
    name = f"hamming_perms_{n}_patches_{m}_{method}"
    array_name, manifest_name = f"{name}.npy", f"{name}.manifest.json"
    with OutputSet(output, [array_name], manifests=[manifest_name], overwrite=overwrite) as out:
        with console.progress(n - 1, "permutations") as advance:
            chosen = choose(n, m, method, Draws(seed), ties=ties, first=given, advance=advance)
        if without_identity:
            chosen = _without_identity(chosen, relabel=given is None)
        with console.progress(n, "rows compared") as advance:
            distances = measure(chosen, advance)
        _check_result(distances, min_distance or 0, method)
        out.save_array(array_name, chosen.astype(np.int64))
        code = {"code": codes.find(n, m).name} if method == "code" else {}
        manifest.write(
            out,
            manifest_name,
            kind="permutations",
            command="jigsaw generate",
            parameters={
                "n": n,
                "m": m,
                "method": method,
                **({"ties": ties} if method == "max_avg" else {}),
                "min_distance": min_distance,
                "first": None if given is None else given.tolist(),
                "without_identity": without_identity,
                "seed": seed,
            },
            inputs=[],
            seed=seed,
            generator=GENERATOR,
            counts={"permutations": n, "tiles": m},
            details={"convention": CONVENTION, **code, **distances.facts()},
        )
        out.commit()
    written = (output / array_name, output / manifest_name)
    return PermutationSet(**vars(distances), written=written, method=method)


def _tiles(m: int | None, grid: str | None) -> int:
    """Return the number of tiles that is given in one way or the other."""
    if grid is None:
        return 9 if m is None else m
    sides = re.fullmatch(r"([1-9]\d{0,2})[x×]([1-9]\d{0,2})", grid.strip().lower())
    tiles = math.prod(map(int, sides.groups())) if sides else 0
    if not 2 <= tiles <= MAX_TILES:
        raise ParameterError(
            f"--grid is {grid}",
            expected=f"rows x columns, such as 3x4, of 2 to {MAX_TILES} tiles in all",
        )
    if m not in (None, tiles):
        raise ParameterError(
            f"--grid {grid} has {tiles} tiles, --m is {m}",
            expected="one of the two, or both alike",
        )
    return tiles


def _first(first: tuple[int | str, ...] | None, m: int) -> Permutation | None:
    if first is None:
        return None
    if first == ("identity",):
        return np.arange(m, dtype=np.uint8)
    if set(first) != set(range(m)) or len(first) != m:
        one_based = set(first) == set(range(1, m + 1)) and len(first) == m
        raise PermutationError(
            f"the first permutation {','.join(map(str, first))} is none of 0…{m - 1}",
            expected=f"each of 0…{m - 1} once",
            remedy="It counts from 1; subtract 1 from each entry." if one_based else None,
        )
    return np.array(first, dtype=np.uint8)


def _check(n: int, m: int, method: Method, ties: Ties, min_distance: int | None) -> None:
    """Refuse what cannot work before any work."""
    if n > math.factorial(m):
        raise PermutationError(
            f"there are only {math.factorial(m)} permutations of {m} tiles, N = {n} asked for",
            remedy="Ask for fewer permutations, or cut the image into more tiles.",
        )
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
    if min_distance is not None:
        bound = bounds.largest_minimum(n, m)
        if min_distance > m:
            raise ParameterError(f"--min-distance is {min_distance}", expected=f"0 to M = {m}")
        if bound is not None and bound.value < min_distance:
            raise PermutationError(
                f"no {n} permutations of {m} tiles have minimum distance {min_distance}",
                expected=f"at most {bound.value}: {bound.reason}",
                remedy="Lower --min-distance, or ask for fewer permutations.",
            )


def _without_identity(chosen: Permutations, *, relabel: bool) -> Permutations:
    """Return a set without a row that shuffles nothing, by other names for the tiles if need be.

    Raises:
        PermutationError: There is such a row, and the names are not to be changed.
    """
    members = {bytes(row): number for number, row in enumerate(chosen)}
    unshuffled = np.arange(chosen.shape[1], dtype=np.uint8)
    row = members.get(bytes(unshuffled))
    if row is None:
        return chosen
    if not relabel:
        raise PermutationError(
            f"row {row} of the set with this first permutation shuffles nothing",
            remedy="Give another --first or --seed, or leave --first out.",
        )
    missing = next(p for p in itertools.permutations(unshuffled) if bytes(p) not in members)
    return np.argsort(missing).astype(np.uint8)[chosen]  # as if the missing one had been there


def _check_result(found: Distances, wanted: int, method: Method) -> None:
    """Refuse a finished set with two permutations that are too near."""
    if found.minimum is None or found.minimum >= wanted:
        return
    better = codes.best(found.n, found.m)
    advice = "Lower --min-distance, or ask for fewer permutations"
    if better is not None and better.distance >= wanted and method != "code":
        advice = f"Use --method code, which has {better.distance} at this size"
    raise PermutationError(
        f"the set by {method} has minimum distance {found.minimum}",
        expected=f"at least {wanted}",
        remedy=f"{advice}; nothing was written.",
    )
