"""COCO: partitions from its instance annotations, minival and valminusminival derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Literal, NamedTuple

from sslprep.data.coco_labels import (
    Presence,
    align,
    read_categories,
    read_image_ids,
    read_presence,
    select,
)
from sslprep.errors import AnnotationError, DatasetError, ParameterError
from sslprep.parameters import command
from sslprep.partition import ClassRecord
from sslprep.partition.images import Images, stored_prefix
from sslprep.partition.write import Format, NewPartition, PartitionSet, PartitionsWritten

PARTITIONS = ("train", "val", "minival", "valminusminival")


class _Source(NamedTuple):
    """How one partition comes about: from its own file, or from val's by image ids."""

    file: Path
    ids_from: Path | None = None
    inside: bool = True


def plan(
    folder: Path, files: Mapping[str, Path], wanted: Sequence[str], minival_ids: Path | None
) -> dict[str, _Source]:
    """Decide what each partition is made from; minival and valminusminival may be impossible.

    minival2014 is exactly the image set of val2017, and valminusminival2014 is the rest of
    val2014, so where their files are missing they follow from val's.
    """
    here = {name: path for name, path in files.items() if path.is_file()}
    derivable = ("minival", "valminusminival") if folder.is_dir() and "val" in files else ()
    missing = [name for name in wanted if name not in here and name not in derivable]
    if missing:
        found = [*folder.glob("*.json")] or [*folder.glob("*/*.json")]
        names = sorted(str(path.relative_to(folder)) for path in found)
        years = [y for y in ("2014", "2017") if f"instances_{missing[0]}{y}.json" in names]
        other = f"Pass --year {years[0]}. " if years else ""
        likely = max(names, key=lambda n: ("instances" in n, missing[0] in n), default="FILE")
        raise DatasetError(
            f"does not hold {' or '.join(files[name].name for name in missing)}",
            where=folder,
            expected="COCO's instance annotations",
            remedy=f"{other}Choose the partitions that it has with --partitions, or name files: "
            f"--annotations {missing[0]}={likely}.",
        )
    val2017 = folder / "instances_val2017.json"
    ids = minival_ids or here.get("minival") or (val2017 if val2017.is_file() else None)
    sources = {}
    for name in wanted:
        if name in here:
            sources[name] = _Source(here[name])
        elif "val" in here and ids:
            sources[name] = _Source(here["val"], ids, name == "minival")
        elif "val" in here and "valminusminival" in here:
            sources[name] = _Source(here["val"], here["valminusminival"], False)
    return sources


def _files(source: Path, year: str, annotations: Mapping[str, Path] | None) -> dict[str, Path]:
    """Return the annotation file of each partition: those named, or those of a year."""
    if annotations:
        beside = {name: source / path for name, path in annotations.items()}
        return {n: beside[n] if beside[n].is_file() else path for n, path in annotations.items()}
    names = PARTITIONS if year == "2014" else PARTITIONS[:2]
    if source.is_file():
        own = source.stem.removeprefix("instances_").rstrip("0123456789")
        return {own if own in names else "train": source}
    if not source.is_dir():
        raise DatasetError("no such folder or file", where=source, remedy="Check the path.")
    return {name: source / f"instances_{name}{year}.json" for name in names}


def _read(own: _Source, read: Callable[[Path], Presence]) -> Presence:
    """Read a partition from its file, or those images of val's that the ids name or do not."""
    part = read(own.file)
    if not own.ids_from:
        return part
    ids = read_image_ids(own.ids_from)
    if unknown := sorted(ids - part.rows.keys()):
        raise AnnotationError(
            f"{len(unknown)} of its image ids, such as {unknown[0]}, are not in {own.file.name}",
            where=own.ids_from,
            expected=f"ids of images of {own.file.name}",
        )
    return select(part, ids, inside=own.inside)


@command(renamed={"json_annotations_dir": "source", "output_dir": "output"})
def write_coco(
    source: Path,
    output: Path,
    *,
    train_imgs_path: Path | None = None,
    val_imgs_path: Path | None = None,
    year: Literal["2014", "2017"] = "2014",
    annotations: dict[str, Path] | None = None,
    partitions: tuple[str, ...] | None = None,
    minival_ids: Path | None = None,
    image_level: bool = False,
    format: tuple[Format, ...] = ("npy",),
    relative_to: Path | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> PartitionsWritten:
    """Write image and label files of COCO from its instance annotations.

    Args:
        source: Folder of `instances_train2014.json`, `instances_val2014.json` and, where they
            exist, those of minival and valminusminival; or one annotation file.
        output: Folder for the partitions; created if missing.
        train_imgs_path: Folder of the images of train.
        val_imgs_path: Folder of the images of all other partitions.
        year: Which files: 2014 or 2017.
        annotations: Files in COCO's form by partition, such as `train=mine.json,val=other.json`,
            in place of those of a year; relative to the folder or the working folder.
        partitions: Which partitions to write; by default all, of which minival and
            valminusminival may be missing.
        minival_ids: Image ids of minival, one a line or as a JSON list. Used where
            `instances_minival2014.json` is missing; `instances_val2017.json` does as well.
        image_level: Count annotations whether or not they have a box.
        format: Further formats of the partitions beside npy.
        relative_to: Store image paths relative to this folder.
        overwrite: Replace existing output files.
        hash_inputs: Record the SHA-256 of annotation files above 1 GB too.

    Returns:
        What was written, with counts by partition.

    Raises:
        AnnotationError: An annotation file is malformed, or none of its annotations counts.
        DatasetError: An annotation file is missing.
        ParameterError: Choices that cannot work together.
        OutputError: The output exists, or cannot be written.
    """
    given = dict(locals())
    files = _files(source, year, annotations)
    mine = source.stem if source.is_file() else source.absolute().name if annotations else None
    if unknown := [name for name in partitions or () if name not in files]:
        raise ParameterError(f"--partitions is {unknown[0]}", expected=" or ".join(files))
    wanted = [name for name in files if partitions is None or name in partitions]
    wanted.sort(key=lambda name: name != "train")  # its order of the classes rules
    sources = plan(source, files, wanted, minival_ids)
    warnings = []
    if impossible := [name for name in wanted if name not in sources]:
        warnings.append(
            f"{' and '.join(impossible)} not written: {source} has no "
            f"{' and '.join(files[name].name for name in impossible)}, and to derive them takes "
            "instances_val2014.json with either instances_val2017.json or --minival-ids"
        )
    if not sources:
        raise DatasetError(warnings[0], remedy="Add one of these, or choose other --partitions.")
    if minival_ids and not any(own.ids_from for own in sources.values()):
        warnings.append(f"{minival_ids} was not used: no partition had to be derived")
    prefixes = {}
    for name in sources:
        flag = "train" if name == "train" else "val"
        folder = train_imgs_path if flag == "train" else val_imgs_path
        if folder is None:
            raise ParameterError(
                f"the partition {name} needs --{flag}_imgs_path",
                expected=f"the folder of its images, such as {flag}{year}",
            )
        prefixes[name] = stored_prefix(folder, relative_to)
    with PartitionSet("data coco", given, [*prefixes], multi_label=True) as out:
        leading = files["train"] if "train" in files and files["train"].is_file() else None
        used = {
            name: dict.fromkeys(p for p in (own.file, own.ids_from, leading) if p)
            for name, own in sources.items()
        }
        for path in dict.fromkeys(path for paths in used.values() for path in paths):
            out.inputs.add_file(path)
        classes = read_categories(leading) if leading and "train" not in wanted else []
        read = cache(partial(read_presence, image_level=image_level))  # val's, three times
        made = []
        for name, own in sources.items():
            part = _read(own, read)
            classes = classes or part.classes
            counts = {"annotations": part.annotations}
            counts |= {f"not counted: {reason}": n for reason, n in part.uncounted.items()}
            counts["valid"] = part.annotations - sum(part.uncounted.values())
            made.append(
                NewPartition(
                    name=name,
                    source_split=own.file.stem.removeprefix("instances_"),
                    images=Images([(prefixes[name], part.file_names)]),
                    labels=align(part, classes, own.file),
                    sources=used[name],
                    details={"dataset": mine or f"COCO{year}"},
                    counts=counts if own.ids_from is None else {},
                    warnings=[f"{own.file}: {text}" for text in part.warnings],
                )
            )
        records = [ClassRecord(c.name, c.id) for c in classes]
        return out.write(made, classes=records, warnings=warnings, root=relative_to)
