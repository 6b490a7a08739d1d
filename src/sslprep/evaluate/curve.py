"""What stands in `lowshot_curve.json` and `full_ap.json`, and how the curve is shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from sslprep.errors import ManifestError
from sslprep.evaluate.svm import Floats
from sslprep.input_files import read_json
from sslprep.results import table

KIND, FULL_KIND = "lowshot-curve", "full-map"
SCHEMA = 1
FILE, FULL_FILE = "lowshot_curve.json", "full_ap.json"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One k of one curve; average precision in percent."""

    k: int  #: positives of each class
    mean: float  #: mAP, mean over samples
    std: float  #: its standard deviation over samples (ddof 0)
    min: float
    max: float
    interval: tuple[float, float]  #: 95 % bootstrap interval of `mean` over test images
    samples: list[float]  #: mAP of each sample
    costs: list[float]  #: the cost of all samples, or one for each
    ap: list[float]  #: AP of each class, mean over samples
    top1: float | None = None  #: accuracy, where every image is of one class


class Curve(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=KIND):
    """A low-shot curve, as the protocol publishes it and without a look at the test set."""

    schema: int = SCHEMA
    title: str  #: what a chart calls it
    protocol: str
    average_precision: str  #: its definition
    classes: list[str]
    costs: list[float]  #: all that were tried
    k_values: list[int]  #: ascending
    samples: list[int]  #: their numbers
    published: list[Point]  #: a point for each k, its cost chosen by the mAP on the test set
    honest: list[Point]  #: a point for each k, each sample's cost chosen inside it
    cost_map: list[list[float]]  #: [k][cost] mAP, mean over samples
    notes: list[str]  #: sentences to be read with the figures
    ap: list[list[list[list[float]]]]  #: [sample][k][cost][class]


class FullMap(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=FULL_KIND):
    """Average precision on the whole training set, in percent: what stands in `full_ap.json`."""

    schema: int = SCHEMA
    title: str  #: what a chart calls it
    protocol: str
    average_precision: str  #: its definition
    classes: list[str]
    costs: list[float]  #: of each class
    ap: list[float]  #: of each class
    mean_ap: float
    interval: tuple[float, float]  #: 95 % bootstrap interval of the mean over test images
    top1: float | None = None  #: accuracy, where every image is of one class


Record = TypeVar("Record", Curve, FullMap)


def read(path: Path, of: type[Record]) -> Record:
    """Read a `lowshot_curve.json` (`Curve`) or `full_ap.json` (`FullMap`).

    Another file, or one of a newer version, is a ManifestError.
    """
    found = read_json(path, of, ManifestError)
    if found.schema > SCHEMA:
        raise ManifestError(
            f"is of schema {found.schema}", where=path, expected=f"one of schema {SCHEMA}"
        )
    return found


def make_point(
    k: int,
    ap: Floats,
    costs: Sequence[float],
    interval: tuple[float, float],
    top1: Sequence[float | None],
) -> Point:
    """Sum up the samples of one k: AP (samples, classes) and accuracy of each, in percent."""
    of_sample = ap.mean(axis=1)
    return Point(
        k=k,
        mean=float(of_sample.mean()),
        std=float(of_sample.std()),
        min=float(of_sample.min()),
        max=float(of_sample.max()),
        interval=interval,
        samples=of_sample.tolist(),
        costs=list(costs),
        ap=ap.mean(axis=0).tolist(),
        top1=None if None in top1 else float(np.mean(np.array(top1, float))),
    )


def as_text(published: Sequence[Point], honest: Sequence[Point]) -> str:
    """Lay the two curves out as a table."""
    rows = [
        [
            str(point.k),
            f"{point.mean:.2f} ± {point.std:.2f}",
            f"{point.min:.2f}",
            f"{point.max:.2f}",
            f"{point.interval[0]:.2f}–{point.interval[1]:.2f}",
            f"{point.costs[0]:g}",
            f"{other.mean:.2f} ± {other.std:.2f}",
            *([] if point.top1 is None else [f"{point.top1:.2f}"]),
        ]
        for point, other in zip(published, honest, strict=True)
    ]
    head = ["k", "mAP ± std", "min", "max", "95 % interval", "cost", "honest mAP ± std"]
    if published[0].top1 is not None:
        head.append("top-1")
    return table(head, rows)


def as_csv(curve: Curve) -> bytes:
    """Lay a curve out as CSV, a row for each k, with full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    fields = ["mean", "std", "min", "max"]
    writer.writerow(
        ["k", *fields, "interval_low", "interval_high", "cost"]
        + [f"honest_{name}" for name in (*fields, "interval_low", "interval_high", "costs")]
        + ["top1", "honest_top1"]
    )
    for point, honest in zip(curve.published, curve.honest, strict=True):
        writer.writerow(
            [
                point.k,
                *(getattr(point, name) for name in fields),
                *point.interval,
                point.costs[0],
                *(getattr(honest, name) for name in fields),
                *honest.interval,
                " ".join(map(repr, honest.costs)),
                point.top1,
                honest.top1,
            ]
        )
    return file.getvalue().encode()
