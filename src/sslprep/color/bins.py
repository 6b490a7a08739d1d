"""Bins and priors of any number of sizes from histograms, without the images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sslprep import manifest
from sslprep.color import binfiles
from sslprep.color.histogram import read_table
from sslprep.color.lab import Table
from sslprep.color.passes import check_name_part
from sslprep.errors import ManifestError, ParameterError
from sslprep.files import MANIFEST_SUFFIX, sha256_of


def add_tables(paths: tuple[Path, ...]) -> Table:
    """Return the sum of histograms: of shards, machines or days.

    Raises:
        ArrayError: One is no histogram.
        ParameterError: None is given, or two have the same content.
    """
    if not paths:
        raise ParameterError("--histogram is empty", expected="at least one ab_histogram_….npy")
    total = np.zeros((256, 256), np.int64)
    seen: dict[str, Path] = {}
    for path in paths:
        total += read_table(path)
        first = seen.setdefault(digest := sha256_of(path), path)
        if first is not path:
            raise ParameterError(
                f"{path} has the same content as {first} (SHA-256 {digest[:12]}…)",
                expected="each histogram once",
                remedy="Its images would be counted twice; leave one out.",
            )
    return total


def names_of_histogram(path: Path) -> tuple[str | None, str | None]:
    """Return `type` and `dataset` of a histogram, from its manifest or else from its name."""
    try:
        parameters = manifest.read(path.with_suffix(MANIFEST_SUFFIX)).parameters
    except ManifestError:
        found = re.fullmatch(r"ab_histogram_([^_]+)_(.+)", path.stem)
        return (found[1], found[2]) if found else (None, None)
    kind, dataset = parameters.get("type"), parameters.get("dataset")
    return (kind if isinstance(kind, str) else None), (
        dataset if isinstance(dataset, str) else None
    )


@dataclass(frozen=True, kw_only=True)
class BinsResult:
    """What was made.

    Attributes:
        written: The files.
        bins: Number of bins by size.
        pixels: Pixels in the histogram.
        warnings: What else to know.
    """

    written: tuple[Path, ...]
    bins: dict[int, int]
    pixels: int
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Say it in a few lines."""
        sizes = [f"bin size {size}: {count:,} bins" for size, count in self.bins.items()]
        return "\n".join([*sizes, *(f"wrote {path}" for path in self.written)])


def bins(
    *,
    histogram: tuple[Path, ...],
    output_path: Path | None = None,
    type: str | None = None,
    dataset: str | None = None,
    bin_size: tuple[int, ...] = (10,),
    grid: Literal["fair", "zhang"] = "zhang",
    smooth: float = 5.0,
    points: Path | None = None,
    weights: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> BinsResult:
    """Make colour bins and their priors from finished histograms, for any number of sizes.

    Writes `pts_in_hull_{type}_{dataset}_bin{size}.npy` ([Q, 2]: a, b), `priors_….npy`
    (float64 [Q], sum 1), with `weights` also `rebalance_weights_….npy`, and a manifest, for each
    size.

    Args:
        histogram: One or more `ab_histogram_….npy`; their counts are added.
        output_path: Folder to write into; that of the first histogram if not given.
        type: Part of the data set, for the file names; the first histogram's if not given.
        dataset: Name of the data set, for the file names; the first histogram's if not given.
        bin_size: Sides of the bins in ab units, such as 5,10,15,20.
        grid: zhang: centres of the whole sRGB gamut, smoothed priors (Zhang et al. 2016);
            fair: left edges of the bins that hold a pixel, as the script of 2019 wrote them.
        smooth: Width in ab units of the Gaussian that smooths the priors of the zhang grid; 0
            does not smooth.
        points: A published set of centres to use, [Q, 2], in place of the grid's own.
        weights: Write the rebalancing weights of rare colours too.
        overwrite: Replace existing files.
        hash_inputs: Hash inputs also when they are above 1 GB.

    Returns:
        Number of bins by size, and the files.

    Raises:
        ArrayError: A histogram or a set of centres is malformed.
        ParameterError: A parameter out of range.
        OutputError: A file exists, or another run writes here.
    """
    request = binfiles.make_bin_request(
        bin_size=bin_size, grid=grid, smooth=smooth, points=points, weights=weights
    )
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    for path in (*histogram, *([] if points is None else [points])):
        inputs.add_file(path)
    table = add_tables(histogram)
    own_kind, own_dataset = names_of_histogram(histogram[0])
    kind, dataset = type or own_kind, dataset or own_dataset
    if kind is None or dataset is None:
        raise ParameterError(
            "neither name nor manifest says what it is of",
            where=histogram[0],
            remedy="Pass --type and --dataset.",
        )
    check_name_part("type", kind)
    check_name_part("dataset", dataset)
    folder = histogram[0].parent if output_path is None else output_path
    names = binfiles.bin_names(kind, dataset, request)
    with binfiles.open_outputs(folder, names, weights=weights, overwrite=overwrite) as out:
        found = binfiles.write_bins(
            out,
            names,
            request,
            table,
            parameters={"type": kind, "dataset": dataset},
            inputs=inputs.records(),
        )
        out.commit()
    return BinsResult(
        written=tuple(folder / file.name for file in out.written),
        bins=found,
        pixels=int(table.sum()),
    )
