"""Moving a data set: the paths of finished partitions get another prefix, nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import msgspec

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import DatasetError, ManifestError
from sslprep.parameters import command
from sslprep.partition import (
    IMAGES,
    LABELS,
    MULTI_LABEL,
    TARGETS,
    Partition,
    find_partitions,
    image_root,
    read_partition,
    read_targets,
)
from sslprep.partition.images import Images
from sslprep.partition.write import (
    Format,
    NewPartition,
    PartitionSet,
    PartitionsWritten,
    file_of,
)

Prefix = Literal[""] | str
"""A folder, or nothing for relative paths."""


def as_prefix(folder: str) -> str:
    """Return a folder with exactly one slash after it; nothing stays nothing.

    Example:
        >>> as_prefix("/data/voc"), as_prefix("/data/voc/"), as_prefix(""), as_prefix("/")
        ('/data/voc/', '/data/voc/', '', '/')
    """
    return f"{folder.rstrip('/')}/" if folder else ""


def read_unchanged(
    folder: Path, name: str, inputs: manifest.Inputs
) -> tuple[manifest.Manifest, Partition, list[Path]]:
    """Read a finished partition, whose files must be those that its manifest describes.

    Returns:
        Its manifest, itself, and its files, noted as inputs.
    """
    path = folder / (name + MANIFEST_SUFFIX)
    record = manifest.read(path)
    if problems := manifest.changed_outputs(path, record):
        raise ManifestError(
            f"was changed after it was written: {problems[0]}",
            where=path,
            remedy="Write the partition again.",
        )
    sources = [folder / (name + end) for end in (IMAGES, LABELS)[: 1 + bool(record.labels)]]
    for path in sources:
        inputs.add_file(path)
    return record, read_partition(folder, name), sources


def _form(folder: Path, name: str) -> tuple[dict[str, str], list[Format], bool]:
    """Return what partitions of one run share: meaning of labels, formats, whether targets."""
    record = manifest.read(folder / (name + MANIFEST_SUFFIX))
    files = {output.file for output in record.outputs}
    kinds: tuple[Format, ...] = get_args(Format)
    formats = [kind for kind in kinds if file_of(name, kind) in files]
    return record.labels, formats, name + TARGETS in files


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

    Relative paths still start where they did, but for those that an empty new prefix makes or
    leaves relative: these start at the old prefix.

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
    given = dict(locals()) | {"output": output or folder}
    old, new = as_prefix(old_prefix), as_prefix(new_prefix)
    names = find_partitions(folder, partitions)
    form, root = _form(folder, names[0]), image_root(folder, names[0])
    labels_mean, formats, targets = form
    for name in names[1:]:
        elsewhere = image_root(folder, name) != root and not new.startswith("/")
        if elsewhere or _form(folder, name) != form:
            raise DatasetError(
                f"{name} has other formats, or starts elsewhere, than {names[0]}",
                where=folder,
                expected="partitions of the same labels, formats and root",
                remedy="Relocate one after the other, with --partitions.",
            )
    with PartitionSet(
        "data relocate",
        given,
        names,
        multi_label=labels_mean == MULTI_LABEL,
        labelled=bool(labels_mean),
        formats=formats,
        targets=targets,
    ) as out:
        made = []
        for name in names:
            record, (images, labels, classes), sources = read_unchanged(folder, name, out.inputs)
            paths = images.tolist()
            if strangers := [path for path in paths if not path.startswith(old)]:
                raise DatasetError(
                    f"{len(strangers)} paths do not begin with {old}, such as {strangers[0]}",
                    where=folder / (name + IMAGES),
                    remedy="Give the folder that they all begin with as the old prefix.",
                )
            kept = {key: value for key, value in record.details.items() if key != "root"}
            made_by = {
                "command": record.command,
                "parameters": record.parameters,
                "inputs": msgspec.to_builtins(record.inputs),
            }
            made.append(
                NewPartition(
                    name=name,
                    source_split=kept["source_split"],
                    images=Images([(new, [path[len(old) :] for path in paths])]),
                    labels=labels,
                    keys=read_targets(folder / (name + TARGETS)).keys if targets else (),
                    sources=sources,
                    counts=record.counts,
                    details={"made_by": made_by, **kept},  # the first, of many relocations
                    warnings=[w for w in record.warnings if not w.startswith(f"{name}: ")],
                )
            )
        return out.write(made, classes=classes, root=root / ("" if new else old))
