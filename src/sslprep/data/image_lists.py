"""Lists of images, with or without labels: Places' csv, Caffe's txt, SimCLR's subsets."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path

from sslprep.errors import AnnotationError, DatasetError
from sslprep.image_files import is_image_name
from sslprep.input_files import read_text

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


def read_list(
    path: Path, source: Path, known: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, list[str]], Path]:
    """Read a list of images; the classes follow from it, or are `known` from train's list.

    Numbers are class ids: a class is called as its folder is, or, where the paths have none,
    as train's list calls the id. A word is the name of the class itself. Without labels the
    class is the folder, or what stands before the first `_` of a bare file name.

    Returns:
        Class -> id, in order of the ids; class -> images, sorted; and the folder that they are
        in: the source, one of a split in it, or the one around all images of absolute paths.
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
    groups: dict[str, list[str]] = {}
    ids: dict[str, int] = {}
    name_of = {} if with_folder else {id_: name for name, id_ in known.items()}
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = image.rpartition("/")[0]
        name = folder.rpartition("/")[2] if absolute else folder
        if kinds[label]:
            id_ = int(label or 0)
            name = name if with_folder else name_of.get(id_, str(id_))
            before, other = ids.setdefault(name, id_), name_of.setdefault(id_, name)
            if before != id_ or other != name:
                raise AnnotationError(
                    f"{name} has the label {id_}, but "
                    + (f"{name} had {before}" if before != id_ else f"{other} has it too"),
                    where=f"{path}, line {next(islice(read_rows(path), row, None))[0]}",
                    expected="one label for each folder",
                )
        elif label:
            name = label
        else:
            name = name if with_folder else image.partition("_")[0]
            if not is_image_name(image) or name == image:
                raise _bad_row(path, row)
            image = image if with_folder else f"{name}/{image}"
        groups.setdefault(name, []).append(image)
    ids = ids or {**known} or {name: at for at, name in enumerate(sorted(groups))}
    given = known or ids
    if odd := sorted(name for name in groups if given.get(name, -1) != ids.get(name)):
        raise DatasetError(
            f"gives {odd[0]} the label {ids.get(odd[0], odd[0])}, which train's list does not",
            where=path,
            expected="the classes and labels of train",
        )
    for own in groups.values():
        own.sort()
        if twice := next((a for a, b in pairwise(own) if a == b), None):
            raise AnnotationError(f"{twice} is listed twice", where=path)
    root = os.path.join(source, _below(source, next(iter(groups.values()))[0]))
    if absolute:
        root = os.path.dirname(os.path.commonprefix(images))  # noqa: RUF071 - cut as text below
        start = len(os.path.join(root, ""))
        groups = {name: [image[start:] for image in own] for name, own in groups.items()}
    order = sorted(groups, key=lambda name: (given[name], name))
    return {n: given[n] for n in order}, {n: groups[n] for n in order}, Path(root)


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
