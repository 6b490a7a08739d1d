"""The state of a pass over images, on disk too: its tables and which chunks are finished."""

from __future__ import annotations

import itertools
import logging
import os
import zlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.color.counting import Counts, Listed, versions
from sslprep.errors import OutputError, ParameterError

logger = logging.getLogger(__name__)


class _Saved(msgspec.Struct):
    identity: str
    images: dict[int, int]
    listed: list[Listed]
    tables: bytes


class Pass:
    """A pass under way, of `groups` tables, kept in one file that is replaced whole.

    It lies in the outputs' folder, under the `stem` of their names. Passes of the same `identity`
    have the same results.
    """

    def __init__(self, folder: Path, stem: str, groups: int = 1, identity: str = "") -> None:
        self.file = folder / f".{stem}.resume.json"
        self.identity = identity
        self.tables: NDArray[np.int64] = np.zeros((groups, 256, 256), np.int64)
        self.images: dict[int, int] = {}  # of each finished chunk
        self.listed: list[Listed] = []

    @property
    def total(self) -> int:
        """Images of all finished chunks."""
        return sum(self.images.values())

    def load(self, *, give_up: bool) -> None:
        """Go on from what is on disk; what another input has left is refused, or given up."""
        try:
            saved = msgspec.json.decode(self.file.read_bytes(), type=_Saved)
            tables = np.frombuffer(zlib.decompress(saved.tables), np.int64)
            if saved.identity == self.identity:
                self.tables = tables.reshape(self.tables.shape).copy()
                self.images, self.listed = saved.images, saved.listed
                logger.info("going on after %s images", f"{self.total:,}")
                return
        except FileNotFoundError:
            return
        except (OSError, ValueError, zlib.error, msgspec.DecodeError):
            what = "is damaged"
        else:
            what = "is of another input or other parameters"
            if not give_up:
                raise OutputError(
                    f"an unfinished pass ({sum(saved.images.values()):,} images) of another input "
                    "or other parameters is here",
                    where=self.file,
                    remedy="Finish it with its own arguments, choose another --output, or pass "
                    "--recount to give it up.",
                )
        logger.warning("%s %s; the pass begins anew", self.file, what)
        self.remove()

    def add(self, chunk: int, counts: Counts) -> None:
        """Take a chunk's counts, if they were made with our versions."""
        ours = versions()
        for package, there in counts.versions.items():
            if (here := ours[package]) != there:
                raise ParameterError(
                    f"the worker {counts.worker} has {package} {there}",
                    expected=f"{here}, as here",
                    remedy="Install the same versions on all workers; counts may differ.",
                )
        self.tables.reshape(-1)[counts.cells] += counts.pixels
        self.images[chunk] = counts.images
        self.listed += counts.listed

    def save(self) -> None:
        """Write the state to disk, whole or not at all."""
        tables = zlib.compress(self.tables.tobytes(), 1)
        saved = _Saved(self.identity, self.images, self.listed, tables)
        part = self.file.with_name(f"{self.file.name}.part")
        try:
            with open(part, "wb") as file:
                file.write(msgspec.json.encode(saved))
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.file)
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror}", where=self.file) from error
        finally:
            part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take the file away."""
        self.file.unlink(missing_ok=True)

    def entries(self) -> list[dict[str, object]]:
        """Return the listed images in order, each with its index among all images."""
        chunks = sorted(self.images)
        before = itertools.accumulate((self.images[chunk] for chunk in chunks), initial=0)
        first = dict(zip(chunks, before, strict=False))
        return [
            {"index": first[x.chunk] + x.place, "path": x.path, "reason": x.reason}
            | {"counted": x.counted}
            for x in sorted(self.listed)
        ]
