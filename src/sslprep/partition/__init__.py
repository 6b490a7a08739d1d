"""The files of a partition, for all that write or read them: names, classes, labels, targets.

A partition `train` is `train_images.npy`, `train_labels.npy`, `train.manifest.json` and, where
asked for, `train_targets.json`; `classes.json` says what its columns or class ids mean.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import AnnotationError, DatasetError
from sslprep.input_files import read_json, read_text, reading
from sslprep.npy import read_array

Labels = NDArray[np.int32] | NDArray[np.int64]

PRESENT, ABSENT, IGNORE = 1, 0, -1
MULTI_LABEL = {"1": "present", "0": "absent", "-1": "ignore"}
SINGLE_LABEL = {"n": "the class whose id in classes.json is n"}
"""What labels mean, as manifests say it."""

IMAGES, LABELS, TARGETS = "_images.npy", "_labels.npy", "_targets.json"
"""What follows a partition's name in the names of its files; its manifest: MANIFEST_SUFFIX."""
CLASSES_FILE = "classes.json"


class ClassRecord(msgspec.Struct, frozen=True):
    """One class: its name, and the id that the data set (or a single label) knows it by."""

    name: str
    id: int


class Partition(NamedTuple):
    """A finished partition, to be taken apart: `images, labels, classes = …`.

    Attributes:
        images: (images,) paths as stored, dtype `<U…`, mapped from disk.
        labels: `int32 (images, classes)` of 1 present, 0 absent, -1 ignore, columns in the order
            of `classes`; or `int64 (images,)` of class ids. Mapped from disk. Images without
            labels have a matrix without columns.
        classes: The classes.
    """

    images: NDArray[np.str_]
    labels: Labels
    classes: tuple[ClassRecord, ...]


def find_partitions(folder: Path, wanted: Sequence[str] | None = None) -> list[str]:
    """Return the names of the finished partitions of a folder, or check those asked for.

    Raises:
        DatasetError: No folder, no partition in it, or not the one asked for.
    """
    if not folder.is_dir():
        whole = folder.with_name(folder.name + MANIFEST_SUFFIX).exists()
        remedy = f"Give {folder.parent} and --partitions {folder.name}." if whole else None
        raise DatasetError("no such folder", where=folder, remedy=remedy or "Check the path.")
    with reading(folder, DatasetError):
        paths = sorted(p for p in folder.iterdir() if p.name.endswith(MANIFEST_SUFFIX))
    found = [
        path.name.removesuffix(MANIFEST_SUFFIX)
        for path in paths
        if not path.name.startswith(".") and manifest.read(path).kind == "partition"
    ]
    if not found:
        inner = [p for n in wanted or () for p in sorted((folder / n).glob(f"*{MANIFEST_SUFFIX}"))]
        raise DatasetError(
            "holds no finished partition",
            where=folder,
            expected="a folder that a sslprep data command wrote",
            remedy=f"Give {str(inner[0]).removesuffix(MANIFEST_SUFFIX)}." if inner else None,
        )
    if missing := [name for name in wanted or () if name not in found]:
        raise DatasetError(
            f"holds no partition {missing[0]}", where=folder, expected=" or ".join(found)
        )
    return list(wanted) if wanted else found


def read_classes(folder: Path) -> tuple[ClassRecord, ...]:
    """Read the `classes.json` of a folder."""
    return read_json(folder / CLASSES_FILE, tuple[ClassRecord, ...], DatasetError)


def read_partition(folder: Path, name: str) -> Partition:
    """Read a finished partition: its images, labels and classes.

    Args:
        folder: Folder that a data command wrote into.
        name: Name of the partition, such as `train`.

    Returns:
        Images, labels and classes, which fit each other.

    Raises:
        ArrayError: A `.npy` file is missing, damaged or of another kind.
        DatasetError: Images, labels and classes do not fit each other.
    """
    folder = Path(folder)
    if not (folder / (name + MANIFEST_SUFFIX)).exists():
        find_partitions(folder, [name])  # says which there are
    images = read_array(folder / (name + IMAGES), ndim=1, kinds="U", mmap=True)
    if not manifest.read(folder / (name + MANIFEST_SUFFIX)).labels:
        return Partition(images, np.empty((len(images), 0), np.int32), ())
    labels = read_array(folder / (name + LABELS), ndim=(1, 2), kinds="i", mmap=True)
    classes = read_classes(folder)
    if len(images) != len(labels) or (labels.ndim == 2 and labels.shape[1] != len(classes)):
        raise DatasetError(
            f"labels of shape {labels.shape} for {len(images)} images and {len(classes)} classes",
            where=folder / (name + LABELS),
            remedy="Write the partition again.",
        )
    if labels.ndim == 1 and (odd := np.setdiff1d(labels, [c.id for c in classes])).size:
        raise DatasetError(
            f"holds the label {odd[0]}",
            where=folder / (name + LABELS),
            expected=f"ids of {CLASSES_FILE}",
            remedy="Write the partition again.",
        )
    return Partition(images, labels, classes)


def image_root(folder: Path, name: str) -> Path:
    """Return the folder that relative image paths of a finished partition start from."""
    record = manifest.read(folder / (name + MANIFEST_SUFFIX))
    return Path(record.details.get("root") or record.parameters.get("relative_to") or "").absolute()


class Targets(NamedTuple):
    """A targets JSON read back.

    Attributes:
        keys: Names of the images.
        labels: `int32 (images, classes)` of 1, 0 and -1, or `int64 (images,)` of class ids.
        classes: Names of the columns; none for class ids.
    """

    keys: list[str]
    labels: Labels
    classes: tuple[str, ...]


def read_targets(path: Path) -> Targets:
    """Read a targets JSON: `{image: {class name: label}}` or `{image: class id}`.

    Images and classes of `{image: {class name: label}}` are sorted, as the rows and columns of
    a partition are, whatever the order of the file. Class ids keep the file's order.

    Raises:
        AnnotationError: Another JSON, a key twice, or other labels; names the image.
    """
    read_json(path, msgspec.Raw, AnnotationError)  # says what is wrong with it
    text = read_text(path, AnnotationError)
    found = loads_once(text, path)
    expected = "{image: {class name: 1, 0 or -1}} or {image: class id}"
    if not isinstance(found, dict) or not found:
        raise AnnotationError("is another JSON, or empty", where=path, expected=expected)
    rows = list(found.values())
    if all(type(row) is int and 0 <= row < 2**63 for row in rows):
        return Targets(list(found), np.array(rows, np.int64), ())
    keys = sorted(found)
    first = found[keys[0]]
    classes = tuple(sorted(first)) if isinstance(first, dict) else ()
    for key in keys:
        row = found[key]
        if not classes or not isinstance(row, dict) or row.keys() != first.keys():
            raise AnnotationError(
                f"image {key!r} has {json.dumps(row):.60}",
                where=path,
                expected=f"the {len(classes)} classes of the first image" if classes else expected,
            )
        for name, label in row.items():
            if type(label) is not int or label not in (PRESENT, ABSENT, IGNORE):
                raise AnnotationError(
                    f"image {key!r}, class {name!r} holds {json.dumps(label):.60}",
                    where=path,
                    expected="1 (present), 0 (absent) or -1 (ignore)",
                )
    matrix = [[found[key][name] for name in classes] for key in keys]
    return Targets(keys, np.array(matrix, np.int32), classes)


def loads_once(text: str | bytes, path: Path) -> Any:
    """Decode JSON, but refuse a key that an object has twice: every parser takes the last."""

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            key = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
            which = f" in the object with the id {result['id']!r:.40}" if "id" in result else ""
            raise AnnotationError(
                f"names {key!r} twice{which}", where=path, expected="each key once"
            )
        return result

    return json.loads(text, object_pairs_hook=build)


def write_targets(
    file: BinaryIO, keys: Collection[str], labels: Labels, class_names: Sequence[str]
) -> None:
    """Write labels as one JSON object, one line for each image, in the order given.

    Args:
        file: Where to.
        keys: Name of each image: its id, or `class/file`.
        labels: `(images,)` gives `{key: class id}`, `(images, classes)` gives
            `{key: {class name: label}}`.
        class_names: Names of the columns of `labels`.
    """
    encode, before = msgspec.json.encode, b"{\n"
    for names, rows in batches(keys, labels):
        if labels.ndim == 2:
            rows = [dict(zip(class_names, row, strict=True)) for row in rows]
        lines = [b"%s: %s" % (encode(k), encode(v)) for k, v in zip(names, rows, strict=True)]
        file.write(before + b",\n".join(lines))
        before = b",\n"
    file.write(b"\n}\n")


def batches(strings: Collection[str], labels: Labels) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield strings and labels by some thousand rows, as lists."""
    iterator = iter(strings)
    for start in range(0, len(strings), 16384):
        yield list(islice(iterator, 16384)), labels[start : start + 16384].tolist()
