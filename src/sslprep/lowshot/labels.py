"""Labels that samples are drawn from, or hold: reading them, naming rows and classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest, partition
from sslprep.errors import AnnotationError, ArrayError, DatasetError, SslprepError
from sslprep.image_files import is_image_name
from sslprep.input_files import read_text
from sslprep.npy import read_array

Names = Sequence[str] | NDArray[np.str_]
Rows = NDArray[np.int64]


class LabelMatrix(NamedTuple):
    """Multi-label targets."""

    labels: NDArray[np.int8]  #: (rows, classes) int8; 1 present, 0 absent, -1 ignore
    images: Sequence[str] | None = None  #: image ids of JSON targets, sorted, one for each row
    classes: tuple[str, ...] = ()  #: class names of JSON targets, sorted, one for each column


class ImageList(NamedTuple):
    """A list of images with one class each."""

    images: list[str]
    classes: Sequence[int | str]  #: ids or names; "" where a list as text does not tell
    as_text: bool = False  #: a list as text, where folders before the names mean nothing

    @property
    def names(self) -> list[str]:
        """The file names, without folders."""
        return [image.rpartition("/")[2] for image in self.images]

    @property
    def keys(self) -> list[str]:
        """What the images are known by in another list."""
        return self.names if self.as_text else self.images


def label_kinds(path: Path) -> set[bool]:
    """Tell by its name or header whether a file holds a label matrix (`True`) or class ids.

    One column can be either; a file that cannot be read is neither, as its reader will say.
    """
    try:
        shape = (0, 0, 0) if path.suffix.lower() == ".json" else read_array(path, mmap=True).shape
    except SslprepError:
        return set()
    return {True} if shape[1:] > (1,) or len(shape) > 2 else {len(shape) == 2, False}


def read_label_matrix(path: Path) -> LabelMatrix:
    """Read multi-label targets, `.npy` (rows, classes) or JSON `{image id: {class name: label}}`.

    JSON is read by key: rows are the sorted image ids, columns the sorted class names, whatever
    the order in the file, as in `train_images.npy` and in the 2019 scripts. Another array is an
    ArrayError, another JSON an AnnotationError.
    """
    hint = "One class id for each image is what `lowshot places` takes."
    if path.suffix.lower() == ".json":
        keys, labels, classes = partition.read_targets(path)
        if labels.ndim == 1:
            raise AnnotationError("holds one class id for each image", where=path, remedy=hint)
        return LabelMatrix(labels.astype(np.int8), keys, classes)
    array = _read_integers(path, 2, "label matrix (images, classes)", hint)
    bad = (array != partition.PRESENT) & (array != partition.ABSENT) & (array != partition.IGNORE)
    _refuse(array, bad, path, "1 (present), 0 (absent) or -1 (ignore)")
    return LabelMatrix(array.astype(np.int8))


def read_class_ids(path: Path) -> NDArray[np.int64]:
    """Read single-label targets: `.npy` (rows,) or (rows, 1) of class ids, 0 or above."""
    hint = "A label matrix (images, classes) is what `lowshot voc` takes."
    array = _read_integers(path, 1, "one class id for each image", hint)
    _refuse(array, (array < 0) | (array > np.iinfo(np.int64).max), path, "class ids of 0 or above")
    return array.astype(np.int64, copy=False)


def _read_integers(path: Path, axes: int, expected: str, hint: str) -> NDArray[Any]:
    array = read_array(path)
    if axes == 1 and array.shape[1:] == (1,):
        array = array[:, 0]
    if array.ndim != axes:
        remedy = hint if array.ndim in (1, 2) else None
        shape = f"got shape {array.shape}"
        raise ArrayError(shape, where=path, expected=expected, remedy=remedy)
    if array.dtype.kind not in "iu":
        raise ArrayError(
            f"the labels are {array.dtype}",
            where=path,
            expected="integers",
            remedy="Save them with an integer dtype, such as labels.astype(numpy.int32).",
        )
    if not array.size:
        raise ArrayError(f"is empty, shape {array.shape}", where=path, expected="labels of images")
    return array


def _refuse(array: NDArray[Any], bad: NDArray[np.bool_], path: Path, expected: str) -> None:
    """Refuse labels that cannot be: name the first, and say how many there are."""
    if (count := int(np.count_nonzero(bad))) == 0:
        return
    place = tuple(np.argwhere(bad)[0].tolist())
    where = ", ".join(f"{n} {i}" for n, i in zip(("row", "column"), place, strict=False))
    more = f", and {count - 1} more values" if count > 1 else ""
    raise ArrayError(f"{where} holds {array[place]}{more}", where=path, expected=expected)


def refuse_voc_marks(labels: NDArray[Any], path: Path) -> None:
    """Refuse labels in which -1 and 0 have VOC's own meaning: -1 absent, 0 difficult.

    They are told by their numbers: most images lack a class, and few show only difficult
    objects of it. So more than half of all labels are -1, and fewer are 0 than 1.
    """
    ones, zeros, minus = (np.count_nonzero(labels == value) for value in (1, 0, -1))
    if minus > labels.size / 2 and zeros < ones:
        raise ArrayError(
            f"holds {minus:,} times -1, {zeros:,} times 0 and {ones:,} times 1: these look like "
            "the marks of VOC's own lists (-1 absent, 0 difficult)",
            where=path,
            expected="1 present, 0 absent, -1 ignore",
            remedy="Make them with `sslprep data voc`, or turn them round: "
            "numpy.choose(marks + 1, [0, -1, 1]).",
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Classes:
    """The rows that may be drawn of every class."""

    rows: int  #: rows of the full targets
    ids: list[int]  #: class ids that occur, or columns, ascending
    positives: list[Rows]  #: rows of each class, ascending
    negatives: list[Rows] | None = None  #: rows not of each class (multi-label)
    names: tuple[str, ...] = ()  #: names of the classes, where known, else empty

    @property
    def records(self) -> list[dict[str, Any]]:
        """Each class and how many rows it has, as a manifest has it; what is not known is not."""
        pools = {"positives": self.positives, "negatives": self.negatives or ()}
        known = {"name": self.names} | {kind: [*map(len, rows)] for kind, rows in pools.items()}
        columns = {"id": self.ids, **{what: column for what, column in known.items() if column}}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def classes_of(labels: NDArray[Any]) -> Classes:
    """Group the rows of (rows, classes) of 1, 0 and -1, or of (rows,) of class ids, by class.

    Example:
        >>> classes = classes_of(np.array([5, 0, 5]))
        >>> classes.ids, [rows.tolist() for rows in classes.positives]
        ([0, 5], [[1], [0, 2]])
    """
    if labels.ndim == 2:
        columns = np.ascontiguousarray(labels.T)
        values = (partition.PRESENT, partition.ABSENT)
        ones, zeros = ([np.flatnonzero(c == value) for c in columns] for value in values)
        return Classes(rows=len(labels), ids=[*range(len(ones))], positives=ones, negatives=zeros)
    rows = np.arange(len(labels))
    if not bool((labels[1:] >= labels[:-1]).all()):
        # NumPy's stable sort of 16-bit integers is a radix sort: five times faster.
        small = labels.astype(np.uint16) if int(labels.max()) < 1 << 16 else labels
        rows = np.argsort(small, kind="stable")
    ordered = labels[rows]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    ids = ordered[[0, *starts]].tolist()
    return Classes(rows=len(labels), ids=ids, positives=np.split(rows, starts))


def read_images(path: Path, rows: int, targets: Path) -> NDArray[np.str_]:
    """Map the list of images, one for each row of the targets; another list is an ArrayError."""
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
    path = targets.with_name(targets.name.removesuffix(partition.LABELS) + partition.IMAGES)
    return path if targets.name.endswith(partition.LABELS) and path.is_file() else None


def read_full(path: Path, images: Path | None, matrix: bool) -> tuple[NDArray[Any], Names | None]:
    """Read full labels of either kind, and the names of their rows, where they are at hand."""
    if matrix:
        full = read_label_matrix(path)
        return full.labels, full.images
    labels = read_class_ids(path)
    place = images if images and images.exists() else images_beside(path)
    return labels, read_images(place, len(labels), path) if place else None


def row_names(
    given: Path | None, path: Path, targets: LabelMatrix, inputs: manifest.Inputs
) -> tuple[Names | None, tuple[str, ...]]:
    """Find the names of the rows: a given list, JSON ids, or the list beside `…_labels.npy`.

    Returns warnings too. A given list that does not fit the targets is an ArrayError.
    """
    place = given or images_beside(path)
    if place is None or (given is None and targets.images is not None):
        return targets.images, ()
    if given is not None:
        inputs.add_file(given)
    try:
        images = read_images(place, len(targets.labels), path)
    except ArrayError as error:
        if given is not None:
            raise
        return None, (f"{error} Index files hold row numbers alone.",)
    inputs.add_file(place)
    for row, id_ in enumerate(targets.images or ()):
        if not is_image_of(str(images[row]), id_):
            raise ArrayError(
                f"row {row} is {images[row]}, and the sorted ids of {path} have {id_} there",
                where=place,
                expected="the images of the JSON targets, sorted by id",
                remedy="Give the list that belongs to these targets, or none.",
            )
    return images, ()


def is_image_of(image: str, id_: str) -> bool:
    """Tell whether a path in an image list can be the image that JSON targets call `id_`.

    Example:
        >>> is_image_of("JPEGImages/000012.jpg", "000012"), is_image_of("COCO_val_0042.jpg", "42")
        (True, True)
    """
    ours, theirs = PurePosixPath(image), PurePosixPath(id_)
    number = ours.stem.rpartition("_")[2]
    same_number = id_.isdecimal() and id_.lstrip("0") == number.lstrip("0")
    return same_number or theirs.name in (ours.name, ours.stem) or theirs.stem == ours.stem


def class_names(
    path: Path, ids: Sequence[int], inputs: manifest.Inputs, *, columns: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name class ids, or columns, from the `classes.json` beside the targets; with warnings.

    There are no names where there is no file or it does not fit. Of columns (multi-label sets)
    the file's order counts, not its ids.
    """
    place = path.parent / partition.CLASSES_FILE
    if not place.is_file():
        return (), ()
    try:
        classes = partition.read_classes(path.parent)
    except DatasetError as error:
        return (), (f"{error}; classes stay without names",)
    names = {n if columns else record.id: record.name for n, record in enumerate(classes)}
    present = set(ids)
    if not present <= names.keys() or (columns and len(names) != len(ids)):
        return (), (f"{place} lists other classes than {path.name}; classes stay without names",)
    inputs.add_file(place)
    absent = [name for id_, name in names.items() if id_ not in present]
    shown = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
    what = f"{len(absent)} of {len(names)} classes have no image and are in no sample: {shown}"
    return tuple(names[id_] for id_ in ids), (f"{path}: {what}",) if absent else ()


def read_list(path: Path) -> ImageList:
    """Read a list of one image a line, as SimCLR, MSN and others publish their subsets.

    The class of an image is the word after it (`cat/1.jpg 0`, `1.jpg,n01532829`), else `class_of`
    it; bare numbers (rows of CIFAR-10) have none. Headings are passed over, another line is an
    AnnotationError.
    """
    found: list[tuple[str, str]] = []
    for number, line in enumerate(read_text(path, AnnotationError).splitlines(), 1):
        text = line.strip()
        match = re.fullmatch(r'"?(.*[^\s,;"])"?[\s,;]+"?([^\s,;"]+)"?', text)
        if match and is_image_name(match[1]):
            found.append((match[1], match[2]))
        elif is_image_name(text) or text.isdecimal():
            found.append((text, class_of(text)))
        elif text and not (number == 1 and re.fullmatch(r"[\w\" ]+([,;\t][\w\" ]+)+", text)):
            raise AnnotationError(
                f"got {text[:80]!r}",
                where=f"{path}, line {number}",
                expected="an image such as n01440764_10026.JPEG, or an image and its class",
            )
    if not found:
        raise AnnotationError("holds no images", where=path)
    images, classes = map(list, zip(*found, strict=True))
    return ImageList(images, classes, as_text=True)


def class_of(image: str) -> str:
    """Return the class that an image's path tells: its folder, else what is before the first `_`.

    Example:
        >>> class_of("b/bar/outdoor/x.JPEG"), class_of("n02_10026.JPEG"), class_of("7")
        ('b/bar/outdoor', 'n02', '')
    """
    folder, _, name = image.rpartition("/")
    return folder or name.partition("_")[0] * ("_" in name)


def promised_k(name: str) -> int:
    """Return how many images of every class a name like `2imgs_class.txt` (MSN's) says; else 0."""
    match = re.match(r"([1-9]\d{0,8})imgs_class", name)
    return int(match[1]) if match else 0
