"""Partitions: how many images of which class, and what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.charts import Series, columns, curves
from sslprep.drawing.numbers import count_text, share_text
from sslprep.errors import SslprepError
from sslprep.files import read_json
from sslprep.report.blocks import (
    Card,
    Cell,
    Column,
    Figure,
    Gallery,
    Section,
    Shot,
    Table,
    short,
)
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, note, regular_file
from sslprep.report.fields import Fields
from sslprep.report.photos import images_of, labels_of, shot
from sslprep.report.tally import Tally, class_count, tally, tally_of_manifest

_ALL_CLASSES = 120
_ENDS = 15
_SHOTS = 9
_THUMBNAIL = 112
_FINDINGS = 40

LEAD = (
    "An ordered list of image paths with their labels. Bars show how many images each class has; "
    "the photos are taken at even steps through the list, with the classes that it gives them."
)


def section(collection: Collection) -> Section | None:
    """Describe every partition of the collection."""
    found = collection.of_kind("partition")
    if not found:
        return None
    result = Section(anchor="partitions", title="Partitions", lead=LEAD)
    for artefact in found:
        card = _card(artefact, collection.folder)
        result.cards.append(card)
    images = sum(Fields(a.manifest.counts).whole("images") or 0 for a in found)
    result.sum = f"{count_text(images)} images"
    return result


def _card(artefact: Artefact, folder: Path) -> Card:
    details, counts = artefact.details, Fields(artefact.manifest.counts)
    dataset = details.text("dataset")
    card = Card(
        anchor=artefact.anchor,
        title=artefact.title,
        subtitle=" · ".join(filter(None, (short(dataset), _split(artefact)))),
    )
    names = details.texts("classes")
    found: Tally | None
    try:
        labels = labels_of(artefact)
        found = tally(labels, len(names) or class_count(labels))
    except SslprepError as error:
        card.note(f"The labels cannot be shown. {note(error, folder)}")
        labels, found = None, tally_of_manifest(artefact)
    if found is not None:
        if len(names) != len(found.present):
            names = [f"class {i}" for i in range(len(found.present))]
        _facts(card, found, counts)
        _bars(card, found, names)
        if found.per_image is not None:
            _labels_per_image(card, found)
    _photos(card, artefact, labels, names, folder)
    _check(card, artefact, folder)
    for warning in artefact.manifest.warnings:
        card.note(f"Warning of the run: {warning}")
    return card


def _split(artefact: Artefact) -> str:
    source = artefact.details.text("source_split")
    same = source in ("", artefact.details.text("partition"))
    return "" if same else f"made from the split {short(source)}"


def _facts(card: Card, found: Tally, counts: Fields) -> None:
    card.fact("images", count_text(found.images))
    card.fact("classes", count_text(len(found.present)))
    if found.ignored is not None:
        positives, ignored = int(found.present.sum()), int(found.ignored.sum())
        if found.rows:
            card.fact("labels per image, mean", f"{positives / found.rows:.2f}")
        card.fact("labels to ignore", share_text(ignored, found.rows * len(found.present)))
    skipped = sum(value for key, value in counts.counts().items() if key.startswith("skipped"))
    card.fact("files skipped", count_text(skipped) if skipped else None)
    if found.rows < found.images:
        card.note(
            f"Labels were counted on {count_text(found.rows)} of {count_text(found.images)} "
            "images, in blocks at even steps."
        )
    if found.outside:
        card.note(f"{count_text(found.outside)} labels are no class of the list.")
    stated = counts.whole("images")
    if stated is not None and stated != found.images:
        card.note(f"The manifest says {count_text(stated)} images.")


def _bars(card: Card, found: Tally, names: Sequence[str]) -> None:
    order = np.arange(len(names))
    title, caption = "Images per class", ""
    if len(names) > _ALL_CLASSES:
        ranked = np.argsort(-found.present, kind="stable")
        card.add(_ranking(found.present[ranked]))
        order = np.concatenate([ranked[:_ENDS], ranked[-_ENDS:]])
        total = count_text(len(names))
        caption = f"The {_ENDS} largest and the {_ENDS} smallest of {total} classes."
    ignored = found.ignored if found.ignored is not None and found.ignored.any() else None
    if not caption and len(order) > 24:
        caption = f"{len(order)} classes; the list scrolls."
    extra = 0 if ignored is None else ignored
    longest = int((found.present + extra).max(initial=1)) or 1
    if ignored is not None:
        caption += " Hatched: images whose label for the class is to be ignored."
    rows = []
    for index in order.tolist():
        present = int(found.present[index])
        parts = [100 * present / longest]
        cells = [
            Cell(text=short(names[index])),
            Cell(text=count_text(present), value=present),
        ]
        if ignored is not None:
            parts.append(100 * int(ignored[index]) / longest)
            cells.append(Cell(text=count_text(ignored[index]), value=int(ignored[index])))
        cells.append(Cell(parts=tuple(parts), css="" if present else "none"))
        rows.append(cells)
    heads = [Column(title="class"), Column(title="images", kind="number")]
    if ignored is not None:
        heads.append(Column(title="ignored", kind="number"))
    heads.append(Column(title="bar", kind="bar"))
    card.add(
        Table(
            title=title,
            columns=heads,
            rows=rows,
            caption=caption.strip(),
            sortable=True,
            css="bars long" if len(rows) > 24 else "bars",
        )
    )


def _ranking(counts: NDArray[np.int64]) -> Figure:
    ends = f"{count_text(counts[0])} down to {count_text(counts[-1])} images"
    return Figure(
        title="Class sizes",
        body=curves(
            [Series(name="images", x=np.arange(1, len(counts) + 1), y=counts)],
            title="Images per class, from the largest class to the smallest",
            description=f"{len(counts)} classes, {ends}.",
            x_label="rank of the class",
            y_label="images",
        ),
        caption=f"From the largest class to the smallest: {ends}.",
    )


def _labels_per_image(card: Card, found: Tally) -> None:
    counts = found.per_image
    if counts is None or not counts.sum():
        return
    none = int(counts[0])
    most = int(counts.argmax())
    share = share_text(none, float(counts.sum()))
    caption = f"{share} of the images have no class at all." if none else ""
    card.add(
        Figure(
            title="Labels per image",
            body=columns(
                [str(n) for n in range(len(counts))],
                counts,
                title="Number of classes present in an image",
                description=f"Most often {most}, at most {len(counts) - 1}; {none} have none.",
                x_label="classes present in the image",
                y_label="images",
            ),
            caption=caption,
        )
    )


def _photos(
    card: Card,
    artefact: Artefact,
    labels: NDArray[np.integer] | None,
    names: Sequence[str],
    folder: Path,
) -> None:
    try:
        images = images_of(artefact)
    except SslprepError as error:
        card.note(f"The image list cannot be shown. {note(error, folder)}")
        return
    if labels is not None and len(labels) != len(images):
        card.note(f"{count_text(len(images))} images have {count_text(len(labels))} labels.")
        labels = None
    if not len(images):
        return
    steps = (np.arange(_SHOTS) + 0.5) / _SHOTS * len(images)
    rows = np.unique(steps.astype(int)).tolist()
    shots: list[Shot] = []
    for row in rows:
        caption = "" if labels is None else _class_names(labels[row], names)
        shots.append(shot(str(images[row]), artefact, caption, size=_THUMBNAIL))
    gone = sum(item.picture is None for item in shots)
    if gone == len(shots):
        card.note(f"None of {gone} sample photos can be shown. {shots[0].problem}.")
        return
    if gone:
        card.note(f"{gone} of {len(shots)} sample photos cannot be shown; each says why.")
    card.add(Gallery(title="Sample photos", shots=shots, css="nine"))


def _class_names(label: NDArray[np.integer], names: Sequence[str]) -> str:
    if label.ndim == 0:
        number = int(label)
        return short(names[number], 40) if 0 <= number < len(names) else f"class {number}"
    present = np.flatnonzero(label == 1)
    shown = [short(names[i], 40) for i in present[:4].tolist() if i < len(names)]
    more = f" and {len(present) - 4} more" if len(present) > 4 else ""
    return ", ".join(shown) + more or "no class"


class _Finding(msgspec.Struct):
    row: int
    image: str
    problem: str
    detail: str


class _Checked(msgspec.Struct):
    images: int
    images_sha256: str
    counts: dict[str, int]
    findings: list[_Finding]


def _check(card: Card, artefact: Artefact, folder: Path) -> None:
    """Show what `data check` found, where it ran."""
    path = artefact.path.parent / f"{artefact.name}.check.json"
    if not path.exists():
        return
    try:
        found = read_json(regular_file(path, limit=LARGEST_JSON), _Checked, SslprepError)
    except SslprepError as error:
        card.note(f"The result of data check cannot be shown. {note(error, folder)}")
        return
    listed = {output.sha256 for output in artefact.manifest.outputs}
    if found.images_sha256 not in listed:
        card.note("data check read another image list than this; run it again.")
    if not found.findings:
        card.fact("images checked", f"{count_text(found.images)}, all sound")
        return
    counts = ", ".join(
        f"{count_text(number)} {short(name)}" for name, number in found.counts.items() if number
    )
    bad = count_text(len({item.row for item in found.findings}))
    card.fact("images checked", f"{count_text(found.images)}, {bad} with problems")
    rows = [
        [
            Cell(text=short(item.image, 160)),
            Cell(text=short(item.problem)),
            Cell(text=count_text(item.row), value=item.row),
            Cell(text=short(item.detail, 160)),
        ]
        for item in found.findings[:_FINDINGS]
    ]
    more = len(found.findings) - len(rows)
    card.add(
        Table(
            title="Images with problems",
            columns=[
                Column(title="image", kind="code"),
                Column(title="problem"),
                Column(title="row", kind="number"),
                Column(title="detail"),
            ],
            rows=rows,
            caption=f"{counts}.{f' {count_text(more)} more are in {path.name}.' if more else ''}",
            sortable=True,
            css="full long" if len(rows) > 12 else "full",
        )
    )
