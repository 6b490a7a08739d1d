"""Writing partitions: all those of a run in one set, so that all of them are there or none is."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.errors import DatasetError, ManifestError, OutputError, ParameterError
from sslprep.input_files import reading
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
    read_classes,
    row_formats,
    write_targets,
)
from sslprep.partition.images import Images, look_for
from sslprep.results import encode_json, result, table

logger = logging.getLogger(__name__)

Format = Literal["npy", "jsonl", "csv", "txt", "parquet", "hf", "wds"]

Tally = tuple[NDArray[np.int64], NDArray[np.int64]]
"""How many images of each class: with it present, and ignored for it."""

LONGEST_PATH = 4096
"""Characters; no operating system opens a longer path, and `<U…` pads every row to the longest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NewPartition:
    """One partition, ready to be written.

    Attributes:
        name: `train`, `val`…; the files are named after it.
        source_split: The data set's own name of the split that it was made from.
        images: Paths in row order.
        labels: `int32 (images, classes)` of 1 present, 0 absent, -1 ignore, without columns where
            the images have no labels; or `int64 (images,)` of class ids.
        keys: Names of the images in `targets.json`, in row order.
        sources: The inputs of this partition among those of the run.
        counts: Further numbers for the manifest, such as skipped files.
        details: Further entries of the manifest's details.
        warnings: What the user is to be warned of about this partition.
    """

    name: str
    source_split: str
    images: Images
    labels: Labels
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


class PartitionSet(OutputSet):
    """The outputs of one run, opened before any input is read: a refusal costs no time.

    Args:
        command: The command, as manifests name it.
        parameters: All its parameters. `output`, `overwrite`, `format`, `generate_json` and
            `hash_inputs` are used here as they are there.
        names: Names of the partitions.
        multi_label: Whether an image can be of several classes.
        labelled: Whether there are labels and classes.
        formats: Formats, where they are no parameter.
        targets: Whether each has a `…_targets.json`, where that is no parameter.

    Attributes:
        inputs: The inputs of the run, to be noted before they are read.

    Raises:
        OutputError: Files exist, or cannot be written.
        ParameterError: A format that cannot hold several labels.
        MissingExtraError: The parquet extra is needed and absent.
    """

    def __init__(
        self,
        command: str,
        parameters: Mapping[str, Any],
        names: Sequence[str],
        *,
        multi_label: bool = False,
        labelled: bool = True,
        formats: Sequence[Format] = (),
        targets: bool = False,
    ) -> None:
        self.inputs = manifest.Inputs(hash_inputs=parameters.get("hash_inputs", True))
        self.formats = sorted({*parameters.get("format", formats)} - {"npy"})
        self._command, self._parameters = command, parameters
        self._labelled, self._multi_label = labelled, multi_label
        self._meaning = (MULTI_LABEL if multi_label else SINGLE_LABEL) if labelled else {}
        self._targets = bool(parameters.get("generate_json", targets))
        if multi_label and "txt" in self.formats:
            raise ParameterError(
                "--format txt holds one label for each image, and this set has several",
                expected="npy, jsonl, csv or parquet",
            )
        odd = [name for name in names if not re.fullmatch(r"(?!all$)\w+(\.\w+)*", name)]
        if odd and "hf" in self.formats:
            raise ParameterError(
                f"--format hf: load_dataset has no split called {odd[0]}",
                expected="partitions named by letters, digits, _ and single dots, and not all",
            )
        if "parquet" in self.formats:
            row_formats.import_pyarrow()
        self._classes = [CLASSES_FILE] * labelled
        card = [huggingface.CARD] * ("hf" in self.formats)
        files = [name for partition in names for name in self._files(partition)]
        super().__init__(
            parameters["output"],
            [*files, *self._classes, *card],
            manifests=[name + MANIFEST_SUFFIX for name in names],
            overwrite=parameters["overwrite"],
            lock=CLASSES_FILE,  # two runs into one folder exclude each other
            also_replaces=[f for name in names for f in self._made_before(name)],
            shared=[*self._classes, *card],
        )

    def _files(self, name: str) -> list[str]:
        """Return the files of a partition whose names are known beforehand."""
        rows = [file_of(name, kind) for kind in self.formats if kind != "wds"]
        ends = [IMAGES, *[LABELS] * self._labelled, *[TARGETS] * self._targets]
        return [*(name + end for end in ends), *rows]

    def _made_before(self, partition: str) -> list[str]:
        """Return files of an earlier run of this partition: only such as its manifest names."""
        path = self._parameters["output"] / (partition + MANIFEST_SUFFIX)
        if not self._parameters["overwrite"] or not path.exists():
            return []
        try:
            outputs = [output.file for output in manifest.read(path).outputs]
        except ManifestError:  # it is about to be replaced itself
            outputs = []
        own = (f"{partition}_", f"{partition}.", f"{partition}-")
        made = [n for n in outputs if n.startswith(own) and Path(n).name == n]
        return [*made, f"{partition}.check.json"]

    def write(
        self,
        partitions: Sequence[NewPartition],
        *,
        classes: Sequence[ClassRecord],
        warnings: Sequence[str] = (),
        root: Path | None = None,
    ) -> PartitionsWritten:
        """Write all partitions and the class list that they share, and put them in place.

        Args:
            partitions: What to write.
            classes: The classes, in column order (single labels: in order of ids).
            warnings: What the user is to be warned of about the run as a whole.
            root: Where relative image paths start; by default the working folder.

        Raises:
            OutputError: Other partitions of the folder rest on other classes.
            DatasetError: A path that cannot be stored, or an image that cannot be packed.
        """
        root = Path(os.path.abspath(root or ""))
        warnings = [*warnings, *_odd_classes([c.name for c in classes])]
        for partition in partitions:
            self._check(partition)
        tallies = {p.name: images_per_class(p.labels, classes) for p in partitions}
        notes = {p.name: [*p.warnings] for p in partitions}
        for partition in partitions:
            shown = zip(classes, tallies[partition.name][0], strict=self._labelled)
            none = [c.name for c, count in shown if not count]
            odd = [look_for(partition.images, root), _shared(partition, partitions)]
            if none and self._multi_label and partition.name == "train":
                names = ", ".join(none[:5])
                odd.append(f"no image shows {len(none)} of {len(classes)} classes: {names}")
            notes[partition.name] += [f"{partition.name}: {text}" for text in odd if text]
        said = tuple(dict.fromkeys(chain(warnings, *notes.values())))
        for warning in said:
            logger.warning("%s", warning)
        if self._labelled:
            self._save_classes(classes)
        records = {record.path: record for record in self.inputs.records()}
        for partition in partitions:
            files = self._write_files(partition, classes, root)
            counts, details = self._describe(partition, classes, tallies[partition.name], root)
            manifest.write(
                self,
                partition.name + MANIFEST_SUFFIX,
                kind="partition",
                command=self._command,
                parameters=self._content(),
                inputs=[records[str(path)] for path in partition.sources],
                outputs=[*files, *self._classes],
                counts=counts,
                warnings=[*dict.fromkeys([*warnings, *notes[partition.name]])],
                labels=self._meaning,
                details=details,
            )
        if "hf" in self.formats:
            self._save_card([p.name for p in partitions], classes)
        self.commit()
        sums = {name: [int(own.sum()) for own in both] for name, both in tallies.items()}
        return PartitionsWritten(
            written=tuple(self.folder / record.file for record in self.written),
            images={p.name: len(p.images) for p in partitions},
            classes=len(classes),
            positives={name: present for name, (present, _) in sums.items()},
            ignored={name: own for name, (_, own) in sums.items()} if self._multi_label else {},
            warnings=said,
        )

    def _describe(
        self, partition: NewPartition, classes: Sequence[ClassRecord], tally: Tally, root: Path
    ) -> tuple[dict[str, int], dict[str, Any]]:
        """Return the counts and the details of a partition's manifest."""
        present, ignored = tally
        counts = {"images": len(partition.images)}
        details: dict[str, Any] = {
            "partition": partition.name,
            "source_split": partition.source_split,
        }
        if self._labelled:
            counts |= {"classes": len(classes), "positives": int(present.sum())}
            details |= {
                "multi_label": self._multi_label,
                "classes": [c.name for c in classes],
                "images_per_class": present.tolist(),
            }
        if self._multi_label:
            counts["ignored"] = int(ignored.sum())
            details["ignored_per_class"] = ignored.tolist()
        if not partition.images[0].startswith("/"):
            details["root"] = str(root)
        return counts | {**partition.counts}, details | {**partition.details}

    def _content(self) -> dict[str, Any]:
        """Return the parameters as the command line writes them."""
        kept = {
            name: [f"{k}={v}" for k, v in value.items()] if isinstance(value, Mapping) else value
            for name, value in self._parameters.items()
        }
        return kept | ({"format": ["npy", *self.formats]} if "format" in kept else {})

    def _check(self, partition: NewPartition) -> None:
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
        images = partition.images if "txt" in self.formats else ()
        if broken := next((p for p in images if "\n" in p or "\r" in p), None):
            raise DatasetError(
                "the file name holds a line break, which --format txt cannot store",
                where=broken,
                remedy="Rename the file, or choose jsonl, csv or parquet.",
            )

    def _write_files(
        self, partition: NewPartition, classes: Sequence[ClassRecord], root: Path
    ) -> list[str]:
        """Write the files of one partition; return their names."""
        name, images, labels = partition.name, partition.images, partition.labels
        names = [c.name for c in classes]
        files = self._files(name)
        with self.create(name + IMAGES) as file:
            images.write(file)
        if self._labelled:
            self.save_array(name + LABELS, labels)
        for kind in self.formats:
            if kind == "wds":
                from sslprep.partition import webdataset  # with tarfile, which few runs need

                files += webdataset.write_shards(self, name, images, labels, names, root)
                continue
            with self.create(file_of(name, kind)) as file:
                if kind == "hf":
                    huggingface.write_rows(file, images, labels, [c.id for c in classes], root)
                else:
                    row_formats.write(file, kind, images, labels, name, names)
        if self._targets:
            with self.create(name + TARGETS) as file:
                write_targets(file, partition.keys, labels, names)
        return files

    def _save_classes(self, classes: Sequence[ClassRecord]) -> None:
        """Write the class list, but never change one that other partitions rest on."""
        path, wanted = self.folder / CLASSES_FILE, encode_json(classes) + b"\n"
        with reading(path, OutputError):
            changed = os.path.lexists(path) and path.read_bytes() != wanted
        resting = self._others(CLASSES_FILE) if changed else []
        if resting:
            raise OutputError(
                f"holds other classes than this run's, and {resting[0]}{MANIFEST_SUFFIX} "
                "rests on it",
                where=path,
                remedy="Choose another output folder.",
            )
        if changed and not self._overwrite:
            raise OutputError(
                "the output exists already, with other classes",
                where=path,
                remedy="Pass --overwrite to replace it, or choose another output folder.",
            )
        self.save_bytes(CLASSES_FILE, wanted)

    def _save_card(self, names: Sequence[str], classes: Sequence[ClassRecord]) -> None:
        """Write the dataset card of the folder, for the partitions that it holds already too."""
        path = self.folder / huggingface.CARD
        with reading(path, OutputError):
            mine = not os.path.lexists(path) or huggingface.MARK.encode() in path.read_bytes()
        if not mine and not self._overwrite:
            raise OutputError(
                "the output exists already, and sslprep did not write it",
                where=path,
                remedy="Choose another output folder.",
            )
        others = [n for n in self._others() if (self.folder / (n + huggingface.SUFFIX)).exists()]
        splits, single = sorted({*others, *names}), not self._multi_label
        records = [manifest.read(self.folder / (name + MANIFEST_SUFFIX)) for name in others]
        if not self._labelled and (told := [r.labels for r in records if r.labels]):
            # The features hold for all splits; rows of images alone are read without a label.
            classes, single = read_classes(self.folder), told[0] == SINGLE_LABEL
        card = huggingface.card(splits, [c.name for c in classes], single=single)
        self.save_bytes(huggingface.CARD, card)

    def _others(self, output: str | None = None) -> list[str]:
        """Return other finished partitions of the folder (that list `output` among theirs)."""
        found = []
        for path in sorted(self.folder.glob(f"[!.]*{MANIFEST_SUFFIX}")):
            try:
                outputs = [record.file for record in manifest.read(path).outputs]
            except ManifestError:
                continue
            if path.name not in self.manifests and (output is None or output in outputs):
                found.append(path.name.removesuffix(MANIFEST_SUFFIX))
        return found


def look(name: str) -> str:
    """Return how a class name looks: without what the eye passes over.

    Example:
        >>> look("Traffic_Light ") == look("traffic-light"), look("a1") == look("a2")
        (True, False)
    """
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name).casefold()).strip()


def _odd_classes(names: Sequence[str]) -> list[str]:
    """Warn of classes that are one to the eye."""
    seen: dict[str, str] = {}
    return [
        f"the classes {other!a} and {name!a} differ in case, blanks or the like alone"
        for name in names
        if (other := seen.setdefault(look(name), name)) != name
    ]


def _shared(partition: NewPartition, others: Sequence[NewPartition]) -> str | None:
    """Say how many images of a val or test are in train too."""
    train = next((p.images for p in others if p.name == "train"), None)
    if train is None or partition.name not in ("val", "test"):
        return None
    if not {prefix for prefix, _ in train.groups} & {p for p, _ in partition.images.groups}:
        return None
    own = set(partition.images)
    both = [path for path in train if path in own]
    return f"{len(both):,} of its images are in train too, such as {both[0]}" if both else None


def file_of(partition: str, kind: str) -> str:
    """Return the file of a partition in a format; of `wds`, its first."""
    return partition + {"hf": huggingface.SUFFIX, "wds": "-000000.tar"}.get(kind, f".{kind}")


def images_per_class(labels: Labels, classes: Sequence[ClassRecord]) -> Tally:
    """Count images of each class: with it present, and ignored for it.

    Example:
        >>> both = [ClassRecord("cat", 0), ClassRecord("dog", 1)]
        >>> present, ignored = images_per_class(np.array([[1, -1], [1, 0]], np.int32), both)
        >>> present.tolist(), ignored.tolist()
        ([2, 0], [0, 1])
    """
    if labels.ndim == 2:
        return tuple(np.count_nonzero(labels == value, axis=0) for value in (PRESENT, IGNORE))
    ids = np.array([c.id for c in classes], dtype=np.int64)
    counted = np.array_equal(ids, range(len(ids)))
    places = labels if counted else np.searchsorted(ids, labels)
    present = np.bincount(places, minlength=len(ids))
    return present, np.zeros_like(present)
