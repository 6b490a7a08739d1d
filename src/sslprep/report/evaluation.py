"""Low-shot curves: how good the features of a checkpoint are, by images of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sslprep.drawing.charts import Series, curves
from sslprep.drawing.numbers import count_text, counted
from sslprep.errors import SslprepError
from sslprep.evaluate import published
from sslprep.evaluate.curve import Curve, FullMap, Point, read
from sslprep.report.blocks import (
    Card,
    Column,
    Figure,
    Lines,
    Section,
    Table,
    cells,
    numbers,
    short,
)
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, note

_MOST_CURVES = 4
_MOST_CLASSES = 400

LEAD = (
    "Linear classifiers on the features of a checkpoint, trained on k images of each class: mean "
    "average precision on the test set, over several samples. The published protocol chooses the "
    "cost of the classifier on the test set; the honest curve chooses it within each sample."
)


def section(collection: Collection) -> Section | None:
    """Show every evaluation of the collection, curves together and one by one."""
    found = collection.of_kind("lowshot-curve", "full-map")
    if not found:
        return None
    result = Section(anchor="evaluation", title="Evaluation", lead=LEAD)
    known: list[Curve] = []
    sets = 0
    for artefact in found:
        if artefact.manifest.kind == "full-map":
            card, full = _full_card(artefact, collection.folder)
            result.cards.append(card)
            if full is not None:
                sets += 1
                mean = f"{full.mean_ap:.1f} mAP, whole training set"
                result.points.append(f"{mean}: {short(full.title)}")
            continue
        card, curve = _card(artefact, collection.folder)
        result.cards.append(card)
        if curve is not None:
            known.append(curve)
            last = curve.published[-1]
            result.points.append(f"{last.mean:.1f} mAP at k = {last.k}: {short(curve.title)}")
    sums = [counted(len(known), "curve")] if known or not sets else []
    result.sum = " and ".join(sums + [counted(sets, "training set")] * bool(sets))
    if len(known) > 1:
        result.blocks.append(_compared(known))
    return result


def _card(artefact: Artefact, folder: Path) -> tuple[Card, Curve | None]:
    card = Card(anchor=artefact.anchor, title=artefact.title)
    try:
        name = next(iter(artefact.ending("curve.json")), "lowshot_curve.json")
        curve = read(artefact.file(name, limit=LARGEST_JSON), Curve)
    except SslprepError as error:
        card.note(f"The curve cannot be shown. {note(error, folder)}")
        return card, None
    if not curve.published or min(point.k for point in curve.published + curve.honest) < 1:
        card.note("The curve has no point, or one of no image.")
        return card, None
    card.subtitle = short(curve.title)
    card.fact("protocol", short(curve.protocol, 24))
    card.fact("average precision", short(curve.average_precision, 24))
    card.fact("classes", count_text(len(curve.classes)))
    lines = [_series("published protocol", curve.published)]
    if curve.honest:
        lines.append(_series("honest: cost within sample", curve.honest))
    references = _references(curve)
    caption = "Grey: published for VOC2007, for figures on VOC2007." if references else ""
    card.blocks.append(_figure("Low-shot curve", [*lines, *references], caption))
    card.blocks.append(_points(curve))
    if len(curve.cost_map) == len(curve.published) and sum(cost > 0 for cost in curve.costs) > 1:
        card.blocks.append(_costs(curve))
    card.folded.append(_classes(curve))
    notes = [short(text, 600) for text in curve.notes[:6]]
    card.folded.append(Lines(title="How to read the figures", lines=notes, css="wide"))
    return card, curve


def _full_card(artefact: Artefact, folder: Path) -> tuple[Card, FullMap | None]:
    """Show the average precision of classifiers trained on the whole training set."""
    card = Card(anchor=artefact.anchor, title=artefact.title)
    try:
        name = next(iter(artefact.ending("full_ap.json")), "full_ap.json")
        found = read(artefact.file(name, limit=LARGEST_JSON), FullMap)
    except SslprepError as error:
        card.note(f"The result cannot be shown. {note(error, folder)}")
        return card, None
    card.subtitle = short(found.title)
    card.fact("mAP, whole training set", f"{found.mean_ap:.2f} %")
    card.fact("protocol", short(found.protocol, 24))
    card.fact("average precision", short(found.average_precision, 24))
    rows = [
        cells(short(name), f"{ap:.1f}")
        for name, ap in zip(found.classes[:_MOST_CLASSES], found.ap, strict=False)
    ]
    columns = [Column(title="class"), *numbers("AP, %")]
    title, caption = "Average precision of every class", _first(_MOST_CLASSES, len(found.classes))
    card.folded.append(
        Table(title=title, columns=columns, rows=rows, caption=caption, sortable=True)
    )
    return card, found


def _references(curve: Curve) -> list[Series]:
    """Return the published curves over the same k, where the classes are VOC's."""
    if not published.is_voc(curve.classes):
        return []
    most = max(point.k for point in curve.published)
    return [
        Series(
            name=known.name.partition(" ")[0],
            x=[k for k in known.k if k <= most],
            y=[m for k, m in zip(known.k, known.mean, strict=True) if k <= most],
            reference=True,
        )
        for known in published.CURVES
    ]


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
    unlike = len({curve.protocol for curve in known}) > 1
    lines = [
        _series(short(f"{curve.protocol}: " * unlike + curve.title, 34), curve.published)
        for curve in known[:_MOST_CURVES]
    ]
    caption = f"By the published protocol. {_first(_MOST_CURVES, len(known))}"
    return _figure("The curves compared", lines, caption)


def _first(shown: int, of: int) -> str:
    return f"The first {shown} of {count_text(of)}." if of > shown else ""


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
                f"{low:.1f}–{high:.1f}",
                f"{other.mean:.2f}" if other else "–",
            )
        )
    titles = ("mAP", "std", "interval", "honest")
    caption = "95 % interval: bootstrap over test images. Honest: cost chosen within the sample."
    columns = [Column(title="size"), *numbers(*titles)]
    return Table(
        title="Mean average precision", columns=columns, rows=rows, caption=caption, css="sizes"
    )


def _costs(curve: Curve) -> Figure:
    """Draw the mean average precision by cost, for some sizes."""
    chosen = sorted({0, len(curve.cost_map) // 2, len(curve.cost_map) - 1})
    lines = []
    for i in chosen:
        pairs = sorted(zip(curve.costs, curve.cost_map[i], strict=False))
        costs, values = zip(*((c, v) for c, v in pairs if c > 0), strict=True)
        lines.append(Series(name=f"k = {curve.published[i].k}", x=costs, y=values))
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
        cells(short(name), *(f"{point.ap[i]:.1f}" for point in points))
        for i, name in enumerate(curve.classes[:_MOST_CLASSES])
    ]
    return Table(
        title="Average precision of every class",
        columns=[Column(title="class"), *numbers(*(f"k = {point.k}" for point in points))],
        rows=rows,
        caption=_first(_MOST_CLASSES, len(curve.classes)),
        sortable=True,
        css="wide long" if len(rows) > 24 else "wide",
    )
