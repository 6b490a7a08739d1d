"""The work of one process on one chunk: read, decode, count; and what it hands back."""

from __future__ import annotations

import functools
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sslprep.color import jpeg, remote, tar
from sslprep.color.decoding import MAX_FILE_BYTES, UnreadableError, decode_image, one_thread
from sslprep.color.lab import Counter, Table
from sslprep.color.shards import open_shard
from sslprep.color.sources import Chunk, PathChunk, ShardChunk, is_image_name

_TOGETHER = 32  # files fetched in one request
TRUNCATED = "truncated"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What bears on the counts; `quiet_codecs` only on what is printed."""

    side: int
    fast_decode: bool = False
    strict_decode: bool = False
    quiet_codecs: bool = False


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An image to be listed: its place in the chunk, its name, why, and whether it was counted."""

    index: int
    path: str
    reason: str
    counted: bool


@dataclass(frozen=True, kw_only=True)
class ChunkCounts:
    """Counts of one chunk, sparse: `counts[i]` pixels have the key `cells[i]`."""

    cells: NDArray[np.uint16]
    counts: NDArray[np.int64]
    images: int
    listed: tuple[Listed, ...]

    def add_to(self, table: Table) -> None:
        """Add these counts to an int64 [256, 256] table."""
        table.reshape(-1)[self.cells] += self.counts


Item = tuple[str, bytes | str]
"""Name of an image and its bytes, or the reason why they could not be read."""


def count_chunk(settings: Settings, chunk: Chunk) -> ChunkCounts:
    """Count all images of a chunk; those that cannot be read are listed with the reason."""
    if settings.quiet_codecs:
        _silence_codecs()
    counter = Counter(side=settings.side)
    fast_side = settings.side if settings.fast_decode else None
    listed: list[Listed] = []
    index = -1
    items = _paths(chunk) if isinstance(chunk, PathChunk) else _members(chunk)
    with one_thread():
        for index, (name, content) in enumerate(items):
            try:
                if isinstance(content, str):
                    raise UnreadableError(content)
                whole = not jpeg.is_jpeg(content) or jpeg.is_complete(content)
                if not whole and settings.strict_decode:
                    raise UnreadableError(TRUNCATED)
                counter.add(decode_image(content, fast_side=fast_side))
            except UnreadableError as error:
                listed.append(Listed(index=index, path=name, reason=str(error), counted=False))
                continue
            if not whole:
                listed.append(Listed(index=index, path=name, reason=TRUNCATED, counted=True))
    sums = counter.table().reshape(-1)
    cells = np.flatnonzero(sums)
    return ChunkCounts(
        cells=cells.astype(np.uint16), counts=sums[cells], images=index + 1, listed=tuple(listed)
    )


@functools.cache
def _silence_codecs() -> None:
    """Drop what the codecs print: no file name is in it, and we list each file ourselves.

    Only in a worker process of our own, which has nothing else to say on standard error.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _paths(chunk: PathChunk) -> Iterator[Item]:
    for start in range(0, len(chunk.paths), _TOGETHER):
        paths = chunk.paths[start : start + _TOGETHER]
        urls = [path for path in paths if remote.is_url(path)]
        fetched = remote.read_many(urls) if urls else iter(())
        for path in paths:
            try:
                content = next(fetched) if remote.is_url(path) else read_file(path)
            except UnreadableError as error:
                yield path, str(error)
                continue
            yield path, content if isinstance(content, bytes) else _reason(content)


def read_file(path: str) -> bytes:
    """Read a whole regular file; pipes and devices, which might never end, are refused.

    Raises:
        UnreadableError: With the reason.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise UnreadableError(_reason(error)) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableError(f"larger than {MAX_FILE_BYTES >> 30} GiB")
        data = os.read(handle, status.st_size + 1)
        if len(data) != status.st_size:  # the file is growing, or came in parts
            with open(handle, "rb", buffering=0, closefd=False) as file:
                data += file.read()
        return data
    except OSError as error:
        raise UnreadableError(_reason(error)) from None
    finally:
        os.close(handle)


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot read ({error.strerror})"
    return f"cannot read ({type(error).__name__}: {error})"[:200]


def _members(chunk: ShardChunk) -> Iterator[Item]:
    """Yield the images of a shard as `shard.tar/member`; damage is an entry of its own."""
    try:
        with open_shard(chunk.shard) as file:
            for member in tar.members(file, start=chunk.start, stop=chunk.stop):
                if not is_image_name(member.name) or member.kind == "other":
                    continue
                name = f"{chunk.shard}/{member.name}"
                if member.kind == "link":
                    yield name, "a link within the shard"
                elif member.size > MAX_FILE_BYTES:
                    yield name, f"larger than {MAX_FILE_BYTES >> 30} GiB"
                else:
                    file.seek(member.data)
                    yield name, file.read(member.size)
    except tar.DamagedTarError as error:
        yield chunk.shard, f"damaged shard ({error})"
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        yield chunk.shard, f"damaged shard ({error})"
    except OSError as error:
        yield chunk.shard, _reason(error)
