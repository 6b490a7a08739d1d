"""The work of one process on one chunk of images: read, decode, count; and what it hands back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import lzma
import os
import socket
import stat
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sslprep import __version__
from sslprep.color import remote
from sslprep.color.decoding import TRUNCATED, UnreadableError, decode_image, opencv
from sslprep.color.images import Chunk, DamagedTarError, is_shard_name, members
from sslprep.errors import WorkersLostError
from sslprep.executors import Lost, Processes, completed
from sslprep.image_files import is_image_name

MAX_FILE_BYTES = 1 << 30
"""A file above this is no photograph; it is listed, not read into memory."""
GROUPS = 32
"""Random groups that a sample is dealt into; how they differ gives standard errors."""
_TOGETHER = 32  # files fetched in one request
# `calcHist` counts in integers and returns float32, exact up to 2^24 pixels at a time. Buffers
# of this size are used again while they are in the cache.
_BATCH_PIXELS = 8 * 256 * 256


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What bears on the counts; see `color histogram`."""

    side: int = 256
    fast_decode: bool = False
    strict_decode: bool = False
    sample: float | None = None
    seed: int = 0

    @property
    def groups(self) -> int:
        """Number of tables: one, or one for each group of a sample."""
        return 1 if self.sample is None else GROUPS


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of one chunk, sparse, and who counted them with what.

    Attributes:
        cells: Places in the flat [groups, 256, 256] tables.
        pixels: Pixels at each of them.
        images: Images of the chunk; with a sample those drawn.
        listed: Images to be listed: place in the chunk, name, why, whether it was counted.
        versions: Of what bears on the result.
        worker: Host and process.
    """

    cells: NDArray[np.uint32]
    pixels: NDArray[np.int64]
    images: int
    listed: tuple[tuple[int, str, str, bool], ...]
    versions: dict[str, str]
    worker: str


def versions() -> dict[str, str]:
    """Return the versions of what the counts depend on."""
    return {"opencv": opencv().__version__, "sslprep": __version__}


def count_chunk(settings: Settings, chunk: Chunk) -> Counts:
    """Count all images of a chunk; those that cannot be read are listed with the reason."""
    cv2, side = opencv(), settings.side
    tables = np.zeros((settings.groups, 256, 256), np.int64)
    listed: list[tuple[int, str, str, bool]] = []
    small = np.empty((side, side, 3), np.uint8)
    batch = max(1, _BATCH_PIXELS // side**2)
    lab = np.empty((settings.groups, batch, side, side, 3), np.uint8)
    waiting = [0] * settings.groups

    def flush(group: int) -> None:
        rows = lab[group, : waiting[group]].reshape(-1, side, 3)
        if len(rows):
            counts = cv2.calcHist([rows], [1, 2], None, [256, 256], [0, 256, 0, 256])
            tables[group] += counts.astype(np.int64)
        waiting[group] = 0

    shrink_to = side if settings.fast_decode else None
    images = 0
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the cores are taken by processes already
    try:
        for group, name, content in _drawn(settings, chunk):
            images += 1
            try:
                if isinstance(content, str):
                    raise UnreadableError(content)
                picture, whole = decode_image(
                    content, strict=settings.strict_decode, shrink_to=shrink_to
                )
            except UnreadableError as error:
                listed.append((images - 1, name, str(error), False))
                continue
            if not whole:
                listed.append((images - 1, name, TRUNCATED, True))
            cv2.resize(picture, (side, side), dst=small)
            cv2.cvtColor(small, cv2.COLOR_BGR2LAB, dst=lab[group, waiting[group]])
            waiting[group] += 1
            if waiting[group] == batch:
                flush(group)
        for group in range(settings.groups):
            flush(group)
    finally:
        cv2.setNumThreads(threads)
    cells = np.flatnonzero(tables)
    return Counts(
        cells=cells.astype(np.uint32),
        pixels=tables.reshape(-1)[cells],
        images=images,
        listed=tuple(listed),
        versions=versions(),
        worker=f"{socket.gethostname()}, process {os.getpid()}",
    )


def count_watched(settings: Settings, timeout: float, chunk: Chunk) -> Counts:
    """Count a chunk whose worker was lost, in a process of its own that notes where it is.

    An image that ends this process twice is listed and left out. Nothing else can be told of it:
    where memory ran out, the process was killed.
    """
    deaths: Counter[int] = Counter()
    with tempfile.NamedTemporaryFile() as notes, contextlib.closing(Processes(1)) as process:
        while True:
            lost: Lost = []
            watched = dataclasses.replace(chunk, notes=notes.name)
            work = functools.partial(count_chunk, settings)
            for _, counts in completed(work, [watched], process, timeout=timeout, lost=lost):
                return counts
            with open(notes.name, "r+b") as file:
                place = int(file.read() or b"-1")
                file.truncate(0)
            deaths[place] += 1
            if place < 0 and deaths[place] == 3:
                raise WorkersLostError(f"three processes ended before their work ({lost[0][1]})")
            if place >= 0 and deaths[place] == 2:
                reason = f"killed its worker ({lost[0][1]})"
                chunk = dataclasses.replace(chunk, deadly={**chunk.deadly, place: reason})
            timeout *= 2  # it may have been a long shard, not a hang


def _drawn(settings: Settings, chunk: Chunk) -> Iterator[tuple[int, str, bytes | str]]:
    """Yield group, name, and bytes (or why there are none) of every image to be counted.

    Which images a sample takes depends on the seed and their places alone.
    """
    chance = np.random.default_rng([settings.seed, chunk.number])

    def draw() -> int | None:
        if settings.sample is None:
            return 0
        taken, group = chance.random(2)
        return int(group * GROUPS) if taken < settings.sample else None

    with contextlib.ExitStack() as stack:
        notes = None if chunk.notes is None else stack.enter_context(open(chunk.notes, "r+b", 0))

        def note(place: int) -> bool:
            """Note what is read next; tell whether it may be."""
            if notes is not None:
                os.pwrite(notes.fileno(), b"%012d" % place, 0)
            return place not in chunk.deadly

        read = _files if chunk.span is None else _members
        for place, group, name, content in read(chunk, draw, note):
            yield group, name, chunk.deadly.get(place, content)


_Draw = Callable[[], int | None]
_Note = Callable[[int], bool]


def _files(chunk: Chunk, draw: _Draw, note: _Note) -> Iterator[tuple[int, int, str, bytes | str]]:
    drawn = [
        (n, group, name) for n, name in enumerate(chunk.names) if (group := draw()) is not None
    ]
    for start in range(0, len(drawn), _TOGETHER):
        part = drawn[start : start + _TOGETHER]
        urls = [name for n, _, name in part if remote.is_url(name) and note(n)]
        fetched = dict(zip(urls, _fetch(urls), strict=True)) if urls else {}
        for n, group, name in part:
            content: bytes | str = ""
            if note(n):
                content = fetched[name] if name in fetched else read_file(name)
            yield n, group, name, content


def _fetch(urls: list[str]) -> Iterator[bytes | str]:
    """Fetch files from one store or several, each store's at the same time."""
    found: dict[str, bytes | str] = {}
    for _, group in itertools.groupby(sorted(urls), key=lambda url: url.split("/")[:3]):
        names = list(group)
        for name, content in zip(names, remote.read_many(names), strict=True):
            found[name] = content if isinstance(content, bytes) else _reason(content)
    return (found[url] for url in urls)


def read_file(path: str) -> bytes | str:
    """Read a whole regular file, or say why not; pipes and devices might never end."""
    handle = None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return "not a file"
        if status.st_size > MAX_FILE_BYTES:
            return _TOO_LARGE
        data = b""
        while part := os.read(handle, max(status.st_size - len(data), 0) + 1):
            data += part  # mostly all at once
        return data
    except (OSError, ValueError) as error:
        return _reason(error)
    finally:
        if handle is not None:
            os.close(handle)


_TOO_LARGE = f"larger than {MAX_FILE_BYTES >> 30} GiB"


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot read ({error.strerror})"
    return f"cannot read ({type(error).__name__}: {error})"[:200]


def _members(chunk: Chunk, draw: _Draw, note: _Note) -> Iterator[tuple[int, int, str, bytes | str]]:
    """Read the images of a shard, named `shard.tar/member`; damage is an entry of its own."""
    (shard,), place = chunk.names, -1
    begin, end = chunk.span or (0, None)
    try:
        with remote.open_file(shard) as file:
            for archive, member in members(file, begin, end):
                nested = is_shard_name(member.name)
                if not (is_image_name(member.name) or nested) or member.isdir():
                    continue
                place += 1
                group, content = draw(), ""
                if group is None:
                    continue
                if nested:
                    content = "a tar within a tar; unpack the outer one"
                elif not member.isreg():
                    content = "a link within the shard"
                elif member.size > MAX_FILE_BYTES:
                    content = _TOO_LARGE
                elif note(place):
                    yield place, group, f"{shard}/{member.name}", archive.extractfile(member).read()
                    continue
                yield place, group, f"{shard}/{member.name}", content
    except (DamagedTarError, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        yield place + 1, 0, shard, f"damaged shard ({error})"
    except Exception as error:  # noqa: BLE001 - each store and each compression has its own
        yield place + 1, 0, shard, _reason(error)
