"""VOC2007 and VOC2012: which classes are in which image, from the lists of `ImageSets/Main`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from sslprep import manifest
from sslprep.data.partition import ClassRecord, Partition, check_choices, stored_prefix
from sslprep.data.voc_lists import ClassList, combine, parse_list
from sslprep.data.writing import PartitionsWritten, write_partitions
from sslprep.errors import AnnotationError, DatasetError
from sslprep.files import reading

logger = logging.getLogger(__name__)

Split = Literal["train", "val", "trainval", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "trainval", "test")


def class_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Find the class lists: split -> class -> file, classes sorted by name.

    A class list is `<class>_<split>.txt` where the name splits on `_` in exactly two. Everything
    else (`train.txt`, `person_head_train.txt`, hidden files, editors' backups) is left alone.
    """
    found: dict[str, dict[str, Path]] = {split: {} for split in SPLITS}
    for path in sorted(folder.glob("*.txt")):
        parts = path.stem.split("_")
        named = len(parts) == 2 and parts[0] and not parts[0].startswith(".")
        if named and parts[1] in found and path.is_file():
            found[parts[1]][parts[0]] = path
    return found


def find_source(folder: Path) -> Path:
    """Return the folder that holds `ImageSets/Main`: the one given, or the VOC20xx within it.

    Raises:
        DatasetError: There is none, or more than one.
    """
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


def check_classes(files: Mapping[str, Mapping[str, Path]], splits: Sequence[Split]) -> list[str]:
    """Return the classes, which must be the same in all splits in use.

    Raises:
        DatasetError: A split without lists, or a class that is in one split only.
    """
    empty = [split for split in splits if not files[split]]
    if empty:
        has = [split for split in SPLITS if files[split]]
        raise DatasetError(
            f"has no class lists <class>_{empty[0]}.txt",
            where="ImageSets/Main",
            expected=f"lists of {', '.join(splits)}; it has {', '.join(has) or 'none'}",
            remedy="Choose others with --partitions." if has else "Unpack the data set again.",
        )
    classes = sorted({name for split in splits for name in files[split]})
    absent = [f"{name}_{s}.txt" for s in splits for name in classes if name not in files[s]]
    if absent:
        raise DatasetError(
            f"lacks {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}",
            where="ImageSets/Main",
            expected=f"each class in every split in use ({', '.join(splits)})",
        )
    return classes


def _read_list(path: Path) -> ClassList:
    with reading(path, AnnotationError):
        data = path.read_bytes()
    try:
        return parse_list(data)
    except AnnotationError as error:
        raise error.at(path) from error


def write_voc(
    *,
    data_source_dir: Path,
    output_dir: Path,
    separate_partitions: bool = False,
    partitions: tuple[Literal["train", "val", "trainval", "test"], ...] | None = None,
    generate_json: bool = False,
    format: tuple[Literal["npy", "jsonl", "csv", "txt", "parquet"], ...] = ("npy",),
    relative_to: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> PartitionsWritten:
    """Write image and label files of VOC2007 or VOC2012 from its class lists.

    Args:
        data_source_dir: Folder with `ImageSets/Main` and `JPEGImages`, or its parent `VOCdevkit`.
        output_dir: Folder for the partitions; created if missing.
        separate_partitions: Write `train`, `val` and (where the set has it) `test`. Otherwise
            `train` (VOC2007: trainval, VOC2012: train) and `test` (VOC2007: test, VOC2012: val).
        partitions: Write these splits under their own names.
        generate_json: Also write `…_targets.json`: image id -> class name -> label.
        format: Further formats of the partitions beside npy.
        relative_to: Store image paths relative to this folder.
        overwrite: Replace existing output files.
        hash_inputs: Record the SHA-256 of class lists above 1 GB too.

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: A class list is malformed.
        DatasetError: The folder has no class lists, or a class is missing in a split.
        OutputError: The output exists, or cannot be written.
    """
    check_choices(partitions, format, multi_label=True)
    source = find_source(data_source_dir)
    lists_folder, images_folder = source / "ImageSets" / "Main", source / "JPEGImages"
    files = class_files(lists_folder)
    available = [split for split in SPLITS if files[split]]
    chosen = choose_splits(available, partitions, separate=separate_partitions)
    try:
        classes = check_classes(files, list(chosen.values()))
    except DatasetError as error:
        raise DatasetError(
            error.problem, where=lists_folder, expected=error.expected, remedy=error.remedy
        ) from error
    prefix = stored_prefix(images_folder, relative_to)
    warnings = []
    if chosen.get("test") == "val" and "2007" in source.absolute().name:
        warnings.append(
            f"{lists_folder} has no test lists, so test is val and train is train; for VOC2007's "
            "usual trainval and test unpack VOCtest_06-Nov-2007.tar as well"
        )
    if not images_folder.is_dir():
        warnings.append(
            f"{images_folder}: no such folder; its images' paths are stored all the same"
        )
    for warning in warnings:
        logger.warning("%s", warning)

    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    made = []
    for name, split in chosen.items():
        paths = [files[split][class_name] for class_name in classes]
        for path in paths:
            inputs.add_file(path)
        ids, labels = combine(
            {name: _read_list(path) for name, path in zip(classes, paths, strict=True)}
        )
        made.append(
            Partition(
                name=name,
                source_split=split,
                images=[f"{prefix}{image_id}.jpg" for image_id in ids],
                labels=labels,
                keys=ids if generate_json else None,
                formats=format,
                sources=tuple(paths),
                details={"dataset": source.absolute().name},
            )
        )
    return write_partitions(
        output_dir,
        made,
        classes=[ClassRecord(name, column) for column, name in enumerate(classes)],
        command="data voc",
        parameters={
            "data_source_dir": data_source_dir,
            "separate_partitions": separate_partitions,
            "partitions": partitions,
            "generate_json": generate_json,
            "relative_to": relative_to,
        },
        inputs=inputs,
        warnings=warnings,
        overwrite=overwrite,
    )
