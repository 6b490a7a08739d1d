"""The files of samples: their names, index files, writing them, finding and reading them again.

Beside each sample stands an index file, JSON (docs/lowshot.md shows one), which tells its rows in
the full targets, so that it can be rebuilt without this program. All samples of one size have a
manifest of their own, `{stem}_k4.manifest.json`: a size can be added, replaced, checked alone.
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
from sslprep.errors import ArrayError, DatasetError, ManifestError, ParameterError
from sslprep.input_files import read_json
from sslprep.lowshot.draw import GENERATOR, Drawn, Draws, draw_sample
from sslprep.lowshot.labels import (
    Classes,
    ImageList,
    LabelMatrix,
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
INDEX_KIND, SCHEMA = "lowshot-index", 1
SAMPLE_NAME = re.compile(
    r"(?P<stem>[^.].*)_sample(?P<sample>[1-9]\d{0,8})_"
    r"(?:k(?P<k>[1-9]\d{0,8})|(?P<share>fraction|balanced)(?P<fraction>\d(?:\.\d+)?(?:e-\d+)?))"
    r"(?P<suffix>\.npy|\.json|_index\.json)"
)
"""Names of all files of all samples, ours and those of 2019."""


class ClassRows(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The rows that a sample holds of one class."""

    id: int  #: class id, or column of the label matrix
    name: str | None = None  #: its name, where known
    positives: list[int]  #: rows of the class
    negatives: list[int] | None = None  #: rows drawn as not of the class (multi-label only)


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
    encode = msgspec.json.Encoder().encode
    texts = {name: encode(getattr(index, name)) for name in index.__struct_fields__}
    texts["classes"] = b"[\n" + b",\n".join(map(encode, index.classes)) + b"\n]"
    lines = [encode(name) + b": " + text for name, text in texts.items() if text != b"null"]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def read_index(path: Path) -> Index:
    """Read an index file; another file, or one of a newer sslprep, is a ManifestError."""
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
    """What a low-shot command wrote."""

    written: tuple[Path, ...]  #: all files
    manifests: tuple[Path, ...]  #: the manifests, one for each size
    rows: int  #: rows of the full targets
    classes: int  #: number of classes
    samples: int  #: number of independent samples of each size
    sizes: tuple[int | float, ...]  #: the k (or fractions) that were written
    skipped: tuple[int | float, ...]  #: those that were left out because some class has too few
    seed: int  #: the seed
    warnings: tuple[str, ...]  #: what to be aware of

    def text(self) -> str:
        """Say in a few lines what was drawn."""
        kind = "fraction" if isinstance(self.sizes[0], float) else "k"
        sizes, skipped = (", ".join(map(str, s)) for s in (self.sizes, self.skipped))
        return (
            f"{self.samples} samples each of {kind} = {sizes}, "
            f"seed {self.seed}, from {self.rows:,} rows of {self.classes} classes\n"
            + (f"LEFT OUT: {kind} = {skipped} (too few images)\n" if skipped else "")
            + f"{len(self.written)} files in {self.written[0].parent}"
        )


class SampleSet(OutputSet):
    """The samples that one run writes, a manifest for each size; see `OutputSet` for its use.

    Replacing a size replaces all of it: what its manifest lists and this run does not write, such
    as a third sample where two are asked for, is removed with a warning. Other sizes are not
    touched, nor are samples that no manifest lists (those of the 2019 scripts).
    """

    def __init__(
        self,
        folder: Path,
        stem: str,  # of manifests and index files
        data: Sequence[tuple[str, str]],  # before and after `_sample1_k4` in names of data files
        sizes: Sequence[Size],
        samples: int,  # of each size
        draws: Draws,
        overwrite: bool,
    ) -> None:
        if (count := len(sizes) * samples) > 100_000:
            raise ParameterError(f"{count:,} samples asked for", expected="at most 100,000 at once")
        self.stem, self.data, self.sizes = stem, data, sizes
        self.samples, self.draws = range(1, samples + 1), draws
        names = [n for size in sizes for files in self._files_of(size).values() for n in files]
        old: list[str] = []
        for size in sizes if overwrite else ():
            with contextlib.suppress(ManifestError):  # none, or none of ours
                outputs = manifest.read(folder / self._manifest_of(size)).outputs
                old += [output.file for output in outputs if output.file not in names]
        # Only samples of this set: a manifest from elsewhere must not have other files removed.
        matches = filter(None, map(SAMPLE_NAME.fullmatch, old))
        stems = {stem, *(head for head, _ in data)}
        gone = [m[0] for m in matches if m["stem"] in stems and size_of_name(m) in sizes]
        if gone:
            logger.warning("%s: %d more files of the sizes replaced are removed", folder, len(gone))
        super().__init__(
            folder,
            names,
            manifests=[self._manifest_of(size) for size in sizes],
            overwrite=overwrite,
            lock=f"{stem}_lowshot",
            also_replaces=gone,
        )

    def _files_of(self, size: Size) -> dict[int, list[str]]:
        """Return the files of each sample by its number; the last is its index."""
        tails = [*self.data, (self.stem, "_index.json")]
        return {
            sample: [f"{head}_sample{sample}_{size.name}{tail}" for head, tail in tails]
            for sample in self.samples
        }

    def _manifest_of(self, size: Size) -> str:
        return f"{self.stem}_{size.name}{MANIFEST_SUFFIX}"

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

        `save` writes the data files of one sample under the names given, and returns the names of
        its rows, if known; `parameters` name the inputs, and `about` is more of the manifests.
        """
        possible, skipping = possible_sizes(
            self.sizes, classes, parameters["targets"], skip_impossible
        )
        skipped = [size for size in self.sizes if size not in possible]
        for size in skipped:  # an older set of that size stays whole
            self.manifests.remove(self._manifest_of(size))
        draw: dict[str, Any] = {"seed": self.draws.seed, "nested": self.draws.nested}
        with console.progress(len(possible) * len(self.samples), "samples") as advance:
            for size in possible:
                for sample, (*files, index_file) in self._files_of(size).items():
                    drawn = draw_sample(classes, self.draws, size, sample)
                    index = Index(
                        **size.fields,  # type: ignore[arg-type]
                        **draw,
                        sample=sample,
                        generator=GENERATOR,
                        rows=classes.rows,
                        files=files,
                        images=save(files, drawn),
                        classes=_class_rows(classes, drawn),
                    )
                    self.save_bytes(index_file, encode_index(index))
                    advance(1)
        records = inputs.records()  # of lists that are read as they are needed
        for size in possible:
            sets = [
                {**size.fields, "sample": sample, "files": files, "index": index_file}
                for sample, (*files, index_file) in self._files_of(size).items()
            ]
            shares = {"fraction": [size.fraction], "balanced": size.balanced}
            asked: dict[str, Any] = {"k_values": [size.k]} if size.k else shares
            manifest.write(
                self,
                self._manifest_of(size),
                kind=KIND,
                parameters={**parameters, "num_samples": len(self.samples), **draw, **asked},
                inputs=records,
                outputs=[name for files in self._files_of(size).values() for name in files],
                seed=self.draws.seed,
                generator=GENERATOR,
                counts={
                    "rows": classes.rows,
                    "classes": len(classes.ids),
                    "samples": len(self.samples),
                },
                warnings=warnings,
                details={
                    "multi_label": classes.negatives is not None,
                    "stem": self.stem,
                    **size.fields,
                    "largest_k": largest_k(classes),
                    "classes": classes.records,
                    "sets": sets,
                },
                **about,
            )
        self.commit()
        for text in (*warnings, *skipping):
            logger.warning("%s", text)
        return SamplesWritten(
            written=tuple(self.folder / record.file for record in self.written),
            manifests=tuple(self.folder / name for name in self.manifests),
            rows=classes.rows,
            classes=len(classes.ids),
            samples=len(self.samples),
            sizes=tuple(size.k or size.fraction for size in possible),
            skipped=tuple(size.k or size.fraction for size in skipped),
            seed=self.draws.seed,
            warnings=(*warnings, *skipping),
        )


def _class_rows(classes: Classes, drawn: Drawn) -> list[ClassRows]:
    ones, zeros = ([rows.tolist() for rows in pool or ()] for pool in drawn)
    unknown = [None] * len(ones)
    columns = zip(classes.ids, classes.names or unknown, ones, zeros or unknown, strict=True)
    return [ClassRows(id=i, name=n, positives=p, negatives=q) for i, n, p, q in columns]


@dataclass(frozen=True)
class SampleFiles:
    """The files of one sample as they are found, whoever made them."""

    folder: Path  #: where they are
    stem: str  #: what they are named after
    size: Size  #: the size, from the names
    sample: int  #: the number, from the names
    #: names by what they hold: `targets` (a matrix), `json` (the same), `images`, `labels`,
    #: `index`; `list` for a list as text
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

    A file is one list of images as text, of as many images a class as its name says. A folder that
    cannot be read is a DatasetError: what is in it would be taken for absent.
    """

    def refuse(error: OSError) -> None:
        raise DatasetError(f"cannot read: {error.strerror}", where=error.filename) from error

    if place.suffix.lower() in (".npy", ".json") and place.is_file():
        raise DatasetError("is one file", where=place, expected="a folder, or a list as text")
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
    """Read what a sample holds: its target matrix, or its images and their classes."""
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
