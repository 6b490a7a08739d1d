"""The work of one process on one chunk of images: read, decode, count; and what it hands back."""

from __future__ import annotations

import functools
import itertools
import lzma
import os
import socket
import tarfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep import __version__
from sslprep.color import images
from sslprep.color.decoding import TRUNCATED, UnreadableError, decode_image, opencv
from sslprep.color.images import Chunk, is_shard, is_url, is_wanted, members, open_file, read_many
from sslprep.errors import WorkersLostError
from sslprep.executors import Loss, Processes, completed, working_on

MAX_FILE_BYTES = 1 << 30
"""A file above this is no photograph; it is listed, not read into memory."""
_UNREAD = "cannot read"
_TOO_LARGE = f"larger than {MAX_FILE_BYTES >> 30} GiB"
GROUPS = 32
"""Random groups that a sample is dealt into; how they differ gives standard errors."""
_BINS = [256, 256], [0, 256, 0, 256]
_Deadly = Mapping[int, str] | None
_Draws = Iterator[tuple[int | None, str | None]]
_Read = Iterator[tuple[int, str, bytes | str]]
"""Group, name, and bytes (or why there are none) of every image to be counted."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What bears on the counts; see `color histogram`."""

    global_resize_img: int = 256
    fast_decode: bool = False
    strict_decode: bool = False
    sample: float | None = None
    seed: int = 0

    @property
    def groups(self) -> int:
        """Number of tables: one, or one for each group of a sample."""
        return GROUPS if self.sample else 1


class Listed(msgspec.Struct, order=True):
    """An image to be listed: its chunk, place there, name, why, and whether it was counted."""

    chunk: int
    place: int
    path: str
    reason: str
    counted: bool = False


class Counts(NamedTuple):
    """Counts of one chunk: `pixels` in `cells`, places in the flat [groups, 256, 256] tables.

    `images` is how many it has (with a sample: drawn), `listed` those of them to be listed,
    `worker` the host and process that counted, with `versions` of what bears on the result.
    """

    cells: NDArray[np.uint32]
    pixels: NDArray[np.int64]
    images: int
    listed: list[Listed]
    versions: dict[str, str]
    worker: str


def versions() -> dict[str, str]:
    """Return the versions of what the counts depend on."""
    return {"opencv": opencv().__version__, "sslprep": __version__}


def count_chunk(
    settings: Settings,
    chunk: Chunk,
    tell_every: float = 60.0,
    deadly: _Deadly = None,
) -> Counts:
    """Count all images of a chunk; those that cannot be read are listed with the reason.

    It tells every so many seconds where it is; with 0 before each image, and each is fetched alone.
    Those at places of `deadly` are left out, with that reason; a shard at a URL is tried again.
    """
    for seconds in images.RETRIES:
        counts = _count(settings, chunk, tell_every, deadly)
        remote = chunk.span and is_url(chunk.names[0]) and counts.listed
        if not (remote and counts.listed[-1].reason.startswith(_UNREAD)):
            return counts
        time.sleep(seconds)
    return _count(settings, chunk, tell_every, deadly)


def _count(settings: Settings, chunk: Chunk, tell_every: float, deadly: _Deadly) -> Counts:
    cv2, side = opencv(), settings.global_resize_img
    tables = np.zeros((settings.groups, 256, 256), np.int64)
    counted = np.zeros(tables.shape, np.float32)  # where `calcHist` counts,
    batch = (1 << 24) // side**2  # exactly up to 2^24 pixels
    small, lab = np.empty((2, side, side, 3), np.uint8)
    listed: list[Listed] = []
    draws = _draws(settings, chunk, tell_every, deadly)
    together = 32 if tell_every and any(map(is_url, chunk.names)) else 1
    read = _members(chunk, draws) if chunk.span else _files(chunk, draws, together)
    strict, shrink_to = settings.strict_decode, side if settings.fast_decode else None
    place = -1
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the cores are taken by processes already
    try:
        for place, (group, name, content) in enumerate(read):
            if place % batch == 0:
                tables += counted.astype(np.int64)
                counted[:] = 0
            try:
                if isinstance(content, str):
                    raise UnreadableError(content)
                picture, whole = decode_image(content, strict=strict, shrink_to=shrink_to)
            except UnreadableError as error:
                listed.append(Listed(chunk.number, place, name, str(error)))
                continue
            if not whole:
                listed.append(Listed(chunk.number, place, name, TRUNCATED, counted=True))
            cv2.resize(picture, (side, side), dst=small)
            cv2.cvtColor(small, cv2.COLOR_BGR2LAB, dst=lab)
            cv2.calcHist([lab], [1, 2], None, *_BINS, hist=counted[group], accumulate=True)
    finally:
        cv2.setNumThreads(threads)
    for entry in listed:
        entry.path = os.fsencode(entry.path).decode("utf-8", "backslashreplace")
    tables += counted.astype(np.int64)
    cells = np.flatnonzero(tables)
    pixels, worker = tables.reshape(-1)[cells], f"{socket.gethostname()}, process {os.getpid()}"
    return Counts(cells.astype(np.uint32), pixels, place + 1, listed, versions(), worker)


def count_watched(settings: Settings, timeout: float, process: Processes, loss: Loss) -> Counts:
    """Count a chunk whose worker was lost, in one `process` that tells of each image it begins.

    An image that ends this process twice is listed and left out. Nothing else can be told of it:
    where memory ran out, the process was killed.
    """
    deaths: Counter[int | None] = Counter()
    deadly: dict[int, str] = {}
    lost = [loss]
    while True:
        work = functools.partial(count_chunk, settings, tell_every=0, deadly=deadly)
        for _, counts in completed(work, [loss.chunk], process, timeout=timeout, lost=lost):
            return counts
        _, how, place = lost[-1]
        deaths[place] += 1
        if deaths[place] == 3:  # it is not the image
            name = loss.chunk.names[0 if loss.chunk.span else place or 0]
            raise WorkersLostError(f"three processes ended at {name}, or behind it ({how})")
        if place is not None and deaths[place] == 2:
            deadly[place] = f"killed its worker ({how})"


def _draws(settings: Settings, chunk: Chunk, tell_every: float, deadly: _Deadly) -> _Draws:
    """Yield the group of each image, `None` where a sample leaves it out, and why it is deadly."""
    chance = np.random.default_rng([settings.seed, chunk.number])
    told = time.monotonic()
    for place in itertools.count():
        taken, group = chance.random(2) if settings.sample else (0.0, 0.0)
        drawn = taken < (settings.sample or 1)
        if time.monotonic() - told >= tell_every:
            working_on(place)
            told = time.monotonic()
        yield int(group * GROUPS) if drawn else None, (deadly or {}).get(place)


def _files(chunk: Chunk, draws: _Draws, together: int) -> _Read:
    named = zip(chunk.names, draws, strict=False)
    drawn = ((name, group, why) for name, (group, why) in named if group is not None)
    while part := list(itertools.islice(drawn, together)):
        fetched = read_many(name for name, _, why in part if is_url(name) and not why)
        for name, group, why in part:
            content = why or (fetched[name] if name in fetched else read_file(name))
            yield group, name, _reason(content) if isinstance(content, Exception) else content


def _members(chunk: Chunk, draws: _Draws) -> _Read:
    """Read the images of a shard, named `shard.tar/member`; damage is an entry of its own."""
    (shard,) = chunk.names
    try:
        with open_file(shard) as file:
            for archive, member in members(file, *(chunk.span or ())):
                if member.isdir() or not is_wanted(member.name):
                    continue
                group, why = next(draws)
                if group is None:
                    continue
                if is_shard(member.name):
                    content = "a tar within a tar; unpack the outer one"
                elif not member.isreg():
                    content = "a link within the shard"
                elif member.size > MAX_FILE_BYTES:
                    content = _TOO_LARGE
                else:
                    content = why or archive.extractfile(member).read()
                yield group, f"{shard}/{member.name}", content
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        yield 0, shard, f"damaged shard ({error})"
    except Exception as error:  # noqa: BLE001 - each store and each compression has its own
        yield 0, shard, _reason(error)


def read_file(path: str) -> bytes | str:
    """Read a whole regular file, or say why not."""
    try:
        with open_file(path) as file:
            return _TOO_LARGE if os.path.getsize(path) > MAX_FILE_BYTES else file.read()
    except (OSError, ValueError, MemoryError) as error:
        return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing"
    if isinstance(error, IsADirectoryError):
        return "not a file"
    said = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{_UNREAD} ({said:.180})"
