"""VOC2007 and VOC2012: which classes are in which image, from the lists of `ImageSets/Main`.

Where there are no class lists, the labels come from `Annotations/*.xml` (`voc_xml`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import AnnotationError, DatasetError
from sslprep.image_files import is_image_name
from sslprep.input_files import read_text
from sslprep.parameters import command
from sslprep.partition import ABSENT, IGNORE, PRESENT, ClassRecord
from sslprep.partition.images import Images, stored_prefix
from sslprep.partition.write import Format, NewPartition, PartitionSet, PartitionsWritten

Split = Literal["train", "val", "trainval", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "trainval", "test")

LABEL_OF_MARK = {"1": PRESENT, "-1": ABSENT, "0": IGNORE}
"""What the lists write -> what a partition holds. VOC's 0 is "difficult": it counts neither way."""

LEADS_OUT = re.compile(r"/|(.*/)?\.\./")  # an image id that is no path below a folder

_TARS = {
    "2007": {"trainval": "VOCtrainval_06-Nov-2007.tar", "test": "VOCtest_06-Nov-2007.tar"},
    "2012": {"trainval": "VOCtrainval_11-May-2012.tar"},
}


def read_list(path: Path) -> dict[str, int]:
    """Read one class list, lines of an image id and 1, -1 or 0: image id -> label."""
    labels: dict[str, int] = {}
    for number, line in enumerate(read_text(path, AnnotationError).split("\n"), 1):
        words = line.split()
        if not words:
            continue
        label = LABEL_OF_MARK.get(words[1]) if len(words) == 2 else None
        if label is None or LEADS_OUT.match(words[0]) or not words[0].isprintable():
            raise AnnotationError(
                f'got "{line.strip()[:60]}"',
                where=f"{path}, line {number}",
                expected='"<image id> <1, -1 or 0>"',
            )
        if labels.setdefault(words[0], label) != label:
            raise AnnotationError(
                f"image {words[0]} occurs a second time, with another label",
                where=f"{path}, line {number}",
                expected="each image once in a list",
            )
    return labels


def combine(lists: Sequence[Mapping[str, int]]) -> tuple[list[str], NDArray[np.int32]]:
    r"""Join class lists, in column order, to rows.

    Returns:
        Image ids, sorted, and labels `int32 (images, classes)`. An image that a list does not
        hold is ignored in that column (-1).

    Example:
        >>> ids, labels = combine([{"b": 1, "a": 0}, {"b": 0}])
        >>> ids, labels.tolist()
        (['a', 'b'], [[0, -1], [1, 0]])
    """
    every = sorted(set().union(*lists))
    columns = [[found.get(image, IGNORE) for image in every] for found in lists]
    return every, np.array(columns, np.int32).T


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
    own = "Write the ids of its images into ImageSets/Main/train.txt and val.txt, one a line."
    raise DatasetError(
        "no such folder" if not folder.is_dir() else "has no ImageSets/Main",
        where=folder,
        expected="a folder with ImageSets/Main and JPEGImages, such as VOCdevkit/VOC2007",
        remedy=own if (folder / "Annotations").is_dir() else None,
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
    splits: Collection[str],
    wanted: Sequence[str] | None,
) -> tuple[dict[str, dict[str, dict[str, int]]], list[str]]:
    """Read the class lists of the splits in use.

    A name in two parts is a class. One with more underscores is a class (`traffic_light`) where
    its files are there for every split and hold the same images as the others', which
    `person_head_train.txt` and the like do not.

    Returns:
        Class, in column order -> split -> image id -> label; and warnings.
    """

    def read(name: str) -> dict[str, dict[str, int]]:
        return {split: read_list(files[split][name]) for split in splits}

    named = sorted({name for split in splits for name in files[split]})
    classes = wanted or [name for name in named if "_" not in name]
    absent = [f"{name}_{s}.txt" for s in splits for name in classes if name not in files[s]]
    if absent:
        raise DatasetError(
            f"lacks {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}",
            where=folder,
            expected=f"each class in every split in use ({', '.join(splits)})",
        )
    lists = {name: read(name) for name in classes}
    left_out = []
    for name in [] if wanted else [name for name in named if "_" in name]:
        try:
            own = read(name)
        except (KeyError, AnnotationError):
            own = {}
        first = next(iter(lists.values()), own)
        if own and all(own[split] and own[split].keys() == first[split].keys() for split in splits):
            lists[name] = own
        else:
            left_out.append(name)
    if not lists:
        raise DatasetError(
            f"has no class whose lists are a whole set: {', '.join(left_out)}", where=folder
        )
    warnings = []
    if left_out:
        warnings.append(
            f"{folder}: not taken as classes, since their lists are not a whole set or "
            f"hold other images: {', '.join(left_out)}; --classes chooses"
        )
    for split in splits:
        images = set().union(*(own[split] for own in lists.values()))
        for name, own in lists.items():
            if lacking := len(images) - len(own[split]):
                warnings.append(
                    f"{name}_{split}.txt lacks {lacking:,} images of other classes: ignored (-1)"
                )
        marks = {label for own in lists.values() for label in own[split].values()}
        if marks == {PRESENT, IGNORE}:
            warnings.append(
                f"{folder}: the lists of {split} hold 1 and 0, and no -1. VOC's 0 is 'difficult', "
                "which is ignored; what is absent has -1"
            )
    return {name: lists[name] for name in wanted or sorted(lists)}, warnings


def _check_splits(
    folder: Path, source: Path, available: Sequence[str], chosen: Sequence[str]
) -> None:
    """Refuse splits that have no lists; name the tar of the official download that has them."""
    if empty := next((split for split in chosen if split not in available), None):
        tars = next((own for year, own in _TARS.items() if year in source.absolute().name), {})
        tar = tars.get("test" if empty == "test" else "trainval")
        other = "Choose others with --partitions." if available else "Unpack the data set again."
        if not available and source.joinpath("Annotations").is_dir():
            other = f"Write the ids of its images into {empty}.txt, one a line."
        raise DatasetError(
            f"has no class lists <class>_{empty}.txt",
            where=folder,
            expected=f"lists of {', '.join(chosen)}; it has {', '.join(available) or 'none'}",
            remedy=f"Unpack {tar} too." if tar else other,
        )


def image_names(folder: Path, ids: Sequence[str]) -> list[str]:
    """Return the file of each image id: with the suffix that is there, else `.jpg`.

    An id that has a suffix already keeps it, as VoTT and other tools write them.
    """
    places = {os.path.dirname(id_) for id_ in ids}
    files = [(place, path.name) for place in places for path in (folder / place).glob("*")]
    names = sorted(os.path.join(place, name) for place, name in files if is_image_name(name))
    there = {name.rpartition(".")[0]: name for name in reversed(names)}
    there |= {name[:-4]: name for name in names if name.endswith(".jpg")}
    there |= {name: name for name in names}
    return [there.get(id_, id_ if is_image_name(id_) else f"{id_}.jpg") for id_ in ids]


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

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: A class list or an annotation is malformed.
        DatasetError: The folder has no labels, or a class is missing in a split.
        OutputError: The output exists, or cannot be written.
    """
    given = dict(locals())
    source = find_source(source)
    folder, images_folder = source / "ImageSets" / "Main", source / "JPEGImages"
    annotations = source / "Annotations"
    files = class_files(folder)
    xml = not any(files.values()) and annotations.is_dir()
    if xml:
        whole = {split: {"": folder / f"{split}.txt"} for split in SPLITS}
        files = {s: own if own[""].is_file() else {} for s, own in whole.items()}
    available = [split for split in SPLITS if files[split]]
    chosen = choose_splits(available, partitions, separate=separate_partitions)
    splits = dict.fromkeys(chosen.values())
    _check_splits(folder, source, available, [*splits])
    prefix = stored_prefix(images_folder, relative_to)
    warnings = []
    if chosen.get("test") == "val" and "2007" in source.absolute().name:
        warnings.append(
            f"{folder} has no test lists, so test is val and train is train; for VOC2007's "
            "usual trainval and test unpack VOCtest_06-Nov-2007.tar as well"
        )
    with PartitionSet("data voc", given, [*chosen], multi_label=True) as out:
        for split in splits:
            for path in files[split].values():
                out.inputs.add_file(path)
        if xml:
            from sslprep.data.voc_xml import read_annotations  # with its parser: the rare way

            warnings.append(f"{folder} has no class lists; labels are from Annotations/*.xml")
            ids: dict[str, Path] = {split: files[split][""] for split in splits}
            names, rows = read_annotations(annotations, ids, classes)
            out.inputs.add_folder(annotations, sum(len(own) for own, _ in rows.values()))
            sources = {split: [path, annotations] for split, path in ids.items()}
        else:
            lists, notes = read_lists(folder, files, splits, classes)
            warnings += notes
            names = [*lists]
            rows = {split: combine([own[split] for own in lists.values()]) for split in splits}
            sources = {split: [files[split][name] for name in names] for split in splits}
        made = [
            NewPartition(
                name=name,
                source_split=split,
                images=Images([(prefix, image_names(images_folder, rows[split][0]))]),
                labels=rows[split][1],
                keys=rows[split][0],
                sources=sources[split],
                details={"dataset": source.absolute().name},
            )
            for name, split in chosen.items()
        ]
        records = [ClassRecord(name, column) for column, name in enumerate(names)]
        return out.write(made, classes=records, warnings=warnings, root=relative_to)
