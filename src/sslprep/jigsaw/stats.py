"""The command `jigsaw stats`: how good any permutation file is, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import console, manifest
from sslprep.errors import ParameterError, PermutationError
from sslprep.files import OutputSet, read_array
from sslprep.jigsaw.distances import MAX_TILES, counts_table, duplicate_rows, measure
from sslprep.jigsaw.generate import describe
from sslprep.jigsaw.plot import drawing

_NAMED = 5
"""Rows that an error names."""


@dataclass(frozen=True, kw_only=True)
class SetStatistics:
    """What there is to say about a permutation file.

    Attributes:
        file: The file.
        n: Number of permutations.
        m: Number of tiles.
        counts_from: 0 or 1, the smallest value of each row.
        minimum: Smallest distance of a pair; None for a single permutation.
        mean: Mean distance; None for a single permutation.
        mean_exact: The same as a fraction.
        histogram: Entry d is the number of pairs at distance d, d = 0…M.
        duplicates: Rows that repeat an earlier one.
        minimum_bound: No set of this size has a larger minimum; None where N > M!.
        minimum_bound_reason: Why.
        mean_bound: No set of this size has a larger mean.
        counts: Entry [i][v]: how often tile v (counted from 0) stands at position i.
        written: The plot and its manifest, where one was asked for.
    """

    file: Path
    n: int
    m: int
    counts_from: int
    minimum: int | None
    mean: float | None
    mean_exact: str | None
    histogram: tuple[int, ...]
    duplicates: int
    minimum_bound: int | None
    minimum_bound_reason: str | None
    mean_bound: float | None
    counts: tuple[tuple[int, ...], ...]
    written: tuple[Path, ...] = ()

    def text(self) -> str:
        """Lay out what a person wants to know."""
        many = "permutation" if self.n == 1 else "permutations"
        lines = [
            f"{self.file}: {self.n:,} {many} of {self.m} tiles, counted from "
            f"{self.counts_from}, {self.duplicates:,} duplicates"
        ]
        if self.minimum is not None:
            bound = "none" if self.minimum_bound is None else self.minimum_bound
            lines.append(f"minimum distance {self.minimum}, bound {bound}")
            if self.minimum_bound_reason is not None:
                lines[-1] += f": {self.minimum_bound_reason}"
            lines.append(
                f"mean distance {self.mean:.4f} = {self.mean_exact}, bound {self.mean_bound:.4f}"
            )
            pairs = sum(self.histogram)
            rows = [
                [distance, count, f"{100 * count / pairs:.3f} %"]
                for distance, count in enumerate(self.histogram)
                if count
            ]
            lines += ["", console.table(["distance", "pairs", "share"], rows)]
            spread = [count for row in self.counts for count in row]
            lines += ["", f"each tile at each position: {min(spread):,} to {max(spread):,} times"]
        return "\n".join([*lines, *map(str, self.written)])


def read_permutations(path: Path) -> tuple[NDArray[np.uint8], int]:
    """Read a permutation file of any integer dtype, counted from 0 or from 1.

    Returns:
        The permutations counted from 0, (N, M) uint8; and what the file counts from.

    Raises:
        ArrayError: Not a two-dimensional `.npy` file of integers.
        PermutationError: Rows that are no permutations, or that count differently.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "set.npy"
        >>> np.save(path, [[1, 2, 3], [3, 1, 2]])
        >>> read_permutations(path)
        (array([[0, 1, 2],
               [2, 0, 1]], dtype=uint8), 1)
    """
    values: NDArray[Any] = read_array(path, ndim=2, kinds="iu")
    n, m = values.shape
    if n < 1 or not 2 <= m <= MAX_TILES:
        raise PermutationError(
            f"has shape ({n}, {m})", where=path, expected=f"(N, M), N ≥ 1 and 2 ≤ M ≤ {MAX_TILES}"
        )
    ordered = np.sort(values, axis=1)
    base = 1 if ordered[0, 0] == 1 else 0
    wrong = np.flatnonzero((ordered != np.arange(base, m + base)).any(axis=1))
    if len(wrong):
        named = "; ".join(f"row {row}: {_shown(values[row])}" for row in wrong[:_NAMED])
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise PermutationError(
            f"rows that are no permutations, counted from 0: {named}{more}",
            where=path,
            expected=f"each of {base}…{m + base - 1} once in every row",
        )
    return values.astype(np.uint8) - np.uint8(base), base


def _shown(row: NDArray[Any]) -> str:
    text = " ".join(map(str, row[:16].tolist()))
    return f"{text} …" if len(row) > 16 else text


def stats(
    *,
    file: Path,
    plot: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> SetStatistics:
    """Show distances, bounds and duplicates of any permutation file.

    Args:
        file: A `.npy` file of integers, one permutation per row, counted from 0 or 1.
        plot: Also draw the histogram of distances beside the bounds, and the position-value
            table, into this `.svg` file.
        overwrite: Replace an existing plot.
        hash_inputs: Let the plot's manifest hold the hash of the file even above 1 GB.

    Returns:
        The statistics.

    Raises:
        ArrayError: Not a readable file of integers.
        PermutationError: A row is no permutation.
        ParameterError: The plot is no `.svg` file.
        OutputError: The plot exists already or cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "set.npy"
        >>> np.save(path, [[0, 1, 2], [2, 0, 1], [0, 2, 1]])
        >>> found = stats(file=path)
        >>> found.minimum, found.mean_exact, found.histogram
        (2, '7/3', (0, 0, 2, 1))
    """
    if plot is not None and plot.suffix.lower() != ".svg":
        raise ParameterError(
            f"cannot draw a {plot.suffix or 'file without an ending'}",
            where=plot,
            expected="a name that ends in .svg",
        )
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(file)
    permutations, base = read_permutations(file)
    with console.progress(len(permutations), "rows compared") as advance:
        distances = measure(permutations, advance)
    counts = counts_table(permutations)
    written: tuple[Path, ...] = ()
    if plot is not None:
        names = plot.name, f"{plot.name}.manifest.json"
        with OutputSet(plot.parent, names[:1], manifests=names[1:], overwrite=overwrite) as out:
            out.save_bytes(names[0], drawing(distances, counts, file.name).encode())
            manifest.write(
                out,
                names[1],
                kind="plot",
                command="jigsaw stats",
                parameters={},
                inputs=inputs.records(),
                counts={"permutations": distances.n, "tiles": distances.m},
                details=describe(distances),
            )
            out.commit()
        written = tuple(plot.parent / name for name in names)
    bound = distances.minimum_bound
    return SetStatistics(
        file=file,
        n=distances.n,
        m=distances.m,
        counts_from=base,
        minimum=distances.minimum,
        mean=None if distances.mean is None else float(distances.mean),
        mean_exact=None if distances.mean is None else str(distances.mean),
        histogram=distances.histogram,
        duplicates=duplicate_rows(permutations),
        minimum_bound=None if bound is None else bound.value,
        minimum_bound_reason=None if bound is None else bound.reason,
        mean_bound=None if distances.mean_bound is None else float(distances.mean_bound),
        counts=tuple(map(tuple, counts.tolist())),
        written=written,
    )
