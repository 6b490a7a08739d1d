"""Histogram, bins and priors in one run: what the script of 2019 did."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sslprep.color.bins import Grid, Size, Width, bins_of, check_points, open_outputs
from sslprep.color.histogram import HistogramResult, Seconds, Share, Side, Word, histogram_of, named
from sslprep.parameters import Fraction, NotNegative, Positive, command


@command(renamed={"data_file": "images", "output_path": "output"})
def generate_color_bins(
    images: str | Path,
    output: Path,
    *,
    type: Word | None = None,
    dataset: Word | None = None,
    root: str | Path | None = None,
    bin_size: tuple[Size, ...] = (10,),
    global_resize_img: Side = 256,
    grid: Grid = "zhang",
    smooth: Width = 5.0,
    points: Path | None = None,
    weights: bool = False,
    sample: Fraction | None = None,
    seed: NotNegative = 0,
    fast_decode: bool = False,
    strict_decode: bool = False,
    max_unreadable: Share = 0.01,
    recount: bool = False,
    jobs: Positive | None = None,
    scheduler: str | None = None,
    worker_timeout: Seconds = 600.0,
    overwrite: bool = False,
) -> HistogramResult:
    """Count the colours of all images and make bins and priors of every size, in one run.

    Writes what `color histogram` and `color bins` write. A histogram of the same list and
    parameters that is in the folder already is used as it is. A killed run goes on where it was
    when it is started again with the same arguments, with any number of cores.

    Args:
        images: A path or URL: a list of paths or URLs (.npy, or one a line), a partition's list in
            any of its formats, a folder, a tar shard, or a list or folder of tar shards.
        output: Folder to write into.
        type: Part of the data set, for the file names; the list's partition or else train.
        dataset: Name of the data set, for the file names; the list's own or else imagenet.
        root: Folder or URL that relative paths start from; the list's own or else the current one.
        bin_size: Sides of the bins in ab units, such as 5,10,15,20.
        global_resize_img: Side in pixels that each image is brought to, aspect not kept.
        grid: zhang: centres of the whole sRGB gamut, 313 at size 10, smoothed priors (Zhang et al.
            2016); fair: left edges of the bins that hold a pixel, as in the script of 2019.
        smooth: Width in ab units of the Gaussian over the priors of the zhang grid; 0 for none.
        points: Another set of centres to use, [Q, 2], in place of the grid's own.
        weights: Write the rebalancing weights of rare colours too.
        sample: Share of the images to draw at random and count, such as 0.05; all by default.
        seed: Seed of the draw.
        fast_decode: Let JPEGs be shrunk while decoding, where that is near enough; not exact.
        strict_decode: Leave out JPEGs whose end is missing, which OpenCV decodes in part.
        max_unreadable: Largest share of unreadable images, 0 to 1; above it nothing is written.
        recount: Count from the start, even where an unfinished or finished pass is there.
        jobs: Number of processes; all cores if not given.
        scheduler: Address of a Dask scheduler to work on, such as tcp://host:8786.
        worker_timeout: Seconds that a worker may take for one image, or 32 URLs; then it is ended.
        overwrite: Replace existing files.

    Returns:
        Numbers of images and bins, and the files.

    Raises:
        SslprepError: As `color_histogram` and `color_bins`.
    """
    given = named(locals())
    check_points(given)
    open_outputs(given).close()  # that bins exist is said before hours of counting
    counted = histogram_of(given, reuse=not recount)
    table = output / "ab_histogram_{type}_{dataset}.npy".format(**given)
    made = bins_of(given | {"histogram": (table,)})
    return dataclasses.replace(counted, bins=made.bins, written=counted.written + made.written)
