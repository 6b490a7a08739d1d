"""One model on its way from a file to another: read, one tower taken, every blob accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.account import (
    BOOKKEEPING_REASON,
    MOMENTUM,
    NO_SUCH_NAME,
    Fate,
    dropped,
    kept,
    refuse_missing,
    refuse_unknown,
    then,
)
from sslprep.checkpoints.architecture import (
    NORM_PARAMS,
    Trunk,
    check_shapes,
    check_values,
    find_trunk,
    missing_blobs,
)
from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.names import BOOKKEEPING, BlobName, parse_caffe2, parse_torch
from sslprep.checkpoints.open import Contents, open_checkpoint
from sslprep.checkpoints.towers import TowerChoice, choose_tower, tower_distances, towers_of
from sslprep.errors import CheckpointError, SslprepError

MARK = "sslprep"
"""Top-level key beside `blobs` that says what was done to them; readers of 2019 pass it over."""

Stored = StoredArray | int | float


@dataclass(kw_only=True)
class Source:
    """A model in Caffe2 names, of one tower, whose arrays are still in the file.

    Attributes:
        path: The file.
        stored: What the file holds, by the name that it has once a tower is taken.
        names: The parts of those names; bookkeeping and unknown ones are not in it.
        fates: What has become so far of every blob of the file.
        mark: What sslprep noted in the file when it wrote it.
        choice: The tower taken, `None` where the file has no towers.
        distances: How far the other towers' norms are from those taken.
    """

    path: Path
    stored: dict[str, Stored]
    names: dict[str, BlobName]
    fates: list[Fate]
    mark: dict[str, Any]
    choice: TowerChoice | None = None
    distances: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def folded(self) -> bool:
        """Whether the batch norms are affine layers already, as Detectron wants them."""
        norms = [name for name in self.names.values() if name.norm and not name.momentum]
        return bool(norms) and not any(name.param in ("rm", "riv") for name in norms)

    def load(self, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Read arrays; most are views of the file.

        Raises:
            CheckpointError: One of them is a bare number.
        """
        arrays = {}
        for name in names:
            stored = self.stored[name]
            if not isinstance(stored, StoredArray):
                raise CheckpointError(
                    f"{name} is the number {stored}, not an array", where=self.path
                )
            arrays[name] = load(stored, self.path)
        return arrays

    def model(self, *, momentum: bool = False) -> dict[str, NDArray[Any]]:
        """Read the blobs of the model, with or without the momentum."""
        wanted = [text for text, name in self.names.items() if momentum or not name.momentum]
        return self.load(wanted)

    def value(self, name: str) -> NDArray[Any] | int | float:
        """Read one array or bare number."""
        value = self.stored[name]
        return load(value, self.path) if isinstance(value, StoredArray) else value

    def all_values(self) -> dict[str, NDArray[Any] | int | float]:
        """Read everything, bare numbers included."""
        return {name: self.value(name) for name in self.stored}

    def describe(self, trunk: Trunk) -> str:
        """Say what the source is, such as `R-50, Jigsaw with 9 towers`."""
        if self.choice is not None:
            count = len(self.choice.towers)
            return f"{trunk.describe}, Jigsaw with {count} tower{'s' if count > 1 else ''}"
        return f"{trunk.describe}, colorization" if trunk.colorization else trunk.describe

    def details(self, trunk: Trunk, fates: Iterable[Fate]) -> dict[str, Any]:
        """Return what every manifest of a conversion holds under `details`."""
        record: dict[str, Any] = {
            "model": self.describe(trunk),
            "arch": trunk.arch,
            "input_channels": trunk.channels,
        }
        if self.choice is not None:
            record["towers"] = {
                "taken": self.choice.tower,
                "present": list(self.choice.towers),
                "norms_apart": self.distances,
            }
        record["account"] = [
            {"blob": f.blob, "became": f.became, "action": f.action, "reason": f.reason}
            for f in fates
        ]
        return record


def load(stored: StoredArray, path: Path) -> NDArray[Any]:
    """Read one array; an error names the file."""
    try:
        return stored.load()
    except SslprepError as error:
        raise error.at(path) from error


def read_source(
    path: Path, *, tower: int = 0, need_towers: bool = False, allow_unknown: bool = False
) -> Source:
    """Open a checkpoint in Caffe2 names and take one tower where it has several.

    Args:
        path: The file.
        tower: The tower to take.
        need_towers: Whether a file without towers is an error. One whose towers `convert
            detectron` took is none: both orders of the two commands must work.
        allow_unknown: Whether names that the grammar does not know are no error.

    Raises:
        UnsafeFileError: The file cannot be read safely.
        CheckpointError: It is no model in Caffe2 names, lacks the tower, or has unknown blobs.
    """
    contents = open_checkpoint(path)
    try:
        _check_spelling(contents)
        return _take(contents, tower, need_towers=need_towers, allow_unknown=allow_unknown)
    except CheckpointError as error:
        raise error.at(path) from error


def _check_spelling(contents: Contents) -> None:
    if contents.format == "detectron2-pickle":
        raise CheckpointError(
            "is written for Detectron2 already", remedy="Convert the Caffe2 model it was made from."
        )
    known = sum(parse_caffe2(name) is not None for name in contents.blobs)
    torch = sum(parse_torch(name) is not None for name in contents.blobs)
    if torch > known:
        raise CheckpointError(
            "has PyTorch names (such as layer1.0.conv1.weight)",
            expected="Caffe2 names (such as res2_0_branch2a_w)",
            remedy="Bring it back first: sslprep convert caffe2.",
        )


def _take(contents: Contents, tower: int, *, need_towers: bool, allow_unknown: bool) -> Source:
    mark = _read_mark(contents.extra.get(MARK))
    stored: dict[str, Stored] = dict(contents.blobs)
    choice = None
    distances: dict[str, dict[str, Any]] = {}
    if towers_of(stored) or (need_towers and "tower" not in mark):
        choice = choose_tower(stored, tower, allow_unknown=allow_unknown)
        distances = tower_distances(_tower_arrays(stored, contents.path), choice)
        fates = choice.fates
        stored = {new: stored[old] for new, old in choice.sources.items()}
    else:
        fates = [_as_is(name) for name in stored]
        refuse_unknown(fates, allow_unknown=allow_unknown)
        if tower != mark.get("tower", 0):
            raise CheckpointError(
                f"has no towers, so no tower {tower} to take",
                remedy="Take it from the original Jigsaw model, or leave --tower out.",
            )
    return Source(
        path=contents.path,
        stored=stored,
        names={t: n for t in stored if (n := parse_caffe2(t)) is not None},
        fates=fates,
        mark=mark,
        choice=choice,
        distances=distances,
    )


def _read_mark(found: object) -> dict[str, Any]:
    """Return what sslprep may have noted in a file, and nothing else that stands there."""
    mark: dict[str, Any] = {}
    if isinstance(found, dict):
        if found.get("absorbed_std") is True:
            mark["absorbed_std"] = True
        if type(found.get("tower")) is int:
            mark["tower"] = found["tower"]
    return mark


def _as_is(name: str) -> Fate:
    if name in BOOKKEEPING or parse_caffe2(name) is not None:
        return kept(name, name)
    return Fate(blob=name, became=name, action="unknown", reason=NO_SUCH_NAME)


def _tower_arrays(stored: Mapping[str, Stored], path: Path) -> dict[str, NDArray[Any]]:
    """Read the norms of all towers: small arrays, a few megabytes together."""
    arrays = {}
    for text, value in stored.items():
        name = parse_caffe2(text)
        if name is None or not name.norm or name.momentum or name.tower is None:
            continue
        if isinstance(value, StoredArray) and len(value.shape) == 1:
            arrays[text] = load(value, path)
    return arrays


def check_model(source: Source, blobs: Mapping[str, NDArray[Any]]) -> Trunk:
    """Check values and shapes of a model; return its trunk.

    Raises:
        CheckpointError: Names the blobs that are wrong, and the file.
    """
    try:
        trunk = find_trunk(blobs)
        check_shapes(blobs, trunk)
        check_values(blobs)
    except CheckpointError as error:
        raise error.at(source.path) from error
    return trunk


def check_whole(
    source: Source,
    blobs: Mapping[str, NDArray[Any]],
    trunk: Trunk,
    *,
    norm_params: Iterable[str] = NORM_PARAMS,
    allow_missing: bool = False,
) -> list[str]:
    """Check that no blob of the network is missing; return those that are, where allowed.

    Raises:
        CheckpointError: Names the blobs and the file.
    """
    missing = missing_blobs(blobs, trunk, norm_params=norm_params)
    try:
        refuse_missing(missing, allow_missing=allow_missing)
    except CheckpointError as error:
        raise error.at(source.path) from error
    return missing


def missing_warnings(source: Source, missing: Sequence[str]) -> list[str]:
    """Return the warning about blobs that are missing with the user's leave."""
    if not missing:
        return []
    return [f"{source.path}: {len(missing)} blobs are missing, the first {missing[0]}"]


def drop_training(source: Source, *, momentum: bool = True) -> list[Fate]:
    """Return the fates of what belongs to the training run, for `then`."""
    fates = []
    for text in source.stored:
        name = source.names.get(text)
        if text in BOOKKEEPING:
            fates.append(dropped(text, BOOKKEEPING_REASON))
        elif momentum and name is not None and name.momentum:
            fates.append(dropped(text, MOMENTUM))
    return fates


def as_float32(blobs: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the blobs as float32, and the names of those that were of another precision."""
    other = [name for name, array in blobs.items() if array.dtype != np.float32]
    return {n: np.asarray(a, dtype=np.float32) for n, a in blobs.items()}, other


def joined(source: Source, later: Iterable[Fate]) -> list[Fate]:
    """Return the whole account: from each blob of the file to what it became."""
    return then(source.fates, list(later))


def precision_warnings(source: Source, other: Sequence[str]) -> list[str]:
    """Return the warning about blobs that were brought to float32."""
    if not other:
        return []
    return [f"{source.path}: {len(other)} blobs were not float32, the first {other[0]}"]
