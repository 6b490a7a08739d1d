"""Labels to train on and to test against, whatever their file: always a column for each class."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep import partition
from sslprep.errors import AnnotationError, ArrayError, SslprepError
from sslprep.evaluate.feature_file import Features
from sslprep.lowshot.labels import (
    images_beside,
    is_image_of,
    read_class_ids,
    read_images,
    read_label_matrix,
    refuse_voc_marks,
)
from sslprep.npy import read_array

Labels = NDArray[np.int8]


@dataclass(frozen=True)
class Columns:
    """The classes that machines are trained for, in order."""

    count: int
    names: tuple[str, ...] = ()  #: none where they are not known
    ids: tuple[int, ...] = ()  #: class ids of a set with one class for each image, else none

    @property
    def titles(self) -> tuple[str, ...]:
        """What to call the classes: their ids or columns where no names are known."""
        ids = [str(n) for n in self.ids or range(self.count)]
        times = Counter(self.names)  # ImageNet has two cranes
        return tuple(
            f"{name} ({n})" if times[name] > 1 else name
            for name, n in zip(self.names or ids, ids, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels of a list of images."""

    labels: Labels  #: (images, classes) int8; 1 present, 0 absent, -1 ignore
    columns: Columns
    images: tuple[str, ...] | None = None  #: names of the images, where the file has them


def read_targets(path: Path, *, in_order: bool = False) -> Targets:
    """Read targets: `.npy` (images, classes), `.npy` (images,) of class ids, or the JSON of either.

    A single column that holds more than 1 is one of class ids too. Rows of a JSON file are its
    image ids sorted, columns its class names sorted. Another array is an ArrayError, another JSON
    an AnnotationError.

    Args:
        path: The file.
        in_order: The rows are to be matched with those of an array by place alone, so that a
            JSON file of another order than ours must be refused.
    """
    if path.suffix.lower() == ".json":
        keys, found, names = partition.read_targets(path)
        if found.ndim == 1:
            return _single(found, path, tuple(keys))
        if in_order:
            _refuse_unsorted(path)
        refuse_voc_marks(found, path)
        return Targets(found.astype(np.int8), Columns(len(names), names), tuple(keys))
    array = read_array(path, ndim=(1, 2), mmap=True)
    # VISSL writes the class ids of ImageNet and Places as a column.
    column = array.shape[1:] == (1,) and array.dtype.kind in "iu"
    if array.ndim == 1 or (column and (array > partition.PRESENT).any()):
        return _single(read_class_ids(path), path)
    labels = read_label_matrix(path).labels
    refuse_voc_marks(labels, path)
    count = labels.shape[1]
    records = _class_records(path)
    names = tuple(r.name for r in records) if len(records) == count else ()
    return Targets(labels, Columns(count, names))


def _refuse_unsorted(path: Path) -> None:
    order = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    columns = list(next(iter(order.values())))
    if list(order) != sorted(order) or columns != sorted(columns):
        raise AnnotationError(
            "is not sorted by image and class, and the file beside it names neither",
            where=path,
            expected="JSON in both, or .npy in both",
        )


def _single(ids: NDArray[Any], path: Path, images: tuple[str, ...] | None = None) -> Targets:
    present = tuple(np.unique(ids).tolist())
    names = {record.id: record.name for record in _class_records(path)}
    of_ids = tuple(names.get(n, str(n)) for n in present) if names else ()
    return Targets(one_hot(ids, present), Columns(len(present), of_ids, present), images)


def _class_records(targets: Path) -> Sequence[Any]:
    """Return what the `classes.json` beside the targets says, if there is one."""
    there = (targets.parent / partition.CLASSES_FILE).is_file()
    return partition.read_classes(targets.parent) if there else ()


def read_test_targets(path: Path, features: Features, columns: Columns) -> Targets:
    """Read the labels of test images, in the columns of the training set.

    Labels that do not fit the features, of other classes than the training set, or without a
    positive of a class are an ArrayError.
    """
    truth = read_targets(path, in_order=True)
    refuse_other_rows(truth, path, features)
    found = truth.columns
    if bool(found.ids) != bool(columns.ids):
        kinds = ["a column for each class", "one class for each image"]
        raise ArrayError(
            f"has {kinds[bool(found.ids)]}",
            where=path,
            expected=f"{kinds[not found.ids]}, as in training",
        )
    if strange := sorted(set(found.ids) - set(columns.ids)):
        raise ArrayError(
            f"holds class id {strange[0]}", where=path, expected="the classes of training"
        )
    trained = dict(zip(columns.ids, columns.names, strict=False))
    for n, name in zip(found.ids, found.names, strict=False):
        if name not in (trained.get(n, name), str(n)):  # an id without a name is called by itself
            raise ArrayError(
                f"class {n} is {name}, and in training {trained[n]}",
                where=path,
                expected="one numbering of the classes, as folders have that are listed together",
                remedy="If they are the same classes, put training's classes.json beside both.",
            )
    if found.ids:
        ids = np.array(found.ids)[truth.labels.argmax(axis=1)]
        truth = Targets(one_hot(ids, columns.ids), columns)
    elif found.count != columns.count or (
        columns.names and found.names and columns.names != found.names
    ):
        raise ArrayError(
            f"has {found.count} classes ({', '.join(found.titles[:3])}, …)",
            where=path,
            expected=f"the {columns.count} of training"
            + f" in their order ({', '.join(columns.names[:3])}, …)" * bool(columns.names),
        )
    elif columns.names:
        truth = Targets(truth.labels, columns)
    refuse_empty_classes(truth, path)
    return truth


def refuse_other_rows(targets: Targets, path: Path, features: Features) -> None:
    """Refuse labels of other images than the features, or in another order."""
    if len(targets.labels) != len(features.rows):
        raise ArrayError(
            f"has {len(features.rows):,} rows, and {path} labels of {len(targets.labels):,} images",
            where=features.path,
            expected="features and labels of the same images",
        )
    refuse_other_order(targets, path, features, saved_targets(features))
    names = targets.images or ()
    if not names and (place := images_beside(path)):
        with contextlib.suppress(SslprepError):  # a list of something else
            names = read_images(place, len(targets.labels), path).tolist()
    refuse_other_images(features, enumerate(names), path)


def refuse_other_images(features: Features, names: Iterable[tuple[int, str]], path: Path) -> None:
    """Refuse labels whose rows are of other images than those of the features' own list."""
    if (listed := features.image_names) is None:
        return
    for row, name in names:
        if (ours := str(listed[row])) != name and not is_image_of(ours, name):
            raise ArrayError(
                f"row {row} is of {ours}, and in {path} of {name}",
                where=features.path,
                expected="features and labels of the same images, row by row",
            )


def labels_beside(features: Features) -> tuple[Targets, Path] | None:
    """Read the `…_labels.npy` beside the list that the features were made of, if it fits them."""
    if features.list_path is not None and features.image_names is not None:
        place = Path(str(features.list_path).removesuffix(partition.IMAGES) + partition.LABELS)
        with contextlib.suppress(SslprepError):  # there is none
            found = read_targets(place)
            return (found, place) if len(found.labels) == len(features.rows) else None
    return None


def saved_targets(features: Features) -> Targets | None:
    """Read the `…_targets.npy` beside `…_features.npy`, if it is there and of the same rows.

    The 2019 tools and VISSL save it, of images in the order in which they were loaded.
    """
    place = features.path.with_name(features.path.name.replace("_features.", "_targets."))
    if place != features.path and place.is_file():
        with contextlib.suppress(SslprepError):  # not labels
            saved = read_targets(place)
            return saved if len(saved.labels) == len(features.rows) else None
    return None


def refuse_other_order(
    targets: Targets, path: Path, features: Features, saved: Targets | None, rows: Any = slice(None)
) -> None:
    """Refuse labels of `rows` that contradict those saved with the features."""
    if saved is not None and contradict(targets, saved, rows):
        raise ArrayError(
            f"was saved with other labels, or in another order, than {path} holds",
            where=features.path,
            expected="features and labels of the same images, row by row",
            remedy="Use the …_targets.npy beside it (samples can be drawn from it), or put the "
            "features into the order of the list: VISSL's …_inds.npy tells it.",
        )


def contradict(targets: Targets, full: Targets, rows: Any) -> bool:
    """Tell if labels of `rows` are not those of the full labels.

    Nothing is told by labels of another kind; class ids may be numbered otherwise.
    """
    ours, theirs = targets.labels, full.labels[rows]
    if bool(targets.columns.ids) != bool(full.columns.ids):
        return False
    if targets.columns.ids:
        pairs = {*zip(ours.argmax(axis=1).tolist(), theirs.argmax(axis=1).tolist(), strict=True)}
        return any(len({pair[n] for pair in pairs}) < len(pairs) for n in (0, 1))
    return ours.shape == theirs.shape and bool((ours + theirs == 1).any())  # of 1, 0 and -1


def refuse_empty_classes(targets: Targets, path: Path) -> None:
    """Refuse classes of which the test set has no positive or no negative: they tell nothing."""
    names = targets.columns.titles
    for value, what, expected in (
        (partition.PRESENT, "positive", "else it has no average precision"),
        (partition.ABSENT, "negative", "else every score gives 100 percent"),
    ):
        missing = ~(targets.labels == value).any(axis=0)
        if empty := [names[n] for n in np.flatnonzero(missing)]:
            raise ArrayError(
                f"has no {what} of {len(empty)} of {len(names)} classes: "
                f"{', '.join(empty[:8])}{', …' if len(empty) > 8 else ''}",
                where=path,
                expected=f"at least one of every class, {expected}",
            )


def top1_accuracy(scores: NDArray[Any], truth: Targets) -> float | None:
    """Return how often the best of scores (classes, images) is right, in percent."""
    right = scores.argmax(axis=0) == truth.labels.argmax(axis=1)
    return 100 * float(right.mean()) if truth.columns.ids else None


def one_hot(ids: NDArray[Any], classes: Sequence[int]) -> Labels:
    """Turn class ids into a label matrix with a column for each of `classes`.

    Example:
        >>> one_hot(np.array([5, 3]), [3, 5]).tolist()
        [[0, 1], [1, 0]]
    """
    matrix: Labels = np.equal.outer(np.asarray(ids), np.asarray(classes)).astype(np.int8)
    return matrix
