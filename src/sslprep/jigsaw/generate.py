"""The command `jigsaw generate`: a permutation set as a file, with what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep import console, manifest
from sslprep.files import OutputSet
from sslprep.jigsaw import assignment, codes, float_ties, greedy
from sslprep.jigsaw.distances import Distances, measure
from sslprep.jigsaw.limits import Method, Ties, check_request, check_result
from sslprep.jigsaw.listing import MAX_LISTED, Permutation

GENERATOR = "numpy.random.default_rng(seed)"
CONVENTION = (
    "Row n is the n-th permutation; entry i is the tile (numbered row by row from the top left, "
    "counted from 0) that is put at position i."
)


@dataclass(frozen=True, kw_only=True)
class PermutationSet:
    """What `generate` wrote.

    Attributes:
        written: The files, manifest last.
        n: Number of permutations.
        m: Number of tiles.
        method: How they were chosen.
        minimum: Smallest distance of a pair; None for a single permutation.
        mean: Mean distance; None for a single permutation.
        mean_exact: The same as a fraction.
        minimum_bound: No set of this size has a larger minimum.
        mean_bound: No set of this size has a larger mean.
        warnings: What there is to mind.
    """

    written: tuple[Path, ...]
    n: int
    m: int
    method: str
    minimum: int | None
    mean: float | None
    mean_exact: str | None
    minimum_bound: int | None
    mean_bound: float | None
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Say in a few lines what was made and how good it is."""
        many = "permutation" if self.n == 1 else "permutations"
        lines = [f"{self.n:,} {many} of {self.m} tiles, method {self.method}"]
        if self.minimum is not None:
            lines += [
                f"minimum distance {self.minimum} (no set of this size has more than "
                f"{self.minimum_bound})",
                f"mean distance {self.mean:.4f} (at most {self.mean_bound:.4f})",
            ]
        better = codes.best(self.n, self.m)
        if better and self.minimum is not None and better.distance > self.minimum:
            lines.append(f"--method code has minimum distance {better.distance} at this size")
        return "\n".join([*lines, *map(str, self.written)])


def choose(
    n: int,
    m: int,
    method: Method,
    *,
    rng: np.random.Generator,
    ties: Ties = "random",
    first: Permutation | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.uint8]:
    """Choose n permutations of m tiles.

    Args:
        n: How many, at most m!.
        m: Number of tiles.
        method: How.
        rng: Where there is a choice left.
        ties: What decides between candidates of equal mean distance, for `max_avg`.
        first: The first permutation, (m,) uint8; by default the generator draws it.
        advance: Told how many were chosen, now and then.

    Returns:
        The set, (n, m) uint8.

    Example:
        >>> choose(3, 3, "max_min", rng=np.random.default_rng(0), first=np.arange(3, dtype="u1"))
        array([[0, 1, 2],
               [1, 2, 0],
               [2, 0, 1]], dtype=uint8)
    """
    if method == "code":
        return codes.generate(n, m, rng=rng, first=first)
    if first is None:
        first = rng.permutation(m).astype(np.uint8)
    if method == "max_min":
        return greedy.max_min(n, first, advance)
    if method == "max_min_avg":
        return greedy.max_min_avg(n, first, advance)
    if ties == "reference":
        return float_ties.max_avg(n, first, advance)
    chooser = greedy.max_avg if m <= MAX_LISTED else assignment.max_avg
    return chooser(n, first, rng if ties == "random" else None, advance)


def describe(distances: Distances) -> dict[str, object]:
    """Return a set's distances and bounds as a manifest holds them."""
    bound, mean, largest = distances.minimum_bound, distances.mean, distances.mean_bound
    return {
        "minimum": distances.minimum,
        "mean": None if mean is None else {"exact": str(mean), "value": float(mean)},
        "histogram": list(distances.histogram),
        "bounds": {
            "minimum": None if bound is None else {"value": bound.value, "reason": bound.reason},
            "mean": None if largest is None else {"exact": str(largest), "value": float(largest)},
        },
    }


def generate(
    *,
    output_dir: Path,
    n: int = 1000,
    m: int = 9,
    method: Method = "code",
    ties: Ties = "random",
    min_distance: int | None = None,
    first: tuple[int, ...] | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> PermutationSet:
    """Generate a set of Jigsaw permutations that are far apart.

    Args:
        output_dir: Where `hamming_perms_{N}_patches_{M}_{method}.npy` and its manifest go.
        n: Number of permutations, the classes of the pretext task.
        m: Number of tiles: 9 for a grid of 3 × 3.
        method: `code` takes the best permutation code known (M = 4, 9, 16, 25). The others grow
            a set from its first permutation: `max_min` by the smallest distance, `max_avg` by
            the mean distance (any M), `max_min_avg` by the smallest, then the mean.
        ties: What decides between candidates of equal mean distance in `max_avg`; no other
            method looks at it. `reference` repeats the rounding of 2019, `lexicographic` takes
            the first in order, `random` any.
        min_distance: Fail if two permutations of the finished set are nearer than this.
        first: The first permutation, counted from 0, to reproduce or extend a published set. By
            default it is drawn.
        seed: Draws the first permutation and random ties; in `code` it relabels and shuffles.
        overwrite: Replace existing files.

    Returns:
        What was written, with the distances and what no set of this size can surpass.

    Raises:
        ParameterError: A number is out of range.
        PermutationError: There is no such set, or the method cannot serve this M.
        OutputError: The files exist already or cannot be written.

    Example:
        >>> import tempfile
        >>> made = generate(output_dir=Path(tempfile.mkdtemp()), n=100)
        >>> made.minimum, made.mean
        (7, 8.08)
    """
    check_request(n, m, method, ties, min_distance, first, seed)
    name = f"hamming_perms_{n}_patches_{m}_{method}"
    array_name, manifest_name = f"{name}.npy", f"{name}.manifest.json"
    with OutputSet(output_dir, [array_name], manifests=[manifest_name], overwrite=overwrite) as out:
        rng = np.random.default_rng(seed)
        given = None if first is None else np.array(first, dtype=np.uint8)
        with console.progress(n - 1, "permutations") as advance:
            chosen = choose(n, m, method, rng=rng, ties=ties, first=given, advance=advance)
        with console.progress(n, "rows compared") as advance:
            distances = measure(chosen, advance)
        if min_distance is not None and distances.minimum is not None:
            check_result(min_distance, distances.minimum, method, n, m)
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
                "first": first,
                "seed": seed,
            },
            inputs=[],
            seed=seed,
            generator=GENERATOR,
            counts={"permutations": n, "tiles": m},
            details={"convention": CONVENTION, **code, **describe(distances)},
        )
        out.commit()
    return PermutationSet(
        written=(output_dir / array_name, output_dir / manifest_name),
        n=n,
        m=m,
        method=method,
        minimum=distances.minimum,
        mean=None if distances.mean is None else float(distances.mean),
        mean_exact=None if distances.mean is None else str(distances.mean),
        minimum_bound=distances.minimum_bound.value if distances.minimum_bound else None,
        mean_bound=None if distances.mean_bound is None else float(distances.mean_bound),
    )
