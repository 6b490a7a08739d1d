"""The state of an unfinished pass, on disk beside the outputs: written whole, checked when read.

Chunks come back in order, so what is finished is always a first part of the list: the table, one
number of chunks, and a journal of the listed images that grows at its end. The state belongs to
one input and one set of parameters (its identity).
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from sslprep.color.lab import Table
from sslprep.errors import OutputError

SAVE_EVERY = 30.0
"""Seconds between two saves."""


class ListedImage(msgspec.Struct, kw_only=True):
    """One entry of the list of unreadable images.

    Attributes:
        index: Position in the list, from 0 (in shards: of all images in order).
        path: Its path, URL, or `shard.tar/member`.
        reason: Why: missing, zero bytes, not an image, decode failed, truncated…
        counted: Whether its pixels are in the table all the same (truncated ones).
    """

    index: int
    path: str
    reason: str
    counted: bool


class Progress(msgspec.Struct, kw_only=True):
    """How far a pass is.

    Attributes:
        identity: What is being counted, and how.
        chunks: Finished chunks, the first ones.
        images: Images in them, readable or not.
        unreadable: Those not counted.
        truncated: Those counted though their end is missing.
        journal_bytes: Valid length of the journal.
        done: Whether that is all.
    """

    identity: str
    chunks: int = 0
    images: int = 0
    unreadable: int = 0
    truncated: int = 0
    journal_bytes: int = 0
    done: bool = False


@dataclass
class State:
    """A pass under way: its progress, its table, and the two files that keep them.

    Args:
        file: Where the state is kept.
        journal: Where the listed images are kept, one JSON line each.
        progress: How far it is.
        table: The counts so far, int64 [256, 256].
    """

    file: Path
    journal: Path
    progress: Progress
    table: Table

    @classmethod
    def new(cls, file: Path, journal: Path, identity: str) -> State:
        """Begin a pass; what an earlier one left is taken away."""
        state = cls(file, journal, Progress(identity=identity), np.zeros((256, 256), np.int64))
        state.remove()
        return state

    @classmethod
    def load(cls, file: Path, journal: Path) -> State | None:
        """Return the state on disk, `None` where there is none or it is damaged."""
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
                table = arrays["table"]
                progress = msgspec.json.decode(arrays["progress"].tobytes(), type=Progress)
            if progress.journal_bytes and journal.stat().st_size < progress.journal_bytes:
                return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.DecodeError):
            return None
        if table.shape != (256, 256) or table.dtype != np.int64:
            return None
        if progress.journal_bytes:
            os.truncate(journal, progress.journal_bytes)  # lines after the last save
        else:
            journal.unlink(missing_ok=True)
        return cls(file, journal, progress, table)

    def note(self, images: Iterable[ListedImage]) -> None:
        """Add to the journal."""
        lines = b"".join(msgspec.json.encode(image) + b"\n" for image in images)
        if lines:
            with _disk(self.journal), open(self.journal, "ab") as file:
                file.write(lines)
            self.progress.journal_bytes += len(lines)

    def listed(self) -> Iterator[bytes]:
        """Yield the journal's entries, each a JSON object."""
        if self.progress.journal_bytes:
            with open(self.journal, "rb") as file:
                yield from (line.rstrip(b"\n") for line in file)

    def save(self) -> None:
        """Put the state on disk, whole: a kill leaves the old one or the new one."""
        with _disk(self.file):
            if self.progress.journal_bytes:
                with open(self.journal, "rb") as file:
                    os.fsync(file.fileno())
            part = self.file.with_name(self.file.name + ".part")
            try:
                with open(part, "wb") as out:
                    progress = np.frombuffer(msgspec.json.encode(self.progress), np.uint8)
                    np.savez_compressed(out, table=self.table, progress=progress)
                    out.flush()
                    os.fsync(out.fileno())
                os.replace(part, self.file)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def remove(self) -> None:
        """Take the state away; the pass is finished or given up."""
        with _disk(self.file):
            self.file.unlink(missing_ok=True)
            self.file.with_name(self.file.name + ".part").unlink(missing_ok=True)
            self.journal.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk(where: Path) -> Iterator[None]:
    """Name the file when the operating system refuses."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror}",
            where=where,
            remedy="What was counted before is kept; run the command again to go on.",
        ) from error
