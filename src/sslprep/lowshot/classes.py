"""Names for classes, from the `classes.json` that the data commands write beside the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sslprep import manifest
from sslprep.errors import AnnotationError
from sslprep.files import read_json

CLASSES_FILE = "classes.json"


class _ClassRecord(msgspec.Struct):
    name: str
    id: int


def read_classes(path: Path) -> list[tuple[int, str]] | None:
    """Read a `classes.json` as (id, name) pairs; `None` where there is no such file.

    Raises:
        AnnotationError: There is one and it is not such a list.
    """
    if not path.is_file():
        return None
    records: list[_ClassRecord] = read_json(path, list[_ClassRecord], AnnotationError)
    return [(record.id, record.name) for record in records]


def class_names(
    path: Path, ids: Sequence[int], inputs: manifest.Inputs, *, columns: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name classes from the `classes.json` beside the targets.

    Args:
        path: The targets.
        ids: The class ids to be named, or the columns.
        inputs: Where the file is noted when it is used.
        columns: The file's order counts, not its ids (multi-label sets).

    Returns:
        A name for each id, or none where there is no file or it does not fit; and warnings.
    """
    place = path.parent / CLASSES_FILE
    try:
        classes = read_classes(place)
    except AnnotationError as error:
        return (), (f"{error}; classes stay without names",)
    if classes is None:
        return (), ()
    names = {n if columns else id_: name for n, (id_, name) in enumerate(classes)}
    present = set(ids)
    if not present <= names.keys() or (columns and len(names) != len(ids)):
        return (), (f"{place} lists other classes than {path.name}; classes stay without names",)
    inputs.add_file(place)
    absent = [name for id_, name in names.items() if id_ not in present]
    warnings: tuple[str, ...] = ()
    if absent:
        shown = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
        what = f"{len(absent)} of {len(names)} classes have no image and are in no sample: {shown}"
        warnings = (f"{path}: {what}",)
    return tuple(names[id_] for id_ in ids), warnings
