"""VOC2007 and VOC2012: which classes are in which image, from the lists of `ImageSets/Main`.

Where there are no class lists, the labels come from `Annotations/*.xml` (`voc_xml`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import AnnotationError, DatasetError
from sslprep.image_files import is_image_name
from sslprep.input_files import reading
from sslprep.parameters import command
from sslprep.partition import ABSENT, IGNORE, PRESENT, ClassRecord
from sslprep.partition.images import Images, stored_prefix
from sslprep.partition.write import (
    Format,
    NewPartition,
    PartitionSet,
    PartitionsWritten,
    check_names,
)

Split = Literal["train", "val", "trainval", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "trainval", "test")

LABEL_OF_MARK = {b"1": PRESENT, b"-1": ABSENT, b"0": IGNORE}
"""What the lists write -> what a partition holds. VOC's 0 is "difficult": it counts neither way."""

_TARS = {
    "2007": {"trainval": "VOCtrainval_06-Nov-2007.tar", "test": "VOCtest_06-Nov-2007.tar"},
    "2012": {"trainval": "VOCtrainval_11-May-2012.tar"},
}


def parse_list(data: bytes) -> dict[bytes, int]:
    r"""Read one class list: image id -> label.

    Args:
        data: Lines of an image id and 1, -1 or 0, with any white space between.

    Example:
        >>> parse_list(b"000005 -1\r\n000007  1\r\n000009  0\r\n")
        {b'000005': 0, b'000007': 1, b'000009': -1}
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    rows = [words for line in data.split(b"\n") if (words := line.split())]
    try:
        labels = {image: LABEL_OF_MARK[mark] for image, mark in rows}
        ids = b"".join(labels).decode()
    except (KeyError, ValueError):
        return _parse_lines(data)
    odd = len(labels) < len(rows) or "/" in ids or not ids.isprintable()
    return _parse_lines(data) if odd else labels


def _parse_lines(data: bytes) -> dict[bytes, int]:
    """Read a list line by line, to find the one that is wrong."""
    labels: dict[bytes, int] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in LABEL_OF_MARK or not _can_be_id(words[0]):
            shown = line.strip()[:60].decode("utf-8", errors="backslashreplace")
            raise AnnotationError(
                f'got "{shown}"', where=f"line {number}", expected='"<image id> <1, -1 or 0>"'
            )
        label = LABEL_OF_MARK[words[1]]
        if labels.setdefault(words[0], label) != label:
            raise AnnotationError(
                f"image {words[0].decode()} occurs a second time, with another label",
                where=f"line {number}",
                expected="each image once in a list",
            )
    return labels


def _can_be_id(word: bytes) -> bool:
    """Tell whether a word can be the name of an image within its folder."""
    try:
        return word.decode().isprintable() and b"/" not in word
    except UnicodeDecodeError:
        return False


def combine(lists: Mapping[str, Mapping[bytes, int]]) -> tuple[list[str], NDArray[np.int32]]:
    r"""Join class lists to rows.

    Args:
        lists: The list of each class, in column order.

    Returns:
        Image ids, sorted, and labels `int32 (images, classes)`. An image that a list does not
        hold is ignored in that column (-1).

    Example:
        >>> ids, labels = combine({"cat": parse_list(b"b 1\na -1"), "dog": parse_list(b"b -1")})
        >>> ids, labels.tolist()
        (['a', 'b'], [[0, -1], [1, 0]])
    """
    every = sorted(set().union(*lists.values()))  # UTF-8 sorts by code point
    labels = np.empty((len(every), len(lists)), dtype=np.int32)
    for column, found in enumerate(lists.values()):
        labels[:, column] = [found.get(image, IGNORE) for image in every]
    return [image.decode() for image in every], labels


def find_source(folder: Path) -> Path:
    """Return the folder that holds `ImageSets/Main`: the one given, or the VOC20xx within it."""
    if (folder / "ImageSets" / "Main").is_dir():
        return folder
    inner = sorted(p for p in folder.glob("VOC20*") if (p / "ImageSets" / "Main").is_dir())
    if len(inner) == 1:
        return inner[0]
    if inner:
        names = ", ".join(path.name for path in inner)
        raise DatasetError(
            f"holds {len(inner)} data sets: {names}", where=folder, remedy="Give one of them."
        )
    raise DatasetError(
        "no such folder" if not folder.is_dir() else "has no ImageSets/Main",
        where=folder,
        expected="a folder with ImageSets/Main and JPEGImages, such as VOCdevkit/VOC2007",
    )


def class_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Find what may be class lists, `<class>_<split>.txt`: split -> class -> file."""
    found: dict[str, dict[str, Path]] = {split: {} for split in SPLITS}
    for path in sorted(folder.glob("*.txt")):
        name, _, split = path.stem.rpartition("_")
        if name and not name.startswith(".") and split in found and path.is_file():
            found[split][name] = path
    return found


def choose_splits(
    available: Sequence[str], partitions: Sequence[Split] | None, *, separate: bool
) -> dict[Split, Split]:
    """Decide which split each partition is made from: partition -> split.

    By default `train` is trainval and `test` is test. A set without test lists (VOC2012) gives
    its train as `train` and its val as `test`, as the benchmark does.

    Example:
        >>> choose_splits(["train", "val", "trainval"], None, separate=False)
        {'train': 'train', 'test': 'val'}
    """
    if partitions is not None:
        return {split: split for split in SPLITS if split in partitions}
    if separate:
        return {s: s for s in ("train", "val", "test") if s != "test" or s in available}
    if "test" in available:
        return {"train": "trainval", "test": "test"}
    return {"train": "train", "test": "val"}


def read_lists(
    folder: Path,
    files: Mapping[str, Mapping[str, Path]],
    splits: Sequence[Split],
    wanted: Sequence[str] | None,
) -> tuple[list[str], dict[str, dict[str, dict[bytes, int]]], list[str]]:
    """Read the class lists of the splits in use.

    A name in two parts is a class. One with more underscores is a class (`traffic_light`) where
    its files are there for every split and hold the same images as the others', which
    `person_head_train.txt` and the like do not.

    Returns:
        Classes in column order; split -> class -> labels; names that were left out.
    """
    named = sorted({name for split in splits for name in files[split]})
    classes = list(wanted or [name for name in named if "_" not in name])
    absent = [f"{name}_{s}.txt" for s in splits for name in classes if name not in files[s]]
    if absent:
        raise DatasetError(
            f"lacks {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}",
            where=folder,
            expected=f"each class in every split in use ({', '.join(splits)})",
        )
    lists: dict[str, dict[str, dict[bytes, int]]] = {
        split: {name: _read_list(files[split][name]) for name in classes} for split in splits
    }
    left_out = []
    for name in named if wanted is None else ():
        if name in classes:
            continue
        try:
            own = {split: _read_list(files[split][name]) for split in splits}
        except (KeyError, AnnotationError):
            left_out.append(name)
            continue
        first = {split: next(iter(lists[split].values()), own[split]) for split in splits}
        if all(own[split] and own[split].keys() == first[split].keys() for split in splits):
            for split in splits:
                lists[split][name] = own[split]
        else:
            left_out.append(name)
    classes = list(wanted or sorted(lists[splits[0]]))
    return classes, lists, left_out


def _read_list(path: Path) -> dict[bytes, int]:
    with reading(path, AnnotationError):
        data = path.read_bytes()
    try:
        return parse_list(data)
    except AnnotationError as error:
        raise error.at(path) from error


def _unpack_too(source: Path, split: str) -> str | None:
    """Name the tar of the official download that holds a split."""
    part = "test" if split == "test" else "trainval"
    year = next((y for y in _TARS if y in source.absolute().name), "")
    return f"Unpack {_TARS[year][part]} too." if part in _TARS.get(year, ()) else None


def _check_splits(
    folder: Path, source: Path, available: Sequence[str], chosen: Sequence[str]
) -> None:
    empty = [split for split in chosen if split not in available]
    if empty:
        raise DatasetError(
            f"has no class lists <class>_{empty[0]}.txt",
            where=folder,
            expected=f"lists of {', '.join(chosen)}; it has {', '.join(available) or 'none'}",
            remedy=_unpack_too(source, empty[0])
            or ("Choose others with --partitions." if available else "Unpack the data set again."),
        )


def image_names(folder: Path, ids: Sequence[str]) -> list[str]:
    """Return the file of each image id: with the suffix that is there, else `.jpg`.

    An id that has a suffix already keeps it, as VoTT and other tools write them.
    """
    try:
        names = sorted(filter(is_image_name, os.listdir(folder)))
    except OSError:
        names = []
    there = {name.rpartition(".")[0]: name for name in reversed(names)}
    there |= {name[:-4]: name for name in names if name.endswith(".jpg")}
    whole = set(names)
    return [
        id_
        if id_ in whole or (id_ not in there and is_image_name(id_))
        else there.get(id_, f"{id_}.jpg")
        for id_ in ids
    ]


@command(renamed={"data_source_dir": "source", "output_dir": "output"})
def write_voc(
    source: Path,
    output: Path,
    *,
    separate_partitions: bool = False,
    partitions: tuple[Split, ...] | None = None,
    classes: tuple[str, ...] | None = None,
    generate_json: bool = False,
    format: tuple[Format, ...] = ("npy",),
    relative_to: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> PartitionsWritten:
    """Write image and label files of VOC2007 or VOC2012 from its class lists.

    Args:
        source: Folder with `ImageSets/Main` and `JPEGImages`, or its parent `VOCdevkit`.
        output: Folder for the partitions; created if missing.
        separate_partitions: Write `train`, `val` and (where the set has it) `test`. Otherwise
            `train` (VOC2007: trainval, VOC2012: train) and `test` (VOC2007: test, VOC2012: val).
        partitions: Write these splits under their own names.
        classes: Take these classes, in this order; by default all, sorted by name.
        generate_json: Also write `…_targets.json`: image id -> class name -> label.
        format: Further formats of the partitions beside npy.
        relative_to: Store image paths relative to this folder.
        overwrite: Replace existing output files.
        hash_inputs: Record the SHA-256 of class lists above 1 GB too.

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: A class list or an annotation is malformed.
        DatasetError: The folder has no labels, or a class is missing in a split.
        OutputError: The output exists, or cannot be written.
    """
    given = dict(locals())
    check_names(partitions)
    source = find_source(source)
    folder, images_folder = source / "ImageSets" / "Main", source / "JPEGImages"
    files = class_files(folder)
    xml = not any(files.values()) and (source / "Annotations").is_dir()
    if xml:
        whole = {split: {"": folder / f"{split}.txt"} for split in SPLITS}
        files = {s: own if own[""].is_file() else {} for s, own in whole.items()}
    available = [split for split in SPLITS if files[split]]
    chosen = choose_splits(available, partitions, separate=separate_partitions)
    _check_splits(folder, source, available, list(chosen.values()))
    prefix = stored_prefix(images_folder, relative_to)
    warnings = []
    if chosen.get("test") == "val" and "2007" in source.absolute().name:
        warnings.append(
            f"{folder} has no test lists, so test is val and train is train; for VOC2007's "
            "usual trainval and test unpack VOCtest_06-Nov-2007.tar as well"
        )
    with PartitionSet(
        output,
        list(chosen),
        format,
        targets=generate_json,
        multi_label=True,
        overwrite=overwrite,
    ) as out:
        inputs = manifest.Inputs(hash_inputs=hash_inputs)
        for split in dict.fromkeys(chosen.values()):
            for path in files[split].values():
                inputs.add_file(path)
        if xml:
            warnings.append(f"{folder} has no class lists; labels are from Annotations/*.xml")
            ids = {str(split): files[split][""] for split in chosen.values()}
            from sslprep.data.voc_xml import read_annotations  # with its parser: the rare way

            names, rows = read_annotations(source / "Annotations", ids, classes)
            inputs.add_folder(source / "Annotations", sum(len(own) for own, _ in rows.values()))
        else:
            names, lists, left_out = read_lists(folder, files, list(chosen.values()), classes)
            rows = {s: combine({name: own[name] for name in names}) for s, own in lists.items()}
            if left_out:
                warnings.append(
                    f"{folder}: not taken as classes, since their lists are not a whole set or "
                    f"hold other images: {', '.join(left_out)}; --classes chooses"
                )
        made = []
        for name, split in chosen.items():
            own, labels = rows[split]
            sources = [files[split][c] for c in ([""] if xml else names)]
            made.append(
                NewPartition(
                    name=name,
                    source_split=split,
                    images=Images([(prefix, image_names(images_folder, own))]),
                    labels=labels,
                    keys=own,
                    sources=[*sources, source / "Annotations"] if xml else sources,
                    details={"dataset": source.absolute().name},
                )
            )
        return out.write(
            made,
            classes=[ClassRecord(name, column) for column, name in enumerate(names)],
            command="data voc",
            parameters=given,
            inputs=inputs,
            warnings=warnings,
            root=relative_to,
        )
