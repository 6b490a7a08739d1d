"""The full targets that samples are drawn from: reading and checking them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import AnnotationError, ArrayError
from sslprep.files import read_array, reading

LABEL_MEANING = {"1": "present", "0": "absent", "-1": "ignore"}


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMatrix:
    """Multi-label targets.

    Attributes:
        labels: (rows, classes) int8; 1 present, 0 absent, -1 ignore.
        images: Image ids, one for each row, where known.
        classes: Class names, one for each column, where known.
        from_json: Whether they came as `{image id: {class name: label}}`.
    """

    labels: NDArray[np.int8]
    images: Sequence[str] | None = None
    classes: tuple[str, ...] = ()
    from_json: bool = False


def read_label_matrix(path: Path) -> LabelMatrix:
    """Read multi-label targets, `.npy` (rows, classes) or JSON `{image id: {class: label}}`.

    JSON keeps its order: rows as the images stand in the file, columns as the classes stand in
    the first image.

    Raises:
        ArrayError: Not an integer matrix, empty, or values other than 1, 0 and -1.
        AnnotationError: Not such a JSON file.
    """
    if path.name.lower().endswith(".json"):
        return _read_json_matrix(path)
    array = read_array(path)
    if array.ndim != 2:
        hint = "One class id for each image is what `lowshot places` takes."
        raise ArrayError(
            f"got shape {array.shape}",
            where=path,
            expected="label matrix (images, classes)",
            remedy=hint if array.ndim == 1 else None,
        )
    _check_integers(array, path)
    return LabelMatrix(labels=checked_matrix(array, path))


def checked_matrix(array: NDArray[Any], where: Path) -> NDArray[np.int8]:
    """Check that integers (rows, classes) are only 1, 0 and -1, and make them int8.

    Raises:
        ArrayError: Empty, or another value; the first place and how many there are.
    """
    if not array.size:
        raise ArrayError(f"is empty, shape {array.shape}", where=where, expected="rows and classes")
    bad = (array != 1) & (array != 0) & (array != -1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        count = np.count_nonzero(bad)
        more = f", and {count - 1} more values" if count > 1 else ""
        raise ArrayError(
            f"row {row}, column {column} holds {array[row, column]}{more}",
            where=where,
            expected="1 (present), 0 (absent) or -1 (ignore)",
        )
    return array.astype(np.int8)


def _check_integers(array: NDArray[Any], path: Path) -> None:
    if array.dtype.kind not in "iu":
        raise ArrayError(
            f"the labels are {array.dtype}",
            where=path,
            expected="integers",
            remedy="Save them with an integer dtype, such as labels.astype(numpy.int32).",
        )


def _read_json_matrix(path: Path) -> LabelMatrix:
    with reading(path, AnnotationError):
        data = path.read_bytes()

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        # Both json and msgspec keep the last of two equal keys and say nothing.
        result = dict(items)
        if len(result) < len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise AnnotationError(f"names {twice!r} twice", where=path)
        return result

    try:
        images = json.loads(data, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"not readable JSON: {error}", where=path) from error
    form = "{image id: {class name: label}}"
    if not isinstance(images, dict) or not all(isinstance(v, dict) for v in images.values()):
        raise AnnotationError("is another JSON", where=path, expected=form)
    if not images or not all(images.values()):
        raise AnnotationError("holds no images or no classes", where=path, expected=form)
    classes = tuple(next(iter(images.values())))
    rows = []
    for image, labels in images.items():
        if labels.keys() != set(classes):
            _refuse_classes(path, image, labels, classes)
        row = [labels[name] for name in classes]
        for name, label in zip(classes, row, strict=True):
            if type(label) is not int or label not in (1, 0, -1):
                raise AnnotationError(
                    f"image {image!r}, class {name!r} holds {json.dumps(label)[:80]}",
                    where=path,
                    expected="1 (present), 0 (absent) or -1 (ignore)",
                )
        rows.append(row)
    return LabelMatrix(
        labels=np.array(rows, np.int8), images=list(images), classes=classes, from_json=True
    )


def _refuse_classes(
    path: Path, image: str, labels: dict[str, Any], classes: tuple[str, ...]
) -> NoReturn:
    missing = [name for name in classes if name not in labels]
    extra = [name for name in labels if name not in classes]
    what = f"lacks {missing[0]!r}" if missing else f"also has {extra[0]!r}"
    raise AnnotationError(
        f"image {image!r} {what}",
        where=path,
        expected=f"the {len(classes)} classes of the first image",
    )


def read_class_ids(path: Path) -> NDArray[np.int64]:
    """Read single-label targets: `.npy` (rows,) of class ids, 0 or above.

    Raises:
        ArrayError: Not a list of integers, empty, or negative ids.
    """
    array = read_array(path)
    if array.ndim != 1:
        hint = "A label matrix (images, classes) is what `lowshot voc` takes."
        raise ArrayError(
            f"got shape {array.shape}",
            where=path,
            expected="one class id for each image",
            remedy=hint if array.ndim == 2 else None,
        )
    _check_integers(array, path)
    if not array.size:
        raise ArrayError("holds no images", where=path)
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest > np.iinfo(np.int64).max:
        bad = array < 0 if lowest < 0 else array > np.iinfo(np.int64).max
        row, count = int(np.argmax(bad)), int(np.count_nonzero(bad))
        more = f", and {count - 1} rows more" if count > 1 else ""
        raise ArrayError(
            f"row {row} holds class id {array[row]}{more}",
            where=path,
            expected="class ids of 0 or above",
            remedy="Take images without a class out of both files.",
        )
    return array.astype(np.int64, copy=False)


def read_images(path: Path, rows: int, targets: Path) -> NDArray[np.str_]:
    """Map the list of images, one for each row of the targets; nothing is read yet.

    Raises:
        ArrayError: Not a list of strings, or of another length than the targets.
    """
    images: NDArray[np.str_] = read_array(path, ndim=1, kinds="U", mmap=True)
    if len(images) != rows:
        raise ArrayError(
            f"holds {len(images)} images, and {targets} labels of {rows}",
            where=path,
            expected="one label for each image",
            remedy="Give two files of one partition.",
        )
    return images


def images_beside(targets: Path) -> Path | None:
    """Return the image list that the data commands write beside `…_labels.npy`, if it is there."""
    if not targets.name.endswith("_labels.npy"):
        return None
    path = targets.with_name(targets.name.removesuffix("_labels.npy") + "_images.npy")
    return path if path.is_file() else None
