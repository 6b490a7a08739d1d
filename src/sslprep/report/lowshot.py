"""Low-shot samples: which images were drawn, and how far samples overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.charts import WIDTH
from sslprep.drawing.numbers import count_text
from sslprep.drawing.shades import shades
from sslprep.drawing.svg import Drawing, coordinate
from sslprep.errors import SslprepError
from sslprep.report.blocks import Card, Cell, Column, Figure, Section, Table, short
from sslprep.report.collect import Artefact, Collection
from sslprep.report.drawn import (
    MOST_CLASSES,
    MOST_SIZES,
    DrawnSet,
    overlap,
    places_of,
    read_sets,
    source_of,
)
from sslprep.report.fields import Fields
from sslprep.report.photos import images_of, shot

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
    source = source_of(artefact, collection)
    sets = read_sets(card, artefact, collection.folder)
    places = places_of(source, sets)
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


class _Lanes:
    """A drawing with a row for each class and a column for each sample."""

    def __init__(
        self, names: Sequence[str], samples: Sequence[int], row: float, *, title: str, text: str
    ) -> None:
        self.left = min(118.0, 16 + 6.8 * max(len(name) for name in names))
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
