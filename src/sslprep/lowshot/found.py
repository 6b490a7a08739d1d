"""Samples as they are found in a folder, whoever made them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sslprep import manifest
from sslprep.errors import DatasetError, ManifestError, SslprepError
from sslprep.files import MANIFEST_SUFFIX, read_array, sha256_of
from sslprep.lowshot.sampleset import KIND, SAMPLE_NAME
from sslprep.lowshot.shots import Shot


@dataclass(frozen=True, kw_only=True)
class FoundSample:
    """The files of one sample.

    Attributes:
        folder: Where they are.
        shot: Its size, from the names.
        sample: Its number, from the names.
        listed: Whether the set's manifest lists it.
        files: Names by what they hold: `targets` (a matrix), `json` (the same), `images`,
            `labels`, `index`.
    """

    folder: Path
    shot: Shot
    sample: int
    listed: bool = False
    files: dict[str, str] = field(default_factory=dict)

    @property
    def main(self) -> Path:
        """The file that the sample is called by."""
        kinds = ("targets", "labels", "images", "json", "index")
        return self.folder / next(self.files[kind] for kind in kinds if kind in self.files)


@dataclass(frozen=True, kw_only=True)
class FoundSet:
    """Samples of one stem in one folder, and the manifest that lists them, if there is one."""

    folder: Path
    stem: str
    samples: tuple[FoundSample, ...]
    manifest: manifest.Manifest | None
    manifest_path: Path | None

    @property
    def multi_label(self) -> bool:
        """Whether samples are target matrices, not lists of images."""
        return any({"targets", "json"} & sample.files.keys() for sample in self.samples)


def find_sets(folder: Path) -> tuple[list[FoundSet], list[str]]:
    """Find all samples under a folder by their names.

    Returns:
        The sets, and problems of manifests.

    Raises:
        DatasetError: There are none.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", where=folder, remedy="Check the path.")
    sets: list[FoundSet] = []
    problems: list[str] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        here = Path(place)
        by_stem = _group_names(here, sorted(names))
        manifests, more = _manifests(here, sorted(names))
        problems += more
        for (stem, _), samples in sorted(by_stem.items()):
            path = next((p for p in manifests if _listed(manifests[p], samples.values())), None)
            listed = _listed(manifests[path], samples.values()) if path else set()
            sets.append(
                FoundSet(
                    folder=here,
                    stem=stem,
                    samples=tuple(
                        replace(samples[key], listed=samples[key].main.name in listed)
                        for key in sorted(samples)
                    ),
                    manifest=manifests[path] if path else None,
                    manifest_path=path,
                )
            )
        # A manifest whose samples are all gone would else not be missed.
        named = {found.manifest_path for found in sets}
        problems += [f"{path}: none of its samples is here" for path in manifests.keys() - named]
    if not sets and not problems:
        raise DatasetError(
            "holds no low-shot samples",
            where=folder,
            expected="files named like train_targets_sample1_k4.npy",
        )
    return sets, problems


_Samples = dict[tuple[Shot, int], FoundSample]


def _group_names(folder: Path, names: list[str]) -> dict[tuple[str, bool], _Samples]:
    """Group files by stem, k apart from fractions: each is a set of its own."""
    by_stem: dict[tuple[str, bool], _Samples] = {}
    for name in names:
        match = SAMPLE_NAME.fullmatch(name)
        if not match or name.startswith("."):
            continue
        shot = Shot(k=int(match["k"] or 0), fraction=float(match["fraction"] or 0))
        if not shot.k and not 0 < shot.fraction <= 1:
            continue
        stem, kind = _kind(folder / name, match["stem"], match["suffix"])
        sample = int(match["sample"])
        samples = by_stem.setdefault((stem, bool(shot.k)), {})
        found = samples.setdefault(
            (shot, sample), FoundSample(folder=folder, shot=shot, sample=sample)
        )
        found.files[kind] = name
    return by_stem


def _kind(path: Path, stem: str, suffix: str) -> tuple[str, str]:
    """Tell from a name, and where that is not enough from the header, what a file holds."""
    if suffix != ".npy":
        return stem, "json" if suffix == ".json" else "index"
    for kind in ("images", "labels"):
        if stem.endswith(f"_{kind}") and not holds_matrix(path):
            return stem.removesuffix(f"_{kind}"), kind
    return stem, "targets"


def holds_matrix(path: Path) -> bool:
    """Tell from its header whether a file holds a label matrix, not a list."""
    if path.name.lower().endswith(".json"):
        return True
    try:
        return read_array(path, mmap=True).ndim == 2
    except SslprepError:
        return False  # said in full when the sample is read


def _manifests(folder: Path, names: list[str]) -> tuple[dict[Path, manifest.Manifest], list[str]]:
    found: dict[Path, manifest.Manifest] = {}
    problems = []
    for name in names:
        if not name.endswith(MANIFEST_SUFFIX) or name.startswith("."):
            continue
        try:
            record = manifest.read(folder / name)
        except ManifestError as error:
            problems.append(str(error))
            continue
        if record.kind == KIND:
            found[folder / name] = record
    return found, problems


def _listed(record: manifest.Manifest, samples: Iterable[FoundSample]) -> set[str]:
    """Return which samples, by their main file, a manifest lists."""
    listed = {output.file for output in record.outputs}
    return listed & {sample.main.name for sample in samples}


def output_problems(found: FoundSet) -> list[str]:
    """Compare a set's files with its manifest: all there, and unchanged."""
    if found.manifest is None:
        return []
    problems = []
    for output in found.manifest.outputs:
        path = found.folder / output.file
        if Path(output.file).name != output.file:
            problems.append(f"{found.manifest_path}: names {output.file!r}, not a file beside it")
        elif not path.is_file():
            problems.append(f"{path}: is missing; {found.manifest_path} lists it")
        elif sha256_of(path) != output.sha256:
            problems.append(f"{path}: is not the file that {found.manifest_path} lists (SHA-256)")
    return problems
