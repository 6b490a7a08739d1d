"""The samples of a low-shot set, as their index files tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.drawing.numbers import count_text
from sslprep.errors import SslprepError
from sslprep.lowshot import index
from sslprep.report.blocks import Card
from sslprep.report.collect import LARGEST_JSON, Artefact, Collection, note
from sslprep.report.fields import Fields
from sslprep.report.photos import labels_of

MOST_CLASSES = 24
MOST_SIZES = 12
MOST_SAMPLES = 8


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


def source_of(artefact: Artefact, collection: Collection) -> Artefact | None:
    """Return the partition whose labels were drawn from, by the hash of the file."""
    for record in artefact.manifest.inputs:
        maker = collection.maker(record)
        if maker is not None and maker[0].manifest.kind == "partition":
            return maker[0]
    return None


def read_sets(card: Card, artefact: Artefact, folder: Path) -> dict[str, list[DrawnSet]]:
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


def places_of(
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
