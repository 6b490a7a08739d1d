"""Lists of images, with or without labels: Places' csv, Caffe's txt, SimCLR's subsets."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from sslprep.errors import AnnotationError, DatasetError
from sslprep.image_files import is_image_name
from sslprep.input_files import read_text
from sslprep.partition import ClassRecord

_HEADERS = {"file", "filename", "file_name", "filepath", "path", "image", "image_name", "image_id"}
_HEADERS |= {"imageid", "img", "id", "name"}


def read_rows(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Yield line number, image and label (`None`: there is none) of every line of a list.

    White space, tab, comma or semicolon may stand between; cells may be quoted as in csv files;
    a header line is passed over.
    """
    lines = io.StringIO(read_text(path, AnnotationError), newline="\n")  # no list of a million
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line:
            continue
        image, label = split_line(line)
        if number == 1 and image.lower().strip() in _HEADERS:
            continue
        if (
            (".." in image and ".." in image.split("/"))
            or "\0" in line
            or not image
            or image.endswith("/")
        ):
            raise bad_line(path, number, line)
        yield number, image, label


def split_line(line: str) -> tuple[str, str | None]:
    """Split a line into image and label; the image may hold blanks and commas itself.

    Example:
        >>> split_line("a/b c.jpg 0"), split_line('"a, b/1.jpg";cat'), split_line("n01_1.JPEG")
        (('a/b c.jpg', '0'), ('a, b/1.jpg', 'cat'), ('n01_1.JPEG', None))
    """
    if '"' in line:
        for delimiter in ",;\t ":
            cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
            if len(cells) == 2 and cells[0] and (is_image_name(cells[0]) or '"' not in cells[0]):
                return cells[0].strip(), cells[1].strip()
    head, _, label = line.rpartition(" ")
    if label.isdecimal() and head:
        challenge = "," in head and re.match(r"([^,\s]+),(\S+)(?: -?\d+){4}", line)
        if challenge:
            return challenge[1], challenge[2]
        if head.rstrip()[-1] not in ",;":
            return head.strip(), label
    for delimiter in "\t;,":
        for head, _, tail in (line.partition(delimiter), line.rpartition(delimiter)):
            if tail.strip() and is_image_name(head.strip()):
                return head.strip(), tail.strip()
    if is_image_name(line):
        return line.strip('"'), None
    head, _, tail = re.sub(r"[\t;,]", ",", line).partition(",")
    if tail.strip() and head.strip() and not re.search(r"\s", head.strip()):
        return head.strip(), tail.strip()
    words = line.rsplit(None, 1)
    return (words[0].rstrip(",; \t"), words[1]) if len(words) == 2 else (line, None)


def bad_line(path: Path, number: int, line: str, expected: str = "") -> AnnotationError:
    """Return the error that shows a line."""
    return AnnotationError(
        f'got "{line[:60]}"',
        where=f"{path}, line {number}",
        expected=expected or '"<class folder>/<file> <label>"',
    )


def partition_of(path: Path) -> str | None:
    """Return which partition a list is of, from its name: `train_places205.csv` is train's."""
    words = re.split(r"[_\-. ]", path.stem)
    found = {name for name in ("train", "val", "test") if name in words}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True, kw_only=True)
class ListedImages:
    """What one list says: images by class, each class sorted, and where the paths start."""

    groups: dict[str, list[str]]
    absolute: bool = False
    below: str = ""


def read_list(
    path: Path, source: Path, known: Sequence[ClassRecord]
) -> tuple[list[ClassRecord], ListedImages]:
    """Read a list of images; the classes follow from it, or are `known` from train's list.

    Numbers are class ids: a class is called as its folder is, or, where the paths have none,
    as train's list calls the id. A word is the name of the class itself. Without labels the
    class is the folder, or what stands before the first `_` of a bare file name.

    Returns:
        Classes in order of their ids, and their images.
    """
    images, labels = [], []
    same: dict[str | None, str | None] = {}  # a million labels are few different ones
    for _, image, label in read_rows(path):
        images.append(image)
        labels.append(same.setdefault(label, label))
    if not images:
        raise AnnotationError("lists no image", where=path, expected='"<image> <label>" lines')
    kinds = {label: label and bool(re.fullmatch(r"\d{1,9}", label)) for label in same}
    odd_labels = {
        label
        for label, kind in kinds.items()
        if kind != kinds[labels[0]] or (not kind and (label or "x").lstrip("-").isdecimal())
    }
    if odd_labels:
        raise _bad_row(path, next(at for at, label in enumerate(labels) if label in odd_labels))
    absolute = _is_absolute(images, source)
    if absolute:  # others among them are below the source
        images = [os.path.join(os.path.abspath(source), image) for image in images]
    else:
        images = [image.strip("/") for image in images]
    with_folder = all("/" in image for image in images)
    numbered = kinds[labels[0]]
    if numbered and with_folder:
        names = _folder_names(path, labels, images, absolute=absolute)
        ids = dict(zip(names, map(int, filter(None, labels)), strict=True))
    elif numbered:
        called = {record.id: record.name for record in known}
        names = [called.get(int(label or 0), str(int(label or 0))) for label in labels]
        ids = dict(zip(names, map(int, filter(None, labels)), strict=True))
    else:
        names = []
        for at, (name, label) in enumerate(zip(images, labels, strict=True)):
            folder = name.rpartition("/")[0] if with_folder else name.partition("_")[0]
            if label is None and (not is_image_name(name) or folder == name):
                raise _bad_row(path, at)
            names.append(label or folder)
        ids = {r.name: r.id for r in known} or {n: at for at, n in enumerate(sorted({*names}))}
    if not with_folder and labels[0] is None:
        images = [f"{name}/{image}" for name, image in zip(names, images, strict=True)]
    given = {record.name: record.id for record in known} or ids
    odd = sorted(name for name in set(names) if name not in given or given[name] != ids.get(name))
    if odd:
        raise DatasetError(
            f"gives {odd[0]} the label {ids.get(odd[0], odd[0])}, which train's list does not",
            where=path,
            expected="the classes and labels of train",
        )
    groups: dict[str, list[str]] = {n: [] for n in sorted({*names}, key=lambda n: (given[n], n))}
    for name, image in zip(names, images, strict=True):
        groups[name].append(image)
    for own in groups.values():
        own.sort()
        if twice := next((a for a, b in pairwise(own) if a == b), None):
            raise AnnotationError(f"{twice} is listed twice", where=path)
    below = "" if absolute else _below(source, images[0])
    records = [ClassRecord(name, given[name]) for name in groups]
    return records, ListedImages(groups=groups, absolute=absolute, below=below)


def _bad_row(path: Path, row: int) -> AnnotationError:
    """Return the error that shows a row."""
    number, image, label = next(islice(read_rows(path), row, None))
    return bad_line(path, number, f"{image} {label or ''}".strip())


def _is_absolute(images: Sequence[str], source: Path) -> bool:
    """Tell whether paths with a leading slash start at the root of the machine.

    Those of Places do not, though they look like it; so we look where the files are.
    """
    image = next((image for image in images if image.startswith("/")), None)
    if image is None or os.path.exists(source / image.lstrip("/")):
        return False
    return os.path.exists(image) or os.path.isdir("/" + image.split("/")[1])


def _below(source: Path, image: str) -> str:
    """Return the folder of the source that the paths start from: its own, or a split's."""
    places = ("", "train/", "val/", "test/")
    return next((p for p in places if os.path.exists(source / p / image)), "")


def _folder_names(
    path: Path, labels: Sequence[str | None], images: Sequence[str], *, absolute: bool
) -> list[str]:
    """Name the class of each image after its folder, which must be one to one with its number."""
    same: dict[str, str] = {}
    folders = []
    for image in images:
        folder = image.rpartition("/")[0]
        folders.append(same.setdefault(folder, folder.rpartition("/")[2] if absolute else folder))
    number_of: dict[str, int] = {}
    folder_of: dict[int, str] = {}
    for row, (label, folder) in enumerate(zip(labels, folders, strict=True)):
        own = int(label or 0)
        before, other = number_of.setdefault(folder, own), folder_of.setdefault(own, folder)
        if before != own or other != folder:
            raise AnnotationError(
                f"{folder} has the label {own}, but "
                + (f"{folder} had {before}" if before != own else f"{other} has it too"),
                where=f"{path}, line {next(islice(read_rows(path), row, None))[0]}",
                expected="one label for each folder",
            )
    return folders
