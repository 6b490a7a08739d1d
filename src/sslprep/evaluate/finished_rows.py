"""Rows of features that are finished, kept beside the output so that a killed run goes on.

They lie in a hidden folder, a file for each block of rows and each layer, written whole. The
folder belongs to one run as its identity says; those of another are taken away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.errors import SslprepError
from sslprep.npy import read_array, write_array

BLOCK = 256
"""Rows of one file: some seconds to some minutes of work."""


class FinishedRows:
    """The finished rows of a run.

    Args:
        folder: Output folder of the run.
        stem: What the output is named after.
        identity: All that the values depend on.
        layers: The layers.
        total: Number of rows.
        multiple: Batches must not lie in two blocks: a block is a multiple of so many rows.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        identity: Mapping[str, object],
        layers: Sequence[str],
        total: int,
        multiple: int,
    ) -> None:
        digest = hashlib.sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()[:16]
        self._place = folder / f".{stem}_features.unfinished"
        self._run = self._place / digest
        self._layers = list(layers)
        self._total = total
        self.block = multiple * max(1, BLOCK // multiple)
        if self._place.is_dir() and not self._run.is_dir():
            shutil.rmtree(self._place)
        self._run.mkdir(parents=True, exist_ok=True)

    def blocks(self) -> range:
        """Return the first rows of all blocks."""
        return range(0, self._total, self.block)

    def rows_of(self, first: int) -> range:
        """Return the rows of a block."""
        return range(first, min(first + self.block, self._total))

    def unfinished(self) -> list[int]:
        """Return the first rows of blocks that are still to be done."""
        return [first for first in self.blocks() if not all(map(self._whole, self._files(first)))]

    def save(self, first: int, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep a block: a kill leaves it whole or not at all."""
        for layer, file in zip(self._layers, self._files(first), strict=True):
            part = file.with_suffix(".part")
            with open(part, "wb") as out:
                write_array(out, values[layer])
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, file)

    def read(self, layer: str) -> Iterator[NDArray[np.float32]]:
        """Yield the finished rows of a layer, block by block."""
        for first in self.blocks():
            yield read_array(self._files(first)[self._layers.index(layer)], ndim=2, kinds="f")

    def remove(self) -> None:
        """Take them away: the output is written."""
        shutil.rmtree(self._place)

    def _files(self, first: int) -> list[Path]:
        return [self._run / f"{first}_{layer}.npy" for layer in self._layers]

    def _whole(self, file: Path) -> bool:
        try:
            return file.is_file() and bool(len(read_array(file, ndim=2, kinds="f", mmap=True)))
        except SslprepError:
            return False
