"""The files of a set of bins: their names, writing them, reading them back with a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.color.lab import Table
from sslprep.color.priors import (
    LAMBDA,
    Bins,
    Points,
    check_points,
    fair_bins,
    rebalancing_weights,
    zhang_bins,
)
from sslprep.errors import ArrayError, ParameterError
from sslprep.files import OutputSet, read_array

KIND = "color-bins"
Grid = Literal["fair", "zhang"]


@dataclass(frozen=True, kw_only=True)
class Names:
    """File names of one set of bins."""

    points: str
    priors: str
    weights: str
    manifest: str

    @classmethod
    def of(cls, kind: str, dataset: str, size: int) -> Names:
        """Name the files of `--type`, `--dataset` and one `--bin_size`.

        Example:
            >>> Names.of("train", "imagenet", 10).points
            'pts_in_hull_train_imagenet_bin10.npy'
        """
        end = f"{kind}_{dataset}_bin{size}"
        return cls(
            points=f"pts_in_hull_{end}.npy",
            priors=f"priors_{end}.npy",
            weights=f"rebalance_weights_{end}.npy",
            manifest=f"pts_in_hull_{end}.manifest.json",
        )


@dataclass(frozen=True, kw_only=True)
class BinRequest:
    """Everything but the table that decides sets of bins, checked.

    Attributes:
        sizes: Sides of the bins, each once, ascending as given.
        grid: `fair` or `zhang`.
        smooth: Width of the smoothing in ab units; not used by `fair`.
        points: A given set of centres, and its file.
        weights: Whether to write rebalancing weights too.
    """

    sizes: tuple[int, ...]
    grid: Grid
    smooth: float
    points: tuple[Path, Points] | None
    weights: bool

    def parameters(self, size: int) -> dict[str, object]:
        """Return what the manifest of one size records."""
        return {
            "bin_size": size,
            "grid": self.grid,
            "smooth": self.smooth if self.grid == "zhang" else None,
            "points": None if self.points is None else str(self.points[0]),
            "weights": self.weights,
        }


def make_bin_request(
    *,
    bin_size: tuple[int, ...],
    grid: Grid,
    smooth: float,
    points: Path | None,
    weights: bool,
) -> BinRequest:
    """Check the parameters of bins; for their meaning see `bins`.

    Raises:
        ParameterError: A size, a grid or a width that cannot work, or two that exclude each other.
        ArrayError: `points` is no set of bins.
    """
    sizes = tuple(dict.fromkeys(bin_size))
    bad = [size for size in sizes if not 1 <= size <= 255]
    if bad or not sizes:
        raise ParameterError(
            f"--bin-size is {', '.join(map(str, bad)) or 'empty'}", expected="1 to 255"
        )
    if grid not in ("fair", "zhang"):
        raise ParameterError(f"--grid is {grid!r}", expected="fair or zhang")
    if not (smooth >= 0 and np.isfinite(smooth)):
        raise ParameterError(f"--smooth is {smooth}", expected="0 or a width above it")
    if points is None:
        given = None
    elif grid == "fair":
        raise ParameterError(
            "--points gives centres, --grid fair makes its own bins",
            remedy="Leave one of the two out.",
        )
    elif len(sizes) > 1:
        raise ParameterError(
            f"--points is one set of bins, --bin-size gives {len(sizes)} sizes",
            expected="one size, for the file names",
        )
    else:
        given = (points, read_points(points))
    return BinRequest(sizes=sizes, grid=grid, smooth=smooth, points=given, weights=weights)


def read_points(path: Path) -> Points:
    """Read a set of bins, [Q, 2].

    Raises:
        ArrayError: It is none, or stands under the name of priors.
    """
    array = read_array(path, kinds="iuf")
    if "prior" in path.name and array.ndim == 2:
        raise ArrayError(
            f"holds points of shape {array.shape} under the name of priors",
            where=path,
            expected="points in a pts_in_hull file, priors in a priors file",
            remedy="The list published in 2019 has the two swapped; rename both.",
        )
    if "pts_in_hull" in path.name and array.ndim == 1:
        raise ArrayError(
            f"holds priors of shape {array.shape} under the name of points",
            where=path,
            expected="points [Q, 2]",
            remedy="The list published in 2019 has the two swapped; rename both.",
        )
    return check_points(array, path)


def read_priors(path: Path, bins: int) -> NDArray[np.float64]:
    """Read the priors of `bins` bins: float64 [Q], not negative, sum 1.

    Raises:
        ArrayError: They are none, or do not fit.
    """
    array = read_array(path, kinds="iuf")
    if array.ndim == 2 and array.shape[1] == 2:
        raise ArrayError(
            f"holds points of shape {array.shape} under the name of priors",
            where=path,
            expected=f"priors ({bins},)",
            remedy="The list published in 2019 has the two swapped; rename both.",
        )
    if array.shape != (bins,):
        raise ArrayError(f"got shape {array.shape}", where=path, expected=f"({bins},), as points")
    if not (np.isfinite(array) & (array >= 0)).all() or abs(float(array.sum()) - 1) > 1e-3:
        raise ArrayError("holds no priors", where=path, expected="shares of 0 or more, sum 1")
    return array.astype(np.float64)


def bin_names(kind: str, dataset: str, request: BinRequest) -> dict[int, Names]:
    """Return the file names by size."""
    return {size: Names.of(kind, dataset, size) for size in request.sizes}


def open_outputs(
    folder: Path, names: Mapping[int, Names], *, weights: bool, overwrite: bool
) -> OutputSet:
    """Announce the files of all sizes; weights of an earlier run that would not fit go."""
    files = [name for n in names.values() for name in (n.points, n.priors)]
    weight_files = [n.weights for n in names.values()]
    return OutputSet(
        folder,
        files + (weight_files if weights else []),
        manifests=[n.manifest for n in names.values()],
        overwrite=overwrite,
        also_replaces=() if weights else weight_files,
    )


def write_bins(
    out: OutputSet,
    names: Mapping[int, Names],
    request: BinRequest,
    table: Table,
    *,
    parameters: Mapping[str, object],
    inputs: Sequence[manifest.InputRecord],
) -> dict[int, int]:
    """Write bins, priors, weights and manifest of every size; return the number of bins of each."""
    found = {}
    for size, files in names.items():
        bins = make_bins(table, size, request)
        written = [files.points, files.priors]
        out.save_array(files.points, bins.points)
        out.save_array(files.priors, bins.priors)
        if request.weights:
            out.save_array(files.weights, rebalancing_weights(bins.priors))
            written.append(files.weights)
        manifest.write(
            out,
            files.manifest,
            kind=KIND,
            command="color bins",
            parameters={**parameters, **request.parameters(size)},
            inputs=inputs,
            outputs=written,
            counts={
                "bins": len(bins.points),
                "empty_bins": bins.empty,
                "pixels": int(bins.counts.sum()),
                "pixels_outside": bins.outside,
            },
            details=_details(size, request, files, bins),
        )
        found[size] = len(bins.points)
    return found


def make_bins(table: Table, size: int, request: BinRequest) -> Bins:
    """Make the bins of one size."""
    if request.grid == "fair":
        return fair_bins(table, size)
    given = None if request.points is None else request.points[1]
    return zhang_bins(table, size, request.smooth, given)


def _details(size: int, request: BinRequest, files: Names, bins: Bins) -> dict[str, Any]:
    fair = request.grid == "fair"
    return {
        "grid": request.grid,
        "bin_size": size,
        "bins": len(bins.points),
        "points_are": "left edges" if fair else "centres",
        "points_from": "the pixels" if fair else "a file" if request.points else "the sRGB gamut",
        "smooth": None if fair else request.smooth,
        "weights_lambda": LAMBDA if request.weights else None,
        "points_file": files.points,
        "priors_file": files.priors,
        "weights_file": files.weights if request.weights else None,
        "smallest_prior": float(bins.priors.min()),
        "largest_prior": float(bins.priors.max()),
    }
