"""What `--data_file` means: a list, a folder or tar shards, cut into chunks of work.

The cut depends on the input alone, never on the number of cores, so a run can be resumed on
another machine. A list is read chunk by chunk and is never in memory as a whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from sslprep.color import remote, tar
from sslprep.color.lists import ArrayList, List, NameList, TextList
from sslprep.color.shards import open_shard
from sslprep.errors import DatasetError, ImagesError
from sslprep.files import reading
from sslprep.manifest import InputRecord, Inputs

_SUFFIXES = ".avif .bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff"
IMAGE_SUFFIXES = frozenset((*_SUFFIXES.split(" "), ".webp"))
SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_CHUNK = 512
"""Images of one chunk: about a second of work; a table of counts comes back for each."""


@dataclass(frozen=True, kw_only=True)
class PathChunk:
    """Images that are files of their own."""

    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShardChunk:
    """The members of a tar shard whose headers lie in [start, stop)."""

    shard: str
    start: int = 0
    stop: int | None = None


Chunk = PathChunk | ShardChunk


class Source(Protocol):
    """Where images come from.

    Attributes:
        total: Number of images, `None` where only the pass will tell.
        identity: A text that differs when the images asked for differ.
        layout: How they are cut; an unfinished pass is only good for the same cut.
    """

    total: int | None
    identity: str
    layout: str

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        """Yield all chunks from number `first` on."""

    def records(self, inputs: Inputs) -> list[InputRecord]:
        """Describe the input for the manifest, complaining if it changed meanwhile."""


def is_image_name(name: str) -> bool:
    """Tell by its name whether a file in a folder or shard is an image; hidden ones are not."""
    base = name.rpartition("/")[2]
    return os.path.splitext(base)[1].lower() in IMAGE_SUFFIXES and not base.startswith(".")


def is_shard_name(name: str) -> bool:
    """Tell by its name whether a file is a tar shard."""
    return name.lower().endswith(SHARD_SUFFIXES)


def chunk_size(total: int) -> int:
    """Return how many images one chunk holds: enough chunks for many cores, none too small.

    Example:
        >>> chunk_size(100), chunk_size(20_000), chunk_size(1_281_167)
        (32, 156, 512)
    """
    return min(MAX_CHUNK, max(32, total // 128))


class Images:
    """Images that are files of their own, from any kind of list."""

    def __init__(self, entries: ArrayList | TextList | NameList) -> None:
        self._entries = entries
        self.total: int | None = entries.total
        self.identity = f"images {entries.identity}"
        self.layout = f"chunks of {chunk_size(entries.total)}"

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        """Yield all chunks from number `first` on."""
        total = self._entries.total
        size = chunk_size(total)
        for start in range(first * size, total, size):
            yield PathChunk(paths=self._entries.part(start, start + size))

    def records(self, inputs: Inputs) -> list[InputRecord]:
        """Describe the input for the manifest."""
        return self._entries.records(inputs)


class Shards:
    """Images in tar shards, in the order of the shards and of their members."""

    def __init__(self, given: str, shards: Sequence[str], listed: List | None = None) -> None:
        self._given = given
        self._shards = shards
        self._listed = listed
        self.total: int | None = None
        marks = []
        for shard in shards:
            if remote.is_url(shard):
                _, size, mark = remote.describe(shard)
            else:
                with reading(Path(shard), ImagesError):
                    status = os.stat(shard)
                size, mark = status.st_size, str(status.st_mtime_ns)
            marks.append((shard, size, mark))
        digest = hashlib.sha256(msgspec.json.encode(marks)).hexdigest()
        self.identity = f"shards {digest}"
        self.layout = f"shards cut at {MAX_CHUNK}"

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        """Yield all chunks from number `first` on."""
        for number, chunk in enumerate(c for shard in self._shards for c in _cut(shard)):
            if number >= first:
                yield chunk

    def records(self, inputs: Inputs) -> list[InputRecord]:
        """Describe the input for the manifest; the many bytes of shards are not hashed."""
        if self._listed is not None:
            return self._listed.records(inputs)
        return [InputRecord(path=self._given, files_used=len(self._shards))]


def _cut(shard: str) -> Iterator[ShardChunk]:
    """Cut a plain local shard at its members; others are read front to back by one worker."""
    if remote.is_url(shard) or not shard.lower().endswith(".tar"):
        yield ShardChunk(shard=shard)
        return
    begin, images = 0, 0
    try:
        with open_shard(shard) as file:
            for member in tar.members(file):
                if images == MAX_CHUNK:
                    yield ShardChunk(shard=shard, start=begin, stop=member.start)
                    begin, images = member.start, 0
                images += is_image_name(member.name)
    except (tar.DamagedTarError, OSError):
        pass  # the worker that gets the rest meets the same place and reports it
    yield ShardChunk(shard=shard, start=begin)


def open_source(data_file: str, inputs: Inputs) -> Source:
    """Find out what `data_file` is.

    Args:
        data_file: A `.npy` list of paths, a text file of paths, a folder, or a tar shard; a path
            or a URL. A list or folder of tar shards stands for their images.
        inputs: Where a list is noted for the manifest.

    Raises:
        ImagesError: No such thing, or no image in it.
        DatasetError: A folder that cannot be read.
    """
    source = _open(data_file, inputs)
    if source.total == 0:
        raise ImagesError(
            "holds no images",
            where=data_file,
            expected="a list of image paths, or a folder with images or tar shards",
        )
    return source


def _open(data_file: str, inputs: Inputs) -> Source:
    url = remote.is_url(data_file)
    if url:
        is_folder = remote.describe(data_file)[0]
    else:
        with reading(Path(data_file), ImagesError):
            is_folder = Path(data_file).is_dir() if Path(data_file).exists() else False
            os.stat(data_file)
    if is_folder:
        names = remote.files_under(data_file) if url else list(_walk(data_file))
        images = [name for name in names if is_image_name(name)]
        shards = [name for name in names if is_shard_name(name)]
        if images and shards:
            raise ImagesError(
                f"holds {len(images)} image files and {len(shards)} tar shards",
                where=data_file,
                expected="one kind",
                remedy="Give a list of the ones to use.",
            )
        if shards:
            return Shards(data_file, shards)
        return Images(NameList(data_file, images))
    if is_shard_name(data_file):
        return Shards(data_file, [data_file])
    entries = _open_list(data_file, inputs)
    if entries.total and is_shard_name(entries.part(0, 1)[0]):
        listed = entries.part(0, entries.total)
        if others := [entry for entry in listed if not is_shard_name(entry)]:
            raise ImagesError(
                f"lists tar shards and also {others[0]!r}", where=data_file, expected="one kind"
            )
        return Shards(data_file, listed, entries)
    return Images(entries)


def _open_list(data_file: str, inputs: Inputs) -> ArrayList | TextList:
    kind = ArrayList if data_file.endswith(".npy") else TextList
    if not remote.is_url(data_file):
        inputs.add_file(Path(data_file))
        return kind(Path(data_file))
    copy = remote.copy_here(data_file)
    entries = kind(Path(copy.name))
    entries.given, entries.copy = data_file, copy
    return entries


def _walk(folder: str) -> Iterator[str]:
    """Yield every file under a folder, folder by folder, sorted; each folder once, links too."""

    def refuse(error: OSError) -> None:
        raise DatasetError(f"cannot read: {error.strerror}", where=error.filename) from error

    seen: set[tuple[int, int]] = set()  # a link to a folder above would go round for ever
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (os.path.join(place, name) for name in sorted(names))
