"""Writing partitions: all those of a run in one set, so that all of them are there or none is."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.errors import DatasetError, ManifestError, OutputError, ParameterError
from sslprep.input_files import reading
from sslprep.npy import write_strings
from sslprep.partition import (
    CLASSES_FILE,
    IGNORE,
    IMAGES,
    LABELS,
    MULTI_LABEL,
    PRESENT,
    SINGLE_LABEL,
    TARGETS,
    ClassRecord,
    Labels,
    huggingface,
    row_formats,
    write_targets,
)
from sslprep.partition.images import Images, look_for
from sslprep.results import encode_json, result, table

logger = logging.getLogger(__name__)

Format = Literal["npy", "jsonl", "csv", "txt", "parquet", "hf", "wds"]

LONGEST_PATH = 4096
"""Characters; no operating system opens a longer path, and `<U…` pads every row to the longest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NewPartition:
    """One partition, ready to be written.

    Attributes:
        name: `train`, `val`…; the files are named after it.
        source_split: The data set's own name of the split that it was made from.
        images: Paths in row order.
        labels: `int32 (images, classes)` of 1 present, 0 absent, -1 ignore; or `int64 (images,)`
            of class ids; `None` where the images have none.
        keys: Names of the images in `targets.json`, in row order.
        sources: The inputs of this partition among those of the run.
        counts: Further numbers for the manifest, such as skipped files.
        details: Further entries of the manifest's details.
        warnings: What the user is to be warned of about this partition.
    """

    name: str
    source_split: str
    images: Images
    labels: Labels | None
    keys: Collection[str] = ()
    sources: Collection[Path] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@result
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
        return f"{table(headers, rows)}\n{len(self.written)} files in {folder}"


class PartitionSet:
    """The outputs of one run, opened before any input is read: a refusal costs no time.

    Args:
        folder: Where to.
        names: Names of the partitions.
        formats: Formats beside `npy`, which is always written.
        targets: Whether each has a `…_targets.json`.
        labelled: Whether there are labels and classes.
        multi_label: Whether an image can be of several classes, where that is known.
        overwrite: Replace existing files.

    Raises:
        OutputError: Files exist, or cannot be written.
        ParameterError: A format that cannot hold several labels.
        MissingExtraError: The parquet extra is needed and absent.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        formats: Sequence[Format] = ("npy",),
        *,
        targets: bool = False,
        labelled: bool = True,
        multi_label: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.folder, self.names, self._overwrite = folder, list(names), overwrite
        self.formats = sorted(set(formats) - {"npy"})
        self._targets = targets
        self._refuse_text(multi_label=multi_label)
        if "parquet" in self.formats:
            row_formats.import_pyarrow()
        shared = [CLASSES_FILE] * labelled + [huggingface.CARD] * ("hf" in self.formats)
        files = [name for partition in names for name in self._files(partition, labelled)]
        old = [f for name in names for f in _made_before(folder, name)] if overwrite else []
        self._out = OutputSet(
            folder,
            [*files, *shared],
            manifests=[name + MANIFEST_SUFFIX for name in names],
            overwrite=overwrite,
            lock=CLASSES_FILE,  # two runs into one folder exclude each other
            also_replaces=old,
            shared=shared,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._out.close()

    def _files(self, name: str, labelled: bool) -> list[str]:
        """Return the files of a partition whose names are known beforehand."""
        suffixes = {"hf": huggingface.SUFFIX}
        return [
            name + IMAGES,
            *([name + LABELS] if labelled else []),
            *(name + suffixes.get(kind, f".{kind}") for kind in self.formats if kind != "wds"),
            *([name + TARGETS] if self._targets else []),
        ]

    def write(
        self,
        partitions: Sequence[NewPartition],
        *,
        classes: Sequence[ClassRecord],
        command: str,
        parameters: Mapping[str, Any],
        inputs: manifest.Inputs,
        warnings: Sequence[str] = (),
        root: Path | None = None,
    ) -> PartitionsWritten:
        """Write all partitions and the class list that they share, and put them in place.

        Args:
            partitions: What to write.
            classes: The classes, in column order (single labels: in order of ids).
            command: For the manifests, as for all that follow.
            parameters: The parameters of the command; those that bear on the content are kept.
            inputs: All inputs of the run; each manifest names its partition's own.
            warnings: What the user is to be warned of about the run as a whole.
            root: Where relative image paths start; by default the working folder.

        Raises:
            OutputError: Other partitions of the folder rest on other classes.
            DatasetError: A path that cannot be stored, or an image that cannot be packed.
        """
        root = Path(os.path.abspath(root or ""))
        for partition in partitions:
            self._check_paths(partition)
        notes = {p.name: [*p.warnings] for p in partitions}
        for partition in partitions:
            if missing := look_for(partition.images, root):
                notes[partition.name].append(f"{partition.name}: {missing}")
        for warning in (*warnings, *(w for own in notes.values() for w in own)):
            logger.warning("%s", warning)
        shared = [CLASSES_FILE] if CLASSES_FILE in self._out.names else []
        if shared:
            self._save_classes(classes)
        records = {record.path: record for record in inputs.records()}
        tallies = {p.name: images_per_class(p.labels, classes) for p in partitions}
        written: list[str] = []
        for partition in partitions:
            files = self._write_files(partition, classes, root)
            written += files
            present, ignored = tallies[partition.name]
            multi_label = partition.labels is not None and partition.labels.ndim == 2
            relative = not partition.images[0].startswith("/")
            counts = {"classes": len(classes), "positives": int(present.sum())}
            details = {
                "multi_label": multi_label,
                "classes": [c.name for c in classes],
                "images_per_class": present.tolist(),
            }
            if multi_label:
                counts["ignored"] = int(ignored.sum())
                details["ignored_per_class"] = ignored.tolist()
            labelled = partition.labels is not None
            manifest.write(
                self._out,
                partition.name + MANIFEST_SUFFIX,
                kind="partition",
                command=command,
                parameters=self._content(parameters),
                inputs=[records[str(path)] for path in partition.sources],
                outputs=[*files, *shared],
                counts={
                    "images": len(partition.images),
                    **(counts if labelled else {}),
                    **partition.counts,
                },
                warnings=[*warnings, *notes[partition.name]],
                labels=(MULTI_LABEL if multi_label else SINGLE_LABEL) if labelled else {},
                details={
                    "partition": partition.name,
                    "source_split": partition.source_split,
                    **(details if labelled else {}),
                    **({"root": str(root)} if relative else {}),
                    **partition.details,
                },
            )
        if "hf" in self.formats:
            self._save_card(partitions, classes)
        self._out.commit()
        every = [*written, *shared, *self._out.manifests]
        return PartitionsWritten(
            written=tuple(self.folder / name for name in every),
            images={p.name: len(p.images) for p in partitions},
            classes=len(classes),
            positives={name: int(present.sum()) for name, (present, _) in tallies.items()},
            ignored={
                p.name: int(tallies[p.name][1].sum())
                for p in partitions
                if p.labels is not None and p.labels.ndim == 2
            },
            warnings=(*warnings, *(w for own in notes.values() for w in own)),
        )

    def _content(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the parameters that bear on the content, as the command line writes them."""
        kept = {
            name: [f"{k}={v}" for k, v in value.items()] if isinstance(value, Mapping) else value
            for name, value in parameters.items()
            if name not in ("output", "overwrite", "hash_inputs")
        }
        return kept | ({"format": ["npy", *self.formats]} if "format" in kept else {})

    def _check_paths(self, partition: NewPartition) -> None:
        """Refuse images that cannot be stored, and a partition without any."""
        where = next(iter(partition.sources), None)
        width = partition.images.width
        if not width:
            raise DatasetError(f"has no image for the partition {partition.name}", where=where)
        if width > LONGEST_PATH:
            raise DatasetError(
                f"an image path of {partition.name} has {width} characters",
                where=where,
                expected=f"at most {LONGEST_PATH}",
            )
        try:
            for prefix, names in partition.images.groups if self.formats else ():
                f"{prefix}{''.join(names)}".encode()
        except UnicodeEncodeError as error:
            raise DatasetError(
                f"the path is not UTF-8, and --format {self.formats[0]} holds nothing else",
                where=partition.images[0],
                remedy="Rename the folder, or store paths with --relative-to.",
            ) from error
        labels = partition.labels
        self._refuse_text(multi_label=labels is not None and labels.ndim == 2)
        images = partition.images if "txt" in self.formats else ()
        if broken := next((p for p in images if "\n" in p or "\r" in p), None):
            raise DatasetError(
                "the file name holds a line break, which --format txt cannot store",
                where=broken,
                remedy="Rename the file, or choose jsonl, csv or parquet.",
            )

    def _refuse_text(self, *, multi_label: bool) -> None:
        if multi_label and "txt" in self.formats:
            raise ParameterError(
                "--format txt holds one label for each image, and this set has several",
                expected="npy, jsonl, csv or parquet",
            )

    def _write_files(
        self, partition: NewPartition, classes: Sequence[ClassRecord], root: Path
    ) -> list[str]:
        """Write the files of one partition; return their names."""
        out, images, labels = self._out, partition.images, partition.labels
        files = self._files(partition.name, labels is not None)
        names = [c.name for c in classes]
        with out.create(partition.name + IMAGES) as file:
            write_strings(file, images, count=len(images), width=images.width, chunk=4096)
        if labels is not None:
            out.save_array(partition.name + LABELS, labels)
        for kind in self.formats:
            if kind == "wds":
                from sslprep.partition import webdataset  # with tarfile, which few runs need

                files += webdataset.write_shards(out, partition.name, images, labels, names, root)
            elif kind == "hf":
                with out.create(partition.name + huggingface.SUFFIX) as file:
                    ids = [c.id for c in classes]
                    huggingface.write_rows(file, images, labels, ids, root)
            else:
                with out.create(f"{partition.name}.{kind}") as file:
                    row_formats.write(file, kind, images, labels, partition.name, names)
        if self._targets and labels is not None:
            with out.create(partition.name + TARGETS) as file:
                write_targets(file, partition.keys, labels, names)
        return files

    def _save_classes(self, classes: Sequence[ClassRecord]) -> None:
        """Write the class list, but never change one that other partitions rest on."""
        path, wanted = self.folder / CLASSES_FILE, encode_json(classes) + b"\n"
        same = False
        if os.path.lexists(path):
            with reading(path, OutputError):
                same = path.read_bytes() == wanted
        if os.path.lexists(path) and not same:
            if resting := self._others(CLASSES_FILE):
                raise OutputError(
                    f"holds other classes than this run's, and {resting[0]}{MANIFEST_SUFFIX} "
                    "rests on it",
                    where=path,
                    remedy="Choose another output folder.",
                )
            if not self._overwrite:
                raise OutputError(
                    "the output exists already, with other classes",
                    where=path,
                    remedy="Pass --overwrite to replace it, or choose another output folder.",
                )
        self._out.save_bytes(CLASSES_FILE, wanted)

    def _save_card(
        self, partitions: Sequence[NewPartition], classes: Sequence[ClassRecord]
    ) -> None:
        """Write the dataset card of the folder, for the partitions that it holds already too."""
        path = self.folder / huggingface.CARD
        if os.path.lexists(path) and not self._overwrite:
            with reading(path, OutputError):
                ours = huggingface.MARK.encode() in path.read_bytes()
            if not ours:
                raise OutputError(
                    "the output exists already, and sslprep did not write it",
                    where=path,
                    remedy="Choose another output folder.",
                )
        others = [n for n in self._others() if (self.folder / (n + huggingface.SUFFIX)).exists()]
        names = sorted({*others, *(p.name for p in partitions)})
        single = any(p.labels is not None and p.labels.ndim == 1 for p in partitions)
        names_of_classes = [c.name for c in classes]
        self._out.save_bytes(
            huggingface.CARD, huggingface.card(names, names_of_classes, single=single)
        )

    def _others(self, output: str | None = None) -> list[str]:
        """Return other finished partitions of the folder (that list `output` among theirs)."""
        found = []
        for path in sorted(self.folder.glob(f"[!.]*{MANIFEST_SUFFIX}")):
            try:
                outputs = [record.file for record in manifest.read(path).outputs]
            except ManifestError:
                continue
            if path.name not in self._out.manifests and (output is None or output in outputs):
                found.append(path.name.removesuffix(MANIFEST_SUFFIX))
        return found


def _made_before(folder: Path, partition: str) -> list[str]:
    """Return files of an earlier run of this partition: only such as its manifest names."""
    path = folder / (partition + MANIFEST_SUFFIX)
    if not path.exists():
        return []
    try:
        outputs = [output.file for output in manifest.read(path).outputs]
    except ManifestError:  # it is about to be replaced itself
        outputs = []
    own = (f"{partition}_", f"{partition}.", f"{partition}-")
    made = [n for n in outputs if n.startswith(own) and Path(n).name == n]
    return [*made, f"{partition}.check.json"]


def images_per_class(
    labels: Labels | None, classes: Sequence[ClassRecord]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count images of each class: with it present, and ignored for it.

    Example:
        >>> both = [ClassRecord("cat", 0), ClassRecord("dog", 1)]
        >>> present, ignored = images_per_class(np.array([[1, -1], [1, 0]], np.int32), both)
        >>> present.tolist(), ignored.tolist()
        ([2, 0], [0, 1])
    """
    if labels is None or labels.ndim == 1:
        ids = np.array([c.id for c in classes], dtype=np.int64)
        rows = np.searchsorted(ids, labels) if labels is not None else np.empty(0, np.int64)
        return np.bincount(rows, minlength=len(ids)), np.zeros(len(ids), dtype=np.int64)
    return np.count_nonzero(labels == PRESENT, axis=0), np.count_nonzero(labels == IGNORE, axis=0)


def check_names(partitions: Sequence[str] | None) -> None:
    """Refuse to write a partition twice.

    Raises:
        ParameterError: A name stands twice.
    """
    if partitions is not None and len(set(partitions)) < len(partitions):
        raise ParameterError(
            f"--partitions is {','.join(partitions)}", expected="each partition once"
        )
