"""Moving a data set: the paths of finished partitions get another prefix, nothing else changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import DatasetError, ManifestError
from sslprep.parameters import command
from sslprep.partition import (
    IMAGES,
    LABELS,
    TARGETS,
    find_partitions,
    image_root,
    read_partition,
    read_targets,
)
from sslprep.partition.huggingface import SUFFIX
from sslprep.partition.images import Images
from sslprep.partition.write import Format, NewPartition, PartitionSet, PartitionsWritten

Prefix = Literal[""] | str
"""A folder, or nothing for relative paths."""


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


def read_unchanged(folder: Path, name: str) -> manifest.Manifest:
    """Read a partition's manifest; its files must be those that it describes."""
    path = folder / (name + MANIFEST_SUFFIX)
    record = manifest.read(path)
    if problems := manifest.changed_outputs(path, record):
        raise ManifestError(
            f"was changed after it was written: {problems[0]}",
            where=path,
            remedy="Write the partition again.",
        )
    return record


def _formats_of(record: manifest.Manifest, name: str) -> tuple[Format, ...]:
    """Return the formats that a partition was written in, from the names of its files."""
    written = {output.file for output in record.outputs}
    suffixes = {"hf": SUFFIX, "wds": "-000000.tar"}
    kinds: tuple[Format, ...] = get_args(Format)
    return tuple(kind for kind in kinds if name + suffixes.get(kind, f".{kind}") in written)


@command(renamed={"output_dir": "output"})
def relocate(
    folder: Path,
    output: Path | None = None,
    *,
    old_prefix: Prefix,
    new_prefix: Prefix,
    partitions: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> PartitionsWritten:
    """Rewrite the path prefix of finished partitions, without touching the data set.

    Relative paths still start where they did, but for those that a relocation makes relative:
    these start at the old prefix.

    Args:
        folder: Folder of the partitions.
        output: Folder for the result; by default the same folder, which takes `--overwrite`.
        old_prefix: Folder that all image paths begin with now; empty for relative paths.
        new_prefix: Folder to put in its place; empty to make the paths relative.
        partitions: Which partitions; by default all of the folder.
        overwrite: Replace existing output files.

    Returns:
        What was written, with counts by partition.

    Raises:
        DatasetError: No finished partition, or a path without the old prefix; nothing is written.
        OutputError: The output exists, or cannot be written.
    """
    given = dict(locals())
    old, new = as_prefix(old_prefix), as_prefix(new_prefix)
    names = find_partitions(folder, partitions)
    records = {name: read_unchanged(folder, name) for name in names}
    first = records[names[0]]
    targets = any(output.file == names[0] + TARGETS for output in first.outputs)
    labelled = bool(first.labels)
    root = Path(os.path.abspath(old)) if old.startswith("/") and not new else None
    with PartitionSet(
        output or folder,
        names,
        _formats_of(first, names[0]),
        targets=targets,
        labelled=labelled,
        overwrite=overwrite,
    ) as out:
        inputs = manifest.Inputs(hash_inputs=True)
        made = []
        for name in names:
            images, labels, classes = read_partition(folder, name)
            paths = images.tolist()
            if strangers := [path for path in paths if not path.startswith(old)]:
                raise DatasetError(
                    f"{len(strangers)} paths do not begin with {old}, such as {strangers[0]}",
                    where=folder / (name + IMAGES),
                    remedy="Give the folder that they all begin with as the old prefix.",
                )
            sources = [folder / (name + end) for end in (IMAGES, LABELS)[: 1 + labelled]]
            for path in sources:
                inputs.add_file(path)
            record = records[name]
            details = {k: v for k, v in record.details.items() if k != "root"}
            made.append(
                NewPartition(
                    name=name,
                    source_split=details["source_split"],
                    images=Images([(new, [path[len(old) :] for path in paths])]),
                    labels=labels if labelled else None,
                    keys=read_targets(folder / (name + TARGETS)).keys if targets else (),
                    sources=sources,
                    counts=record.counts,
                    details={**details, "made_by": _made_by(record)},
                    warnings=[w for w in record.warnings if not w.startswith(f"{name}: ")],
                )
            )
        return out.write(
            made,
            classes=classes,
            command="data relocate",
            parameters=given,
            inputs=inputs,
            root=root or image_root(folder, names[0]),
        )
