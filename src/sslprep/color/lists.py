"""Lists of image paths: a `.npy` array, a text file, or the names found in a folder.

The first two are read part by part and are never in memory as a whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from sslprep.errors import ImagesError
from sslprep.files import read_array_header, reading, sha256_of
from sslprep.manifest import InputRecord, Inputs


class List:
    """What both kinds of list share: where they came from when they came from a URL."""

    total: int
    identity: str
    given: str | None = None
    copy: IO[bytes] | None = None  # kept open, since it vanishes when closed

    def records(self, inputs: Inputs) -> list[InputRecord]:
        """Describe the list for the manifest."""
        if self.given is None or self.copy is None:
            return inputs.records()
        size = os.fstat(self.copy.fileno()).st_size
        return [InputRecord(path=self.given, bytes=size, sha256=self.identity)]


class ArrayList(List):
    """A `.npy` list of paths, as section `data` writes them; read chunk by chunk."""

    def __init__(self, path: Path) -> None:
        with reading(path, ImagesError), open(path, "rb") as file:
            self._dtype, shape, _, self._offset = read_array_header(file, path)
        if self._dtype.kind not in "US" or len(shape) != 1:
            raise ImagesError(
                f"got {self._dtype} of shape {shape}",
                where=path,
                expected="a list of paths: strings, one axis",
            )
        self._path = path
        self.total = shape[0]
        self.identity = sha256_of(path)

    def part(self, start: int, stop: int) -> tuple[str, ...]:
        """Return entries [start, stop)."""
        count = min(stop, self.total) - start
        offset = self._offset + start * self._dtype.itemsize
        with reading(self._path, ImagesError):
            array = np.fromfile(self._path, self._dtype, count, offset=offset)
        entries = array.tolist()
        return tuple(e if isinstance(e, str) else os.fsdecode(e) for e in entries)


class TextList(List):
    """A text file with one path per line; only the place of every 32nd is kept in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.total = 0
        self._places: list[int] = []
        digest = hashlib.sha256()
        position = 0
        with reading(path, ImagesError), open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if b"\0" in line:
                    raise ImagesError(
                        "not a text file",
                        where=f"{path}, line {number}",
                        expected="a .npy list, a text file with one path per line, a folder, "
                        "or tar shards",
                    )
                digest.update(line)
                if _entry(line):
                    if self.total % _STRIDE == 0:
                        self._places.append(position)
                    self.total += 1
                position += len(line)
        self.identity = digest.hexdigest()

    def part(self, start: int, stop: int) -> tuple[str, ...]:
        """Return entries [start, stop)."""
        stop = min(stop, self.total)
        entries: list[str] = []
        skip = start % _STRIDE
        with reading(self._path, ImagesError), open(self._path, "rb") as file:
            file.seek(self._places[start // _STRIDE])
            for line in file:
                if len(entries) == skip + stop - start:
                    break
                if entry := _entry(line):
                    entries.append(entry)
        return tuple(entries[skip:])


_STRIDE = 32


def _entry(line: bytes) -> str:
    return os.fsdecode(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"))


class NameList:
    """The images of a folder, local or at a URL."""

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self._names = names
        self._folder = folder
        self.total = len(names)
        digest = hashlib.sha256()
        for name in names:
            digest.update(os.fsencode(name) + b"\0")
        self.identity = digest.hexdigest()

    def part(self, start: int, stop: int) -> tuple[str, ...]:
        """Return entries [start, stop)."""
        return tuple(self._names[start:stop])

    def records(self, inputs: Inputs) -> list[InputRecord]:
        """Describe the folder for the manifest."""
        return [*inputs.records(), InputRecord(path=self._folder, files_used=self.total)]
