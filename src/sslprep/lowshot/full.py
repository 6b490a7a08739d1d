"""What found samples were drawn from: the full targets, given or named by a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import SslprepError
from sslprep.files import sha256_of
from sslprep.lowshot.draw import GENERATOR, Draws
from sslprep.lowshot.found import FoundSet
from sslprep.lowshot.multilabel import Candidates, candidates
from sslprep.lowshot.targets import (
    LabelMatrix,
    images_beside,
    read_class_ids,
    read_images,
    read_label_matrix,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Full:
    """The full targets, and how to draw from them again where the manifest tells."""

    path: Path
    matrix: LabelMatrix | None = None
    candidates: Candidates | None = None
    labels: NDArray[np.int64] | None = None
    images: NDArray[np.str_] | None = None
    draws: Draws | None = None


def read_full(
    found: FoundSet, targets_path: Path | None, images_path: Path | None
) -> tuple[Full | None, str]:
    """Read what a set was drawn from: the files given, else those that its manifest names.

    Returns:
        The full targets, or `None` and why they are not at hand.

    Raises:
        SslprepError: A file that was given cannot be read.
    """
    record = found.manifest
    parameters: Mapping[str, object] = record.parameters if record else {}
    given = targets_path is not None
    if not given:
        if record is None:
            return None, "no manifest names the full targets; pass --targets-data-file"
        targets_path = _recorded(found, "targets_data_file")
        images_path = images_path or _recorded(found, "images_data_file")
    if targets_path is None or not targets_path.exists():
        place = parameters.get("targets_data_file")
        return None, f"the full targets {place} are not here; pass --targets-data-file"
    try:
        unchanged = record is not None and _is_recorded(record, targets_path)
        if record is not None and not given and not unchanged:
            return None, f"{targets_path} has changed since; pass --targets-data-file"
        draws = _draws(record) if record is not None and unchanged else None
        if found.multi_label:
            matrix = read_label_matrix(targets_path)
            rows = candidates(matrix.labels)
            return Full(path=targets_path, matrix=matrix, candidates=rows, draws=draws), ""
        labels = read_class_ids(targets_path)
        images_path = images_path or images_beside(targets_path)
        images = None
        if images_path is not None and (given or images_path.exists()):
            images = read_images(images_path, len(labels), targets_path)
    except SslprepError as error:
        if given:
            raise
        return None, str(error)
    return Full(path=targets_path, labels=labels, images=images, draws=draws), ""


def _recorded(found: FoundSet, name: str) -> Path | None:
    """Return an input's path as the manifest has it: from here, or from the samples' folder."""
    value = found.manifest.parameters.get(name) if found.manifest else None
    if not isinstance(value, str):
        return None
    path = Path(value)
    return path if path.exists() else found.folder / path


def _is_recorded(record: manifest.Manifest, path: Path) -> bool:
    wanted = str(record.parameters.get("targets_data_file"))
    for entry in record.inputs:
        if entry.path == wanted:
            same_size = entry.bytes == path.stat().st_size
            return same_size and (entry.sha256 is None or entry.sha256 == sha256_of(path))
    return False


def _draws(record: manifest.Manifest) -> Draws | None:
    nested = record.parameters.get("nested")
    if record.generator != GENERATOR or record.seed is None or not isinstance(nested, bool):
        return None
    return Draws(record.seed, nested=nested)
