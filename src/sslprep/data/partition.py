"""The partition: an ordered list of image paths, their labels, and what the labels mean.

Every reader (`coco`, `voc`, `folders`) builds `Partition` records; this module writes them, all
of a run in one set, so that either all of them are there or none is, and reads them again.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep import console, manifest
from sslprep.data import formats
from sslprep.data.formats import Format, Labels
from sslprep.errors import DatasetError, ManifestError, OutputError, ParameterError
from sslprep.files import MANIFEST_SUFFIX, OutputSet, read_array, read_json, reading, write_strings

CLASSES_FILE = "classes.json"
LONGEST_PATH = 4096
"""Characters; no operating system opens a longer path, and `<U…` pads every row to the longest."""

MULTI_LABEL = {"1": "present", "0": "absent", "-1": "ignore"}
SINGLE_LABEL = {"n": "the class whose id in classes.json is n"}


class ClassRecord(msgspec.Struct, frozen=True):
    """One class: its name, and the id that the data set (or a single label) knows it by."""

    name: str
    id: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """One partition, ready to be written.

    Attributes:
        name: `train`, `val`…; the files are named after it.
        source_split: The data set's own name of the split that it was made from.
        images: Paths in row order; they are iterated once for each file that holds them.
        labels: `int32 (images, classes)` of 1 present, 0 absent, -1 ignore; or `int64 (images,)`
            of class ids.
        keys: How `targets.json` names the images, in row order.
        sources: The inputs of this partition among those of the run.
        counts: Further numbers for the manifest, such as skipped files.
        warnings: What the user was warned of about this partition.
    """

    name: str
    source_split: str
    images: Collection[str]
    labels: Labels
    keys: Collection[str] = ()
    sources: tuple[Path, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def multi_label(self) -> bool:
        """Whether an image can be of several classes."""
        return self.labels.ndim == 2


@dataclass(frozen=True, kw_only=True)
class PartitionsWritten:
    """What a data command wrote.

    Attributes:
        written: All files.
        images: Number of images by partition.
        classes: Number of classes.
        positives: Positive (image, class) pairs by partition.
        ignored: Pairs with the ignore label by partition, where labels have one.
        warnings: What to be aware of.
    """

    written: tuple[Path, ...]
    images: dict[str, int]
    classes: int
    positives: dict[str, int]
    ignored: dict[str, int]
    warnings: tuple[str, ...]

    def text(self) -> str:
        """Lay the counts out as a table."""
        rows = [
            (name, count, self.classes, self.positives[name], self.ignored.get(name, 0))
            for name, count in self.images.items()
        ]
        headers = ("partition", "images", "classes", "positives", "ignored")
        folder = self.written[0].parent
        return f"{console.table(headers, rows)}\n{len(self.written)} files in {folder}"


def stored_prefix(folder: Path, relative_to: Path | None) -> str:
    """Return what stands before an image's name in the partition, with its slash.

    Raises:
        DatasetError: The folder is not under `relative_to`.

    Example:
        >>> stored_prefix(Path("/data/voc/JPEGImages"), Path("/data"))
        'voc/JPEGImages/'
    """
    if relative_to is None:
        return os.path.join(folder, "")
    place, root = os.path.abspath(folder), os.path.abspath(relative_to)
    if os.path.commonpath([place, root]) != root:
        raise DatasetError(
            f"is not under {root}",
            where=folder,
            expected="all images under the --relative-to folder",
            remedy="Give a folder above the images.",
        )
    relative = os.path.relpath(place, root)
    return "" if relative == "." else os.path.join(relative, "")


def images_per_class(
    labels: Labels, classes: Sequence[ClassRecord]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count images of each class: with it present, and ignored for it.

    Example:
        >>> both = [ClassRecord("cat", 0), ClassRecord("dog", 1)]
        >>> present, ignored = images_per_class(np.array([[1, -1], [1, 0]], np.int32), both)
        >>> present.tolist(), ignored.tolist()
        ([2, 0], [0, 1])
    """
    if labels.ndim == 2:
        return np.count_nonzero(labels == 1, axis=0), np.count_nonzero(labels == -1, axis=0)
    ids = np.array([c.id for c in classes], dtype=np.int64)
    present = np.bincount(np.searchsorted(ids, labels), minlength=len(ids))
    return present, np.zeros(len(ids), dtype=np.int64)


def manifest_name(partition: str) -> str:
    """Return the name of a partition's manifest."""
    return partition + MANIFEST_SUFFIX


def file_names(partition: str, wanted: Sequence[Format], *, targets: bool) -> list[str]:
    """Return the names of the files that a partition consists of, its manifest left out."""
    names = [f"{partition}_images.npy", f"{partition}_labels.npy"]
    names += [f"{partition}.{kind}" for kind in sorted(set(wanted)) if kind != "npy"]
    return [*names, f"{partition}_targets.json"] if targets else names


def check_choices(
    partitions: Sequence[str] | None, wanted: Sequence[Format], *, multi_label: bool
) -> None:
    """Refuse choices that cannot work, before any file is read.

    Raises:
        ParameterError: A partition named twice, or a format that cannot hold several labels.
        MissingExtraError: The parquet extra is needed and absent.
    """
    if partitions is not None and (not partitions or len(set(partitions)) < len(partitions)):
        raise ParameterError(
            f"--partitions is {','.join(partitions) or 'empty'}", expected="each partition once"
        )
    if multi_label and "txt" in wanted:
        raise ParameterError(
            "--format txt holds one label for each image, and this set has several",
            expected="npy, jsonl, csv or parquet",
        )
    if "parquet" in wanted:
        formats.import_pyarrow()


def write_partitions(
    output_dir: Path,
    partitions: Sequence[Partition],
    *,
    classes: Sequence[ClassRecord],
    command: str,
    parameters: Mapping[str, Any],
    inputs: manifest.Inputs,
    format: Sequence[Format] = ("npy",),
    targets: bool = False,
    warnings: Sequence[str] = (),
    details: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> PartitionsWritten:
    """Write all partitions of a run and the class list that they share.

    Args:
        output_dir: Where to.
        partitions: What to write.
        classes: The classes, in column order (single labels: in order of ids).
        command: For the manifests, as for all that follow.
        parameters: Parameters that bear on the content.
        inputs: All inputs of the run; each manifest names its partition's own.
        format: Formats beside `npy`.
        targets: Also write `…_targets.json`.
        warnings: What the user was warned of about the run as a whole.
        details: Further entries of the manifests' details.
        overwrite: Replace existing files.

    Raises:
        OutputError: Files exist, or other partitions of the folder rest on other classes.
        DatasetError: A path that cannot be stored.
    """
    for partition in partitions:
        _check_paths(partition, format)
    manifests = [manifest_name(p.name) for p in partitions]
    names = [n for p in partitions for n in file_names(p.name, format, targets=targets)]
    class_list = msgspec.json.format(msgspec.json.encode(classes), indent=2) + b"\n"
    obsolete = (
        [n for p in partitions for n in _made_before(output_dir, p.name)] if overwrite else ()
    )
    with OutputSet(
        output_dir,
        [*names, CLASSES_FILE],
        manifests=manifests,
        overwrite=overwrite,
        lock=CLASSES_FILE,  # two runs into one folder exclude each other
        also_replaces=obsolete,
        shared=[CLASSES_FILE],
    ) as out:
        _check_class_list(output_dir / CLASSES_FILE, class_list, manifests, overwrite=overwrite)
        for partition in partitions:
            _write_files(out, partition, [c.name for c in classes], format, targets=targets)
        out.save_bytes(CLASSES_FILE, class_list)
        records = {record.path: record for record in inputs.records()}
        tallies = {p.name: images_per_class(p.labels, classes) for p in partitions}
        for partition in partitions:
            present, ignored = tallies[partition.name]
            manifest.write(
                out,
                manifest_name(partition.name),
                kind="partition",
                command=command,
                parameters={**parameters, "format": sorted({"npy", *format})},
                inputs=[records[str(path)] for path in partition.sources],
                outputs=[*file_names(partition.name, format, targets=targets), CLASSES_FILE],
                counts={
                    "images": len(partition.images),
                    "classes": len(classes),
                    "positives": int(present.sum()),
                    **({"ignored": int(ignored.sum())} if partition.multi_label else {}),
                    **partition.counts,
                },
                warnings=[*warnings, *partition.warnings],
                labels=MULTI_LABEL if partition.multi_label else SINGLE_LABEL,
                details={
                    "partition": partition.name,
                    "source_split": partition.source_split,
                    "multi_label": partition.multi_label,
                    "classes": [c.name for c in classes],
                    "images_per_class": present.tolist(),
                    **({"ignored_per_class": ignored.tolist()} if partition.multi_label else {}),
                    **(details or {}),
                },
            )
        out.commit()
    return PartitionsWritten(
        written=tuple(output_dir / name for name in [*names, CLASSES_FILE, *manifests]),
        images={p.name: len(p.images) for p in partitions},
        classes=len(classes),
        positives={name: int(present.sum()) for name, (present, _) in tallies.items()},
        ignored={p.name: int(tallies[p.name][1].sum()) for p in partitions if p.multi_label},
        warnings=(*warnings, *(w for p in partitions for w in p.warnings)),
    )


def _check_paths(partition: Partition, wanted: Sequence[Format]) -> None:
    """Refuse images that cannot be stored, and partitions without any."""
    if not len(partition.images):
        raise DatasetError(
            f"has no image for the partition {partition.name}",
            where=partition.sources[0] if partition.sources else None,
        )
    for path in partition.images:
        if len(path) > LONGEST_PATH:
            raise DatasetError(
                f"the image path {path[:60]}… has {len(path)} characters",
                where=partition.sources[0] if partition.sources else None,
                expected=f"at most {LONGEST_PATH}",
            )
        if "txt" in wanted and ("\n" in path or "\r" in path):
            raise DatasetError(
                "the file name holds a line break, which --format txt cannot store",
                where=path,
                remedy="Rename the file, or choose jsonl, csv or parquet.",
            )


def _write_files(
    out: OutputSet,
    partition: Partition,
    class_names: Sequence[str],
    wanted: Sequence[Format],
    *,
    targets: bool,
) -> None:
    name, images = partition.name, partition.images
    with out.create(f"{name}_images.npy") as file:
        write_strings(file, images, count=len(images), width=max(map(len, images)))
    out.save_array(f"{name}_labels.npy", partition.labels)
    for kind in sorted(set(wanted) - {"npy"}):
        with out.create(f"{name}.{kind}") as file:
            formats.write(file, kind, images, partition.labels, name, class_names)
    if targets:
        with out.create(f"{name}_targets.json") as file:
            formats.write_targets(file, partition.keys, partition.labels, class_names)


def _made_before(folder: Path, partition: str) -> list[str]:
    """Return files of an earlier run of this partition: only such as its manifest names."""
    path = folder / manifest_name(partition)
    if not path.exists():
        return []
    try:
        outputs = [output.file for output in manifest.read(path).outputs]
    except ManifestError:  # it is about to be replaced itself
        outputs = []
    own = (f"{partition}_", f"{partition}.")
    made = [n for n in outputs if n.startswith(own) and Path(n).name == n]
    return [*made, f"{partition}.check.json"]


def _check_class_list(
    path: Path, wanted: bytes, replaced: Sequence[str], *, overwrite: bool
) -> None:
    """Refuse to change a class list that other partitions of the folder rest on."""
    if not os.path.lexists(path):
        return
    with reading(path, OutputError):
        if path.read_bytes() == wanted:
            return
    resting = [
        name.name
        for name in sorted(path.parent.glob(f"[!.]*{MANIFEST_SUFFIX}"))
        if name.name not in replaced and _lists_classes(name)
    ]
    if resting:
        raise OutputError(
            f"holds other classes than this run's, and {resting[0]} rests on it",
            where=path,
            remedy="Choose another output folder.",
        )
    if not overwrite:
        raise OutputError(
            "the output exists already, with other classes",
            where=path,
            remedy="Pass --overwrite to replace it, or choose another output folder.",
        )


def _lists_classes(path: Path) -> bool:
    try:
        return any(output.file == CLASSES_FILE for output in manifest.read(path).outputs)
    except ManifestError:
        return False


@dataclass(frozen=True, kw_only=True, eq=False)
class FinishedPartition:
    """A partition read back from a folder; its images stay mapped on disk."""

    name: str
    images: NDArray[np.str_]
    labels: Labels
    classes: tuple[ClassRecord, ...]
    manifest: manifest.Manifest


def find_partitions(folder: Path, partitions: Sequence[str] | None) -> list[str]:
    """Return the names of the finished partitions of a folder, or check those asked for.

    Raises:
        DatasetError: No folder, no partition in it, or not the one asked for.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", where=folder, remedy="Check the path.")
    found = [
        path.name.removesuffix(MANIFEST_SUFFIX)
        for path in sorted(folder.glob(f"[!.]*{MANIFEST_SUFFIX}"))
        if manifest.read(path).kind == "partition"
    ]
    if not found:
        raise DatasetError(
            "holds no finished partition",
            where=folder,
            expected="a folder that a sslprep data command wrote",
        )
    missing = [name for name in partitions or () if name not in found]
    if missing:
        raise DatasetError(
            f"holds no partition {missing[0]}", where=folder, expected=" or ".join(found)
        )
    return list(partitions) if partitions else found


def read_partition(folder: Path, name: str) -> FinishedPartition:
    """Read a finished partition; its files must fit each other and its manifest.

    Raises:
        ArrayError: A `.npy` file is damaged or of another kind.
        DatasetError: Images, labels and classes do not fit each other.
    """
    record = manifest.read(folder / manifest_name(name))
    images = read_array(folder / f"{name}_images.npy", ndim=1, kinds="U", mmap=True)
    labels = read_array(folder / f"{name}_labels.npy", ndim=(1, 2), kinds="i", mmap=True)
    classes = read_json(folder / CLASSES_FILE, tuple[ClassRecord, ...], DatasetError)
    if len(images) != len(labels) or (labels.ndim == 2 and labels.shape[1] != len(classes)):
        raise DatasetError(
            f"labels of shape {labels.shape} for {len(images)} images and {len(classes)} classes",
            where=folder / f"{name}_labels.npy",
            remedy="Write the partition again.",
        )
    return FinishedPartition(
        name=name, images=images, labels=labels, classes=classes, manifest=record
    )
