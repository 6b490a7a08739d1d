"""Partitions: how many images of which class, and what they look like.

The partitions of one folder (train, val, test) share a card and a scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.charts import Series, curves
from sslprep.drawing.dots import dots
from sslprep.drawing.numbers import count_text, counted, share_text
from sslprep.errors import ImagesError, SslprepError
from sslprep.input_files import read_json
from sslprep.partition.check import Finding
from sslprep.report.blocks import (
    Card,
    Cell,
    Column,
    Figure,
    Gallery,
    Photo,
    Section,
    Table,
    cells,
    numbers,
    short,
)
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, Count, note, regular_file
from sslprep.report.pictures import find_file, thumbnail

MOST_CELLS = 60_000_000
"""Labels looked at; of larger matrices, rows in evenly spaced blocks."""

_ORDER = ("train", "trainval", "val", "test", "minival", "valminusminival")
_BLOCKS = 64
_MOST_SERIES, _MOST_DOTS, _MOST_ROWS, _MOST_CLASSES = 4, 40, 120, 100_000
_MOST_NAMED = 6
_ENDS, _PHOTOS, _THUMBNAIL, _FINDINGS = 15, 9, 208, 40

LEAD = (
    "An ordered list of image paths with their labels. Partitions of one folder share a card and "
    "a scale. Imbalance: images of the largest class over those of the smallest. Photos are taken "
    "at even steps through the list, with the classes that it gives them."
)


def images_of(partition: Artefact) -> NDArray[np.str_]:
    """Map the image list of a partition, (images,) of paths.

    Raises:
        SslprepError: There is none, or it is damaged.
    """
    for name in partition.ending("_images.npy"):
        return partition.array(name, ndim=1, kinds="U")
    raise SslprepError("the manifest names no image list", where=partition.title)


def labels_of(partition: Artefact) -> NDArray[np.integer]:
    """Map the labels of a partition, (images,) or (images, classes).

    Raises:
        SslprepError: There are none, or they are damaged.
    """
    for name in partition.ending("_labels.npy"):
        return partition.array(name, ndim=(1, 2), kinds="iu")
    raise SslprepError("the manifest names no labels", where=partition.title)


def photo_of(text: str, artefact: Artefact, caption: str, *, size: int) -> Photo:
    """Return one picture of an image path for a gallery, or in its place why there is none."""
    name = short(text.replace("\\", "/").rpartition("/")[2])
    alt = f"{name}: {caption}" if caption else name
    try:
        picture = thumbnail(find_file(text, artefact), size)
    except ImagesError as error:
        return Photo(picture=None, alt=alt, caption=caption, problem=f"{name}: {error.problem}")
    return Photo(picture=picture, alt=alt, caption=caption)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the labels of a partition add up to.

    Attributes:
        images: Images there are.
        rows: Images counted; all of them unless the labels are very many.
        present: Images per class.
        ignored: Images per class whose label is to be ignored; `None` for single labels.
        per_image: `per_image[n]` images have n classes; `None` for single labels.
        outside: Labels that are none of the classes.
    """

    images: int
    rows: int
    present: NDArray[np.int64]
    ignored: NDArray[np.int64] | None = None
    per_image: NDArray[np.int64] | None = None
    outside: int = 0

    def of(self, classes: int) -> Tally:
        """Return the same for more classes, of which no image is known."""
        more = (0, classes - len(self.present))
        ignored = None if self.ignored is None else np.pad(self.ignored, more)
        return replace(self, present=np.pad(self.present, more), ignored=ignored)


def tally(labels: NDArray[np.integer], classes: int, *, most: int = MOST_CELLS) -> Tally:
    """Count the labels of a partition.

    Args:
        labels: (images,) of class numbers, or (images, classes) of 1, 0 and -1.
        classes: How many classes there are; 0 to take as many as the labels speak of.
        most: Labels looked at.

    Example:
        >>> found = tally(np.array([[1, 1, 0], [0, 1, -1]]), 3)
        >>> found.present.tolist(), found.ignored.tolist(), found.per_image.tolist()
        ([1, 2, 0], [0, 0, 1], [0, 1, 1])
    """
    if labels.ndim == 1:
        classes = classes or min(_MOST_CLASSES, int(labels.max(initial=0)) + 1)
        inside = labels[(labels >= 0) & (labels < classes)]
        present = np.bincount(inside, minlength=classes)
        outside = len(labels) - len(inside)
        return Tally(images=len(labels), rows=len(labels), present=present, outside=outside)
    images, width = labels.shape
    step = max(1, 1_000_000 // max(1, width))
    starts = np.arange(0, images, step)
    if images * width > most:
        step = max(1, most // _BLOCKS // max(1, width))
        starts = np.linspace(0, images - step, _BLOCKS).astype(int)
    present, ignored = np.zeros((2, width), np.int64)
    per_image = np.zeros(width + 1, np.int64)
    rows = 0
    for start in starts.tolist():
        part = np.asarray(labels[start : start + step])
        here = part == 1
        present += here.sum(axis=0)
        ignored += (part == -1).sum(axis=0)
        per_image += np.bincount(here.sum(axis=1), minlength=width + 1)
        rows += len(part)
    last = int(np.flatnonzero(per_image).max(initial=0))
    return Tally(
        images=images,
        rows=rows,
        present=present,
        ignored=ignored,
        per_image=per_image[: last + 1],
    )


class _Details(msgspec.Struct):
    partition: str = ""
    source_split: str = ""
    dataset: str = ""
    classes: list[str] = []
    images_per_class: list[Count] = []
    ignored_per_class: list[Count] = []


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One partition of a card: its name, labels (where readable) and what they add up to."""

    artefact: Artefact
    name: str
    details: _Details
    labels: NDArray[np.integer] | None
    tally: Tally | None


def section(collection: Collection) -> Section | None:
    """Describe every partition of the collection, by folder."""
    found = collection.of_kind("partition")
    if not found:
        return None
    result = Section(anchor="partitions", title="Partitions", lead=LEAD)
    rows: list[list[Cell]] = []
    for _, artefacts in groupby(found, key=lambda a: a.place):
        group = sorted(artefacts, key=lambda a: (_rank(a.name), a.name))
        card, parts = _card(group, collection.folder)
        sizes = [f"{a.name} {count_text(a.count('images'))}" for a in group]
        more = f" and {len(sizes) - _MOST_NAMED} more" if len(sizes) > _MOST_NAMED else ""
        result.points.append(f"{card.title}: {', '.join(sizes[:_MOST_NAMED])}{more}")
        result.cards.append(card)
        rows += [_row(part, card, collection.folder) for part in parts]
    titles = ("images", "classes", "imbalance", "labels per image", "to ignore", "checked")
    columns = [Column(title="partition"), *numbers(*titles)]
    result.blocks.append(
        Table(title="All partitions", columns=columns, rows=rows, sortable=True, css="wide")
    )
    result.sum = counted(sum(a.count("images") for a in found), "image")
    return result


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _card(group: Sequence[Artefact], folder: Path) -> tuple[Card, list[_Part]]:
    first = group[0]
    place = folder.absolute().name if first.place == "." else first.place
    card = Card(
        anchor=first.anchor,
        title=first.title if len(group) == 1 else place,
        subtitle=short(first.details(_Details).dataset),
        also=[artefact.anchor for artefact in group[1:]],
    )
    parts = [_part(artefact, card, folder) for artefact in group]
    classes = max((part.details.classes for part in parts), key=len)
    if any(names and names != classes for names in (part.details.classes for part in parts)):
        card.note("The partitions have unlike classes; one list names those of all.")
    known = {part.name: part.tally for part in parts if part.tally is not None}
    if known:
        width = max(len(found.present) for found in known.values())
        if len(classes) != width:
            classes = [f"class {i}" for i in range(width)]
        shown = {name: found.of(width) for name, found in [*known.items()][:_MOST_SERIES]}
        if len(known) > len(shown):
            card.note(f"The charts show the first {len(shown)} of {len(known)} partitions.")
        card.blocks.append(_class_sizes(shown, classes))
        card.blocks += _labels_per_image(shown)
        card.folded += [_class_table(shown, classes)]
    for part in parts:
        gallery = _photos(part, part.details.classes or classes, card, folder)
        if gallery is not None:
            second = any(isinstance(block, Gallery) for block in card.blocks)
            (card.folded if second else card.blocks).append(gallery)
    return card, parts


def _part(artefact: Artefact, card: Card, folder: Path) -> _Part:
    details = artefact.details(_Details)
    labels, found = None, None
    try:
        labels = labels_of(artefact)
        found = tally(labels, len(details.classes))
    except SslprepError as error:
        if artefact.ending("_labels.npy"):  # else it is of images without labels
            card.note(f"The labels cannot be shown. {note(error, folder)}")
        if details.images_per_class:  # what the manifest says of them is still there
            present, images = np.array(details.images_per_class, np.int64), artefact.count("images")
            ignored = np.array(details.ignored_per_class, np.int64)
            found = Tally(
                images=images,
                rows=images,
                present=present,
                ignored=ignored if len(ignored) == len(present) else None,
            )
    if found is not None:
        stated = artefact.count("images")
        if found.rows < found.images:
            card.note(
                f"{artefact.name}: labels were counted on {count_text(found.rows)} of "
                f"{count_text(found.images)} images, in blocks at even steps."
            )
        if found.outside:
            card.note(f"{artefact.name}: {counted(found.outside, 'label')} outside of the classes.")
        if stated and stated != found.images:
            card.note(f"{artefact.name}: the manifest says {count_text(stated)} images.")
    return _Part(artefact=artefact, name=artefact.name, details=details, labels=labels, tally=found)


def imbalance(present: NDArray[np.int64]) -> str:
    """Write how many times as many images the largest class has as the smallest.

    Example:
        >>> imbalance(np.array([30, 12])), imbalance(np.array([7, 7])), imbalance(np.array([7, 0]))
        ('2.5 ×', '1 ×', '∞: 1 class empty')
    """
    if not len(present):
        return "–"
    if empty := int(np.count_nonzero(present == 0)):
        return f"∞: {counted(empty, 'class', 'classes')} empty"
    return f"{present.max() / present.min():.3g} ×"


def _row(part: _Part, card: Card, folder: Path) -> list[Cell]:
    """Return the numbers of one partition."""
    found, split = part.tally, part.details.source_split
    made = f" from {short(split)}" if split not in ("", part.details.partition) else ""
    name = Cell(text=part.artefact.title + made, link=card.anchor)
    checked = _checked(part.artefact, card, folder)
    if found is None:
        images = part.artefact.count("images")
        return [name, *cells(count_text(images) if images else "–", *"–" * 4, checked)]
    ignored = None if found.ignored is None else int(found.ignored.sum())
    return [
        name,
        *cells(
            count_text(found.images),
            count_text(len(found.present)),
            imbalance(found.present),
            f"{found.present.sum() / found.rows:.2f}" if found.rows else "–",
            "–" if ignored is None else share_text(ignored, found.rows * len(found.present)),
            checked,
        ),
    ]


def _class_sizes(tallies: Mapping[str, Tally], classes: Sequence[str]) -> Figure:
    """Draw the sizes of the classes, all partitions on one scale."""
    every = np.concatenate([found.present for found in tallies.values()])
    positive = every[every > 0]
    log = bool(len(positive)) and positive.max() > 8 * positive.min()
    most, least = int(every.max(initial=0)), int(min(every, default=0))
    sizes = f"from {count_text(most)} to {counted(least, 'image')}"
    sizes = sizes if most > least else f"{counted(least, 'image')} each"
    description = f"{counted(len(classes), 'class', 'classes')}, {sizes}."
    if len(classes) <= _MOST_DOTS:
        drawing = dots(
            [short(name) for name in classes],
            [(name, found.present.tolist()) for name, found in tallies.items()],
            title="Images per class",
            description=description,
            x_label="images (logarithmic)" if log else "images",
            log=log,
        )
    else:
        drawing = curves(
            [
                Series(name=name, x=np.arange(1, len(classes) + 1), y=np.sort(found.present)[::-1])
                for name, found in tallies.items()
            ],
            title="Images per class, from the largest class to the smallest",
            description=description,
            x_label="rank of the class",
            y_label="images (logarithmic)" if log else "images",
            log=log,
        )
    return Figure(title="Images per class", drawings=[drawing], caption=description)


def _labels_per_image(tallies: Mapping[str, Tally]) -> list[Figure]:
    """Draw how many classes an image has, in percent of the images."""
    series = [
        (name, 100 * found.per_image / found.rows)
        for name, found in tallies.items()
        if found.per_image is not None and found.rows
    ]
    if not series:
        return []
    none = ", ".join(f"{name} {share_text(share[0], 100)}" for name, share in series)
    drawing = curves(
        [Series(name=name, x=np.arange(len(share)), y=share) for name, share in series],
        title="Number of classes present in an image",
        description=f"Images without any class: {none}.",
        x_label="classes present in the image",
        y_label="share of the images, %",
        points=True,
    )
    return [
        Figure(
            title="Labels per image", drawings=[drawing], caption=f"Images without a class: {none}."
        )
    ]


def _class_table(tallies: Mapping[str, Tally], classes: Sequence[str]) -> Table:
    """List every class with its images in each partition, bars on one scale."""
    counts = [*tallies.values()]
    order = np.arange(len(classes))
    caption = ""
    if len(classes) > _MOST_ROWS:
        ranked = np.argsort(-counts[0].present, kind="stable")
        order = np.concatenate([ranked[:_ENDS], ranked[-_ENDS:]])
        caption = f"The {_ENDS} largest and the {_ENDS} smallest of {count_text(len(classes))}."
    longest = max(found.present.max(initial=1) for found in counts)
    rows = []
    for index in order.tolist():
        row = cells(short(classes[index]))
        for found in counts:
            images = int(found.present[index])
            row += cells(count_text(images))
            if found.ignored is not None and found.ignored.any():
                row += cells(count_text(found.ignored[index]))
            row.append(Cell(bar=100 * images / longest))
        rows.append(row)
    heads = [Column(title="class")]
    for name, found in tallies.items():
        heads += numbers(name)
        if found.ignored is not None and found.ignored.any():
            heads += numbers("to ignore")
        heads.append(Column(title=f"{name}, bar", kind="bar"))
    return Table(
        title="Every class",
        columns=heads,
        rows=rows,
        caption=caption,
        sortable=True,
        css="wide bars long" if len(rows) > 24 else "wide bars",
    )


def _photos(part: _Part, classes: Sequence[str], card: Card, folder: Path) -> Gallery | None:
    """Show photos at even steps through a partition, with their classes."""
    labels = part.labels
    try:
        images = images_of(part.artefact)
    except SslprepError as error:
        card.note(f"The image list cannot be shown. {note(error, folder)}")
        return None
    if labels is not None and len(labels) != len(images):
        card.note(f"{counted(len(images), 'image')} of {part.name} have {len(labels)} labels.")
        labels = None
    steps = (np.arange(_PHOTOS) + 0.5) / _PHOTOS * len(images)
    photos = []
    for row in np.unique(steps.astype(int)).tolist() if len(images) else []:
        caption = "" if labels is None else _class_names(labels[row], classes)
        photos.append(photo_of(str(images[row]), part.artefact, caption, size=_THUMBNAIL))
    gone = [photo for photo in photos if photo.picture is None]
    if gone and len(gone) == len(photos):
        card.note(f"None of {len(gone)} photos of {part.name} can be shown. {gone[0].problem}.")
        return None
    if gone:
        card.note(f"{len(gone)} of {len(photos)} photos of {part.name} cannot be shown.")
    # Single labels have no chart of labels per image: their photos take its place.
    css = "" if part.tally is None or part.tally.per_image is not None else "broad"
    title = f"Photos of {part.name}"
    return Gallery(title=title, photos=photos, rank=1, css=css) if photos else None


def _class_names(label: NDArray[np.integer], names: Sequence[str]) -> str:
    if label.ndim == 0:
        number = int(label)
        return short(names[number], 40) if 0 <= number < len(names) else f"class {number}"
    present = np.flatnonzero(label == 1)
    shown = [short(names[i], 40) for i in present[:4].tolist() if i < len(names)]
    more = f" and {len(present) - 4} more" if len(present) > 4 else ""
    return ", ".join(shown) + more or "no class"


class _Checked(msgspec.Struct):
    images: int
    images_sha256: str
    findings: list[Finding]


def _checked(artefact: Artefact, card: Card, folder: Path) -> str:
    """Say in a word what `data check` found, where it ran; list the images with problems."""
    path = artefact.path.parent / f"{artefact.name}.check.json"
    if not path.exists():
        return "–"
    try:
        found = read_json(regular_file(path, limit=LARGEST_JSON), _Checked, SslprepError)
    except SslprepError as error:
        card.note(f"The result of data check cannot be shown. {note(error, folder)}")
        return "–"
    if found.images_sha256 not in {output.sha256 for output in artefact.manifest.outputs}:
        card.note("data check read another image list than this; run it again.")
    if not found.findings:
        return "all sound"
    rows = [
        cells(
            short(item.image, 160),
            short(item.problem),
            count_text(item.row),
            short(item.detail, 160),
        )
        for item in found.findings[:_FINDINGS]
    ]
    more = len(found.findings) - len(rows)
    card.folded.append(
        Table(
            title=f"Images of {artefact.name} with problems",
            columns=[
                Column(title="image", kind="code"),
                Column(title="problem"),
                *numbers("row"),
                Column(title="detail"),
            ],
            rows=rows,
            caption=f"{count_text(more)} more are in {path.name}." if more else "",
            sortable=True,
            css="wide long" if len(rows) > 12 else "wide",
        )
    )
    bad = len({item.row for item in found.findings})
    card.note(f"data check found {counted(bad, 'image')} of {artefact.name} with problems.")
    return f"{count_text(bad)} with problems"
