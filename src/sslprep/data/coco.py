"""COCO2014: partitions from its instance annotations, minival and valminusminival derived."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sslprep import manifest
from sslprep.data.annotations import Category, read_categories, read_image_ids, read_instances
from sslprep.data.partition import ClassRecord, Partition, check_choices, stored_prefix
from sslprep.data.presence import Presence, align, presence, select
from sslprep.data.writing import PartitionsWritten, write_partitions
from sslprep.errors import AnnotationError, DatasetError, ParameterError

logger = logging.getLogger(__name__)

PartitionName = Literal["train", "val", "minival", "valminusminival"]
PARTITIONS: tuple[PartitionName, ...] = ("train", "val", "minival", "valminusminival")


@dataclass(frozen=True, kw_only=True)
class _Source:
    """How one partition comes about: from its own file, or from val's by image ids."""

    name: PartitionName
    file: Path
    ids_from: Path | None = None
    inside: bool = True


def annotation_file(folder: Path, partition: str) -> Path:
    """Return where the annotations of a partition are."""
    return folder / f"instances_{partition}2014.json"


def plan(
    folder: Path, wanted: Sequence[PartitionName], minival_ids: Path | None
) -> tuple[list[_Source], list[PartitionName]]:
    """Decide what each partition is made from; also return those that cannot be made.

    minival2014 is exactly the image set of val2017, and valminusminival2014 is the rest of
    val2014, so where their files are missing they follow from val's.

    Raises:
        DatasetError: The file of `train` or `val` is missing.
    """
    files = {name: annotation_file(folder, name) for name in PARTITIONS}
    needed = [files[name] for name in ("train", "val") if name in wanted]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        raise DatasetError(
            f"does not hold {' or '.join(missing)}",
            where=folder,
            expected="the COCO2014 instance annotations",
            remedy="Give their folder, or choose the partitions that it has with --partitions.",
        )
    val2017 = folder / "instances_val2017.json"
    ids = minival_ids or next(
        (path for path in (files["minival"], val2017) if path.is_file()), None
    )
    sources, impossible = [], []
    for name in wanted:
        if files[name].is_file():
            sources.append(_Source(name=name, file=files[name]))
        elif files["val"].is_file() and ids:
            inside = name == "minival"
            sources.append(_Source(name=name, file=files["val"], ids_from=ids, inside=inside))
        elif files["val"].is_file() and name == "minival" and files["valminusminival"].is_file():
            rest = files["valminusminival"]
            sources.append(_Source(name=name, file=files["val"], ids_from=rest, inside=False))
        else:
            impossible.append(name)
    return sources, impossible


def _not_derived(folder: Path, names: Sequence[str]) -> str:
    files = " and ".join(annotation_file(folder, name).name for name in names)
    return (
        f"{' and '.join(names)} not written: {folder} has no {files}, and to derive them takes "
        "instances_val2014.json with either instances_val2017.json or --minival-ids"
    )


def _prefixes(
    sources: Sequence[_Source],
    train_imgs_path: Path | None,
    val_imgs_path: Path | None,
    relative_to: Path | None,
) -> dict[PartitionName, str]:
    """Return what stands before the file names of each partition."""
    prefixes: dict[PartitionName, str] = {}
    for source in sources:
        flag = "train" if source.name == "train" else "val"
        folder = train_imgs_path if flag == "train" else val_imgs_path
        if folder is None:
            raise ParameterError(
                f"the partition {source.name} needs --{flag}_imgs_path",
                expected=f"the folder of the {flag}2014 images",
            )
        prefixes[source.name] = stored_prefix(folder, relative_to)
    return prefixes


def _inputs_of(source: _Source, leading: Path) -> tuple[Path, ...]:
    """Return the files that a partition comes from; train's gives the order of the classes."""
    paths = [source.file, source.ids_from, leading if leading.is_file() else None]
    return tuple(dict.fromkeys(path for path in paths if path is not None))


def _read_presence(path: Path) -> Presence:
    """Read one annotation file; the decoded records are gone when this returns."""
    instances = read_instances(path)
    try:
        return presence(instances)
    except AnnotationError as error:
        raise error.at(path) from error


def _derive(whole: Presence, source: _Source) -> Presence:
    """Return the rows of one partition out of those of its file."""
    if source.ids_from is None:
        return whole
    ids = read_image_ids(source.ids_from)
    try:
        return select(whole, ids, inside=source.inside)
    except AnnotationError as error:
        raise error.at(source.ids_from) from error


def write_coco(
    *,
    json_annotations_dir: Path,
    output_dir: Path,
    train_imgs_path: Path | None = None,
    val_imgs_path: Path | None = None,
    partitions: tuple[Literal["train", "val", "minival", "valminusminival"], ...] | None = None,
    minival_ids: Path | None = None,
    format: tuple[Literal["npy", "jsonl", "csv", "txt", "parquet"], ...] = ("npy",),
    relative_to: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> PartitionsWritten:
    """Write image and label files of COCO2014 from its instance annotations.

    Args:
        json_annotations_dir: Folder of `instances_train2014.json`, `instances_val2014.json` and,
            where they exist, those of minival and valminusminival.
        output_dir: Folder for the partitions; created if missing.
        train_imgs_path: Folder of the train2014 images.
        val_imgs_path: Folder of the val2014 images, which are also those of minival and
            valminusminival.
        partitions: Which partitions to write; by default all four, of which minival and
            valminusminival may be missing.
        minival_ids: Image ids of minival, one a line or as a JSON list. Used where
            `instances_minival2014.json` is missing; `instances_val2017.json` does as well.
        format: Further formats of the partitions beside npy.
        relative_to: Store image paths relative to this folder.
        overwrite: Replace existing output files.
        hash_inputs: Record the SHA-256 of annotation files above 1 GB too.

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: An annotation file is malformed.
        DatasetError: An annotation file is missing.
        ParameterError: Choices that cannot work together.
        OutputError: The output exists, or cannot be written.
    """
    check_choices(partitions, format, multi_label=True)
    wanted = [name for name in PARTITIONS if partitions is None or name in partitions]
    if not json_annotations_dir.is_dir():
        raise DatasetError("no such folder", where=json_annotations_dir, remedy="Check the path.")
    sources, impossible = plan(json_annotations_dir, wanted, minival_ids)
    warnings = [_not_derived(json_annotations_dir, impossible)] if impossible else []
    if not sources:
        raise DatasetError(warnings[0], remedy="Add one of these, or choose other --partitions.")
    if minival_ids and not any(source.ids_from for source in sources):
        warnings.append(f"{minival_ids} was not used: no partition had to be derived")
    prefixes = _prefixes(sources, train_imgs_path, val_imgs_path, relative_to)
    folders = {p for p in (train_imgs_path, val_imgs_path) if p is not None}
    warnings += [
        f"{p}: no such folder; its images' paths are stored all the same"
        for p in sorted(folders)
        if not p.is_dir()
    ]
    for warning in warnings:
        logger.warning("%s", warning)

    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    leading = annotation_file(json_annotations_dir, "train")
    for path in dict.fromkeys(p for s in sources for p in _inputs_of(s, leading)):
        inputs.add_file(path)
    classes: list[Category] = []
    if leading.is_file() and "train" not in wanted:
        classes = read_categories(leading)
    whole: dict[Path, Presence] = {}
    made = []
    for source in sources:
        if source.file not in whole:
            whole[source.file] = _read_presence(source.file)
        part = _derive(whole[source.file], source)
        classes = classes or part.classes
        try:
            labels = align(part, classes)
        except AnnotationError as error:
            raise error.at(source.file) from error
        own = source.ids_from is None
        made.append(
            Partition(
                name=source.name,
                source_split=source.file.stem.removeprefix("instances_"),
                images=[prefixes[source.name] + name for name in part.file_names],
                labels=labels,
                formats=format,
                sources=_inputs_of(source, leading),
                details={"dataset": "COCO2014"},
                counts={"annotations": part.annotations, "valid": part.valid} if own else {},
            )
        )
    return write_partitions(
        output_dir,
        made,
        classes=[ClassRecord(c.name, c.id) for c in classes],
        command="data coco",
        parameters={
            "json_annotations_dir": json_annotations_dir,
            "train_imgs_path": train_imgs_path,
            "val_imgs_path": val_imgs_path,
            "partitions": partitions,
            "minival_ids": minival_ids,
            "relative_to": relative_to,
        },
        inputs=inputs,
        warnings=warnings,
        overwrite=overwrite,
    )
