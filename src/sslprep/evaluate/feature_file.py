"""Features in files: what they were made of, and whether a figure can be made of them."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import ArrayError, ParameterError, SslprepError
from sslprep.input_files import sha256_of
from sslprep.npy import read_array

KIND = "features"
_SHARED = 0.01
"""Share of test images that may also be training images, by accident."""

_BEARING = ("layer", "pooling", "branch", "prefix")
"""What a manifest tells of features that bears on all rows; and the checkpoint."""


@dataclass(frozen=True, eq=False)
class Features:
    """A file of features."""

    path: Path
    rows: NDArray[Any]  #: (images, dims) float, mapped from disk
    record: manifest.Manifest | None  #: of the run that wrote it, where there is one

    @property
    def layer(self) -> dict[str, object]:
        """What the manifest says of this file: names of checkpoint and layer, and the dims."""
        files = self.record.details.get("files") if self.record else None
        of_file = files.get(self.path.name) if isinstance(files, dict) else None
        return of_file if isinstance(of_file, dict) else {}

    @property
    def title(self) -> str:
        """What a chart calls it: the checkpoint and layer, where the manifest tells them."""
        if {"checkpoint", "layer"} <= self.layer.keys():
            return f"{self.layer['checkpoint']} {self.layer['layer']}"
        return self.path.stem

    @property
    def made_by(self) -> dict[str, object]:
        """What the rows depend on but for the images, as far as the manifest tells it."""
        if self.record is None:
            return {}
        known = {**self.layer, **self.record.parameters}
        found = {what: known[what] for what in _BEARING if what in known}
        hashes = [made_of.sha256 for made_of in self.record.inputs[1:]]
        return {**found, "the checkpoint with SHA-256": hashes[0]} if hashes else found

    @property
    def listed(self) -> manifest.InputRecord | None:
        """The list of images, as the manifest names it."""
        return self.record.inputs[0] if self.record and self.record.inputs else None

    @property
    def root(self) -> object:
        """The folder that relative names of the list start from, as the manifest has it."""
        return self.record.parameters.get("root") if self.record else None

    @cached_property
    def list_path(self) -> Path | None:
        """Where the list is, from here or from a folder above the features, if it is the same."""
        if self.listed is None:
            return None
        places = (above / self.listed.path for above in (Path(), *self.path.absolute().parents))
        same = (p for p in places if os.path.isfile(p) and sha256_of(p) == self.listed.sha256)
        return next(same, None)

    @cached_property
    def image_names(self) -> NDArray[np.str_] | None:
        """The names of the images, if the list is at hand."""
        if self.list_path is None:
            return None
        names: NDArray[np.str_] = read_array(self.list_path, ndim=1, kinds="U", mmap=True)
        return names if len(names) == len(self.rows) else None

    @cached_property
    def row_of_image(self) -> dict[str, int] | None:
        """The row of each image, if its name is known."""
        if self.image_names is None:
            return None
        return {name: row for row, name in enumerate(self.image_names.tolist())}


def open_features(path: Path, inputs: manifest.Inputs) -> Features:
    """Open features, (images, dims) of floats, and find the manifest of the run that wrote them.

    Maps as a network gives them, (images, channels, height, width), are taken as rows of dims.
    """
    _refuse_part(path)
    inputs.add_file(path)
    rows = read_array(path, ndim=(2, 3, 4, 5), kinds="f", mmap=True)
    if not rows.size:
        raise ArrayError(f"is empty, shape {rows.shape}", where=path, expected="(images, dims)")
    return Features(path, rows.reshape(len(rows), -1), _record(path))


def _refuse_part(path: Path) -> None:
    """Refuse one of several files of one set: VISSL writes one for each process and chunk."""
    if match := re.fullmatch(r"rank\d+_chunk\d+(_.+)", path.name):
        parts = list(path.parent.glob(f"rank*_chunk*{glob.escape(match[1])}"))
        if len(parts) > 1:
            raise ArrayError(
                f"is one of {len(parts)} parts, as VISSL writes them",
                where=path,
                expected="features of all images of the set",
                remedy="Put them together; docs/evaluate.md shows how.",
            )


def _record(path: Path) -> manifest.Manifest | None:
    for place in sorted(path.parent.glob(f"[!.]*{MANIFEST_SUFFIX}")):
        try:
            record = manifest.read(place)
        except SslprepError:
            continue  # of something else; `verify` is what complains about it
        if record.kind == KIND and path.name in (output.file for output in record.outputs):
            return record
    return None


def _check_rows(features: Features, used: NDArray[np.intp] | None) -> None:
    """Refuse rows that are no features: NaN, infinite or nearly, nothing but zeros or nearly."""
    rows = np.arange(len(features.rows)) if used is None else used
    squares = np.empty(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(rows), 1024):
            part = features.rows[rows[start : start + 1024]].astype(np.float64)
            squares[start : start + 1024] = np.einsum("ij,ij->i", part, part)
    for bad, what in (
        (~np.isfinite(squares), "hold NaN or infinity, or numbers whose squares are"),
        (squares == 0, "hold nothing but zeros"),
        (squares < 1e-10, "are shorter than the 1e-5 that is added to each length"),
    ):
        if bad.any():
            raise ArrayError(
                f"{bad.sum():,} of {len(rows):,} rows {what}, the first is row {rows[bad][0]}",
                where=features.path,
                expected="features of an image in every row",
                remedy="Extract the features again.",
            )


def check_pair(train: Features, test: Features, used: NDArray[np.intp] | None = None) -> None:
    """Refuse features to train on and to test on that no figure can be made of.

    Other dims, and rows that are no features, are an ArrayError; one list of images, or shared
    images, a ParameterError. `used` are the training rows that count, by default all.
    """
    dims = train.rows.shape[1]
    if test.rows.shape[1] != dims:
        raise ArrayError(
            f"has {test.rows.shape[1]:,} dims",
            where=test.path,
            expected=f"the {dims:,} of {train.path}: the same layer of the same network",
        )
    for what, ours in train.made_by.items():
        if (theirs := test.made_by.get(what, ours)) != ours:
            raise ArrayError(
                f"is of {what} {theirs}", where=test.path, expected=f"{ours}, as {train.path}"
            )
    _check_rows(train, used)
    _check_rows(test, None)
    if problem := _common_images(train, test, used):
        raise ParameterError(
            f"{train.path} and {test.path}: {problem}",
            expected="a test set that was not trained on",
            remedy="Take features of train (trainval) and of val or test.",
        )


def _common_images(train: Features, test: Features, used: NDArray[np.intp] | None) -> str | None:
    """Say if images are trained on and tested on.

    Compared are the two lists of images, where manifests name them and they start from the same
    root, and the rows themselves.
    """
    if train.listed and test.listed and train.root == test.root:
        if train.listed.sha256 == test.listed.sha256 is not None:
            return "both are features of the same list of images"
        if train.image_names is not None and test.image_names is not None:
            known = set(train.image_names.tolist())
            if problem := _too_many(known, test.image_names.tolist(), "images"):
                return problem
    rows = train.rows if used is None else (train.rows[row] for row in used)
    hashes = {hash(row.tobytes()) for row in rows}
    return _too_many(hashes, [hash(row.tobytes()) for row in test.rows], "rows")


def _too_many(known: set[Any], tested: list[Any], what: str) -> str | None:
    common = sum(one in known for one in tested)
    if common >= max(1, _SHARED * len(tested)):
        return f"{common:,} of {len(tested):,} test {what} are training {what} too"
    return None
