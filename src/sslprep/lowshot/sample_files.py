"""The files of samples: their names, index files, writing a set of each size, finding them again.

Beside each sample stands an index file, JSON, which tells what it holds so that it can be rebuilt
without this program. Rows are row numbers of the full targets, ascending:

    {
    "kind": "lowshot-index",
    "schema": 1,
    "k": 4,  (or "fraction": 0.01, with "balanced": true where every class has the same number)
    "sample": 1,
    "seed": 0,
    "nested": false,
    "generator": "Philox4x64-10, key (seed, sample), …",
    "rows": 5011,
    "files": ["train_targets_sample1_k4.npy"],
    "classes": [
    {"id": 0, "name": "aeroplane", "positives": [12, …], "negatives": [3, …]},
    …
    ],
    "images": {"3": "000012", "12": "000032", …}
    }

`name`, `negatives` and `images` are there where they are known or meant. All samples of one size
have a manifest of their own, `{stem}_k4.manifest.json`, so that a size can be added, replaced and
checked alone.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sslprep import console, manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.errors import ArrayError, DatasetError, ManifestError, ParameterError
from sslprep.input_files import read_json
from sslprep.lowshot.draw import GENERATOR, Draws
from sslprep.lowshot.labels import (
    ImageList,
    LabelMatrix,
    is_list,
    label_kinds,
    promised_k,
    read_label_matrix,
    read_list,
    rows_by_class,
)
from sslprep.lowshot.sizes import ClassCounts, Size
from sslprep.npy import read_array
from sslprep.results import result

logger = logging.getLogger(__name__)

KIND = "lowshot"
INDEX_KIND = "lowshot-index"
SCHEMA = 1
SAMPLE_NAME = re.compile(
    r"(?P<stem>.+)_sample(?P<sample>[1-9]\d{0,8})_"
    r"(?:k(?P<k>[1-9]\d{0,8})|(?P<share>fraction|balanced)(?P<fraction>\d(?:\.\d+)?(?:e-\d+)?))"
    r"(?P<suffix>\.npy|\.json|_index\.json)"
)
"""Names of all files of all samples, ours and those of 2019."""


class ClassRows(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The rows that a sample holds of one class.

    Attributes:
        id: Class id, or column of the label matrix.
        name: Its name, where known.
        positives: Rows of the class.
        negatives: Rows drawn as not of the class (multi-label only).
    """

    id: int
    name: str | None = None
    positives: list[int]
    negatives: list[int] | None = None


class Index(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What stands in an index file; see the module's text."""

    kind: str = INDEX_KIND
    schema: int = SCHEMA
    k: int | None = None
    fraction: float | None = None
    balanced: bool | None = None
    sample: int
    seed: int
    nested: bool
    generator: str
    rows: int
    files: list[str]
    classes: list[ClassRows]
    images: dict[int, str] | None = None


def encode_index(index: Index) -> bytes:
    """Lay an index out with one line for each field, and one for each class."""
    encoder = msgspec.json.Encoder()
    lines = []
    for name in index.__struct_fields__:
        value: Any = getattr(index, name)
        if value is None:
            continue
        if name == "classes":
            text = b"[\n" + b",\n".join(map(encoder.encode, index.classes)) + b"\n]"
        else:
            text = encoder.encode(value)
        lines.append(encoder.encode(name) + b": " + text)
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def read_index(path: Path) -> Index:
    """Read an index file.

    Raises:
        ManifestError: Not an index file, or one of a newer version of sslprep.
    """
    index = read_json(path, Index, ManifestError)
    if index.kind != INDEX_KIND or index.schema > SCHEMA:
        raise ManifestError(
            f"is {index.kind!r}, schema {index.schema}",
            where=path,
            expected=f"a {INDEX_KIND} of schema {SCHEMA}",
        )
    return index


def stem_of(path: Path) -> str:
    """Return a file's name before its first dot, which samples are named after.

    Example:
        >>> stem_of(Path("features/train.res5.npy"))
        'train'
    """
    stem = path.name.split(".")[0]
    if not stem:
        raise ParameterError(
            f"{path.name} has nothing before its first dot to name the samples after", where=path
        )
    return stem


@dataclass(frozen=True, kw_only=True)
class SetNames:
    """How the files of a set are called.

    Attributes:
        stem: What manifests and index files are named after.
        data: Names before and after `_sample1_k4` of the data files of each sample.
        sizes: Sizes asked for.
        samples: How many samples of each.

    Example:
        >>> names = SetNames(stem="t", data=[("t", ".npy")], sizes=[Size(k=4)], samples=1)
        >>> names.of_size(Size(k=4)), names.manifest(Size(k=4))
        (['t_sample1_k4.npy', 't_sample1_k4_index.json'], 't_k4.manifest.json')
    """

    stem: str
    data: Sequence[tuple[str, str]]
    sizes: Sequence[Size]
    samples: int

    def of_sample(self, size: Size, sample: int) -> list[str]:
        """Return the data files of one sample."""
        return [f"{head}_sample{sample}_{size.name}{tail}" for head, tail in self.data]

    def index(self, size: Size, sample: int) -> str:
        """Return the index file of one sample."""
        return f"{self.stem}_sample{sample}_{size.name}_index.json"

    def manifest(self, size: Size) -> str:
        """Return the manifest of all samples of one size."""
        return f"{self.stem}_{size.name}{MANIFEST_SUFFIX}"

    def of_size(self, size: Size) -> list[str]:
        """Return all files of one size but its manifest."""
        return [
            name
            for sample in range(1, self.samples + 1)
            for name in (*self.of_sample(size, sample), self.index(size, sample))
        ]


def open_set(folder: Path, names: SetNames, *, overwrite: bool) -> OutputSet:
    """Open the output of a run: the files of every size asked for, a manifest each.

    Replacing a size replaces all of it: what its manifest lists and this run does not write, such
    as a third sample where two are asked for, is removed with a warning. Other sizes are not
    touched, nor are samples that no manifest lists (those of the 2019 scripts).

    Raises:
        OutputError: A file of one of the sizes exists, or cannot be written.
    """
    gone: list[str] = []
    for size in names.sizes if overwrite else ():
        try:
            old = manifest.read(folder / names.manifest(size))
        except ManifestError:
            continue  # none, or none of ours
        ours = {*names.of_size(size)}
        stems = {names.stem, *(head for head, _ in names.data)}
        # Only samples of this set: a manifest from elsewhere must not have other files removed.
        for name in {output.file for output in old.outputs} - ours:
            match = SAMPLE_NAME.fullmatch(name)
            if match and match["stem"] in stems and size_of_name(match) == size:
                gone.append(name)
    if gone:
        logger.warning("%s: %d more files of the sizes replaced are removed", folder, len(gone))
    return OutputSet(
        folder,
        [name for size in names.sizes for name in names.of_size(size)],
        manifests=[names.manifest(size) for size in names.sizes],
        overwrite=overwrite,
        lock=f"{names.stem}_lowshot",
        also_replaces=gone,
    )


@result
class SamplesWritten:
    """What a low-shot command wrote.

    Attributes:
        written: All files.
        manifests: The manifests, one for each size.
        rows: Rows of the full targets.
        classes: Number of classes.
        samples: Number of independent samples of each size.
        sizes: The k (or fractions) that were written.
        skipped: Those that were left out because some class has too few.
        seed: The seed.
        warnings: What to be aware of.
    """

    written: tuple[Path, ...]
    manifests: tuple[Path, ...]
    rows: int
    classes: int
    samples: int
    sizes: tuple[int | float, ...]
    skipped: tuple[int | float, ...]
    seed: int
    warnings: tuple[str, ...]

    def text(self) -> str:
        """Say in a few lines what was drawn."""
        kind = "fraction" if isinstance(self.sizes[0], float) else "k"
        lines = [
            f"{self.samples} samples each of {kind} = {', '.join(map(str, self.sizes))}, "
            f"seed {self.seed}, from {self.rows:,} rows of {self.classes} classes"
        ]
        if self.skipped:
            skipped = ", ".join(map(str, self.skipped))
            lines.append(f"LEFT OUT: {kind} = {skipped} (too few images)")
        lines.append(f"{len(self.written)} files in {self.written[0].parent}")
        return "\n".join(lines)


def write_samples(
    out: OutputSet,
    names: SetNames,
    possible: Sequence[Size],
    save: Callable[[Size, int], tuple[list[ClassRows], dict[int, str] | None]],
    *,
    draws: Draws,
    counts: ClassCounts,
    rows: int,
    command: str,
    parameters: Mapping[str, Any],
    inputs: manifest.Inputs,
    labels: Mapping[str, str],
    warnings: Sequence[str],
    skipping: Sequence[str],
) -> SamplesWritten:
    """Write the samples of every possible size with their index files, and the manifests last.

    Args:
        out: The output, from `open_set`.
        names: How the files are called.
        possible: The sizes to write.
        save: Writes the data files of one sample; returns its rows by class, and their names.
        draws: What they are drawn with.
        counts: The classes.
        rows: Rows of the full targets.
        command: For the manifests, as for all that follow.
        parameters: Those that bear on the content, but the size.
        inputs: The inputs.
        labels: Meaning of label values.
        warnings: What the user is warned of about the labels.
        skipping: The same about sizes left out, which is no matter of those that are written.
    """
    numbers = range(1, names.samples + 1)
    left_out = [size for size in names.sizes if size not in possible]
    for size in left_out:
        out.manifests.remove(names.manifest(size))  # an older set of that size stays whole
    records = inputs.records()
    classes = [
        {
            "id": int(id_),
            **({"name": counts.names[i]} if counts.names else {}),
            "positives": int(counts.positives[i]),
            **({} if counts.negatives is None else {"negatives": int(counts.negatives[i])}),
        }
        for i, id_ in enumerate(counts.ids)
    ]
    with console.progress(len(possible) * names.samples, "samples") as advance:
        for size in possible:
            sets = []
            for sample in numbers:
                of_classes, images = save(size, sample)
                files = names.of_sample(size, sample)
                index = Index(
                    **size.fields,  # type: ignore[arg-type]
                    sample=sample,
                    seed=draws.seed,
                    nested=draws.nested,
                    generator=GENERATOR,
                    rows=rows,
                    files=files,
                    classes=of_classes,
                    images=images,
                )
                index_file = names.index(size, sample)
                out.save_bytes(index_file, encode_index(index))
                sets.append({**size.fields, "sample": sample, "files": files, "index": index_file})
                advance(1)
            of_k = {"k_values": [size.k]}
            of_fraction = {"fraction": [size.fraction], "balanced": size.balanced}
            manifest.write(
                out,
                names.manifest(size),
                kind=KIND,
                command=command,
                parameters={**parameters, **(of_k if size.k else of_fraction)},
                inputs=records,
                outputs=names.of_size(size),
                seed=draws.seed,
                generator=GENERATOR,
                counts={"rows": rows, "classes": len(counts.ids), "samples": names.samples},
                warnings=warnings,
                labels=labels,
                details={
                    "multi_label": counts.negatives is not None,
                    "stem": names.stem,
                    **size.fields,
                    "largest_k": counts.largest_k,
                    "classes": classes,
                    "sets": sets,
                },
            )
    out.commit()
    for text in (*warnings, *skipping):
        logger.warning("%s", text)
    return SamplesWritten(
        written=tuple(out.folder / file.name for file in out.written),
        manifests=tuple(out.folder / names.manifest(size) for size in possible),
        rows=rows,
        classes=len(counts.ids),
        samples=names.samples,
        sizes=tuple(size.value for size in possible),
        skipped=tuple(size.value for size in left_out),
        seed=draws.seed,
        warnings=(*warnings, *skipping),
    )


@dataclass(frozen=True, kw_only=True)
class SampleFiles:
    """The files of one sample as they are found, whoever made them.

    Attributes:
        folder: Where they are.
        stem: What they are named after.
        size: The size, from the names.
        sample: The number, from the names.
        files: Names by what they hold: `targets` (a matrix), `json` (the same), `images`,
            `labels`, `index`; `list` for a list as text.
    """

    folder: Path
    stem: str
    size: Size
    sample: int
    files: dict[str, str] = field(default_factory=dict)

    @property
    def main(self) -> Path:
        """The file that the sample is called by."""
        kinds = ("targets", "labels", "images", "json", "index", "list")
        return self.folder / next(self.files[kind] for kind in kinds if kind in self.files)

    @property
    def multi_label(self) -> bool:
        """Whether it is a target matrix, not a list of images."""
        return bool({"targets", "json"} & self.files.keys())

    @property
    def order(self) -> tuple[Path, str, Size, int]:
        """What samples are sorted by."""
        return self.folder, self.stem, self.size, self.sample


def folders_under(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and all below it with the names of their files, in a fixed order.

    Raises:
        DatasetError: One that cannot be read: what is in it would be taken for absent.
    """

    def refuse(error: OSError) -> None:
        raise DatasetError(f"cannot read: {error.strerror}", where=error.filename) from error

    if not folder.is_dir():
        raise DatasetError("no such folder", where=folder, remedy="Check the path.")
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield Path(place), sorted(name for name in names if not name.startswith("."))


def find_samples(place: Path, *, lists: bool = False) -> list[SampleFiles]:
    """Find all samples in a folder and below it by their names, sorted by stem, size and number.

    Args:
        place: The folder, or one file of a sample.
        lists: Also files of text that begin with the name of an image (SimCLR's, MSN's).

    Raises:
        DatasetError: There is no such folder, or one in it cannot be read.
    """
    found: dict[tuple[Path, str, Size, int], SampleFiles] = {}
    only = place.name if place.is_file() else None
    for folder, names in folders_under(place.parent if only else place):
        for name in names:
            match = SAMPLE_NAME.fullmatch(name)
            size = size_of_name(match) if match else Size(k=promised_k(Path(name)))
            stem, number, kind = Path(name).stem, 1, "list"
            if match and size:
                stem, kind = _kind(folder / name, match["stem"], match["suffix"])
                number = int(match["sample"])
            elif match or not size or not lists or not (name == only or is_list(folder / name)):
                continue
            sample = SampleFiles(folder=folder, stem=stem, size=size, sample=number)
            found.setdefault(sample.order, sample).files[kind] = name
        if only:
            break
    return [s for _, s in sorted(found.items()) if only is None or only in s.files.values()]


def size_of_name(match: re.Match[str]) -> Size | None:
    """Return the size that a name of `SAMPLE_NAME` tells; `None`: a fraction that is none."""
    fraction = float(match["fraction"] or 0)
    if not match["k"] and not 0 < fraction <= 1:
        return None
    return Size(k=int(match["k"] or 0), fraction=fraction, balanced=match["share"] == "balanced")


def _kind(path: Path, stem: str, suffix: str) -> tuple[str, str]:
    """Tell from a name, and where that is not enough from the header, what a file holds."""
    if suffix != ".npy":
        return stem, "json" if suffix == ".json" else "index"
    for kind in ("images", "labels"):
        if stem.endswith(f"_{kind}") and True not in label_kinds(path):
            return stem.removesuffix(f"_{kind}"), kind
    return stem, "targets"


def read_sample(found: SampleFiles) -> LabelMatrix | ImageList:
    """Read what a sample holds: its target matrix, or its images and their classes.

    Raises:
        SslprepError: A file is missing, cannot be read, or does not fit another of the sample.
    """
    if "list" in found.files:
        return read_list(found.main)
    if found.multi_label:
        held = read_label_matrix(found.main)
        if {"targets", "json"} <= found.files.keys():
            twin = read_label_matrix(found.folder / found.files["json"])
            if not np.array_equal(twin.labels, held.labels):
                raise ArrayError(f"{found.files['json']} holds other labels", where=found.main)
            return twin
        return held
    if found.files.keys() == {"index"}:
        raise ArrayError("the sample of this index file is missing", where=found.main)
    for kind in ("images", "labels"):
        if kind not in found.files:
            raise ArrayError(f"the {kind} of this sample are missing", where=found.main)
    # Any integers: class ids that are none are found against the full targets.
    labels = read_array(found.folder / found.files["labels"], ndim=1, kinds="iu")
    path = found.folder / found.files["images"]
    images = read_array(path, ndim=1, kinds="U")
    if len(images) != len(labels):
        raise ArrayError(
            f"holds {len(images)} images, and {found.files['labels']} {len(labels)} labels",
            where=path,
            expected="one label for each image",
        )
    return ImageList(images=images.tolist(), classes=labels.tolist())


def read_rows(sample: SampleFiles) -> list[ClassRows]:
    """Read which rows a sample holds of each class, from its matrix, else from its index file.

    Raises:
        ArrayError: The matrix cannot be read, or there is neither.
        ManifestError: The index file cannot be read.
    """
    if sample.multi_label:
        positives, negatives = rows_by_class(read_label_matrix(sample.main).labels)
        return [
            ClassRows(id=n, positives=ones.tolist(), negatives=zeros.tolist())
            for n, (ones, zeros) in enumerate(zip(positives, negatives, strict=True))
        ]
    if "index" not in sample.files:
        raise ArrayError(
            "has no index file beside it that tells the rows",
            where=sample.main,
            expected=f"{sample.stem}_sample{sample.sample}_{sample.size.name}_index.json",
        )
    return read_index(sample.folder / sample.files["index"]).classes
