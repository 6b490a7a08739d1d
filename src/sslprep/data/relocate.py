"""Moving a data set: the paths of finished partitions get another prefix, nothing else changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.data.formats import Format
from sslprep.data.partition import (
    FinishedPartition,
    Partition,
    check_unchanged,
    find_partitions,
    read_partition,
)
from sslprep.data.writing import PartitionsWritten, write_partitions
from sslprep.errors import DatasetError
from sslprep.files import read_json

_BATCH = 65536


@dataclass(frozen=True, kw_only=True, eq=False)
class MovedImages(Collection[str]):
    """Image paths with another prefix, put together while iterating.

    Attributes:
        images: The paths as they were, dtype `<U…`.
        old: The prefix that each of them has, with its slash, or nothing.
        new: What stands in its place.

    Example:
        >>> list(MovedImages(images=np.array(["/a/1.jpg"]), old="/a/", new="/b/"))
        ['/b/1.jpg']
    """

    images: NDArray[np.str_]
    old: str
    new: str

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[str]:
        cut = len(self.old)
        for start in range(0, len(self.images), _BATCH):
            for path in self.images[start : start + _BATCH].tolist():
                yield self.new + path[cut:]

    def __contains__(self, path: object) -> bool:
        return any(path == mine for mine in self)

    def strangers(self) -> list[str]:
        """Return the paths that do not begin with the old prefix."""
        return [
            path
            for start in range(0, len(self.images), _BATCH)
            for path in self.images[start : start + _BATCH].tolist()
            if not path.startswith(self.old)
        ]


def as_prefix(folder: str) -> str:
    """Return a folder with exactly one slash after it; nothing stays nothing.

    Example:
        >>> as_prefix("/data/voc"), as_prefix("/data/voc/"), as_prefix(""), as_prefix("/")
        ('/data/voc/', '/data/voc/', '', '/')
    """
    return f"{folder.rstrip('/')}/" if folder else ""


def _made_by(record: manifest.Manifest) -> dict[str, Any]:
    """Return how the partition was first made, through any number of relocations."""
    if "made_by" in record.details:
        return dict(record.details["made_by"])
    return {
        "command": record.command,
        "parameters": record.parameters,
        "inputs": msgspec.to_builtins(record.inputs),
    }


def _moved(
    folder: Path, part: FinishedPartition, images: MovedImages, sources: tuple[Path, ...]
) -> Partition:
    """Return a partition as it was, but for its paths and how it came about."""
    outputs = {output.file for output in part.manifest.outputs}
    kinds: tuple[Format, ...] = get_args(Format)
    details, counts = part.manifest.details, part.manifest.counts
    return Partition(
        name=part.name,
        source_split=details["source_split"],
        images=images,
        labels=part.labels,
        formats=tuple(kind for kind in kinds if f"{part.name}.{kind}" in outputs),
        keys=_keys(folder, part) if f"{part.name}_targets.json" in outputs else None,
        sources=sources,
        counts=counts,
        details={**details, "made_by": _made_by(part.manifest)},
        warnings=tuple(part.manifest.warnings),
    )


def _keys(folder: Path, partition: FinishedPartition) -> Collection[str]:
    path = folder / f"{partition.name}_targets.json"
    keys = read_json(path, dict[str, msgspec.Raw], DatasetError)
    if len(keys) != len(partition.images):
        raise DatasetError(
            f"names {len(keys)} images", where=path, expected=f"{len(partition.images)}"
        )
    return keys


def relocate(
    *,
    folder: Path,
    old_prefix: str,
    new_prefix: str,
    partitions: tuple[str, ...] | None = None,
    output_dir: Path | None = None,
    overwrite: bool = False,
) -> PartitionsWritten:
    """Rewrite the path prefix of finished partitions, without touching the data set.

    Args:
        folder: Folder of the partitions.
        old_prefix: Folder that all image paths begin with now; empty for relative paths.
        new_prefix: Folder to put in its place; empty to make the paths relative.
        partitions: Which partitions; by default all of the folder.
        output_dir: Folder for the result; by default the same folder, which takes `--overwrite`.
        overwrite: Replace existing output files.

    Returns:
        What was written, with counts by partition.

    Raises:
        DatasetError: No finished partition, or a path without the old prefix; nothing is written.
        OutputError: The output exists, or cannot be written.
    """
    old, new = as_prefix(old_prefix), as_prefix(new_prefix)
    finished = [read_partition(folder, name) for name in find_partitions(folder, partitions)]
    inputs = manifest.Inputs(hash_inputs=True)
    moved = []
    for part in finished:
        check_unchanged(folder, part.manifest)
        images = MovedImages(images=part.images, old=old, new=new)
        strangers = images.strangers()
        if strangers:
            raise DatasetError(
                f"{len(strangers)} paths do not begin with {old}, such as {strangers[0]}",
                where=folder / f"{part.name}_images.npy",
                remedy="Give the folder that they all begin with as the old prefix.",
            )
        sources = [folder / f"{part.name}_images.npy", folder / f"{part.name}_labels.npy"]
        for path in sources:
            inputs.add_file(path)
        moved.append(_moved(folder, part, images, tuple(sources)))
    return write_partitions(
        output_dir or folder,
        moved,
        classes=finished[0].classes,
        command="data relocate",
        parameters={"old_prefix": old_prefix, "new_prefix": new_prefix},
        inputs=inputs,
        overwrite=overwrite,
    )
