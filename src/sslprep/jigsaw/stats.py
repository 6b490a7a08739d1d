"""The command `jigsaw stats`: how good any permutation file is, whoever made it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import console, manifest
from sslprep.atomic import OutputSet
from sslprep.drawing.distances import distance_histogram, position_table
from sslprep.drawing.svg import document
from sslprep.errors import ParameterError, PermutationError
from sslprep.jigsaw import codes, greedy
from sslprep.jigsaw.distances import (
    MAX_TILES,
    Distances,
    Permutations,
    content_hash,
    counts_table,
    duplicate_rows,
    measure,
)
from sslprep.jigsaw.draws import Draws
from sslprep.npy import read_array
from sslprep.parameters import command
from sslprep.results import result, table

_NAMED = 5
"""Rows that an error names."""

PUBLISHED = {
    "ccce8f5d3afd9f6637b622591cb1b10e09efd3613c5c67608a501982b54d9706": (
        "the set of 100 published with the benchmark of 2019"
    ),
}
"""Sets of others, by content hash."""

_COMPARED = 30
"""First rows by which a greedy set is recognised: three Latin squares and more."""


@result
class SetStatistics(Distances):
    """What there is to say about a permutation file."""

    file: Path  #: the file
    counts_from: int  #: 0 or 1, the smallest value of each row
    duplicates: int  #: rows that repeat an earlier one
    counts: tuple[tuple[int, ...], ...]  #: [i][v]: how often tile v, from 0, is at position i
    recognised: str | None  #: which published or canonical set this is, if it is known here
    written: tuple[Path, ...] = ()  #: the plot and its manifest, where one was asked for

    def text(self) -> str:
        """Lay out what a person wants to know."""
        many = "permutation" if self.n == 1 else "permutations"
        lines = [
            f"{self.file}: {self.n:,} {many} of {self.m} tiles, counted from "
            f"{self.counts_from}, {self.duplicates:,} duplicates",
            *self.lines(),
        ]
        if self.recognised is not None:
            lines.append(f"recognised: {self.recognised}")
        if self.minimum_bound is not None:
            lines.append(f"the bound: {self.minimum_bound.reason}")
        if pairs := sum(self.histogram):
            rows = [
                [distance, count, f"{100 * count / pairs:.3f} %"]
                for distance, count in enumerate(self.histogram)
                if count
            ]
            spread = [count for row in self.counts for count in row]
            lines += ["", table(["distance", "pairs", "share"], rows), ""]
            lines.append(f"each tile at each position: {min(spread):,} to {max(spread):,} times")
        return "\n".join([*lines, *map(str, self.written)])


def as_permutations(values: NDArray[Any], where: str | Path) -> tuple[Permutations, int]:
    """Take an array of any integer dtype, counted from 0 or from 1, as permutations.

    Args:
        values: (N, M).
        where: The file that errors name.

    Returns:
        The permutations counted from 0, (N, M) uint8; and what the file counts from.

    Raises:
        PermutationError: Another shape, or rows that are no permutations or count differently.

    Example:
        >>> as_permutations(np.array([[1, 2, 3], [3, 1, 2]]), "set.npy")
        (array([[0, 1, 2],
               [2, 0, 1]], dtype=uint8), 1)
    """
    n, m = values.shape
    if n < 1 or not 2 <= m <= MAX_TILES:
        raise PermutationError(
            f"has shape ({n}, {m})",
            where=where,
            expected=f"(N, M), N ≥ 1 and 2 ≤ M ≤ {MAX_TILES}",
            remedy=_turned(values),
        )
    ordered = np.sort(values, axis=1)
    base = 1 if ordered[0, 0] == 1 else 0
    wrong = np.flatnonzero((ordered != np.arange(base, m + base)).any(axis=1))
    if len(wrong):
        named = "; ".join(f"row {row}: {_shown(values[row])}" for row in wrong[:_NAMED])
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise PermutationError(
            f"rows that are no permutations, counted from 0: {named}{more}",
            where=where,
            expected=f"each of {base}…{m + base - 1} once in every row",
            remedy=_turned(values),
        )
    return values.astype(np.uint8) - np.uint8(base), base


def _turned(values: NDArray[Any]) -> str | None:
    """Say what to do with a file whose columns are the permutations."""
    counting = np.arange(len(values))[:, None]
    turned = values.size and (np.sort(values, axis=0) == counting + values.min()).all()
    return "Its columns are permutations: save the transposed array." if turned else None


def _shown(row: NDArray[Any]) -> str:
    text = " ".join(map(str, row[:16].tolist()))
    return f"{text} …" if len(row) > 16 else text


def recognise(permutations: Permutations) -> str | None:
    """Say which known set this is, or by which greedy method it begins; None for any other.

    Example:
        >>> recognise(codes.generate(100, 9, Draws(0)))
        'the canonical set of `jigsaw generate --n 100 --m 9`'
    """
    n, m = permutations.shape
    if (known := PUBLISHED.get(content_hash(permutations))) is not None:
        return known
    code = codes.best(n, m)
    if code is not None and np.array_equal(codes.generate(n, m, Draws(0)), permutations):
        return f"the canonical set of `jigsaw generate --n {n} --m {m}`"
    if m > 9 or not m < n <= math.factorial(m):
        return None
    begin = permutations[:_COMPARED]
    for chooser, flags in (
        (greedy.max_avg_in_floats, "max_avg --ties reference"),
        (greedy.max_min, "max_min"),
        (greedy.max_min_avg, "max_min_avg"),
    ):
        if np.array_equal(chooser(len(begin), begin[0]), begin):
            first = ",".join(map(str, begin[0]))
            return f"its first {len(begin)} rows are those of --method {flags} --first {first}"
    return None


@command()
def permutation_stats(
    file: Path,
    *,
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
        >>> found = permutation_stats(path)
        >>> found.minimum, str(found.mean_exact), found.histogram
        (2, '7/3', (0, 0, 2, 1))
    """
    if plot is None:
        return _measured(file)
    if plot.suffix.lower() != ".svg":
        raise ParameterError(
            f"cannot draw a {plot.suffix or 'file without an ending'}",
            where=plot,
            expected="a name that ends in .svg",
        )
    names = plot.name, f"{plot.name}.manifest.json"
    with OutputSet(plot.parent, names[:1], manifests=names[1:], overwrite=overwrite) as out:
        inputs = manifest.Inputs(hash_inputs=hash_inputs)
        inputs.add_file(file)
        found = _measured(file)
        counts = np.array(found.counts)
        out.save_bytes(names[0], drawing(found, counts, file.name).encode())
        manifest.write(
            out,
            names[1],
            kind="plot",
            command="jigsaw stats",
            parameters={},
            inputs=inputs.records(),
            counts={"permutations": found.n, "tiles": found.m},
            details=found.facts(),
        )
        out.commit()
    return replace(found, written=tuple(plot.parent / name for name in names))


def _measured(file: Path) -> SetStatistics:
    permutations, base = as_permutations(read_array(file, ndim=2, kinds="iu"), file)
    with console.progress(len(permutations), "rows compared") as advance:
        distances = measure(permutations, advance)
    return SetStatistics(
        **vars(distances),
        file=file,
        counts_from=base,
        duplicates=duplicate_rows(permutations),
        counts=tuple(map(tuple, counts_table(permutations).tolist())),
        recognised=recognise(permutations),
    )


def drawing(distances: Distances, counts: NDArray[np.int64], title: str) -> str:
    """Draw the histogram of distances beside the bounds, and the position-value table, as SVG."""
    bound = distances.minimum_bound
    about = f"{distances.n:,} permutations of {distances.m} tiles"
    if distances.mean is not None:
        about += f", minimum distance {distances.minimum}, mean {distances.mean:.4f}"
    histogram = distance_histogram(
        distances.histogram,
        minimum_bound=None if bound is None else bound.value,
        mean_bound=distances.mean_bound,
    )
    return document([histogram, position_table(counts)], title=title, description=about)
