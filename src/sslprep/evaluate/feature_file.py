"""Features in files: what they were made of, and whether a figure can be made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import ArrayError, ParameterError, SslprepError
from sslprep.npy import read_array

KIND = "features"
_SHARED = 0.01
"""Share of test images that may also be training images, by accident."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """A file of features.

    Attributes:
        path: The file.
        rows: (images, dims) float, mapped from disk.
        record: The manifest of the run that wrote it, where there is one.
    """

    path: Path
    rows: NDArray[Any]
    record: manifest.Manifest | None

    @property
    def title(self) -> str:
        """What a chart calls it: the checkpoint and layer, where the manifest tells them."""
        layer = self.details.get("layer")
        checkpoint = self.details.get("checkpoint")
        return f"{checkpoint} {layer}" if checkpoint and layer else self.path.stem

    @property
    def details(self) -> dict[str, Any]:
        """What the manifest says of this file."""
        if self.record is None:
            return {}
        of_file: dict[str, Any] = self.record.details.get("files", {}).get(self.path.name, {})
        return of_file

    @property
    def image_list(self) -> Path | None:
        """The list of images, if the manifest names it and it is still what it was."""
        if self.record is None or not self.record.inputs:
            return None
        listed = self.record.inputs[0]
        path = Path(listed.path)
        if not path.is_file() or path.stat().st_size != listed.bytes:
            return None
        return path


def open_features(path: Path, inputs: manifest.Inputs) -> Features:
    """Open features, and find the manifest of the run that wrote them.

    Raises:
        ArrayError: Not an array (images, dims) of floats.
    """
    inputs.add_file(path)
    rows = read_array(path, ndim=2, kinds="f", mmap=True)
    if not rows.size:
        raise ArrayError(f"is empty, shape {rows.shape}", where=path, expected="(images, dims)")
    return Features(path=path, rows=rows, record=_record(path))


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
    """Refuse rows that are no features: NaN, infinite, or nothing but zeros."""
    rows = np.arange(len(features.rows)) if used is None else used
    broken: list[int] = []
    empty: list[int] = []
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096]
        values = features.rows[part]
        broken += part[~np.isfinite(values).all(axis=1)].tolist()
        empty += part[~values.any(axis=1)].tolist()
    for found, what in ((broken, "hold NaN or infinity"), (empty, "hold nothing but zeros")):
        if found:
            raise ArrayError(
                f"{len(found):,} of {len(rows):,} rows {what}, the first is row {found[0]}",
                where=features.path,
                expected="features of an image in every row",
                remedy="Extract the features again.",
            )


def check_pair(train: Features, test: Features, used: NDArray[np.intp] | None = None) -> None:
    """Refuse features to train on and to test on that no figure can be made of.

    Args:
        train: Features of the training images.
        test: Features of the test images.
        used: The training rows that count; by default all.

    Raises:
        ArrayError: They differ in dims, or have rows that are no features.
        ParameterError: The two are one list, or share images.
    """
    dims = train.rows.shape[1]
    if test.rows.shape[1] != dims:
        raise ArrayError(
            f"has {test.rows.shape[1]:,} dims",
            where=test.path,
            expected=f"the {dims:,} of {train.path}: the same layer of the same network",
        )
    _check_rows(train, used)
    _check_rows(test, None)
    _refuse_same_images(train, test, used)


def _refuse_same_images(train: Features, test: Features, used: NDArray[np.intp] | None) -> None:
    """Refuse to test on images that were trained on.

    Compared are the hashes and the paths of the two lists of images, where manifests name them,
    and the rows themselves.
    """
    problem = None
    if _list_hash(train) is not None and _list_hash(train) == _list_hash(test):
        problem = "both are features of the same list of images"
    elif train.image_list and test.image_list:
        ours = set(read_array(train.image_list, ndim=1, kinds="U").tolist())
        theirs = read_array(test.image_list, ndim=1, kinds="U").tolist()
        problem = _too_many(sum(path in ours for path in theirs), len(theirs), "images")
    if problem is None:
        rows = range(len(train.rows)) if used is None else used.tolist()
        known = {hash(train.rows[row].tobytes()) for row in rows}
        common = sum(hash(row.tobytes()) in known for row in test.rows)
        problem = _too_many(common, len(test.rows), "rows")
    if problem:
        raise ParameterError(
            f"{train.path} and {test.path}: {problem}",
            expected="a test set that was not trained on",
            remedy="Take features of train (trainval) and of val or test.",
        )


def _list_hash(features: Features) -> str | None:
    return features.record.inputs[0].sha256 if features.record else None


def _too_many(common: int, of: int, what: str) -> str | None:
    if common >= max(1, _SHARED * of):
        return f"{common:,} of {of:,} test {what} are training {what} too"
    return None
