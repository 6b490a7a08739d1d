"""Bins and priors of any number of sizes from histograms, without the images."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.color import priors
from sslprep.color.counting import GROUPS
from sslprep.color.histogram import NO_NAME, Word
from sslprep.errors import ArrayError, ManifestError, ParameterError
from sslprep.input_files import reading, sha256_of
from sslprep.npy import read_array
from sslprep.parameters import Fraction, command
from sslprep.results import result

logger = logging.getLogger(__name__)

Grid = Literal["fair", "zhang"]
Size = Annotated[int, Meta(ge=1, le=255)]
Width = Annotated[float, Meta(ge=0, le=1e6)]


@result
class BinsResult:
    """What was made.

    Attributes:
        bins: Number of bins by size.
        pixels: Pixels in the histogram.
        warnings: What else to know.
        written: The files.
    """

    bins: dict[int, int]
    pixels: int
    warnings: tuple[str, ...] = ()
    written: tuple[Path, ...]


@command(renamed={"output_path": "output"})
def color_bins(
    histogram: tuple[Path, ...],
    *,
    output: Path | None = None,
    type: Word | None = None,
    dataset: Word | None = None,
    bin_size: tuple[Size, ...] = (10,),
    grid: Grid = "zhang",
    smooth: Width = 5.0,
    points: Path | None = None,
    weights: bool = False,
    overwrite: bool = False,
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
        grid: zhang: centres of the whole sRGB gamut, 313 at size 10, smoothed priors (Zhang et al.
            2016); fair: left edges of the bins that hold a pixel, as in the script of 2019.
        smooth: Width in ab units of the Gaussian over the priors of the zhang grid; 0 for none.
        points: Another set of centres to use, [Q, 2], in place of the grid's own.
        weights: Write the rebalancing weights of rare colours too.
        overwrite: Replace existing files.

    Returns:
        Number of bins by size, and the files.

    Raises:
        ArrayError: A histogram or a set of centres is malformed.
        ParameterError: A parameter out of range.
        OutputError: A file exists, or another run writes here.
    """
    return bins_of(dict(locals()))


def bins_of(given: dict[str, Any]) -> BinsResult:
    """Make bins as `color bins` does, from its arguments by name; others do not matter."""
    paths: tuple[Path, ...] = given["histogram"]
    made = {path: made_of(path, "color-histogram") for path in paths}
    names = {what: given[what] or getattr(made[paths[0]], what) for what in ("type", "dataset")}
    if None in names.values():
        raise ParameterError(
            "neither name nor manifest says what it is of",
            where=paths[0],
            remedy="Pass --type and --dataset.",
        )
    shares = {said.sample for said in made.values()}
    sample = shares.pop() if len(shares) == 1 else None
    folder = given["output"] or paths[0].parent
    given |= names | {"output": folder, "sample": sample}
    grid, smooth, points, weights = (given[k] for k in ("grid", "smooth", "points", "weights"))
    bins: dict[int, int] = {}
    with open_outputs(given) as out:
        warnings = _differences(made)
        inputs = manifest.Inputs()
        for path in (*paths, *([points] if points else [])):
            inputs.add_file(path)
        centres = check_points(given)
        tables = _read_tables(paths, sample)
        table, records = tables.sum(0), inputs.records()
        for record in records:
            if Path(record.path).parent == folder:
                record.path = Path(record.path).name  # where it was made says nothing
        for size in dict.fromkeys(given["bin_size"]):
            fair = size if grid == "fair" else None
            if fair:
                found = priors.fair_bins(table, size)
            else:
                found = priors.zhang_bins(table, size, smooth, centres)
            arrays: dict[str, NDArray[Any]] = {"pts_in_hull": found.points, "priors": found.priors}
            if weights:
                arrays["rebalance_weights"] = priors.rebalancing_weights(found.priors)
            if sample is not None:
                errors = priors.standard_errors(tables, found, sample, fair_size=fair, sigma=smooth)
                arrays["standard_errors"] = errors
            end = f"{names['type']}_{names['dataset']}_bin{size}"
            files = {what: f"{what}_{end}.npy" for what in arrays}
            for what, values in arrays.items():
                out.save_array(files[what], values)
            manifest.write(
                out,
                f"pts_in_hull_{end}{MANIFEST_SUFFIX}",
                kind="color-bins",
                command="color bins",
                parameters=names
                | {"bin_size": size, "grid": grid, "smooth": None if fair else smooth}
                | {"points": points, "weights": weights},
                inputs=records,
                outputs=files.values(),
                counts={
                    "bins": len(found.points),
                    "empty_bins": int((found.counts == 0).sum()),
                    "pixels": int(table.sum()) - found.outside,
                    "pixels_outside": found.outside,
                },
                warnings=warnings,
                details={
                    "points_are": "left edges" if fair else "centres",
                    "points_from": "the pixels" if fair else points or "the hull of the gamut",
                    "ties": None if fair else "shared by the centres that are equally near",
                    **{f"{what}_file": file for what, file in files.items()},
                },
            )
            bins[size] = len(found.points)
        out.commit()
    written = tuple(folder / record.file for record in out.written)
    return BinsResult(bins=bins, pixels=int(table.sum()), warnings=tuple(warnings), written=written)


class Made(msgspec.Struct):
    """How a histogram or bins were made, as a manifest or else a name says."""

    type: Word | None = None
    dataset: Word | None = None
    global_resize_img: int | None = None
    fast_decode: bool | None = None
    strict_decode: bool | None = None
    sample: Fraction | None = None
    opencv: str | None = None
    bin_size: Size | None = None
    points_are: str = ""


def made_of(path: Path, kind: str) -> Made:
    """Return how a file was made; a manifest that is not of the file as it is now is refused."""
    with reading(path):
        digest = sha256_of(path)
    own = path.with_suffix(MANIFEST_SUFFIX)
    record = manifest.read(own) if os.path.lexists(own) else None
    if record is None or record.kind != kind:
        named = re.fullmatch(rf"ab_histogram_([^_{NO_NAME}]+)_([^{NO_NAME}]+)", path.stem)
        return Made(type=named[1], dataset=named[2]) if named else Made()
    if digest not in {output.sha256 for output in record.outputs}:
        raise ManifestError(
            "is not what its manifest says",
            where=path,
            expected=f"a file that {own.name} lists, unchanged",
            remedy="Make it again, or take the manifest away if it is of another file.",
        )
    try:
        return msgspec.convert(record.details | record.parameters, Made)
    except msgspec.ValidationError as error:
        raise ManifestError(f"not the manifest of a {kind}: {error}", where=own) from error


def open_outputs(given: dict[str, Any]) -> OutputSet:
    """Announce the files of all sizes; files of an earlier run that would not fit go."""
    optional = {"rebalance_weights": given["weights"], "standard_errors": given["sample"]}
    kinds = ["pts_in_hull", "priors", *(what for what, wanted in optional.items() if wanted)]
    ends = [f"{given['type']}_{given['dataset']}_bin{n}" for n in dict.fromkeys(given["bin_size"])]
    return OutputSet(
        given["output"],
        [f"{what}_{end}.npy" for what in kinds for end in ends],
        manifests=[f"pts_in_hull_{end}{MANIFEST_SUFFIX}" for end in ends],
        overwrite=given["overwrite"],
        also_replaces=[f"{what}_{end}.npy" for what in optional for end in ends],
    )


def check_points(given: dict[str, Any]) -> priors.Points | None:
    """Read `--points`, where given, or refuse it together with what excludes it."""
    if given["points"] is None:
        return None
    sizes = len(given["bin_size"])
    if given["grid"] == "fair" or sizes > 1:
        raise ParameterError(
            f"--points is one set of centres, given with --grid {given['grid']} and {sizes} sizes",
            expected="--grid zhang and one --bin-size, for the file names",
        )
    return read_points(given["points"])


def read_table(path: Path, groups: int = 0) -> NDArray[np.int64]:
    """Read and check a histogram, [256, 256]; or the tables of a sample's groups, [groups, …]."""
    found = read_array(path, kinds="iu")
    shape = (groups, 256, 256) if groups else (256, 256)
    limit = 2**62  # a sum of tables still fits
    if found.shape != shape:
        problem = f"got shape {found.shape}"
    elif found.min() < 0 or not 0 < found.sum(dtype=object) < limit:
        problem = "the counts are impossible: below 0, too large, or none"
    else:
        return found.astype(np.int64)
    raise ArrayError(
        problem, where=path, expected=f"counts {shape}, as `sslprep color histogram` writes them"
    )


def read_points(path: Path) -> priors.Points:
    """Read a set of bins: [Q, 2], a and b, signed, no bin twice; large ones reach beyond ±128."""
    found = _read(path)
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ArrayError(f"got shape {found.shape}", where=path, expected="(Q, 2): a and b")
    low, high = float(found.min()), float(found.max())
    if not -256 <= low <= high <= (128 if low >= 0 else 256):
        problem = f"holds values from {low:g} to {high:g}"
        raise ArrayError(problem, where=path, expected="a and b, signed: within -128…128")
    if len(np.unique(found, axis=0)) != len(found):
        raise ArrayError("holds a bin twice", where=path, expected="each bin once")
    return found.astype(np.int64 if found.dtype.kind in "iu" else np.float64)


def read_priors(path: Path, bins: int) -> NDArray[np.float64]:
    """Read the priors of `bins` bins: float64 [Q], not negative, sum 1."""
    found = _read(path)
    if found.shape != (bins,):
        raise ArrayError(f"got shape {found.shape}", where=path, expected=f"({bins},), as points")
    if not (np.isfinite(found) & (found >= 0)).all() or abs(float(found.sum()) - 1) > 1e-3:
        raise ArrayError("holds no priors", where=path, expected="shares of 0 or more, sum 1")
    return found.astype(np.float64)


def _read(path: Path) -> NDArray[Any]:
    """Read an array, but not one that stands under the name of another kind."""
    found = read_array(path, kinds="iuf")
    what, name = ("points", "priors") if found.ndim == 2 else ("priors", "points")
    if {"priors": "prior", "points": "pts"}[name] in path.name:
        raise ArrayError(
            f"holds {what} of shape {found.shape} under the name of {name}",
            where=path,
            expected="points [Q, 2] in a pts_in_hull file, priors [Q] in a priors file",
            remedy="The list published in 2019 has the two swapped; rename both.",
        )
    return found


def _differences(made: dict[Path, Made]) -> list[str]:
    """Say in which ways histograms that are to be added were made differently."""
    warnings = []
    for name in ("global_resize_img", "fast_decode", "strict_decode", "sample", "opencv"):
        values = {str(getattr(said, name)): path for path, said in made.items()}
        if len(values) > 1:
            each = ", ".join(f"{value} in {path}" for value, path in values.items())
            warnings.append(f"the histograms were made differently: {name} is {each}")
            logger.warning("%s", warnings[-1])
    return warnings


def _read_tables(paths: Sequence[Path], sample: float | None) -> NDArray[np.int64]:
    """Return the sum of histograms, [1, 256, 256], or [groups, 256, 256] of samples."""
    total = np.zeros((1 if sample is None else GROUPS, 256, 256), np.int64)
    seen: dict[bytes, Path] = {}
    for path in paths:
        table = read_table(path)
        if (first := seen.setdefault(table.tobytes(), path)) is not path:
            raise ParameterError(
                f"{path} has the same content as {first}",
                expected="each histogram once",
                remedy="Its images would be counted twice; leave one out.",
            )
        if sample is not None:  # all were dealt alike
            groups = read_table(path.with_name(f"{path.stem}_groups.npy"), GROUPS)
            if not np.array_equal(groups.sum(0), table):
                wanted = f"that of {path.stem}_groups.npy, of the same run"
                raise ArrayError("is not the sum of its groups", where=path, expected=wanted)
            table = groups
        total += table
    return total
