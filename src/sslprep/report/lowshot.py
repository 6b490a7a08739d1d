"""Low-shot samples: which images were drawn, and how far samples overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import SslprepError
from sslprep.lowshot import index
from sslprep.report.axes import count_text
from sslprep.report.blocks import Card, Cell, Column, Figure, Section, Table, short
from sslprep.report.charts import WIDTH, shades
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, note
from sslprep.report.fields import Fields
from sslprep.report.photos import images_of, labels_of, shot
from sslprep.report.svg import Drawing, coordinate

MOST_CLASSES = 24
MOST_SIZES = 12
MOST_SAMPLES = 8
_THUMBNAIL = 56
_PHOTO_CLASSES = 6
_PHOTO_SAMPLES = 5
_TOP, _GAP = 36.0, 5.0
_TICKS = 100
"""Places within a cell; draws nearer than that fall together."""

LEAD = (
    "Which images each sample drew. A cell is all images of a class in their order, from left to "
    "right; each stroke is one that was drawn. Even spread and different strokes from sample to "
    "sample are what independent uniform draws look like."
)


@dataclass(frozen=True, kw_only=True)
class DrawnSet:
    """One sample of one size.

    Attributes:
        size: What it is called, such as `k = 4`.
        sample: Its number.
        positives: Rows drawn of each class, by class number.
        names: Class names, where known.
        rows: Rows of the full list.
    """

    size: str
    sample: int
    positives: Mapping[int, NDArray[np.int64]]
    names: Mapping[int, str]
    rows: int


def overlap(first: DrawnSet, second: DrawnSet) -> float:
    """Return the share of the first sample's positives that the second has too, class by class.

    Example:
        >>> a, b = (
        ...     DrawnSet(size="k = 2", sample=s, positives={0: np.array(rows)}, names={},
        ...              rows=9)
        ...     for s, rows in ((1, [1, 2]), (2, [2, 3]))
        ... )
        >>> overlap(a, b)
        0.5
    """
    common = total = 0
    for number, rows in first.positives.items():
        total += len(rows)
        common += len(np.intersect1d(rows, second.positives.get(number, rows[:0])))
    return common / total if total else 0.0


def section(collection: Collection) -> Section | None:
    """Describe every set of low-shot samples."""
    found = collection.of_kind("lowshot")
    if not found:
        return None
    result = Section(anchor="lowshot", title="Low-shot samples", lead=LEAD)
    for artefact in found:
        card = _card(artefact, collection)
        result.cards.append(card)
    sets = sum(len(a.details.parts("sets")) for a in found)
    result.sum = f"{count_text(sets)} samples"
    return result


def _card(artefact: Artefact, collection: Collection) -> Card:
    details, counts = artefact.details, Fields(artefact.manifest.counts)
    parameters = artefact.parameters
    card = Card(
        anchor=artefact.anchor,
        title=artefact.title,
        subtitle="several labels an image" if details.flag("multi_label") else "one label an image",
    )
    for name in ("rows", "classes", "samples"):
        number = counts.whole(name)
        card.fact(name, None if number is None else count_text(number))
    card.fact("sizes", _sizes(details))
    card.fact("seed", str(artefact.manifest.seed) if artefact.manifest.seed is not None else None)
    card.fact("nested", "yes" if parameters.flag("nested") else None)
    largest = details.whole("largest_k")
    card.fact("largest k that works", None if largest is None else count_text(largest))
    for warning in artefact.manifest.warnings:
        card.note(f"Warning of the run: {warning}")
    source = _source(artefact, collection)
    sets = _read(card, artefact, collection.folder)
    places = _places(source, sets)
    if source is not None and sets:
        smallest = next(iter(sets))
        _first_photos(card, smallest, sets[smallest], source)
    _overlaps(card, sets)
    for size, drawn in sets.items():
        card.add(_grid(size, drawn, places))
    return card


def _sizes(details: Fields) -> str:
    sizes = details.numbers("k_values")
    if sizes:
        return "k = " + ", ".join(f"{size:g}" for size in sizes[:MOST_SIZES])
    return ", ".join(f"{100 * size:g} %" for size in details.numbers("fraction")[:MOST_SIZES])


def _source(artefact: Artefact, collection: Collection) -> Artefact | None:
    """Return the partition whose labels were drawn from, by the hash of the file."""
    makers = collection.makers()
    for record in artefact.manifest.inputs:
        maker = makers.get(record.sha256 or "")
        if maker is not None and maker[0].manifest.kind == "partition":
            return maker[0]
    return None


def _read(card: Card, artefact: Artefact, folder: Path) -> dict[str, list[DrawnSet]]:
    """Read the index files, by size; what cannot be read becomes a note."""
    sets: dict[str, list[DrawnSet]] = {}
    listed = artefact.details.parts("sets") or [
        Fields({"index": name}) for name in artefact.ending("_index.json")
    ]
    left_out = 0
    for entry in listed:
        size = _size_of(entry)
        full = size not in sets and len(sets) >= MOST_SIZES
        if size and (full or len(sets.get(size, ())) >= MOST_SAMPLES):
            left_out += 1
            continue
        try:
            found = index.read(artefact.file(entry.text("index"), limit=LARGEST_JSON))
        except SslprepError as error:
            card.note(f"A sample cannot be shown. {note(error, folder)}")
            continue
        size = _size_of(Fields({"k": found.k, "fraction": found.fraction})) or "size unknown"
        drawn = _drawn(size, found)
        if drawn.positives:
            sets.setdefault(size, []).append(drawn)
    if left_out:
        card.note(f"{count_text(left_out)} more samples are not drawn here.")
    return sets


def _size_of(entry: Fields) -> str:
    k, fraction = entry.whole("k"), entry.number("fraction")
    if k:
        return f"k = {count_text(k)}"
    return f"{100 * fraction:g} % of each class" if fraction else ""


def _drawn(size: str, found: index.Index) -> DrawnSet:
    rows = max(0, found.rows)
    limit = 1 << 62
    positives = {
        record.id: np.array([r for r in record.positives if 0 <= r < limit], np.int64)
        for record in found.classes
        if abs(record.id) < limit
    }
    names = {record.id: record.name for record in found.classes if record.name}
    return DrawnSet(size=size, sample=found.sample, positives=positives, names=names, rows=rows)


def _places(
    source: Artefact | None, sets: Mapping[str, Sequence[DrawnSet]]
) -> dict[int, NDArray[np.int64]]:
    """Return all rows of each class that is drawn, where the labels are at hand."""
    if source is None or not sets:
        return {}
    try:
        labels = labels_of(source)
    except SslprepError:
        return {}
    numbers = list(next(iter(sets.values()))[0].positives)[:MOST_CLASSES]
    if labels.ndim == 1:
        return {n: np.flatnonzero(labels == n) for n in numbers}
    return {n: np.flatnonzero(labels[:, n] == 1) for n in numbers if 0 <= n < labels.shape[1]}


class _Lanes:
    """A drawing with a row for each class and a column for each sample."""

    def __init__(
        self, names: Sequence[str], samples: Sequence[int], row: float, *, title: str, text: str
    ) -> None:
        self.left = min(112.0, 12 + 6.4 * max(len(name) for name in names))
        self.wide = (WIDTH - self.left - _GAP * len(samples)) / len(samples)
        self.row = row
        height = _TOP + row * len(names) + 4
        self.drawing = Drawing(WIDTH, height, title=title, description=text)
        middle = self.left + (WIDTH - self.left) / 2
        self.drawing.text(middle, 12, "sample", css="label", anchor="middle")
        for column, sample in enumerate(samples):
            middle = self.x(column) + self.wide / 2
            self.drawing.text(middle, _TOP - 7, str(sample), css="tick", anchor="middle")
        for line, name in enumerate(names):
            middle = self.y(line) + row / 2 + 2.5
            self.drawing.text(self.left - 7, middle, name, css="tick", anchor="end")

    def x(self, column: int) -> float:
        return self.left + (self.wide + _GAP) * column

    def y(self, line: int) -> float:
        return _TOP + self.row * line


def _grid(size: str, drawn: Sequence[DrawnSet], places: Mapping[int, NDArray[np.int64]]) -> Figure:
    """Draw one size: a row for each class, a column for each sample, a stroke for each image."""
    numbers = list(drawn[0].positives)
    shown = numbers[:MOST_CLASSES]
    each = [len(rows) for rows in drawn[0].positives.values()]
    count = count_text(each[0]) if len(set(each)) == 1 else f"{min(each)} to {max(each)}"
    lanes = _Lanes(
        [_class_name(drawn[0], number) for number in shown],
        [sample.sample for sample in drawn],
        15,
        title=f"Images drawn at {size}, by class and sample",
        text=f"{len(drawn)} samples of {len(numbers)} classes, {count} images of each.",
    )
    drawing, wide = lanes.drawing, lanes.wide
    for line, number in enumerate(shown):
        y = lanes.y(line)
        for column, sample in enumerate(drawn):
            x = lanes.x(column)
            drawing.box(x, y, wide, lanes.row - 3, css="track", radius=1.5)
            rows = sample.positives.get(number, np.empty(0, np.int64))
            ticks = _ticks(rows, places.get(number), sample.rows)
            strokes = (coordinate(x + 1 + tick * (wide - 2)) for tick in ticks)
            data = "".join(f"M{stroke} {coordinate(y)}v12" for stroke in strokes)
            if data:
                drawing.path(data, css="stroke")
    more = len(numbers) - len(shown)
    caption = f"{count} of each class in each sample."
    if more:
        caption += f" The first {len(shown)} of {count_text(len(numbers))} classes."
    return Figure(title=size, body=drawing, caption=caption, rank=1)


def _class_name(drawn: DrawnSet, number: int) -> str:
    return short(drawn.names.get(number, f"class {number}"), 16)


def _ticks(rows: NDArray[np.int64], all_rows: NDArray[np.int64] | None, total: int) -> list[float]:
    """Return where rows lie among the rows of their class (else among all), from 0 to 1."""
    if all_rows is not None and len(all_rows) and np.isin(rows, all_rows).all():
        share = (np.searchsorted(all_rows, rows) + 0.5) / len(all_rows)
    else:
        share = (rows + 0.5) / max(1, total)
    places = np.unique(np.round(np.clip(share, 0, 1) * _TICKS))
    return [float(place) for place in places / _TICKS]


def _first_photos(card: Card, size: str, drawn: Sequence[DrawnSet], source: Artefact) -> None:
    """Show the images of the smallest size themselves, in the order of the grids."""
    try:
        images = images_of(source)
    except SslprepError:
        return
    drawn = drawn[:_PHOTO_SAMPLES]
    numbers = list(drawn[0].positives)[:_PHOTO_CLASSES]
    names = [_class_name(drawn[0], number) for number in numbers]
    lanes = _Lanes(
        names,
        [sample.sample for sample in drawn],
        46,
        title=f"The first image drawn at {size}, by class and sample",
        text=f"Photos of {', '.join(names)}.",
    )
    side = min(lanes.row - 4, lanes.wide)
    found = 0
    for line, number in enumerate(numbers):
        for column, sample in enumerate(drawn):
            rows = sample.positives.get(number, np.empty(0, np.int64))
            if not len(rows) or rows[0] >= len(images):
                continue
            x, y = lanes.x(column) + (lanes.wide - side) / 2, lanes.y(line)
            photo = shot(str(images[rows[0]]), source, "", size=_THUMBNAIL)
            if photo.picture is None:
                lanes.drawing.box(x, y, side, side, css="lost", radius=3, tip=photo.problem)
            else:
                lanes.drawing.image(x, y, side, side, photo.picture.uri)
                found += 1
    if found:
        more = "" if size == "k = 1" else " first"
        card.add(
            Figure(
                title=f"The{more} images of {size}",
                body=lanes.drawing,
                caption=f"{'One image' if not more else 'The first image'} of each class.",
                rank=2,
            )
        )


def _overlaps(card: Card, sets: Mapping[str, Sequence[DrawnSet]]) -> None:
    """Show how many images two samples have in common."""
    several = {size: drawn for size, drawn in sets.items() if len(drawn) > 1}
    if not several:
        return
    shares = {
        size: [overlap(a, b) for a, b in combinations(drawn, 2)] for size, drawn in several.items()
    }
    pairs = [f"{a.sample}–{b.sample}" for a, b in combinations(next(iter(several.values())), 2)]
    if len(pairs) <= 10 and all(len(values) == len(pairs) for values in shares.values()):
        values = 100 * np.array(list(shares.values()))
        card.add(
            Figure(
                title="Overlap of samples",
                body=shades(
                    values.round(),
                    rows=[size.replace("k = ", "") for size in shares],
                    columns=pairs,
                    title="Images that two samples have in common, percent",
                    description=f"From {values.min():.0f} % to {values.max():.0f} %.",
                    x_label="two samples",
                    y_label="k" if all(s.startswith("k") for s in shares) else "size",
                    cell=26,
                    tip="size {row}, samples {column}: {value} %",
                ),
                caption=(
                    "Images in common, in percent of a sample, class by class. "
                    "It grows with k as classes run out of images."
                ),
            )
        )
        return
    rows = [
        [
            Cell(text=size),
            Cell(text=f"{100 * float(np.mean(values)):.1f} %"),
            Cell(text=f"{100 * max(values):.1f} %"),
        ]
        for size, values in shares.items()
    ]
    heads = [
        Column(title="size"),
        Column(title="mean overlap", kind="number"),
        Column(title="largest", kind="number"),
    ]
    card.add(Table(title="Overlap of samples", columns=heads, rows=rows))
