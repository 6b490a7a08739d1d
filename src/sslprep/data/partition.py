"""The partition: an ordered list of image paths, their labels, and what the labels mean.

Every reader (`coco`, `voc`, `folders`) builds `Partition` records; `writing` puts them into files,
and what is in a folder is read back as `FinishedPartition`.
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

from sslprep import manifest
from sslprep.data import formats
from sslprep.data.formats import Format, Labels
from sslprep.errors import DatasetError, ManifestError, ParameterError
from sslprep.files import MANIFEST_SUFFIX, read_array, read_json, reading, sha256_of

CLASSES_FILE = "classes.json"


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
        formats: Formats of its files; `npy` is always among them.
        keys: Names of the images in `targets.json`, in row order; `None` writes no such file.
        sources: The inputs of this partition among those of the run.
        counts: Further numbers for the manifest, such as skipped files.
        details: Further entries of the manifest's details.
        warnings: What the user was warned of about this partition.
    """

    name: str
    source_split: str
    images: Collection[str]
    labels: Labels
    formats: tuple[Format, ...] = ("npy",)
    keys: Collection[str] | None = None
    sources: tuple[Path, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def multi_label(self) -> bool:
        """Whether an image can be of several classes."""
        return self.labels.ndim == 2

    @property
    def file_names(self) -> list[str]:
        """The names of its files, the manifest left out."""
        names = [f"{self.name}_images.npy", f"{self.name}_labels.npy"]
        names += [f"{self.name}.{kind}" for kind in self.row_formats]
        return names if self.keys is None else [*names, f"{self.name}_targets.json"]

    @property
    def row_formats(self) -> list[str]:
        """Its formats beside `npy`, sorted."""
        return sorted(set(self.formats) - {"npy"})


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


def check_unchanged(folder: Path, record: manifest.Manifest) -> None:
    """Refuse a partition whose files are not those that its manifest describes.

    Raises:
        ManifestError: A file differs.
    """
    for output in record.outputs:
        path = folder / Path(output.file).name
        with reading(path, ManifestError):
            digest = sha256_of(path)
        if digest != output.sha256:
            raise ManifestError(
                "was changed after it was written",
                where=path,
                remedy="Write the partition again.",
            )
