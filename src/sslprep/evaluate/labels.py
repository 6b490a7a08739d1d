"""Labels to train on and to test against, whatever their file: always a column for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep import partition
from sslprep.errors import AnnotationError, ArrayError
from sslprep.npy import read_array

Labels = NDArray[np.int8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """Labels of a list of images.

    Attributes:
        labels: (images, classes) int8; 1 present, 0 absent, -1 ignore.
        classes: Names of the classes; their ids or columns where no names are known.
        images: Names of the images, where the file has them.
        named: Whether `classes` are names, not numbers.
        single: Whether every image is of one class (Places, ImageNet).
        ids: The class ids of a single-label set, one for each column.
    """

    labels: Labels
    classes: tuple[str, ...]
    images: tuple[str, ...] | None = None
    named: bool = False
    single: bool = False
    ids: tuple[int, ...] = ()


def read_targets(path: Path, *, in_order: bool = False) -> Targets:
    """Read targets: `.npy` (images, classes), `.npy` (images,) of class ids, or the JSON of either.

    Rows of a JSON file are its image ids sorted, columns its class names sorted.

    Args:
        path: The file.
        in_order: The rows are to be matched with those of an array by place alone, so that a
            JSON file of another order than ours must be refused.

    Raises:
        ArrayError: Not such an array; other values than 1, 0 and -1.
        AnnotationError: Not such a JSON file.
    """
    if path.suffix.lower() == ".json":
        found = partition.read_targets(path)
        if found.labels.ndim == 1:
            return _single(found.labels, path, tuple(found.keys))
        if in_order:
            _refuse_unsorted(path)
        return Targets(
            labels=found.labels.astype(np.int8),
            classes=found.classes,
            images=tuple(found.keys),
            named=True,
        )
    array = read_array(path, ndim=(1, 2), kinds="iu")
    if not array.size:
        raise ArrayError(f"is empty, shape {array.shape}", where=path, expected="labels of images")
    if array.ndim == 1:
        return _single(array, path, None)
    bad = (array != 1) & (array != 0) & (array != -1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ArrayError(
            f"row {row}, column {column} holds {array[row, column]}",
            where=path,
            expected="1 (present), 0 (absent) or -1 (ignore)",
        )
    columns = range(array.shape[1])
    names = class_names(path, columns, by_order=True)
    named = names != tuple(map(str, columns))
    return Targets(labels=array.astype(np.int8), classes=names, named=named)


def _refuse_unsorted(path: Path) -> None:
    order = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    columns = list(next(iter(order.values())))
    if list(order) != sorted(order) or columns != sorted(columns):
        raise AnnotationError(
            "is not sorted by image and class, and the file beside it names neither",
            where=path,
            expected="JSON in both, or .npy in both",
        )


def _single(ids: NDArray[Any], path: Path, images: tuple[str, ...] | None) -> Targets:
    present = tuple(int(n) for n in np.unique(ids))
    if present[0] < 0:
        raise ArrayError(
            f"row {int(np.argmin(ids))} holds class id {present[0]}",
            where=path,
            expected="class ids of 0 or above",
        )
    return Targets(
        labels=one_hot(ids, present),
        classes=class_names(path, present, by_order=False),
        images=images,
        single=True,
        ids=present,
    )


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The classes that machines are trained for, in order.

    Attributes:
        count: How many.
        names: Their names; none where they are not known.
        ids: Their ids, of a set with one class for each image; else none.
    """

    count: int
    names: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()


def read_test_targets(path: Path, features: Path, rows: int, columns: Columns) -> Targets:
    """Read the labels of test images, in the columns of the training set.

    Args:
        path: The labels.
        features: The features of the same images, for errors.
        rows: How many images those are of.
        columns: The classes of the training set.

    Raises:
        ArrayError: They do not fit the features, have other classes than the training set, or
            hold no positive of a class.
    """
    truth = read_targets(path, in_order=True)
    if len(truth.labels) != rows:
        raise ArrayError(
            f"has {rows:,} rows, and {path} labels of {len(truth.labels):,} images",
            where=features,
            expected="features and labels of the same images",
        )
    if truth.single != bool(columns.ids):
        kinds = ["a column for each class", "one class for each image"]
        raise ArrayError(
            f"has {kinds[truth.single]}",
            where=path,
            expected=f"{kinds[not truth.single]}, as in training",
        )
    if truth.single:
        if strange := sorted(set(truth.ids) - set(columns.ids)):
            raise ArrayError(
                f"holds class id {strange[0]}", where=path, expected="the classes of training"
            )
        ids = np.array(truth.ids)[truth.labels.argmax(axis=1)]
        truth = Targets(
            labels=one_hot(ids, columns.ids),
            classes=columns.names or tuple(map(str, columns.ids)),
            named=bool(columns.names),
            single=True,
            ids=columns.ids,
        )
    elif len(truth.classes) != columns.count or (
        columns.names and truth.named and columns.names != truth.classes
    ):
        raise ArrayError(
            f"has {len(truth.classes)} classes ({', '.join(truth.classes[:3])}, …)",
            where=path,
            expected=f"the {columns.count} of training in their order"
            f" ({', '.join(columns.names[:3])}, …)" * bool(columns.names),
        )
    elif columns.names and not truth.named:
        truth = replace(truth, classes=columns.names, named=True)
    refuse_empty_classes(truth, path)
    return truth


def one_hot(ids: NDArray[Any], classes: Sequence[int]) -> Labels:
    """Turn class ids into a label matrix with a column for each of `classes`.

    Example:
        >>> one_hot(np.array([5, 3]), [3, 5]).tolist()
        [[0, 1], [1, 0]]
    """
    matrix: Labels = np.equal.outer(np.asarray(ids), np.asarray(classes)).astype(np.int8)
    return matrix


def class_names(targets: Path, columns: Sequence[int], *, by_order: bool) -> tuple[str, ...]:
    """Name classes from the `classes.json` beside the targets; without one by their numbers.

    Args:
        targets: The file of targets.
        columns: Class ids, or column numbers.
        by_order: The numbers are places in `classes.json`, not its ids.
    """
    names = {}
    if (targets.parent / partition.CLASSES_FILE).is_file():
        records = partition.read_classes(targets.parent)
        if not by_order or len(records) == len(columns):
            names = {n if by_order else r.id: r.name for n, r in enumerate(records)}
    return tuple(names.get(column, str(column)) for column in columns)


def refuse_empty_classes(targets: Targets, path: Path) -> None:
    """Refuse classes of which the test set has no positive: they have no average precision."""
    empty = [targets.classes[n] for n in np.flatnonzero(~(targets.labels == 1).any(axis=0))]
    if empty:
        raise ArrayError(
            f"has no positive of {len(empty)} of {len(targets.classes)} classes: "
            f"{', '.join(empty[:8])}{', …' if len(empty) > 8 else ''}",
            where=path,
            expected="at least one of every class, else it has no average precision",
        )
