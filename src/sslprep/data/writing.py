"""Writing partitions: all those of a run in one set, so that all of them are there or none is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sslprep import console, manifest
from sslprep.data import formats
from sslprep.data.partition import (
    CLASSES_FILE,
    ClassRecord,
    Partition,
    images_per_class,
    manifest_name,
)
from sslprep.errors import DatasetError, ManifestError, OutputError
from sslprep.files import MANIFEST_SUFFIX, OutputSet, reading, write_strings

LONGEST_PATH = 4096
"""Characters; no operating system opens a longer path, and `<U…` pads every row to the longest."""

MULTI_LABEL = {"1": "present", "0": "absent", "-1": "ignore"}
SINGLE_LABEL = {"n": "the class whose id in classes.json is n"}


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


def write_partitions(
    output_dir: Path,
    partitions: Sequence[Partition],
    *,
    classes: Sequence[ClassRecord],
    command: str,
    parameters: Mapping[str, Any],
    inputs: manifest.Inputs,
    warnings: Sequence[str] = (),
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
        warnings: What the user was warned of about the run as a whole.
        overwrite: Replace existing files.

    Raises:
        OutputError: Files exist, or other partitions of the folder rest on other classes.
        DatasetError: A path that cannot be stored.
    """
    widths = [_check_paths(partition) for partition in partitions]
    manifests = [manifest_name(p.name) for p in partitions]
    names = [n for p in partitions for n in p.file_names]
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
        for partition, width in zip(partitions, widths, strict=True):
            _write_files(out, partition, width, [c.name for c in classes])
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
                parameters={**parameters, "format": ["npy", *partition.row_formats]},
                inputs=[records[str(path)] for path in partition.sources],
                outputs=[*partition.file_names, CLASSES_FILE],
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
                    **partition.details,
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


def _check_paths(partition: Partition) -> int:
    """Refuse images that cannot be stored, and a partition without any; return the widest."""
    where = partition.sources[0] if partition.sources else None
    width = max(map(len, partition.images), default=0)
    if not width:
        raise DatasetError(f"has no image for the partition {partition.name}", where=where)
    if width > LONGEST_PATH:
        raise DatasetError(
            f"an image path of {partition.name} has {width} characters",
            where=where,
            expected=f"at most {LONGEST_PATH}",
        )
    if "txt" in partition.formats:
        broken = next((p for p in partition.images if "\n" in p or "\r" in p), None)
        if broken:
            raise DatasetError(
                "the file name holds a line break, which --format txt cannot store",
                where=broken,
                remedy="Rename the file, or choose jsonl, csv or parquet.",
            )
    return width


def _write_files(
    out: OutputSet, partition: Partition, width: int, class_names: Sequence[str]
) -> None:
    name, images = partition.name, partition.images
    with out.create(f"{name}_images.npy") as file:
        write_strings(file, images, count=len(images), width=width)
    out.save_array(f"{name}_labels.npy", partition.labels)
    for kind in partition.row_formats:
        with out.create(f"{name}.{kind}") as file:
            formats.write(file, kind, images, partition.labels, name, class_names)
    if partition.keys is not None:
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
