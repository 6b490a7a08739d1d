"""ImageNet-1K, Places-205 and alike: image folders, one class map for all partitions.

Class ids are the sorted names of train's class folders (as torchvision's ImageFolder numbers
them), also for val: a label means the same class in every partition and on every disk.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sslprep import console, manifest
from sslprep.data.listing import (
    ClassFolder,
    FolderImages,
    class_folder,
    list_folders,
    list_images,
)
from sslprep.data.lists import partition_of, read_list, read_val_labels, sort_by_label
from sslprep.data.partition import ClassRecord, Partition, check_choices, stored_prefix
from sslprep.data.writing import PartitionsWritten, write_partitions
from sslprep.errors import DatasetError, ParameterError

logger = logging.getLogger(__name__)

PartitionName = Literal["train", "val"]
PARTITIONS: tuple[PartitionName, ...] = ("train", "val")


def class_labels(folders: Sequence[ClassFolder], ids: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the label of every image of class folders, `int64 (images,)`.

    Example:
        >>> folders = [class_folder("cat", ["1.jpg", "2.jpg"]), class_folder("dog", ["3.jpg"])]
        >>> class_labels(folders, {"cat": 0, "dog": 1}).tolist()
        [0, 0, 1]
    """
    labels = np.array([ids[folder.name] for folder in folders], dtype=np.int64)
    return np.repeat(labels, [folder.images for folder in folders])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Contents:
    """What one partition consists of, and what was noticed on the way.

    `inputs` maps folders to the number of files used, and files to `None`.
    """

    folders: tuple[ClassFolder, ...]
    root: Path
    inputs: Mapping[Path, int | None]
    nested: bool = True
    skipped: int = 0
    warnings: tuple[str, ...] = ()


def read_tree(folder: Path, classes: Sequence[str]) -> _Contents:
    """Read `<folder>/<class>/<images>`; `classes` are train's, in id order.

    Raises:
        DatasetError: A class folder that train lacks, or no image in any.
    """
    own, skipped = list_folders(folder)
    unknown = sorted(set(own) - set(classes))
    if unknown:
        raise DatasetError(
            f"has {len(unknown)} class folders that train lacks: {_some(unknown)}",
            where=folder,
            expected="the class folders of train",
        )
    folders = []
    with console.progress(len(own), "folders") as advance:
        for name in own:
            images, others = list_images(folder / name)
            folders.append(class_folder(name, images, others))
            advance(1)
    empty = [f.name for f in folders if not f.images]
    if len(empty) == len(folders):
        raise DatasetError(
            "has no image in its class folders" if folders else "has no class folders",
            where=folder,
            expected="<class>/<image files>",
            remedy="Sub-folders of class folders are not read; images directly in val take "
            "--val-labels, and the official Places lists --list.",
        )
    warnings = []
    if empty:
        warnings.append(f"{folder}: {len(empty)} class folders hold no image: {_some(empty)}")
    absent = [name for name in classes if name not in set(own)]
    if absent:
        warnings.append(f"{folder} lacks {len(absent)} classes of train: {_some(absent)}")
    return _Contents(
        folders=tuple(folders),
        root=folder,
        inputs={folder: sum(f.images for f in folders)},
        skipped=skipped + sum(f.skipped for f in folders),
        warnings=tuple(warnings),
    )


def read_flat(folder: Path, ground_truth: Path, classes: Sequence[str]) -> _Contents:
    """Read images directly in a folder, with their classes from a ground-truth file.

    Raises:
        AnnotationError: The ground truth is malformed.
        DatasetError: An image without class, or of a class that train lacks.
    """
    labels = read_val_labels(ground_truth)
    images, skipped = list_images(folder)
    if not images:
        raise DatasetError(
            "has no image directly in it",
            where=folder,
            expected="a flat folder, as --val-labels is given",
            remedy="Leave --val-labels out where val has class folders.",
        )
    groups, unlabelled = sort_by_label(images, labels)
    if unlabelled:
        raise DatasetError(
            f"has no class for {len(unlabelled)} images of {folder}: {_some(unlabelled)}",
            where=ground_truth,
        )
    names = classes or sorted(groups)
    unknown = sorted(groups.keys() - set(names))
    if unknown:
        raise DatasetError(
            f"names {len(unknown)} classes that train lacks: {_some(unknown)}",
            where=ground_truth,
            expected="the class folders of train",
        )
    folders = tuple(class_folder(name, groups.get(name, ())) for name in names)
    warnings = []
    if len(labels) > len(images):
        warnings.append(
            f"{ground_truth} names {len(labels):,} images, {folder} has {len(images):,}"
        )
    absent = [f.name for f in folders if not f.images]
    if absent:
        warnings.append(f"{folder} lacks {len(absent)} classes of train: {_some(absent)}")
    return _Contents(
        folders=folders,
        root=folder,
        inputs={folder: len(images), ground_truth: None},
        nested=False,
        skipped=skipped,
        warnings=tuple(warnings),
    )


def read_lists(
    source: Path, files: Sequence[Path], wanted: Sequence[str] | None
) -> tuple[list[ClassRecord], dict[str, _Contents]]:
    """Read official lists: the classes (train's, where its list is given), and the partitions.

    Raises:
        AnnotationError: A list is malformed.
        DatasetError: Lists that do not agree on a class.
        ParameterError: A list whose partition cannot be told, or two of one partition.
    """
    by_name: dict[str, Path] = {}
    for path in files:
        name = partition_of(path)
        if name is None or name in by_name:
            raise ParameterError(
                f"--list {path} " + (f"is a second list of {name}" if name else "is of neither"),
                expected="one list named train_… and one named val_…",
            )
        by_name[name] = path
    missing = [name for name in wanted or () if name not in by_name]
    if missing:
        raise ParameterError(
            f"--partitions asks for {missing[0]}, and no --list is named {missing[0]}_…"
        )
    classes: list[ClassRecord] = []
    made = {}
    for name in (name for name in PARTITIONS if name in by_name):
        own, folders = read_list(by_name[name])
        odd = sorted(set(own) - set(classes or own), key=lambda c: c.id)
        if odd:
            raise DatasetError(
                f"gives {odd[0].name} the label {odd[0].id}, which train's list does not",
                where=by_name[name],
                expected="the classes and labels of train",
            )
        absent = [c.name for c in classes if c not in set(own)]
        made[name] = _Contents(
            folders=tuple(folders),
            root=source,
            inputs={by_name[name]: None},
            warnings=(f"{by_name[name]} lacks {len(absent)} classes of train: {_some(absent)}",)
            if absent
            else (),
        )
        classes = classes or own
    return classes, {name: made[name] for name in made if wanted is None or name in wanted}


def read_folders(
    source: Path, wanted: Sequence[PartitionName], val_labels: Path | None
) -> tuple[list[ClassRecord], dict[str, _Contents]]:
    """Read `train` and `val` under a folder: the classes, and the partitions.

    Raises:
        DatasetError: The folders are not laid out as they should be.
    """
    train, val = source / "train", source / "val"
    missing = [name for name in wanted if not (source / name).is_dir()]
    if missing:
        present = [name for name in PARTITIONS if (source / name).is_dir()]
        raise DatasetError(
            f"has no folder {' and '.join(missing)}" if source.is_dir() else "no such folder",
            where=source,
            expected="train/<class>/<images> and val/<class>/<images>",
            remedy=f"Pass --partitions {present[0]} to write only that." if present else None,
        )
    warnings: tuple[str, ...] = ()
    if train.is_dir():
        classes, _ = list_folders(train)
    else:
        classes = [] if val_labels else list_folders(val)[0]
        warnings = (f"{source} has no train, so the class ids number val's own classes",)
    made = {}
    if "train" in wanted:
        made["train"] = read_tree(train, classes)
    if "val" in wanted:
        found = read_flat(val, val_labels, classes) if val_labels else read_tree(val, classes)
        classes = classes or [folder.name for folder in found.folders]
        made["val"] = _Contents(**{**vars(found), "warnings": (*warnings, *found.warnings)})
    return [ClassRecord(name, at) for at, name in enumerate(classes)], made


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def write_folders(
    *,
    data_source_dir: Path,
    output_dir: Path,
    partitions: tuple[Literal["train", "val"], ...] | None = None,
    val_labels: Path | None = None,
    list: tuple[Path, ...] = (),
    generate_json: bool = False,
    format: tuple[Literal["npy", "jsonl", "csv", "txt", "parquet"], ...] = ("npy",),
    relative_to: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> PartitionsWritten:
    """Write image and label files of ImageNet, Places or any other set of class folders.

    Args:
        data_source_dir: Folder with `train/<class>/<images>` and `val/<class>/<images>`; with
            `--list`, the folder that the paths of the lists are relative to.
        output_dir: Folder for the partitions; created if missing.
        partitions: Which partitions to write; by default train and val (with `--list`, those
            of the lists).
        val_labels: Ground truth of a `val` folder without class folders: lines `file synset`, or
            the CSV `ImageId,PredictionString` of the ImageNet challenge.
        list: Official lists of lines `path label`, such as `train_places205.csv` and
            `val_places205.csv`; read in place of the folders.
        generate_json: Also write `…_targets.json`: `class/file` -> class id.
        format: Further formats of the partitions beside npy.
        relative_to: Store image paths relative to this folder.
        overwrite: Replace existing output files.
        hash_inputs: Record the SHA-256 of label files and lists above 1 GB too.

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: A ground-truth file or a list is malformed.
        DatasetError: The folders are not laid out as they should be.
        ParameterError: Choices that cannot work together.
        OutputError: The output exists, or cannot be written.
    """
    check_choices(partitions, format, multi_label=False)
    if list and val_labels:
        raise ParameterError("--list and --val-labels exclude each other", expected="one of them")
    wanted = [name for name in PARTITIONS if partitions is None or name in partitions]
    if val_labels and "val" not in wanted:
        raise ParameterError("--val-labels is given, and --partitions leaves val out")
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    for path in [*list, *([val_labels] if val_labels else [])]:
        inputs.add_file(path)
    if list:
        classes, found = read_lists(data_source_dir, list, partitions)
    else:
        classes, found = read_folders(data_source_dir, wanted, val_labels)
    ids = {record.name: record.id for record in classes}
    made = []
    for name, contents in found.items():
        for path, used in contents.inputs.items():
            if used is not None:
                inputs.add_folder(path, used)
        for warning in contents.warnings:
            logger.warning("%s", warning)
        prefix = stored_prefix(contents.root, relative_to)
        made.append(
            Partition(
                name=name,
                source_split=name,
                images=FolderImages(
                    prefix=prefix, folders=contents.folders, nested=contents.nested
                ),
                labels=class_labels(contents.folders, ids),
                keys=FolderImages(prefix="", folders=contents.folders) if generate_json else None,
                formats=format,
                sources=tuple(contents.inputs),
                details={"dataset": data_source_dir.absolute().name},
                counts={"skipped": contents.skipped},
                warnings=contents.warnings,
            )
        )
    return write_partitions(
        output_dir,
        made,
        classes=classes,
        command="data folders",
        parameters={
            "data_source_dir": data_source_dir,
            "partitions": partitions,
            "val_labels": val_labels,
            "list": list,
            "generate_json": generate_json,
            "relative_to": relative_to,
        },
        inputs=inputs,
        overwrite=overwrite,
    )
