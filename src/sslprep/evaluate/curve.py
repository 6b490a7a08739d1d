"""The low-shot curve as a record: what stands in `lowshot_curve.json`, and how it is shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from sslprep.errors import ManifestError
from sslprep.evaluate.svm import Floats
from sslprep.input_files import read_json
from sslprep.results import table

KIND = "lowshot-curve"
SCHEMA = 1
FILE = "lowshot_curve.json"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One k of one curve; average precision in percent.

    Attributes:
        k: Positives of each class.
        mean: mAP, mean over samples.
        std: Its standard deviation over samples (ddof 0).
        min: The lowest of a sample.
        max: The highest of a sample.
        interval: 95 % bootstrap interval of `mean` over test images.
        samples: mAP of each sample.
        costs: The cost of all samples, or one for each.
        ap: AP of each class, mean over samples.
        top1: Top-1 accuracy (percent), mean over samples, where every image is of one class.
    """

    k: int
    mean: float
    std: float
    min: float
    max: float
    interval: tuple[float, float]
    samples: list[float]
    costs: list[float]
    ap: list[float]
    top1: float | None = None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A low-shot curve: as the protocol publishes it, and beside it without a look at the test set.

    Attributes:
        title: What a chart calls it.
        protocol: Name of the protocol.
        average_precision: Definition of average precision.
        classes: Names of the classes.
        costs: Costs tried.
        k_values: The k, ascending.
        samples: Numbers of the samples.
        published: A point for each k, its cost chosen by the mAP on the test set.
        honest: A point for each k, each sample's cost chosen inside it.
        cost_map: [k][cost] mAP, mean over samples.
        notes: Sentences to be read with the figures.
        ap: [sample][k][cost][class].
    """

    kind: str = KIND
    schema: int = SCHEMA
    title: str
    protocol: str
    average_precision: str
    classes: list[str]
    costs: list[float]
    k_values: list[int]
    samples: list[int]
    published: list[Point]
    honest: list[Point]
    cost_map: list[list[float]]
    notes: list[str]
    ap: list[list[list[list[float]]]]


def read(path: Path) -> Curve:
    """Read a `lowshot_curve.json`.

    Raises:
        ManifestError: It is none, or one of a newer version.
    """
    curve: Curve = read_json(path, Curve, ManifestError)
    if curve.kind != KIND or curve.schema > SCHEMA:
        raise ManifestError(
            f"is {curve.kind!r}, schema {curve.schema}",
            where=path,
            expected=f"a {KIND} of schema {SCHEMA}",
        )
    return curve


def make_point(
    k: int,
    ap: Floats,
    costs: Sequence[float],
    interval: tuple[float, float],
    top1: Sequence[float] | None,
) -> Point:
    """Sum up the samples of one k.

    Args:
        k: The k.
        ap: AP of each sample and class (samples, classes), percent.
        costs: The cost of all samples, or one for each.
        interval: Bootstrap interval.
        top1: Accuracy of each sample, percent.
    """
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
        top1=None if top1 is None else float(np.mean(top1)),
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
