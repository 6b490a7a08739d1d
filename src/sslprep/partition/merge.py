"""Merging finished partitions into one, such as trainval of VOC2007 and VOC2012."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from sslprep.errors import DatasetError
from sslprep.parameters import command
from sslprep.partition import Labels, image_root, read_partition
from sslprep.partition.images import Images
from sslprep.partition.relocate import read_unchanged
from sslprep.partition.write import Format, NewPartition, PartitionSet, PartitionsWritten


@command()
def merge_partitions(
    parts: tuple[Path, ...],
    *,
    output: Path,
    name: str = "train",
    format: tuple[Format, ...] = ("npy",),
    overwrite: bool = False,
) -> PartitionsWritten:
    """Merge finished partitions of the same classes into one.

    Rows stay in the order of the parts. Columns and class ids are those of the first part; the
    others may have the same classes in another order.

    Args:
        parts: Partitions, as folder and name: `out/voc07/train out/voc12/train`.
        output: Folder for the merged partition; created if missing.
        name: Name of the merged partition.
        format: Further formats beside npy.
        overwrite: Replace existing output files.

    Returns:
        What was written.

    Raises:
        DatasetError: Other classes, labels of another kind, or an image that is in two parts.
        OutputError: The output exists, or cannot be written.
    """
    given = dict(locals())
    first = read_partition(parts[0].parent, parts[0].name)
    roots = [image_root(part.parent, part.name) for part in parts]
    labelled = bool(first.classes)
    several = first.labels.ndim == 2 and labelled
    with PartitionSet("data merge", given, [name], multi_label=several, labelled=labelled) as out:
        paths: list[list[str]] = []
        labels: list[Labels] = []
        sources: list[Path] = []
        for part, root in zip(parts, roots, strict=True):
            _, own, files = read_unchanged(part.parent, part.name, out.inputs)
            sources += files
            odd = sorted({c.name for c in own.classes} ^ {c.name for c in first.classes})
            if odd or own.labels.ndim != first.labels.ndim:
                kind = "one label" if own.labels.ndim == 1 else "several labels"
                which = f", {odd[0]!r} in only one" if odd else f" and {kind} an image"
                raise DatasetError(
                    f"has {len(own.classes)} classes{which}",
                    where=part,
                    expected=f"the {len(first.classes)} classes and the labels of {parts[0]}",
                )
            place = {c.name: at for at, c in enumerate(own.classes)}
            if own.labels.ndim == 2:
                labels.append(own.labels[:, [place[c.name] for c in first.classes]])
            else:
                id_of = {own.classes[place[c.name]].id: c.id for c in first.classes}
                ids, row_of = np.unique(own.labels, return_inverse=True)
                labels.append(np.array([id_of[id_] for id_ in ids.tolist()])[row_of])
            # One root for all, or none: a relative path would be read below the wrong one.
            whole = len(set(roots)) > 1
            paths.append([str(root / p) if whole else p for p in own.images.tolist()])
        every = [path for own in paths for path in own]
        twice = [path for path, count in Counter(every).items() if count > 1]
        if twice:
            raise DatasetError(
                f"{len(twice)} images are in more than one part, such as {twice[0]}",
                where=parts[-1],
                expected="parts without common images",
            )
        counted = zip(parts, paths, strict=True)
        partition = NewPartition(
            name=name,
            source_split="+".join(str(part) for part in parts),
            images=Images([("", every)]),
            labels=np.concatenate(labels),  # type: ignore[arg-type]
            sources=sources,
            details={"parts": [{"partition": str(p), "images": len(o)} for p, o in counted]},
        )
        return out.write([partition], classes=first.classes, root=roots[0])
