"""Histogram, bins and priors in one run: what the script of 2019 did."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sslprep.color.bins import Grid, Size, Width, bins_of, check_points, color_bins, open_outputs
from sslprep.color.histogram import (
    HistogramResult,
    Seconds,
    Share,
    Side,
    Word,
    color_histogram,
    histogram_of,
    named,
)
from sslprep.parameters import Fraction, NotNegative, Positive, command


@command(renamed={"data_file": "images", "output_path": "output"})
def generate_color_bins(
    images: str | Path,
    output: Path,
    *,
    type: Word | None = None,
    dataset: Word | None = None,
    root: Path | None = None,
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
    hash_inputs: bool = False,
) -> HistogramResult:
    """Count the colours of all images and make bins and priors of every size, in one run.

    Writes what `color histogram` and `color bins` write. A histogram of the same list and
    parameters that is in the folder already is used as it is. A killed run goes on where it was
    when it is started again with the same arguments, with any number of cores.

    Returns:
        Numbers of images and bins, and the files.
    """
    given = named(locals())
    check_points(given)
    open_outputs(given).close()  # that bins exist is said before hours of counting
    counted = histogram_of(given, reuse=not recount)
    table = output / "ab_histogram_{type}_{dataset}.npy".format(**given)
    made = bins_of(given | {"histogram": (table,)})
    return dataclasses.replace(counted, bins=made.bins, written=counted.written + made.written)


def _explain(function: Callable[..., Any], *others: Callable[..., Any]) -> None:
    """Give a docstring its `Args` and `Raises`, in the words of other commands' docstrings."""
    doc, *said = (inspect.getdoc(one) or "" for one in (function, *others))
    words = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", "\n".join(said), re.MULTILINE)
    known = dict(words if doc else ())
    for section, names in (
        ("Args", [name for name in inspect.signature(function).parameters if name in known]),
        ("Raises", [name for name in known if name.endswith("Error")]),
    ):
        doc += "\n".join([f"\n\n{section}:", *(f"    {name}: {known[name]}" for name in names)])
    function.__doc__ = doc


_explain(generate_color_bins, color_bins, color_histogram)
