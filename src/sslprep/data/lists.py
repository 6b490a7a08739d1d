"""Text files that say which class an image is of: ImageNet's ground truth, Places' csv lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from sslprep.data.listing import ClassFolder, class_folder
from sslprep.data.partition import ClassRecord
from sslprep.errors import AnnotationError
from sslprep.files import reading


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line that is not empty."""
    with reading(path, AnnotationError), open(path, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, 1):
                if stripped := line.strip():
                    yield number, stripped
        except UnicodeDecodeError as error:
            raise AnnotationError("not a text file", where=path, expected="UTF-8") from error


def read_val_labels(path: Path) -> dict[str, str]:
    """Read the ground truth of ImageNet's flat validation folder: image -> synset.

    Two forms are read: lines `ILSVRC2012_val_00000001.JPEG n01751748`, and the challenge's CSV
    `ImageId,PredictionString`, whose strings begin with the synset. Images are named with or
    without suffix.

    Raises:
        AnnotationError: A line of another form, or an image with two classes.
    """
    labels: dict[str, str] = {}
    for number, line in _lines(path):
        if number == 1 and line.lower().startswith("imageid,"):
            continue
        name, comma, rest = line.partition(",")
        words = [name, *rest.split()[:1]] if comma else line.split()
        if len(words) != 2:
            raise AnnotationError(
                f'got "{line[:60]}"',
                where=f"{path}, line {number}",
                expected='"<file> <synset>" or "<ImageId>,<synset> …"',
            )
        image = words[0].strip().rpartition("/")[2]
        if labels.setdefault(image, words[1]) != words[1]:
            raise AnnotationError(
                f"{image} occurs a second time, with another class",
                where=f"{path}, line {number}",
            )
    return labels


def sort_by_label(
    names: Sequence[str], labels: Mapping[str, str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Group image files by their class; also return those without one.

    Example:
        >>> sort_by_label(["1.JPEG", "2.JPEG"], {"1": "n01"})
        ({'n01': ['1.JPEG']}, ['2.JPEG'])
    """
    groups: dict[str, list[str]] = {}
    unlabelled = []
    for name in names:
        label = labels.get(name) or labels.get(name.rpartition(".")[0])
        if label is None:
            unlabelled.append(name)
        else:
            groups.setdefault(label, []).append(name)
    return groups, unlabelled


def partition_of(path: Path) -> str | None:
    """Return which partition a list is of, from its name: `train_places205.csv` is train's."""
    return next((p for p in ("train", "val") if path.stem.split("_")[0] == p), None)


def read_list(path: Path) -> tuple[list[ClassRecord], list[ClassFolder]]:
    """Read an official list of lines `path label`, such as `train_places205.csv`.

    The class of an image is the folder part of its path. White space, comma or semicolon may
    stand before the label.

    Returns:
        Classes in order of their ids, and their images, sorted by name.

    Raises:
        AnnotationError: A line of another form, an image twice, or folders and labels that do
            not correspond one to one.
    """
    names: dict[str, list[str]] = {}
    ids: dict[str, int] = {}
    folder_of: dict[int, str] = {}
    for number, line in _lines(path):
        image, label = _split_line(line)
        folder, _, name = image.strip("/").rpartition("/")
        if not (label.isdecimal() and label.isascii() and len(label) < 10 and folder and name):
            raise _bad_line(path, number, line)
        if folder not in names:
            if ".." in folder.split("/") or "\0" in folder:
                raise _bad_line(path, number, line)
            names[folder] = []
            ids[folder] = int(label)
        if ids[folder] != int(label) or folder_of.setdefault(int(label), folder) != folder:
            known = folder_of.get(int(label), folder)
            raise AnnotationError(
                f"{folder} has the label {label}, but "
                + (f"{folder} had {ids[folder]}" if known == folder else f"{known} has it too"),
                where=f"{path}, line {number}",
                expected="one label for each folder",
            )
        if "\0" in name:
            raise _bad_line(path, number, line)
        names[folder].append(name)
    folders = []
    for name in sorted(names, key=ids.__getitem__):
        images = sorted(names.pop(name))
        twice = next((a for a, b in pairwise(images) if a == b), None)
        if twice:
            raise AnnotationError(f"{name}/{twice} is listed twice", where=path)
        folders.append(class_folder(name, images))
    return [ClassRecord(f.name, ids[f.name]) for f in folders], folders


def _split_line(line: str) -> tuple[str, str]:
    """Split `path label` at the last separator; the path may hold blanks itself."""
    head, _, label = line.replace("\t", " ").rpartition(" ")
    if not head or "," in label or ";" in label:
        head, _, label = line.replace(";", ",").rpartition(",")
        label = label.strip()
    return head.strip().rstrip(",;"), label


def _bad_line(path: Path, number: int, line: str) -> AnnotationError:
    return AnnotationError(
        f'got "{line[:60]}"',
        where=f"{path}, line {number}",
        expected='"<class folder>/<file> <label>"',
    )
