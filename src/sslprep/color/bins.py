"""Bins and priors of any number of sizes from histograms, without the images."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.color.counting import GROUPS
from sslprep.color.histogram import check_names, read_table
from sslprep.color.priors import (
    LAMBDA,
    Bins,
    Points,
    Table,
    check_points,
    fair_bins,
    rebalancing_weights,
    standard_errors,
    zhang_bins,
)
from sslprep.errors import ArrayError, ManifestError, ParameterError
from sslprep.input_files import sha256_of
from sslprep.npy import read_array
from sslprep.parameters import command
from sslprep.results import result

logger = logging.getLogger(__name__)

KIND = "color-bins"
Grid = Literal["fair", "zhang"]
Size = Annotated[int, Meta(ge=1, le=255)]
Width = Annotated[float, Meta(ge=0)]

_SWAPPED = "The list published in 2019 has the two swapped; rename both."


def read_points(path: Path) -> Points:
    """Read a set of bins, [Q, 2].

    Raises:
        ArrayError: It is none, or stands under the name of priors.
    """
    found = read_array(path, kinds="iuf")
    if "prior" in path.name and found.ndim == 2:
        raise ArrayError(
            f"holds points of shape {found.shape} under the name of priors",
            where=path,
            expected="points in a pts_in_hull file, priors in a priors file",
            remedy=_SWAPPED,
        )
    if "pts_in_hull" in path.name and found.ndim == 1:
        raise ArrayError(
            f"holds priors of shape {found.shape} under the name of points",
            where=path,
            expected="points [Q, 2]",
            remedy=_SWAPPED,
        )
    return check_points(found, path)


def read_priors(path: Path, bins: int) -> NDArray[np.float64]:
    """Read the priors of `bins` bins: float64 [Q], not negative, sum 1.

    Raises:
        ArrayError: They are none, or do not fit.
    """
    found = read_array(path, kinds="iuf")
    if found.ndim == 2 and found.shape[1] == 2:
        raise ArrayError(
            f"holds points of shape {found.shape} under the name of priors",
            where=path,
            expected=f"priors ({bins},)",
            remedy=_SWAPPED,
        )
    if found.shape != (bins,):
        raise ArrayError(f"got shape {found.shape}", where=path, expected=f"({bins},), as points")
    if not (np.isfinite(found) & (found >= 0)).all() or abs(float(found.sum()) - 1) > 1e-3:
        raise ArrayError("holds no priors", where=path, expected="shares of 0 or more, sum 1")
    return found.astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class BinSets:
    """The sets of bins that one command makes: how, of which sizes, under which names.

    Attributes:
        type: For the file names, as `dataset`.
        sizes: Sides of the bins, each once, in the order given.
        grid: `fair` or `zhang`.
        smooth: Width of the smoothing in ab units; not used by `fair`.
        points: File of a given set of centres.
        weights: Whether to write rebalancing weights too.
        sample: Share of the images that was counted, where not all were: standard errors too.
    """

    type: str
    dataset: str
    sizes: tuple[int, ...]
    grid: Grid
    smooth: float
    points: Path | None
    weights: bool
    sample: float | None

    def __post_init__(self) -> None:
        """Refuse parameters that exclude each other."""
        if self.points is not None and self.grid == "fair":
            raise ParameterError(
                "--points gives centres, --grid fair makes its own bins",
                remedy="Leave one of the two out.",
            )
        if self.points is not None and len(self.sizes) > 1:
            raise ParameterError(
                f"--points is one set of bins, --bin-size gives {len(self.sizes)} sizes",
                expected="one size, for the file names",
            )

    def name(self, what: str, size: int, suffix: str = ".npy") -> str:
        """Return the name of a file: what it holds, and of which size."""
        return f"{what}_{self.type}_{self.dataset}_bin{size}{suffix}"

    def open(self, folder: Path, *, overwrite: bool) -> OutputSet:
        """Announce the files of all sizes; files of an earlier run that would not fit go."""
        wanted = {
            "pts_in_hull": True,
            "priors": True,
            "rebalance_weights": self.weights,
            "standard_errors": self.sample is not None,
        }
        every = {(what, size): self.name(what, size) for what in wanted for size in self.sizes}
        return OutputSet(
            folder,
            [name for (what, _), name in every.items() if wanted[what]],
            manifests=[self.name("pts_in_hull", size, MANIFEST_SUFFIX) for size in self.sizes],
            overwrite=overwrite,
            also_replaces=[name for (what, _), name in every.items() if not wanted[what]],
        )

    def write(
        self,
        out: OutputSet,
        tables: NDArray[np.int64],
        inputs: Sequence[manifest.InputRecord],
        warnings: Sequence[str],
    ) -> dict[int, int]:
        """Write bins, priors, weights and manifest of every size.

        Args:
            out: What `open` returned.
            tables: Counts, int64 [groups, 256, 256], to be added; one, or the groups of a sample.
            inputs: For the manifests.
            warnings: The same.

        Returns:
            Number of bins by size.
        """
        fair = self.grid == "fair"
        centres = None if self.points is None else read_points(self.points)
        table = tables.sum(0)
        found = {}
        for size in self.sizes:
            bins = fair_bins(table, size) if fair else zhang_bins(table, size, self.smooth, centres)
            arrays: dict[str, NDArray[Any]] = {"pts_in_hull": bins.points, "priors": bins.priors}
            if self.weights:
                arrays["rebalance_weights"] = rebalancing_weights(bins.priors)
            if self.sample is not None:
                arrays["standard_errors"] = standard_errors(
                    tables, bins, self.sample, fair_size=size if fair else None, sigma=self.smooth
                )
            for what, values in arrays.items():
                out.save_array(self.name(what, size), values)
            manifest.write(
                out,
                self.name("pts_in_hull", size, MANIFEST_SUFFIX),
                kind=KIND,
                command="color bins",
                parameters={
                    "type": self.type,
                    "dataset": self.dataset,
                    "bin_size": size,
                    "grid": self.grid,
                    "smooth": None if fair else self.smooth,
                    "points": self.points,
                    "weights": self.weights,
                },
                inputs=inputs,
                outputs=[self.name(what, size) for what in arrays],
                counts={
                    "bins": len(bins.points),
                    "empty_bins": bins.empty,
                    "pixels": int(table.sum()) - bins.outside,
                    "pixels_outside": bins.outside,
                },
                warnings=warnings,
                details=self._details(size, bins, arrays),
            )
            found[size] = len(bins.points)
        return found

    def _details(self, size: int, bins: Bins, arrays: Mapping[str, Any]) -> dict[str, Any]:
        fair = self.grid == "fair"
        files = {what: self.name(what, size) for what in arrays}
        return {
            "grid": self.grid,
            "bin_size": size,
            "bins": len(bins.points),
            "points_are": "left edges" if fair else "centres",
            "points_from": "the pixels" if fair else "a file" if self.points else "the sRGB gamut",
            "ties": None if fair else "a pixel equally near to several centres is shared by them",
            "smooth": None if fair else self.smooth,
            "weights_lambda": LAMBDA if self.weights else None,
            "points_file": files["pts_in_hull"],
            "priors_file": files["priors"],
            "weights_file": files.get("rebalance_weights"),
            "standard_errors_file": files.get("standard_errors"),
            "smallest_prior": float(bins.priors.min()),
            "largest_prior": float(bins.priors.max()),
            **_largest_error(bins, arrays),
        }


def _largest_error(bins: Bins, arrays: Mapping[str, Any]) -> dict[str, float]:
    if (errors := arrays.get("standard_errors")) is None:
        return {}
    frequent = bins.priors >= 1e-3
    relative = (errors[frequent] / bins.priors[frequent]).max(initial=0.0)
    return {"sample_error_of_priors_above_0.001": float(relative)}


@dataclass(frozen=True)
class _Source:
    """A histogram on disk: its file, what its manifest says, if there is one."""

    path: Path
    made: manifest.Manifest | None

    @classmethod
    def of(cls, path: Path) -> _Source:
        try:
            return cls(path, manifest.read(path.with_suffix(MANIFEST_SUFFIX)))
        except ManifestError:
            return cls(path, None)

    def said(self, name: str) -> Any:
        """Return a parameter that it was made with."""
        return None if self.made is None else self.made.parameters.get(name)

    @property
    def sample(self) -> float | None:
        """Share of the images that was counted, where not all were."""
        found = self.said("sample")
        return found if isinstance(found, float) and 0 < found < 1 else None

    def label(self, name: Literal["type", "dataset"]) -> str | None:
        """Return type or dataset, from the manifest or else from the file's name."""
        if self.made is not None:
            found = self.said(name)
            return found if isinstance(found, str) else None
        match = re.fullmatch(r"ab_histogram_(?P<type>[^_]+)_(?P<dataset>.+)", self.path.stem)
        return match[name] if match else None


def read_tables(paths: Sequence[Path], sample: float | None) -> NDArray[np.int64]:
    """Return the sum of histograms: of shards, machines or days.

    Returns:
        int64 [1, 256, 256]; with `sample` int64 [groups, 256, 256], for they were dealt alike.

    Raises:
        ArrayError: One is no histogram.
        ParameterError: Two have the same content.
    """
    shape = (256, 256) if sample is None else (GROUPS, 256, 256)
    total = np.zeros(shape, np.int64)
    seen: dict[str, Path] = {}
    for path in paths:
        table: Table = read_table(path)
        if sample is not None:
            table = read_table(path.with_name(f"{path.stem}_groups.npy"), GROUPS)
        total += table
        first = seen.setdefault(digest := sha256_of(path), path)
        if first is not path:
            raise ParameterError(
                f"{path} has the same content as {first} (SHA-256 {digest[:12]}…)",
                expected="each histogram once",
                remedy="Its images would be counted twice; leave one out.",
            )
    return total.reshape(-1, 256, 256)


def differences(sources: Sequence[_Source]) -> tuple[str, ...]:
    """Say in which ways histograms that are to be added were made differently."""
    names = ("global_resize_img", "fast_decode", "strict_decode", "sample")
    found = []
    for name in names:
        values = {str(source.said(name)): source.path for source in sources}
        if len(values) > 1:
            said = ", ".join(f"{value} in {path}" for value, path in values.items())
            found.append(f"the histograms were made differently: {name} is {said}")
    return tuple(found)


@result
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


@command(renamed={"output_path": "output"})
def bins(
    histogram: tuple[Path, ...],
    *,
    output: Path | None = None,
    type: str | None = None,
    dataset: str | None = None,
    bin_size: tuple[Size, ...] = (10,),
    grid: Grid = "zhang",
    smooth: Width = 5.0,
    points: Path | None = None,
    weights: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> BinsResult:
    """Make colour bins and their priors from finished histograms, for any number of sizes.

    Writes `pts_in_hull_{type}_{dataset}_bin{size}.npy` ([Q, 2]: a, b), `priors_….npy`
    (float64 [Q], sum 1), with `weights` also `rebalance_weights_….npy`, of samples also
    `standard_errors_….npy` (of the priors, float64 [Q]), and a manifest, for each size.

    Args:
        histogram: One or more `ab_histogram_….npy`; their counts are added.
        output: Folder to write into; that of the first histogram if not given.
        type: Part of the data set, for the file names; the first histogram's if not given.
        dataset: Name of the data set, for the file names; the first histogram's if not given.
        bin_size: Sides of the bins in ab units, such as 5,10,15,20.
        grid: zhang: centres of the whole sRGB gamut, 313 at size 10, smoothed priors (Zhang et
            al. 2016); fair: left edges of the bins that hold a pixel, as the script of 2019 wrote
            them.
        smooth: Width in ab units of the Gaussian that smooths the priors of the zhang grid; 0
            does not smooth.
        points: Another set of centres to use, [Q, 2], in place of the grid's own.
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
    sources = [_Source.of(path) for path in histogram]
    warnings = differences(sources)
    first = sources[0]
    kind, dataset = type or first.label("type"), dataset or first.label("dataset")
    if kind is None or dataset is None:
        raise ParameterError(
            "neither name nor manifest says what it is of",
            where=histogram[0],
            remedy="Pass --type and --dataset.",
        )
    check_names(kind, dataset)
    sets = BinSets(
        type=kind,
        dataset=dataset,
        sizes=tuple(dict.fromkeys(bin_size)),
        grid=grid,
        smooth=smooth,
        points=points,
        weights=weights,
        sample=first.sample if len({source.sample for source in sources}) == 1 else None,
    )
    folder = histogram[0].parent if output is None else output
    with sets.open(folder, overwrite=overwrite) as out:
        inputs = manifest.Inputs(hash_inputs=hash_inputs)
        for path in (*histogram, *([] if points is None else [points])):
            inputs.add_file(path)
        tables = read_tables(histogram, sets.sample)
        for warning in warnings:
            logger.warning("%s", warning)
        found = sets.write(out, tables, inputs.records(), warnings)
        out.commit()
    return BinsResult(
        written=tuple(folder / file.name for file in out.written),
        bins=found,
        pixels=int(tables.sum()),
        warnings=warnings,
    )
