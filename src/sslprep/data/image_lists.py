"""Lists of images, with or without labels: Places' csv, Caffe's txt, SimCLR's subsets."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from pathlib import Path

from sslprep.errors import AnnotationError, DatasetError
from sslprep.image_files import IMAGE_FORMATS, is_image_name
from sslprep.input_files import read_text

_IMAGE_COLUMNS = (
    *("file_name", "filename", "filepath", "file_path", "path", "file", "image_path", "img_path"),
    *("image", "image_name", "imageid", "image_id", "img", "img_name", "fname", "name", "id"),
)
_LABEL_COLUMNS = (
    *("label", "class", "class_id", "classid", "class_name", "category", "target", "synset"),
)
_SPLIT_COLUMNS = ("split", "set", "subset", "partition", "is_train", "is_valid", "is_test")
_PLAIN = re.compile(r"([A-Za-z0-9_/.+-]+) ([0-9]+)")
"""Most lines of most lists; they are read faster."""
_BOXED = re.compile(r"([^,\s]+)[,\t](\S+)(?:\s-?\d+){4}")
"""A class and its box, as in the csv of the ImageNet challenge and in Tiny ImageNet."""
_ENDS = "|".join(map(re.escape, IMAGE_FORMATS))
_ODD = re.compile(rf"(?:{_ENDS})[\"'\s,;:]|^\d+[,;]|\t|\s-?[\d.]+$|://|^[^/]*\\", re.IGNORECASE)
"""What no image is called: more cells behind it or before it, a URL, a path of Windows."""

_JSON = re.compile(r'\{|\[\s*[\[{"]')
_SEVERAL = re.compile(r".*\|.*|\[.*\]|\{.*\}|-?[\d.]+([\s,;]+-?[\d.]+)+", re.DOTALL)
"""What no label is called: several, as lists, sets, boxes and columns of classes are written."""


def read_rows(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Yield line number, image and label (`None`: there is none) of every line of a list.

    White space, tab, comma or semicolon may stand between; cells may be quoted as in csv files.
    A header says which columns are meant, as the names in JSON lines do; lines that begin with
    `# ` are passed over.
    """
    lines = io.StringIO(read_text(path, AnnotationError), newline=None)  # no list of a million
    split = None
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line or line.startswith("# "):
            continue
        if split is None:
            split = _by_header(path, number, line)
            if split and not line.startswith("{"):
                continue
            split = split or split_line
        plain = _PLAIN.fullmatch(line) if split is split_line else None
        image, label = plain.groups() if plain else split(line)
        checked = plain or split is not split_line or '"' in line
        if (
            not image
            or (not checked and _ODD.search(image))
            or (not checked and label is None and re.match(r"\d+\s+\S+/", image))
            or (split is split_line and _JSON.match(line))
            or "\0" in line
            or image.endswith("/")
            or (".." in image and ".." in image.split("/"))
        ):
            raise bad_line(path, number, line)
        if "//" in image or "./" in image:
            image = os.path.normpath(image.replace("//", "/"))
        if label and label.endswith(".0") and label[:-2].isdecimal():  # as pandas writes numbers
            label = label[:-2]
        yield number, image, label


def _by_header(
    path: Path, number: int, line: str
) -> Callable[[str], tuple[str, str | None]] | None:
    """Return what splits lines under a header; `None`: the line is none."""
    delimiter = next((d for d in "\t;," if d in line), " ")
    names = [cell.strip().strip('"').lower() for cell in line.split(delimiter)]
    json_lines = line.startswith("{")
    if json_lines:  # each line is its own header
        names = list(_record(line))
    image = next((names.index(name) for name in _IMAGE_COLUMNS if name in names), None)
    if image is None:
        cells = [name for name in names if name not in _LABEL_COLUMNS]
        if len(cells) < len(names) and not any(is_image_name(c) or "/" in c for c in cells):
            raise bad_line(path, number, line, "a column called path")
        return None
    others = [name for name in names if name not in (names[image], "", *_SPLIT_COLUMNS)]
    known = [name for name in _LABEL_COLUMNS if name in names]
    # One more column is the label, whatever it is called, but may be a number or name of the image.
    if not known and (len(others) > 1 or set(others) & {*_IMAGE_COLUMNS}):
        raise bad_line(path, number, line, "a column called label, and its number or word")
    label = names.index([*known, *others][0]) if others else None
    part = next((names.index(name) for name in _SPLIT_COLUMNS if name in names), None)
    parts: set[str] = set()
    if not json_lines and (len(names) == 1 or (image, label, len(names)) == (0, 1, 2)):
        return split_line

    def split(row: str) -> tuple[str, str | None]:
        if json_lines:
            record = _record(row)
            cells = [record.get(name, "") for name in names]
        else:
            cells = next(csv.reader([row], delimiter=delimiter, skipinitialspace=True), [])
        if len(cells) != len(names):
            return "", None
        parts.add(cells[part] if part is not None else "")
        if len(parts) > 1:
            raise AnnotationError(
                f"its column {names[part or 0]} holds {' and '.join(sorted(parts))}",
                where=path,
                expected="the rows of one partition",
                remedy="Give a list of each.",
            )
        return cells[image].strip(), None if label is None else cells[label].strip() or None

    return split


def _record(line: str) -> dict[str, str]:
    """Read one of JSON lines; what is no object has no cells."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    cells = {k.lower(): "" if v is None else v for k, v in found.items()}
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in cells.items()}


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
            if len(cells) == 1 and line[0] == line[-1] == '"' and '"' not in cells[0]:
                return cells[0].strip(), None
    if boxed := _BOXED.match(line):
        others = {word for word in line[boxed.end() :].split() if not re.fullmatch(r"-?\d+", word)}
        return boxed[1] if others <= {boxed[2]} else "", boxed[2]
    head, _, label = line.rpartition(" ")
    if label.removesuffix(".0").isdecimal() and head and head.rstrip()[-1] not in ",;":
        return head.strip(), label
    for delimiter in "\t;,":
        head, _, tail = line.rpartition(delimiter)
        if tail.strip() and is_image_name(head.strip()):
            return head.strip(), tail.strip()
    if is_image_name(line):
        return line.strip('"'), None
    if two := re.fullmatch(r"([^\s,;]+)\s*[,;\t]\s*([^,;\t]+)", line):
        return two[1], two[2]
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
    found = {"train", "val", "test"} & {*re.split(r"[_\-. ]", path.stem)}
    return found.pop() if len(found) == 1 else None


def read_list(
    path: Path, source: Path, known: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, list[str]], Path, bool]:
    """Read a list of images; the classes follow from it, or are `known` from train's list.

    Numbers are class ids: a class is called as its folder is, or, where the paths have none,
    as train's list calls the id. A word is the name of the class itself. Without labels the
    class is the folder, or what stands before the first `_` of a bare file name.

    Returns:
        Class -> id, in order of the ids; class -> images, sorted; the folder that they are in:
        the source, one of a split in it, or the one around all images of absolute paths; and
        whether the labels are numbers.
    """
    images, labels, numbers = _read_columns(path)
    label, *rest = re.split(r"[\s,;]+", images[0], maxsplit=1)
    there = [not labels[0] and os.path.exists(source / image) for image in (images[0], *rest)]
    if there == [False, True] and "/" not in label:  # the label comes first
        raise _bad_row(path, 0)
    images, root, absolute = _place(images, source)
    alone = labels[0] is None
    if alone:
        images = [i if absolute or "/" in i else f"{i.partition('_')[0]}/{i}" for i in images]
    place, end = _below(root, images[0])
    for row, image in enumerate(images) if alone else ():
        if is_image_name(os.path.dirname(image)) or not (end or is_image_name(image)):
            raise _bad_row(path, row)
    if end:
        images = [image if is_image_name(image) else image + end for image in images]
    if len(set(images)) < len(images):
        twice = next(image for image, count in Counter(images).items() if count > 1)
        raise AnnotationError(f"{twice} is listed twice", where=path)
    with_folder = absolute or all("/" in image for image in images)
    folders: Iterator[str] = map(os.path.dirname, images)
    if absolute:
        folders = (os.path.basename(os.path.join(root, name).rstrip("/")) for name in folders)
    ids: dict[str, int] = {}
    classes: Iterable[str | None] = folders if alone else labels
    if numbers:
        name_of = {} if with_folder else {id_: name for name, id_ in known.items()}
        named = folders if with_folder else repeat(None)
        classes = _name_numbers(path, labels, named, ids, name_of)
    groups: dict[str, list[str]] = {}
    for image, name in zip(images, classes, strict=True):
        groups.setdefault(name or "", []).append(image)
    given = known or ids or {name: at for at, name in enumerate(sorted(groups))}
    own = ids or given
    if odd := sorted(name for name in groups if given.get(name, -1) != own.get(name)):
        raise DatasetError(
            f"gives {odd[0]} the label {own.get(odd[0], odd[0])}, which train's list does not",
            where=path,
            expected="the classes and labels of train",
        )
    order = sorted(groups, key=lambda name: (given[name], name))
    groups = {name: sorted(groups[name]) for name in order}
    return {name: given[name] for name in order}, groups, root / place, numbers


def _place(images: list[str], source: Path) -> tuple[list[str], Path, bool]:
    """Return the paths below a folder, that folder, and whether they were absolute.

    It is the source, or the folder of a split in it, which is no part of the class; or the one
    around all of absolute paths.
    """
    if _is_absolute(images, source):  # others among them are below the source
        images = [os.path.join(os.path.abspath(source), image) for image in images]
        root = os.path.dirname(os.path.commonprefix(images))  # noqa: RUF071 - cut as text
        return [image[len(root) :].lstrip("/") for image in images], Path(root), True
    images = [image.strip("/") for image in images]
    tops = {image[: image.find("/") + 1] for image in images}
    split = tops.pop() if len(tops) == 1 and tops <= {"train/", "val/", "test/"} else ""
    return [image[len(split) :] for image in images], source / split, False


def _read_columns(path: Path) -> tuple[list[str], list[str | None], bool]:
    """Read images, labels, and whether the labels, which must all be of one kind, are numbers."""
    images, labels = [], []
    same: dict[str | None, str | None] = {}  # a million labels are few different ones
    for _, image, label in read_rows(path):
        images.append(image)
        labels.append(same.setdefault(label, label))
    if not images:
        raise AnnotationError("lists no image", where=path, expected='"<image> <label>" lines')
    kinds = {label: label and bool(re.fullmatch(r"\d{1,9}", label)) for label in same}
    unlike_the_rest = kinds[labels[0]] is False and (
        all(kinds[label] for label in labels[1:])
        or (not is_image_name(images[0]) and all(map(is_image_name, images[1:])))
    )
    if unlike_the_rest and len(images) > 2 and _nth(path, 0)[0] == 1:
        line = f"{images[0]} {labels[0]}"
        raise bad_line(path, 1, line, "a row, or a header with columns called path and label")
    odd = {
        label
        for label, kind in kinds.items()
        if kind != kinds[labels[0]] or re.fullmatch(r"[+-]\d+|-?\d*\.\d+|\d{10,}", label or "")
    }
    if odd:
        raise _bad_row(path, next(at for at, label in enumerate(labels) if label in odd))
    if several := next((label for label in same if _SEVERAL.fullmatch(label or "")), None):
        raise AnnotationError(
            f"got several labels: {several[:60]}",
            where=f"{path}, line {_nth(path, labels.index(several))[0]}",
            expected="one label an image",
            remedy="Several labels an image take COCO's form and data coco --image-level.",
        )
    return images, labels, bool(kinds[labels[0]])


def _name_numbers(
    path: Path,
    labels: Iterable[str | None],
    folders: Iterable[str | None],
    ids: dict[str, int],
    name_of: dict[int, str],
) -> Iterator[str]:
    """Yield the class of each number: its folder's name, or what train's list calls it.

    `ids` and `name_of` become what was seen, which must be one number for each name.
    """
    for row, (label, folder) in enumerate(zip(labels, folders, strict=False)):
        id_ = int(label or 0)
        name = name_of.get(id_, str(id_)) if folder is None else folder
        before, other = ids.setdefault(name, id_), name_of.setdefault(id_, name)
        if before != id_ or other != name:
            raise AnnotationError(
                f"{name} has the label {id_}, but "
                + (f"{name} had {before}" if before != id_ else f"{other} has it too"),
                where=f"{path}, line {_nth(path, row)[0]}",
                expected="one label for each folder",
            )
        yield name


def _bad_row(path: Path, row: int) -> AnnotationError:
    """Return the error that shows a row."""
    number, image, label = _nth(path, row)
    return bad_line(path, number, f"{image} {label or ''}".strip())


def _nth(path: Path, row: int) -> tuple[int, str, str | None]:
    """Read a row again, with its line number: only errors need it, so none is kept."""
    return next(islice(read_rows(path), row, None))


def _is_absolute(images: Sequence[str], source: Path) -> bool:
    """Tell whether paths with a leading slash start at the root of the machine.

    Those of Places do not, though they look like it; so we look where the files are.
    """
    image = next((image for image in images if image.startswith("/")), None)
    if image is None or os.path.exists(source / image.lstrip("/")):
        return False
    return os.path.exists(image) or os.path.isdir("/" + image.split("/")[1])


def _below(folder: Path, image: str) -> tuple[str, str]:
    """Return what is before the paths, such as the folder of a split, and the suffix after them.

    Kaggle's lists have ids of images: they get the suffix of the file that is there.
    """
    places = ("", "train/", "val/", "test/")
    ends = [""]
    if "." not in os.path.basename(image):
        ends += [*IMAGE_FORMATS, *map(str.upper, IMAGE_FORMATS)]
    found = ((p, e) for e in ends for p in places if os.path.exists(folder / p / f"{image}{e}"))
    return next(found, ("", ""))
