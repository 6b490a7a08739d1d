"""The classes of ImageNet's flat validation folder: devkit, lists, and the challenge's csv."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sslprep.data.class_folders import natural
from sslprep.data.image_lists import bad_line, read_rows
from sslprep.errors import AnnotationError, MissingExtraError
from sslprep.input_files import read_text

DEVKIT_FILE = "ILSVRC2012_validation_ground_truth.txt"


def find_file(path: Path) -> Path:
    """Return the ground-truth file: the one given, or the devkit's in the folder given."""
    if not path.is_dir():
        return path
    for place in (path, path / "data", path / "ILSVRC2012_devkit_t12" / "data"):
        if (place / DEVKIT_FILE).is_file():
            return place / DEVKIT_FILE
    raise AnnotationError(
        f"has no {DEVKIT_FILE}", where=path, expected="the folder of ILSVRC2012_devkit_t12"
    )


def read_val_labels(
    path: Path, images: Sequence[str], classes: Sequence[str], known: Sequence[str]
) -> tuple[dict[str, str], bool, list[str]]:
    """Read which class each image of a flat folder is of.

    Read are lines `file synset`; lines `file number` as Caffe has them, where a number is the
    id of train's class (without train it stays as it is); the challenge's csv
    `ImageId,PredictionString`; one synset a line in the order of the images' names; and the
    devkit's numbers, one a line, which `meta.mat` beside the file translates.

    Args:
        path: The file.
        images: The images of the folder, sorted.
        classes: The classes in the order of their ids, where there is train.
        known: All class folders of train.

    Returns:
        Image, with or without suffix -> class name; whether the names are plain numbers; warnings.
    """
    words = [*filter(None, map(str.strip, read_text(path, AnnotationError).split("\n")))]
    if words and not any(re.search(r"[\s,;]", word) for word in words):
        return _in_order(path, words, images), False, []
    there = {name for image in images for name in (image, image.rpartition(".")[0])}
    labels: dict[str, str] = {}
    for number, image, name in read_rows(path):
        key = image.rpartition("/")[2]
        if name is None or (key not in there and re.search(r"\s", image + name)):
            line = f"{image} {name or ''}".strip()
            raise bad_line(path, number, line, '"<file> <synset>" or "<ImageId>,<synset> …"')
        if labels.setdefault(key, name) != name:
            raise AnnotationError(
                f"{key} occurs a second time, with another class", where=f"{path}, line {number}"
            )
    numbers = all(re.fullmatch(r"\d{1,9}", label) for label in labels.values())
    wanted = set(labels.values())
    if numbers and known and not wanted <= set(known):
        if names := [c for at, c in enumerate(classes) if c in wanted and c != str(at)]:
            odd = min(wanted - set(known))
            raise AnnotationError(
                f"holds {names[0]}, a class folder of train, and {odd}, which is none",
                where=path,
                expected="names of class folders alone, or ids that are no names of others",
            )
        ids = {int(label) for label in wanted}
        highest = max(ids)
        if highest >= len(classes):
            raise AnnotationError(
                f"holds the class id {highest}",
                where=path,
                expected=f"0 to {len(classes) - 1}, the ids of train's {len(classes)} classes",
            )
        notes = [] if 0 in ids else [f"{path} holds no 0; ids of classes start there"]
        if [*classes] != sorted(classes):
            notes.append(f"{path}: numbers are ids of this run's classes; 0 is {classes[0]}")
        return {image: classes[int(label)] for image, label in labels.items()}, False, notes
    if numbers and not classes:
        return {image: str(int(label)) for image, label in labels.items()}, True, []
    return labels, False, []


def _in_order(path: Path, words: Sequence[str], images: Sequence[str]) -> dict[str, str]:
    """Give each image, in the order of the names, the class of its line."""
    if words[0] in images:
        raise bad_line(path, 1, words[0], '"<file> <synset>" or one synset a line')
    if len(words) != len(images):
        raise AnnotationError(
            f"has {len(words):,} lines",
            where=path,
            expected=f"one for each of the {len(images):,} images, in the order of their names",
        )
    if [*images] != sorted(images, key=natural):
        raise AnnotationError(
            "has a line for each image, and the order of the images is not plain: "
            f"{', '.join(images[:3])} …",
            where=path,
            expected="names with leading zeros",
            remedy='Write lines "<file> <synset>".',
        )
    if all(re.fullmatch(r"\d{1,9}", word) for word in words):
        synsets = _read_meta(path)
        unknown = [word for word in words if int(word) not in synsets]
        if unknown:
            raise AnnotationError(
                f"holds the number {unknown[0]}", where=path, expected="ILSVRC2012_IDs of meta.mat"
            )
        words = [synsets[int(word)] for word in words]
    return dict(zip(images, words, strict=True))


def _read_meta(truth: Path) -> dict[int, str]:
    """Read the devkit's `meta.mat`: ILSVRC2012_ID -> synset."""
    path = truth.with_name("meta.mat")
    if not path.is_file():
        raise AnnotationError(
            "holds numbers of the devkit, which mean nothing without meta.mat",
            where=truth,
            expected=f"the devkit's {path.name} beside it",
            remedy="Give the folder of ILSVRC2012_devkit_t12, or a list of synsets.",
        )
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError(
            "the devkit's meta.mat is read with SciPy",
            remedy='Install it: pip install "sslprep[devkit]". Or give a list of synsets.',
        ) from error
    try:
        table = loadmat(path, squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table}
    except Exception as error:  # SciPy's reader raises anything on damaged files
        raise AnnotationError(
            f"not readable ({error!s:.80})", where=path, expected="the devkit's meta.mat"
        ) from error
