"""Low-shot curves: how good the features of a checkpoint are, by images of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sslprep.drawing.charts import Series, curves
from sslprep.errors import SslprepError
from sslprep.input_files import read_json
from sslprep.report.blocks import Card, Cell, Column, Figure, Section, Table, cells, numbers, short
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, note

_MOST_CURVES = 4

LEAD = (
    "Linear classifiers on the features of a checkpoint, trained on k images of each class: mean "
    "average precision on the test set, over several samples. The published protocol chooses the "
    "cost of the classifier on the test set; the honest curve chooses it within each sample."
)


class Point(msgspec.Struct):
    """One k of a curve; all figures in percent."""

    k: int
    mean: float
    std: float
    min: float
    max: float
    interval: tuple[float, float]
    costs: list[float] = []
    ap: list[float] = []


class Curve(msgspec.Struct):
    """What the report shows of a lowshot_curve.json."""

    title: str
    protocol: str
    average_precision: str
    classes: list[str]
    published: list[Point]
    honest: list[Point]
    costs: list[float] = []
    k_values: list[int] = []
    cost_map: list[list[float]] = []
    notes: list[str] = []


def section(collection: Collection) -> Section | None:
    """Show every low-shot curve of the collection, together and one by one."""
    found = collection.of_kind("lowshot-curve")
    if not found:
        return None
    result = Section(anchor="evaluation", title="Low-shot evaluation", lead=LEAD)
    known: list[Curve] = []
    for artefact in found:
        card, curve = _card(artefact, collection.folder)
        result.cards.append(card)
        if curve is not None:
            known.append(curve)
            last = curve.published[-1]
            result.points.append(f"{short(curve.title)}: {last.mean:.1f} mAP at k = {last.k}")
    result.sum = f"{len(known)} curve{'s' * (len(known) != 1)}"
    if len(known) > 1:
        result.blocks.append(_compared(known[:_MOST_CURVES]))
    return result


def _card(artefact: Artefact, folder: Path) -> tuple[Card, Curve | None]:
    card = Card(anchor=artefact.anchor, title=artefact.title)
    for warning in artefact.manifest.warnings:
        card.note(f"Warning of the run: {warning}")
    try:
        name = next(iter(artefact.ending("curve.json")), "lowshot_curve.json")
        curve = read_json(artefact.file(name, limit=LARGEST_JSON), Curve, SslprepError)
    except SslprepError as error:
        card.note(f"The curve cannot be shown. {note(error, folder)}")
        return card, None
    if not curve.published:
        card.note("The curve has no point.")
        return card, None
    card.subtitle = short(curve.title)
    card.fact("protocol", short(curve.protocol, 24))
    card.fact("average precision", short(curve.average_precision, 24))
    card.fact("classes", str(len(curve.classes)))
    lines = [_series("published protocol", curve.published)]
    if curve.honest:
        lines.append(_series("honest: cost chosen within the sample", curve.honest))
    card.blocks.append(_figure("Low-shot curve", lines, " ".join(curve.notes[:6])))
    card.blocks.append(_points(curve))
    if curve.cost_map and len(curve.cost_map) == len(curve.published):
        card.blocks.append(_costs(curve))
    card.folded.append(_classes(curve))
    return card, curve


def _series(name: str, points: Sequence[Point]) -> Series:
    return Series(
        name=name,
        x=[p.k for p in points],
        y=[p.mean for p in points],
        low=[p.min for p in points],
        high=[p.max for p in points],
    )


def _figure(title: str, lines: Sequence[Series], caption: str) -> Figure:
    drawing = curves(
        lines,
        title=title,
        description="; ".join(
            f"{line.name}: "
            + ", ".join(f"k = {k:g} {y:.1f}" for k, y in zip(line.x, line.y, strict=True))
            for line in lines
            if not line.reference
        ),
        x_label="k: images of each class (logarithmic)",
        y_label="mean average precision, %",
        x_ticks=sorted({float(k) for line in lines for k in line.x}),
        points=True,
    )
    text = "Lines are means over the samples, bands run from the worst to the best sample."
    return Figure(title=title, drawings=[drawing], caption=f"{text} {short(caption, 600)}".strip())


def _compared(known: Sequence[Curve]) -> Figure:
    lines = [_series(short(curve.title, 30), curve.published) for curve in known]
    return _figure("The curves compared", lines, "By the published protocol.")


def _points(curve: Curve) -> Table:
    """List the points of the curve, the published and the honest figure beside each other."""
    honest = {point.k: point for point in curve.honest}
    rows = []
    for point in curve.published:
        other = honest.get(point.k)
        low, high = point.interval
        rows.append(
            cells(
                f"k = {point.k}",
                f"{point.mean:.2f}",
                f"{point.std:.2f}",
                f"{point.min:.2f}–{point.max:.2f}",
                f"{low:.1f}–{high:.1f}",
                f"{other.mean:.2f}" if other else "–",
            )
        )
    titles = ("mAP", "std", "samples", "95 % interval", "honest mAP")
    caption = "Interval: bootstrap over the test images. Honest: cost chosen within each sample."
    columns = [Column(title="size"), *numbers(*titles)]
    return Table(title="Mean average precision", columns=columns, rows=rows, caption=caption)


def _costs(curve: Curve) -> Figure:
    """Draw the mean average precision by cost, for some sizes."""
    chosen = sorted({0, len(curve.cost_map) // 2, len(curve.cost_map) - 1})
    lines = [
        Series(name=f"k = {curve.published[i].k}", x=curve.costs, y=curve.cost_map[i])
        for i in chosen
        if len(curve.cost_map[i]) == len(curve.costs)
    ]
    ticks = [10.0**e for e in range(-7, 4)]
    drawing = curves(
        lines,
        title="Mean average precision by cost of the classifier",
        description=f"{len(curve.costs)} costs.",
        x_label="cost (logarithmic)",
        y_label="mean average precision, %",
        x_ticks=ticks,
    )
    caption = "A flat top means that the choice of the cost hardly matters."
    return Figure(title="Cost against mAP", drawings=[drawing], caption=caption)


def _classes(curve: Curve) -> Table:
    """List the average precision of every class at every size."""
    points = [point for point in curve.published if len(point.ap) == len(curve.classes)]
    rows = [
        [
            Cell(text=short(name)),
            *(Cell(text=f"{point.ap[i]:.1f}", value=point.ap[i]) for point in points),
        ]
        for i, name in enumerate(curve.classes[:400])
    ]
    return Table(
        title="Average precision of every class",
        columns=[Column(title="class"), *numbers(*(f"k = {point.k}" for point in points))],
        rows=rows,
        sortable=True,
        css="wide long" if len(rows) > 24 else "wide",
    )
