"""Low-shot samples: which images were drawn, and how far samples overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.charts import WIDTH, Series, curves
from sslprep.drawing.numbers import count_text, counted
from sslprep.drawing.svg import Drawing, coordinate, digits_wide, fitted
from sslprep.errors import SslprepError
from sslprep.lowshot.sample_files import Index, read_index
from sslprep.report.blocks import Card, Column, Figure, Section, Table, cells, numbers, short
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, Count, note
from sslprep.report.partitions import images_of, labels_of, photo_of

_MOST_CLASSES, _MOST_SIZES, _MOST_SAMPLES = 24, 12, 8
_PHOTO_CLASSES, _PHOTO_SAMPLES, _THUMBNAIL = 8, 5, 64
_TOP, _GAP = 36.0, 5.0
_TICKS = 100
"""Places within a cell; draws nearer than that fall together."""
_MOST_STROKES = 40
"""Images a cell; of larger samples the strokes would touch, and nothing is to be seen."""

LEAD = (
    "Which images each sample drew, and how many two samples share. Independent uniform draws of "
    "k from a class of n share k / n of their images: measured and expected should agree."
)


class _Details(msgspec.Struct):
    multi_label: bool = False
    stem: str = ""
    largest_k: Count = 0


class _Parameters(msgspec.Struct):
    nested: bool = False


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample of one size.

    Attributes:
        size: What it is called, such as `k = 4`.
        k: Images of each class; `None` for shares and where classes differ.
        number: Its number.
        positives: Rows drawn of each class, by class number.
        names: Class names, where known.
        rows: Rows of the full list.
    """

    size: str
    k: int | None
    number: int
    positives: Mapping[int, NDArray[np.int64]]
    names: Mapping[int, str]
    rows: int


def overlap(first: Sample, second: Sample) -> float:
    """Return the share of the first sample's positives that the second has too, class by class.

    Example:
        >>> a, b = (
        ...     Sample(size="k = 2", k=2, number=s, positives={0: np.array(rows)}, names={}, rows=9)
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


def expected_overlap(sample: Sample, places: Mapping[int, NDArray[np.int64]]) -> float | None:
    """Return the overlap of independent uniform draws: of k from n it is k / n, class by class.

    Example:
        >>> sample = Sample(size="k = 2", k=2, number=1, names={}, rows=9,
        ...     positives={0: np.array([1, 2]), 1: np.array([3, 4])})
        >>> expected_overlap(sample, {0: np.arange(4), 1: np.arange(8)})
        0.375
    """
    if not places or any(not len(places.get(number, ())) for number in sample.positives):
        return None
    drawn = [(len(rows), len(places[number])) for number, rows in sample.positives.items()]
    total = sum(k for k, _ in drawn)
    return sum(k * k / n for k, n in drawn) / total if total else None


def section(collection: Collection) -> Section | None:
    """Describe every set of low-shot samples; the sizes of one draw share a card."""
    found = collection.of_kind("lowshot")
    if not found:
        return None
    result = Section(anchor="lowshot", title="Low-shot samples", lead=LEAD)

    def draw(artefact: Artefact) -> tuple[Any, ...]:
        seed = artefact.manifest.seed
        nested = artefact.parameters(_Parameters).nested
        return artefact.place, artefact.details(_Details).stem, -1 if seed is None else seed, nested

    total = 0
    for _, group in groupby(sorted(found, key=draw), key=draw):
        card, samples = _card(list(group), collection)
        result.cards.append(card)
        result.points.append(f"{card.title}: {counted(samples, 'sample')}, {card.facts['sizes']}")
        total += samples
    result.sum = counted(total, "sample")
    return result


def _card(group: Sequence[Artefact], collection: Collection) -> tuple[Card, int]:
    first = group[0]
    details = first.details(_Details)
    stem = details.stem or first.name.removesuffix("_lowshot")
    card = Card(
        anchor=first.anchor,
        title=stem if first.place == "." else f"{first.place}/{stem}",
        subtitle="several labels an image" if details.multi_label else "one label an image",
        also=[artefact.anchor for artefact in group[1:]],
    )
    for name in ("rows", "classes"):
        card.fact(name, count_text(first.count(name)) if first.count(name) else None)
    card.fact("seed", None if first.manifest.seed is None else str(first.manifest.seed))
    card.fact("nested", "yes" if first.parameters(_Parameters).nested else None)
    card.fact("largest k that works", count_text(details.largest_k) if details.largest_k else None)
    source = _source(first, collection)
    sizes, total = _read(card, group, collection)
    ends = list(dict.fromkeys([*sizes][:1] + [*sizes][-1:]))
    card.fact("sizes", " to ".join(ends) or "none that can be read")
    if not sizes:
        return card, total
    places = _places(source, next(iter(sizes.values()))[0])
    table, measured = _overlaps(sizes, places)
    card.blocks.append(table)
    if len(measured) > 1:
        card.blocks.append(_overlap_chart(measured))
    smallest = next(iter(sizes))
    if source is not None:
        card.folded += _photos(smallest, sizes[smallest], source)
    for size, samples in sizes.items():
        if max(map(len, samples[0].positives.values())) <= _MOST_STROKES:
            card.folded.append(_strokes(size, samples, places))
    return card, total


def _source(artefact: Artefact, collection: Collection) -> Artefact | None:
    """Return the partition whose labels were drawn from, by the hash of the file."""
    makers = (maker for maker, _ in collection.sources(artefact))
    return next((m for m in makers if m.manifest.kind == "partition"), None)


def _read(
    card: Card, group: Sequence[Artefact], collection: Collection
) -> tuple[dict[str, list[Sample]], int]:
    """Read the index files, by size from the smallest; what cannot be read becomes a note.

    Returns the samples to draw, and how many there are in all.
    """
    found: dict[tuple[bool, float, str], list[Sample]] = {}
    for artefact in group:
        for name in artefact.ending("_index.json"):
            try:
                content = read_index(artefact.file(name, limit=LARGEST_JSON))
            except SslprepError as error:
                card.note(f"A sample cannot be shown. {note(error, collection.folder)}")
                continue
            sample = _sample(content)
            amount = content.k or content.fraction or 0
            if sample.positives and any(map(len, sample.positives.values())):
                found.setdefault((content.k is None, amount, sample.size), []).append(sample)
    sizes = {key[-1]: samples for key, samples in sorted(found.items(), key=lambda i: i[0])}
    kept = {
        size: sorted(samples, key=lambda sample: sample.number)[:_MOST_SAMPLES]
        for size, samples in [*sizes.items()][:_MOST_SIZES]
    }
    total = sum(map(len, sizes.values()))
    if left_out := total - sum(map(len, kept.values())):
        card.note(f"{counted(left_out, 'more sample')} not drawn here.")
    return kept, total


def _sample(content: Index) -> Sample:
    limit = 1 << 62
    if content.k:
        size = f"k = {count_text(content.k)}"
    else:
        size = f"{100 * content.fraction:g} %" if content.fraction else "size unknown"
        size += ", balanced" if content.balanced else " of each class"
    return Sample(
        size=size,
        k=content.k,
        number=content.sample,
        positives={
            record.id: np.array([r for r in record.positives if 0 <= r < limit], np.int64)
            for record in content.classes
            if abs(record.id) < limit
        },
        names={record.id: record.name for record in content.classes if record.name},
        rows=max(0, content.rows),
    )


def _places(source: Artefact | None, sample: Sample) -> dict[int, NDArray[np.int64]]:
    """Return all rows of each class that is drawn, where the labels are at hand."""
    if source is None:
        return {}
    try:
        labels = labels_of(source)
    except SslprepError:
        return {}
    if labels.ndim == 1:
        order = np.argsort(labels, kind="stable")
        numbers_of = list(sample.positives)
        starts = np.searchsorted(labels[order], numbers_of, side="left")
        ends = np.searchsorted(labels[order], numbers_of, side="right")
        return {n: order[a:b] for n, a, b in zip(numbers_of, starts, ends, strict=True)}
    width = labels.shape[1]
    return {n: np.flatnonzero(labels[:, n] == 1) for n in sample.positives if 0 <= n < width}


def _overlaps(
    sizes: Mapping[str, Sequence[Sample]], places: Mapping[int, NDArray[np.int64]]
) -> tuple[Table, list[tuple[int, float, float, float, float | None]]]:
    """List each size: samples, classes that could serve it, overlap as measured and expected.

    Returns:
        The table, and of each k: k, mean, smallest and largest overlap, the expected one.
    """
    measured, rows = [], []
    counts = np.array([len(rows) for rows in places.values()])
    for size, samples in sizes.items():
        shares = [overlap(a, b) for a, b in combinations(samples, 2)]
        wanted = expected_overlap(samples[0], places)
        k = samples[0].k
        row = cells(
            size,
            count_text(len(samples)),
            count_text((counts >= k).sum()) if k and len(counts) else "–",
            f"{100 * np.mean(shares):.1f} %" if shares else "–",
            f"{100 * min(shares):.0f}–{100 * max(shares):.0f} %" if shares else "–",
            "–" if wanted is None else f"{100 * wanted:.1f} %",
        )
        rows.append(row)
        if k and shares:
            part = (float(np.mean(shares)), min(shares), max(shares), wanted)
            measured.append((k, *part))
    titles = ("samples", "classes", "overlap", "range", "expected")
    table = Table(
        title="Sizes",
        columns=[Column(title="size"), *numbers(*titles)],
        rows=rows,
        caption="Classes: those with k images or more. Overlap: images that two samples share.",
        css="broad",
    )
    return table, measured


def _overlap_chart(measured: Sequence[tuple[int, float, float, float, float | None]]) -> Figure:
    k, mean, low, high, wanted = zip(*measured, strict=True)
    series = [
        Series(
            name="measured",
            x=k,
            y=[100 * v for v in mean],
            low=[100 * v for v in low],
            high=[100 * v for v in high],
        )
    ]
    if all(value is not None for value in wanted):
        series.append(Series(name="expected", x=k, y=[100 * (v or 0) for v in wanted]))
    drawing = curves(
        series,
        title="Overlap of two samples by k",
        description="; ".join(f"k = {a}: {100 * b:.1f} %" for a, b in zip(k, mean, strict=True)),
        x_label="k: images of each class (logarithmic)",
        y_label="images in common, %",
        x_ticks=k,
        points=True,
    )
    caption = "The band runs from the smallest to the largest overlap of two samples."
    return Figure(title="Overlap of samples", drawings=[drawing], caption=caption)


class _Lanes:
    """A drawing with a row for each class and a column for each sample."""

    def __init__(
        self, names: Sequence[str], samples: Sequence[int], row: float, *, title: str, text: str
    ) -> None:
        names = [fitted(name, 15) for name in names]
        self.left = 12 + 7.1 * max(map(digits_wide, names))
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


def _strokes(
    size: str, samples: Sequence[Sample], places: Mapping[int, NDArray[np.int64]]
) -> Figure:
    """Draw one size: a row for each class, a column for each sample, a stroke for each image."""
    shown = list(samples[0].positives)[:_MOST_CLASSES]
    lanes = _Lanes(
        [_class_name(samples[0], number) for number in shown],
        [sample.number for sample in samples],
        15,
        title=f"Images drawn at {size}, by class and sample",
        text=f"{counted(len(samples), 'sample')} of {len(samples[0].positives)} classes.",
    )
    for line, number in enumerate(shown):
        y = lanes.y(line)
        for column, sample in enumerate(samples):
            x = lanes.x(column)
            lanes.drawing.box(x, y, lanes.wide, lanes.row - 3, css="track", radius=1.5)
            rows = sample.positives.get(number, np.empty(0, np.int64))
            ticks = _ticks(rows, places.get(number), sample.rows)
            strokes = (coordinate(x + 1 + tick * (lanes.wide - 2)) for tick in ticks)
            data = "".join(f"M{stroke} {coordinate(y)}v12" for stroke in strokes)
            if data:
                lanes.drawing.path(data, css="stroke")
    more = len(samples[0].positives) - len(shown)
    caption = "A cell is all images of a class in their order; a stroke is one that was drawn."
    if more:
        caption += f" The first {len(shown)} of {len(samples[0].positives)} classes."
    return Figure(title=f"Drawn at {size}", drawings=[lanes.drawing], caption=caption, rank=2)


def _class_name(sample: Sample, number: int) -> str:
    return short(sample.names.get(number, f"class {number}"))


def _ticks(rows: NDArray[np.int64], all_rows: NDArray[np.int64] | None, total: int) -> list[float]:
    """Return where rows lie among the rows of their class (else among all), from 0 to 1."""
    if all_rows is not None and len(all_rows) and np.isin(rows, all_rows).all():
        share = (np.searchsorted(all_rows, rows) + 0.5) / len(all_rows)
    else:
        share = (rows + 0.5) / max(1, total)
    places = np.unique(np.round(np.clip(share, 0, 1) * _TICKS))
    return [float(place) for place in places / _TICKS]


def _photos(size: str, samples: Sequence[Sample], source: Artefact) -> list[Figure]:
    """Show the first image of each class and sample."""
    try:
        images = images_of(source)
    except SslprepError:
        return []
    shown = samples[:_PHOTO_SAMPLES]
    every = list(samples[0].positives)
    # At even steps: the first classes of the alphabet are not a sample of them.
    steps = np.linspace(0, len(every) - 1, min(_PHOTO_CLASSES, len(every)))
    classes = [every[i] for i in steps.round().astype(int).tolist()]
    names = [_class_name(samples[0], number) for number in classes]
    lanes = _Lanes(
        names,
        [sample.number for sample in shown],
        40,
        title=f"The first image drawn at {size}, by class and sample",
        text=f"Photos of {', '.join(names)}.",
    )
    side = min(lanes.row - 4, lanes.wide)
    found = 0
    for line, number in enumerate(classes):
        for column, sample in enumerate(shown):
            rows = sample.positives.get(number, np.empty(0, np.int64))
            if not len(rows) or rows[0] >= len(images):
                continue
            x, y = lanes.x(column) + (lanes.wide - side) / 2, lanes.y(line)
            photo = photo_of(str(images[rows[0]]), source, "", size=_THUMBNAIL)
            if photo.picture is None:
                lanes.drawing.box(x, y, side, side, css="lost", radius=3, tip=photo.problem)
            else:
                lanes.drawing.image(x, y, side, side, photo.picture.uri)
                found += 1
    if not found:
        return []
    caption = "The first image of each class and sample"
    if len(classes) < len(every):
        caption += f", {len(classes)} of {len(every)} classes"
    return [
        Figure(title=f"Images of {size}", drawings=[lanes.drawing], caption=f"{caption}.", rank=1)
    ]
