"""Rows of features that are finished, kept beside the output so that a killed run goes on.

They lie in a hidden folder, a file for each batch and each layer, written whole. The folder
belongs to one run as its identity says; those of another are taken away.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.atomic import replacing
from sslprep.errors import ArrayError
from sslprep.npy import read_array, write_array


class FinishedRows:
    """The finished batches of a run.

    Args:
        folder: Output folder of the run.
        stem: What the output is named after.
        identity: All that the values depend on; its `layers` among them.
        firsts: The first rows of all batches.
    """

    def __init__(self, folder: Path, stem: str, identity: dict[str, object], firsts: range) -> None:
        digest = hashlib.sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()[:16]
        self._place = folder / f".{stem}_features.unfinished"
        self._run = self._place / digest
        self._firsts = firsts
        if self._place.is_dir() and not self._run.is_dir():
            shutil.rmtree(self._place)
        self._run.mkdir(parents=True, exist_ok=True)

    def unfinished(self, layers: list[str], images: list[str]) -> list[int]:
        """Return the first rows of batches that are to be done, or have images that changed since.

        `images` are the paths of all rows.
        """
        todo = []
        for first in self._firsts:
            made = min(self._made(first, layer) for layer in layers)
            if not made or made < _changed(images[first : first + self._firsts.step]):
                todo.append(first)
        return todo

    def save(self, first: int, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep a batch: a kill leaves each of its files whole or not at all."""
        for layer, rows in values.items():
            with replacing(self._file(first, layer)) as out:
                write_array(out, rows)

    def read(self, layer: str) -> Iterator[NDArray[np.float32]]:
        """Yield the finished rows of a layer, batch by batch."""
        for first in self._firsts:
            yield read_array(self._file(first, layer), ndim=2, kinds="f")

    def remove(self) -> None:
        """Take them away: the output is written."""
        shutil.rmtree(self._place)

    def _file(self, first: int, layer: str) -> Path:
        return self._run / f"{first}_{layer}.npy"

    def _made(self, first: int, layer: str) -> float:
        """Return when the rows of a batch were written; 0 if they were not."""
        try:
            read_array(file := self._file(first, layer), ndim=2, kinds="f", mmap=True)
        except ArrayError:
            return 0
        return file.stat().st_mtime


def _changed(images: list[str]) -> float:
    """Return when one of some images was last replaced, written or renamed."""
    try:
        return max(os.stat(image).st_ctime for image in images)
    except (OSError, ValueError):
        return math.inf  # its reader will say what is wrong
