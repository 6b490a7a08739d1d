"""The state of a pass over images, on disk too: its tables and which chunks are finished."""

from __future__ import annotations

import array
import contextlib
import logging
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sslprep.color.counting import Counts, versions
from sslprep.color.images import Chunk
from sslprep.errors import OutputError, ParameterError

logger = logging.getLogger(__name__)


class Listed(msgspec.Struct):
    """An image to be listed: its chunk, place there, name, why, and whether it was counted."""

    chunk: int
    place: int
    path: str
    reason: str
    counted: bool


class Pass:
    """A pass under way: its tables, and how many images each finished chunk had.

    All is kept in two files beside the outputs: an archive that is replaced whole, and a journal
    of listed images, of which only the lines of finished chunks count.

    Args:
        folder: Folder of the outputs.
        stem: What their names begin with.
        groups: Number of tables.
        identity: A text that is equal for passes of equal results.
    """

    def __init__(self, folder: Path, stem: str, groups: int = 1, identity: str = "") -> None:
        self.file = folder / f".{stem}.resume.npz"
        self.journal = folder / f".{stem}.resume.jsonl"
        self.identity = identity
        self.tables = np.zeros((groups, 256, 256), np.int64)
        self.images = np.zeros(0, np.int32)  # by chunk; -1 for unfinished ones
        self.unreadable = self.truncated = 0

    @property
    def total(self) -> int:
        """Images of all finished chunks."""
        return int(self.images.clip(0).sum(dtype=np.int64))

    def load(self, *, give_up: bool) -> None:
        """Go on from what is on disk; `give_up` takes away what another input has left.

        Raises:
            OutputError: That is there, and is not to be given up.
        """
        try:
            with open(self.file, "rb") as file, np.load(file) as saved:
                identity, listed = saved["identity"].item(), saved["listed"].item()
                tables, self.images = saved["tables"], saved["images"]
            if identity == self.identity and self._keep_finished() == listed:
                self.tables = tables
                logger.info("going on after %s images", f"{self.total:,}")
                return None
            damaged = identity == self.identity
        except FileNotFoundError:
            return self.remove()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            damaged = True
        if not damaged and not give_up:
            raise OutputError(
                f"an unfinished pass ({self.total:,} images) of another input or other parameters "
                "is here",
                where=self.file,
                remedy="Finish it with its own arguments, choose another --output, or pass "
                "--recount to give it up.",
            )
        what = "is damaged" if damaged else "was of another input or other parameters"
        logger.warning("%s %s; the pass begins anew", self.file, what)
        self.images, self.unreadable, self.truncated = self.images[:0], 0, 0
        return self.remove()

    def _keep_finished(self) -> int:
        """Drop the journal's lines of unfinished chunks; return how many stay."""
        part = self.journal.with_name(f"{self.journal.name}.part")
        with contextlib.suppress(FileNotFoundError), open(self.journal, "rb") as file:
            with open(part, "wb") as kept:
                for line in file:
                    with contextlib.suppress(msgspec.DecodeError):  # a kill may cut the last one
                        entry = msgspec.json.decode(line, type=Listed)
                        if self.has(entry.chunk):
                            kept.write(line)
                            self.truncated += entry.counted
                            self.unreadable += not entry.counted
            os.replace(part, self.journal)
        return self.unreadable + self.truncated

    def has(self, chunk: int) -> bool:
        """Tell whether a chunk is finished."""
        return chunk < len(self.images) and bool(self.images[chunk] >= 0)

    def add(self, chunk: Chunk, counts: Counts) -> None:
        """Take a chunk's counts.

        Raises:
            ParameterError: They were made with other versions than ours.
        """
        for package, there in counts.versions.items():
            if (here := versions()[package]) != there:
                raise ParameterError(
                    f"the worker {counts.worker} has {package} {there}",
                    expected=f"{here}, as here",
                    remedy="Install the same versions on all workers; counts may differ.",
                )
        self.tables.reshape(-1)[counts.cells] += counts.pixels
        if (more := chunk.number + 1 - len(self.images)) > 0:
            self.images = np.append(self.images, np.full(max(more, 1024), -1, np.int32))
        self.images[chunk.number] = counts.images
        if not counts.listed:
            return
        with _writing(self.journal), open(self.journal, "ab") as file:
            for place, name, reason, counted in counts.listed:
                path = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                entry = Listed(chunk.number, place, path, reason, counted)
                file.write(msgspec.json.encode(entry) + b"\n")
                self.truncated += counted
                self.unreadable += not counted
            os.fsync(file.fileno())  # `save` is only as good as its lines

    def save(self) -> None:
        """Write the state to disk, whole or not at all."""
        part = self.file.with_name(f"{self.file.name}.part")
        values: Any = {
            "tables": self.tables,
            "images": self.images,
            "identity": np.array(self.identity),
            "listed": np.array(self.unreadable + self.truncated),
        }
        try:
            with _writing(self.file):
                with open(part, "wb") as out:
                    np.savez_compressed(out, **values)
                    out.flush()
                    os.fsync(out.fileno())
                os.replace(part, self.file)
        finally:
            part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take the files away."""
        self.file.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def listed(self) -> Iterator[tuple[int, Listed]]:
        """Yield the listed images in order, each with its index; only places are in memory."""
        if not self.journal.exists():
            return
        lines = array.array("q")  # chunk, place, where its line begins
        with open(self.journal, "rb") as file:
            begin = 0
            for line in file:
                entry = msgspec.json.decode(line, type=Listed)
                lines.extend((entry.chunk, entry.place, begin))
                begin += len(line)
            order = np.frombuffer(lines, np.int64).reshape(-1, 3)
            first = np.append(0, self.images.clip(0).cumsum(dtype=np.int64))
            for row in np.lexsort((order[:, 1], order[:, 0])).tolist():
                file.seek(int(order[row, 2]))
                entry = msgspec.json.decode(file.readline(), type=Listed)
                yield int(first[entry.chunk]) + entry.place, entry


@contextlib.contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", where=file) from error
