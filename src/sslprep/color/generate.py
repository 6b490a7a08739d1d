"""Histogram, bins and priors in one run: what the script of 2019 did."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sslprep.color import binfiles
from sslprep.color.histogram import find_finished, make_histogram, read_table
from sslprep.color.lab import Table
from sslprep.color.passes import Request, forget, make_request
from sslprep.errors import ImagesError
from sslprep.files import sha256_of
from sslprep.manifest import InputRecord, Inputs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GenerateResult:
    """What was made.

    Attributes:
        written: The files.
        images: Images in the list.
        unreadable: Those that could not be read.
        truncated: Those whose end is missing, counted.
        bins: Number of bins by size.
        pixels: Pixels counted.
        reused: Whether the histogram was there already.
        warnings: What else to know.
    """

    written: tuple[Path, ...]
    images: int
    unreadable: int
    truncated: int
    bins: dict[int, int]
    pixels: int
    reused: bool
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Say it in a few lines."""
        sizes = [f"bin size {size}: {count:,} bins" for size, count in self.bins.items()]
        return "\n".join(
            [
                f"images: {self.images:,}, unreadable: {self.unreadable:,}, "
                f"truncated: {self.truncated:,}, pixels: {self.pixels:,}",
                *sizes,
                *(f"wrote {path}" for path in self.written),
            ]
        )


def _reuse(request: Request, folder: Path) -> tuple[Table, dict[str, int]] | None:
    found = find_finished(request, folder)
    if found is None:
        return None
    table, record = found
    share = record.counts["unreadable"] / record.counts["images"]
    if share > request.max_unreadable:
        raise ImagesError(
            f"the histogram that is there lacks {100 * share:.2g} % of the images as unreadable",
            where=folder / request.names.table,
            expected=f"at most {100 * request.max_unreadable:.4g} %",
            remedy="Raise --max-unreadable, or repair the images and pass --recount.",
        )
    logger.info(
        "using %s, made from the same list with the same parameters; "
        "--recount counts the images again",
        folder / request.names.table,
    )
    return table, record.counts


def generate(
    *,
    data_file: str,
    output_path: Path,
    type: str = "train",
    dataset: str = "imagenet",
    bin_size: tuple[int, ...] = (10,),
    global_resize_img: int = 256,
    grid: Literal["fair", "zhang"] = "zhang",
    smooth: float = 5.0,
    points: Path | None = None,
    weights: bool = False,
    fast_decode: bool = False,
    strict_decode: bool = False,
    max_unreadable: float = 0.01,
    recount: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> GenerateResult:
    """Count the colours of all images and make bins and priors of every size, in one run.

    Writes what `color histogram` and `color bins` write. A histogram of the same list and
    parameters that is in the folder already is used as it is. A killed run goes on where it was
    when it is started again with the same arguments, with any number of cores.

    Args:
        data_file: The images: a .npy list or a text file of paths or URLs, a folder, a tar
            shard, or a list or folder of tar shards; itself a path or a URL.
        output_path: Folder to write into.
        type: Part of the data set, for the file names, such as train or val.
        dataset: Name of the data set, for the file names.
        bin_size: Sides of the bins in ab units, such as 5,10,15,20.
        global_resize_img: Side in pixels that each image is brought to, aspect not kept.
        grid: zhang: centres of the whole sRGB gamut, smoothed priors (Zhang et al. 2016);
            fair: left edges of the bins that hold a pixel, as the script of 2019 wrote them.
        smooth: Width in ab units of the Gaussian that smooths the priors of the zhang grid; 0
            does not smooth.
        points: A published set of centres to use, [Q, 2], in place of the grid's own.
        weights: Write the rebalancing weights of rare colours too.
        fast_decode: Let JPEGs of at least twice that side be shrunk while decoding; not exact.
        strict_decode: Leave out JPEGs whose end is missing, which OpenCV decodes in part.
        max_unreadable: Largest share of unreadable images, 0 to 1; above it nothing is written.
        recount: Count from the start, even where an unfinished or finished pass is there.
        jobs: Number of processes; all cores if not given.
        scheduler: Address of a Dask scheduler to work on, such as tcp://host:8786.
        overwrite: Replace existing files.
        hash_inputs: Hash inputs also when they are above 1 GB.

    Returns:
        Numbers of images and bins, and the files.

    Raises:
        ImagesError: No such list, no readable image, or too many unreadable ones.
        ArrayError: `points` is no set of centres.
        ParameterError: A parameter out of range, or no such scheduler.
        OutputError: A file exists, or another run writes here.
        MissingExtraError: OpenCV, Dask or fsspec is needed and not installed.
    """
    bin_request = binfiles.make_bin_request(
        bin_size=bin_size, grid=grid, smooth=smooth, points=points, weights=weights
    )
    point_inputs = Inputs(hash_inputs=hash_inputs)
    if points is not None:
        point_inputs.add_file(points)
    request = make_request(
        data_file=data_file,
        type=type,
        dataset=dataset,
        global_resize_img=global_resize_img,
        fast_decode=fast_decode,
        strict_decode=strict_decode,
        max_unreadable=max_unreadable,
        hash_inputs=hash_inputs,
    )
    names = binfiles.bin_names(type, dataset, bin_request)
    written: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    # The bins' files are announced first: that they exist is said before hours of counting.
    with binfiles.open_outputs(output_path, names, weights=weights, overwrite=overwrite) as out:
        reused = None if recount else _reuse(request, output_path)
        if reused is None:
            result = make_histogram(
                request,
                output_path,
                recount=recount,
                jobs=jobs,
                scheduler=scheduler,
                overwrite=overwrite,
            )
            written, warnings = result.written, result.warnings
            table = read_table(output_path / request.names.table)
            counts = {
                "images": result.images,
                "unreadable": result.unreadable,
                "truncated": result.truncated,
            }
        else:
            table, counts = reused
            forget(request, output_path)
        file = output_path / request.names.table
        # Named without its folder, like every output: where it was made says nothing.
        record = InputRecord(path=file.name, bytes=file.stat().st_size, sha256=sha256_of(file))
        found = binfiles.write_bins(
            out,
            names,
            bin_request,
            table,
            parameters={"type": type, "dataset": dataset},
            inputs=[record, *point_inputs.records()],
        )
        out.commit()
    return GenerateResult(
        written=(*written, *(output_path / file.name for file in out.written)),
        images=counts["images"],
        unreadable=counts["unreadable"],
        truncated=counts["truncated"],
        bins=found,
        pixels=int(table.sum()),
        reused=reused is not None,
        warnings=warnings,
    )
