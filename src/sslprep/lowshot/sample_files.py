"""The files of samples: their names, index files, writing them, finding and reading them again.

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

import contextlib
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sslprep import console, manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.errors import ArrayError, DatasetError, ManifestError
from sslprep.input_files import read_json
from sslprep.lowshot.draw import GENERATOR, Drawn, Draws, draw_sample
from sslprep.lowshot.labels import (
    Classes,
    ImageList,
    LabelMatrix,
    classes_of,
    label_kinds,
    promised_k,
    read_label_matrix,
    read_list,
)
from sslprep.lowshot.sizes import Size, largest_k, possible_sizes
from sslprep.npy import read_array
from sslprep.results import result

logger = logging.getLogger(__name__)

KIND = "lowshot"
INDEX_KIND = "lowshot-index"
SCHEMA = 1
SAMPLE_NAME = re.compile(
    r"(?P<stem>[^.].*)_sample(?P<sample>[1-9]\d{0,8})_"
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
        return "\n".join([*lines, f"{len(self.written)} files in {self.written[0].parent}"])


class SampleSet(OutputSet):
    """The samples that one run writes, a manifest for each size; see `OutputSet` for its use.

    Replacing a size replaces all of it: what its manifest lists and this run does not write, such
    as a third sample where two are asked for, is removed with a warning. Other sizes are not
    touched, nor are samples that no manifest lists (those of the 2019 scripts).

    Args:
        folder: Where they go.
        stem: What manifests and index files are named after.
        data: Names before and after `_sample1_k4` of the data files of each sample.
        sizes: Sizes asked for.
        samples: How many samples of each.
        draws: What they are drawn with.
        overwrite: Replace the sizes that are there.

    Raises:
        OutputError: A file of one of the sizes exists, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        data: Sequence[tuple[str, str]],
        sizes: Sequence[Size],
        samples: int,
        draws: Draws,
        overwrite: bool,
    ) -> None:
        self.stem, self.data, self.sizes = stem, data, sizes
        self.samples, self.draws = range(1, samples + 1), draws
        names = {size: self._files_of(size) for size in sizes}
        gone = []
        for size in sizes if overwrite else ():
            with contextlib.suppress(ManifestError):  # none, or none of ours
                old = manifest.read(folder / self._manifest_of(size))
                gone += [o.file for o in old.outputs if o.file not in names[size]]
        # Only samples of this set: a manifest from elsewhere must not have other files removed.
        gone = [name for name in gone if self._is_ours(name)]
        if gone:
            logger.warning("%s: %d more files of the sizes replaced are removed", folder, len(gone))
        super().__init__(
            folder,
            [name for of_size in names.values() for name in of_size],
            manifests=[self._manifest_of(size) for size in sizes],
            overwrite=overwrite,
            lock=f"{stem}_lowshot",
            also_replaces=gone,
        )

    def _data_files(self, size: Size, sample: int) -> list[str]:
        """Return the names of the data files of one sample."""
        return [f"{head}_sample{sample}_{size.name}{tail}" for head, tail in self.data]

    def _index_file(self, size: Size, sample: int) -> str:
        return f"{self.stem}_sample{sample}_{size.name}_index.json"

    def _manifest_of(self, size: Size) -> str:
        return f"{self.stem}_{size.name}{MANIFEST_SUFFIX}"

    def _files_of(self, size: Size) -> list[str]:
        return [
            name
            for sample in self.samples
            for name in (*self._data_files(size, sample), self._index_file(size, sample))
        ]

    def _is_ours(self, name: str) -> bool:
        match = SAMPLE_NAME.fullmatch(name)
        stems = {self.stem, *(head for head, _ in self.data)}
        return match is not None and match["stem"] in stems and size_of_name(match) in self.sizes

    def write(
        self,
        save: Callable[[list[str], Drawn], dict[int, str] | None],
        classes: Classes,
        inputs: manifest.Inputs,
        warnings: Sequence[str],
        *,
        skip_impossible: bool,
        parameters: Mapping[str, Any],
        **about: Any,
    ) -> SamplesWritten:
        """Draw and write the samples of every size, their index files, and the manifests last.

        Args:
            save: Writes the data files of one sample under the names given; returns the names of
                its rows, if they are known.
            classes: What to draw from.
            inputs: The inputs.
            warnings: What the user is warned of about them.
            skip_impossible: Leave out sizes for which some class has too few.
            parameters: Those of the command that name inputs.
            about: More of the manifests.
        """
        records, of_classes = inputs.records(), _class_records(classes)
        possible, skipping = possible_sizes(
            self.sizes, classes, parameters["targets"], skip_impossible
        )
        skipped = [size for size in self.sizes if size not in possible]
        for size in skipped:  # an older set of that size stays whole
            self.manifests.remove(self._manifest_of(size))
        seed, samples = self.draws.seed, len(self.samples)
        how = {"num_samples": samples, "seed": seed, "nested": self.draws.nested}
        with console.progress(len(possible) * samples, "samples") as advance:
            for size in possible:
                sets = []
                for sample in self.samples:
                    files, name = self._data_files(size, sample), self._index_file(size, sample)
                    drawn = draw_sample(classes, self.draws, size, sample)
                    index = Index(
                        **size.fields,  # type: ignore[arg-type]
                        sample=sample,
                        seed=seed,
                        nested=self.draws.nested,
                        generator=GENERATOR,
                        rows=classes.rows,
                        files=files,
                        images=save(files, drawn),
                        classes=_class_rows(classes, drawn),
                    )
                    self.save_bytes(name, encode_index(index))
                    sets.append({**size.fields, "sample": sample, "files": files, "index": name})
                    advance(1)
                asked: dict[str, Any] = {"k_values": [size.k]}
                if not size.k:
                    asked = {"fraction": [size.fraction], "balanced": size.balanced}
                manifest.write(
                    self,
                    self._manifest_of(size),
                    kind=KIND,
                    parameters={**parameters, **how, **asked},
                    inputs=records,
                    outputs=self._files_of(size),
                    seed=seed,
                    generator=GENERATOR,
                    counts={"rows": classes.rows, "classes": len(of_classes), "samples": samples},
                    warnings=warnings,
                    details={
                        "multi_label": classes.negatives is not None,
                        "stem": self.stem,
                        **size.fields,
                        "largest_k": largest_k(classes),
                        "classes": of_classes,
                        "sets": sets,
                    },
                    **about,
                )
        self.commit()
        for text in (*warnings, *skipping):
            logger.warning("%s", text)
        return SamplesWritten(
            written=tuple(self.folder / file.name for file in self.written),
            manifests=tuple(self.folder / name for name in self.manifests),
            rows=classes.rows,
            classes=len(of_classes),
            samples=samples,
            sizes=tuple(size.k or size.fraction for size in possible),
            skipped=tuple(size.k or size.fraction for size in skipped),
            seed=seed,
            warnings=(*warnings, *skipping),
        )


def _class_rows(classes: Classes, drawn: Drawn) -> list[ClassRows]:
    none = [None] * len(classes.ids)
    columns = (classes.ids, classes.names or none, drawn.positives, drawn.negatives or none)
    return [
        ClassRows(id=id_, name=name, positives=ones, negatives=zeros)
        for id_, name, ones, zeros in zip(*columns, strict=True)
    ]


def _class_records(classes: Classes) -> list[dict[str, Any]]:
    columns: dict[str, Sequence[Any]] = {
        "id": classes.ids,
        "name": classes.names,
        "positives": [len(rows) for rows in classes.positives],
        "negatives": [len(rows) for rows in classes.negatives or ()],
    }
    known = {name: values for name, values in columns.items() if values}
    return [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]


@dataclass(frozen=True)
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
    files: dict[str, str]

    @property
    def main(self) -> Path:
        """The file that the sample is called by."""
        kinds = ("targets", "labels", "images", "json", "index", "list")
        return self.folder / next(self.files[kind] for kind in kinds if kind in self.files)

    @property
    def multi_label(self) -> bool:
        """Whether it is a target matrix, not a list of images."""
        return bool({"targets", "json"} & self.files.keys())


def find_samples(place: Path) -> list[SampleFiles]:
    """Find all samples in a folder and below it by their names, sorted by stem, size and number.

    A file is one list of images as text, of as many images a class as its name says.

    Raises:
        DatasetError: There is no such folder, or one in it cannot be read: what is in it would be
            taken for absent.
    """

    def refuse(error: OSError) -> None:
        raise DatasetError(f"cannot read: {error.strerror}", where=error.filename) from error

    if place.is_file():
        size = Size(k=promised_k(place.name))
        return [SampleFiles(place.parent, place.stem, size, 1, {"list": place.name})]
    if not place.is_dir():
        raise DatasetError("no such folder", where=place, remedy="Check the path.")
    found: dict[tuple[str, str, Size, int], SampleFiles] = {}
    for folder, _, names in os.walk(place, onerror=refuse):
        for name in names:
            match = SAMPLE_NAME.fullmatch(name)
            if match and (size_here := size_of_name(match)):
                stem, kind = _kind(Path(folder, name), match)
                key = (folder, stem, size_here, int(match["sample"]))
                sample = found.setdefault(key, SampleFiles(Path(folder), *key[1:], {}))
                sample.files[kind] = name
    return [found[key] for key in sorted(found)]


def size_of_name(match: re.Match[str]) -> Size | None:
    """Return the size that a name of `SAMPLE_NAME` tells; `None`: a fraction that is none."""
    k, fraction = int(match["k"] or 0), float(match["fraction"] or 0)
    return Size(k, fraction, match["share"] == "balanced") if k or 0 < fraction <= 1 else None


def _kind(path: Path, match: re.Match[str]) -> tuple[str, str]:
    """Tell from a name, and where that is not enough from the header, what a file holds."""
    stem, suffix = match["stem"], match["suffix"]
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
    files = {kind: found.folder / name for kind, name in found.files.items()}
    if "list" in files:
        return read_list(files["list"])
    if found.multi_label:
        held = read_label_matrix(found.main)
        twin = read_label_matrix(files["json"]) if "json" in files else held
        if not np.array_equal(twin.labels, held.labels):
            raise ArrayError(f"{found.files['json']} holds other labels", where=found.main)
        return twin
    missing = " and ".join(kind for kind in ("images", "labels") if kind not in files)
    if missing:
        raise ArrayError(f"the {missing} of this sample are missing", where=found.main)
    # Any integers: class ids that are none are found against the full targets.
    labels = read_array(files["labels"], ndim=1, kinds="iu").tolist()
    images = read_array(files["images"], ndim=1, kinds="U").tolist()
    if len(images) != len(labels):
        raise ArrayError(
            f"holds {len(images)} images, and {found.files['labels']} {len(labels)} labels",
            where=files["images"],
            expected="one label for each image",
        )
    return ImageList(images, labels)


def read_rows(sample: SampleFiles) -> list[ClassRows]:
    """Read which rows a sample holds of each class, from its matrix, else from its index file.

    Raises:
        SslprepError: The matrix or the index cannot be read, or there is neither.
    """
    if sample.multi_label:
        classes = classes_of(read_label_matrix(sample.main).labels)
        pools = (classes.positives, classes.negatives or [])
        return _class_rows(classes, Drawn(*([rows.tolist() for rows in pool] for pool in pools)))
    if "index" not in sample.files:
        raise ArrayError(
            "has no index file beside it that tells the rows",
            where=sample.main,
            expected=f"{sample.stem}_sample{sample.sample}_{sample.size.name}_index.json",
        )
    return read_index(sample.folder / sample.files["index"]).classes
