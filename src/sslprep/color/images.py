"""What `--images` means: a list, a folder or tar shards, as numbered chunks of work.

The cut depends on the input alone, so a pass can go on elsewhere, in any order. No names are in
memory as a whole: a hundred million are read, or walked over, chunk by chunk.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import functools
import hashlib
import itertools
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import ImagesError, ManifestError, MissingExtraError, SslprepError
from sslprep.image_files import is_image_name, is_junk
from sslprep.input_files import reading, sha256_of, what_it_is
from sslprep.manifest import Inputs, Manifest
from sslprep.npy import read_array
from sslprep.partition import IMAGES

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
RETRIES = (1.0, 5.0, 20.0)
"""Seconds to wait before a file that could not be had is asked for again."""
_LIST = "A pattern is not read; let the shell list: printf '%s\\n' set-{000..146}.tar > list.txt."
_SETTLED = (bytes, FileNotFoundError, IsADirectoryError, PermissionError)
CHUNK_IMAGES = 512
"""Images of one chunk: about a second of work; a table of counts comes back for each."""


class Chunk(NamedTuple):
    """A part of a pass, which one worker takes at a time: paths or URLs of images, or a shard.

    The headers of a shard's members lie in those bytes of it that `span` says.
    """

    number: int
    names: tuple[str, ...]
    span: tuple[int, int | None] | None = None


class Images:
    """Images in files, or in tar `shards`, cut into chunks; `total` is the number of files.

    The text `identity` differs when the images asked for, or their chunks, differ.
    """

    def __init__(self, given: str, entries: Callable[[], Iterable[str]]) -> None:
        self._given, self._entries = given, entries
        digest, kinds = hashlib.sha256(), collections.Counter[bool]()
        for part in self._parts(digest):
            kinds.update(map(is_shard, part))
        if len(kinds) != 1:
            raise ImagesError(
                f"holds {kinds[False]:,} images and {kinds[True]:,} tar shards",
                where=given,
                expected="a list of image paths, or a folder with images or tar shards; one kind",
            )
        self._digest, self.total, self.shards = digest.digest(), kinds.total(), kinds[True] > 0
        shards = entries() if self.shards else ()
        with ThreadPoolExecutor(32) as threads:  # a store answers in 50 ms, but to many at once
            marks = [mark for _, mark in threads.map(look_at, shards)]
        self.identity = f"{digest.hexdigest()}, {CHUNK_IMAGES}, {marks}"

    def _parts(self, digest: Any) -> Iterator[tuple[str, ...]]:
        rest = iter(self._entries())
        while part := tuple(itertools.islice(rest, CHUNK_IMAGES)):
            digest.update(os.fsencode("\0".join((*part, ""))))
            yield part

    def chunks(self) -> Iterator[Chunk]:
        """Yield all chunks, the same ones each time; complain at the end if the names changed."""
        digest, count = hashlib.sha256(), itertools.count()
        for part in self._parts(digest):
            if not self.shards:
                yield Chunk(number=next(count), names=part)
            for shard in part if self.shards else ():
                for span in _cut(shard) if self.total == 1 else [(0, None)]:
                    yield Chunk(number=next(count), names=(shard,), span=span)
        if digest.digest() != self._digest:
            raise ImagesError(
                "changed while its images were being counted",
                where=self._given,
                remedy="Run the command again when it is complete; pass --recount.",
            )


def is_shard(name: str) -> bool:
    """Tell by its name whether a file is a tar shard."""
    return _without_query(name).lower().endswith(SHARD_SUFFIXES)


def is_wanted(name: str) -> bool:
    """Tell by its name whether a file among others is an image or a shard; hidden ones are none."""
    hidden = name.rpartition("/")[2].startswith(".")
    return is_image_name(name) or (is_shard(name) and not hidden)


def partition_of(images: str) -> tuple[str, Manifest | None]:
    """Return name and manifest of the partition that a list is of: its .npy, or as written."""
    path, record = Path(images), None
    ours = path.name.endswith(IMAGES)
    name = path.name.removesuffix(IMAGES) if ours else path.stem
    own = path.parent / (name + MANIFEST_SUFFIX)
    with contextlib.suppress(*([] if ours else [ManifestError])):  # it may be of other programs
        record = manifest.read(own) if os.path.lexists(own) else None
    if record and record.kind == "partition":
        digest = {output.file: output.sha256 for output in record.outputs}.get(path.name)
        with reading(path, ImagesError):
            if digest and (path.suffix == ".npy" or digest == sha256_of(path)):
                return name, record
    return "train", None


def open_images(
    images: str, root: str | None, inputs: Inputs, name: str = "", partition: Manifest | None = None
) -> Images:
    """Find out what `images` (of a partition, if any) and `root` mean; a list goes to `inputs`."""
    if look_at(images)[0]:
        return Images(images, lambda: filter(is_wanted, walk(images)))
    if is_shard(images):
        return Images(images, lambda: [images])
    path = Path(images)
    if is_url(images):
        path = Path(tempfile.mkdtemp(), os.path.basename(_without_query(images)) or "list")
        atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
        with _asking(images):
            system, place = _file_system(images)
            system.get_file(place, path)
    start: Any = root
    if partition:
        path = path.with_name(name + IMAGES)  # which all its formats list
        start = root or partition.details.get("root") or partition.parameters.get("relative_to")
        if start and not isinstance(start, str):
            own = path.with_name(name + MANIFEST_SUFFIX)
            raise ManifestError(
                f"says that images lie in {start}", where=own, remedy="Pass --root."
            )
    elif path.suffix in (".csv", ".jsonl", ".parquet"):
        raise ImagesError(
            "is a table that no finished partition of sslprep lists as it is",
            where=images,
            expected="a list of paths: .npy, or text with one a line",
            remedy="Write its column of paths to a text file.",
        )
    inputs.add_file(path)

    def entries() -> Iterator[str]:
        for name in _array(path) if path.suffix == ".npy" else _lines(path, images):
            yield name if not start or is_url(name) else os.path.join(start, name)

    return Images(images, entries)


def _cut(shard: str) -> Iterator[tuple[int, int | None]]:
    """Cut a lone shard, if it is plain and local, so that many can work on it."""
    begin, images = 0, 0
    if shard.lower().endswith(".tar") and not is_url(shard):
        with contextlib.suppress(tarfile.ReadError, OSError), open_file(shard) as file:
            for archive, member in members(file):
                if archive.fileobj is not file:
                    break  # compressed under a plain name
                if images == CHUNK_IMAGES:
                    yield begin, member.offset
                    begin, images = member.offset, 0
                images += is_image_name(member.name)
    yield begin, None  # the worker of the rest reports where it is damaged


def _array(path: Path) -> Iterator[str]:
    array = read_array(path, ndim=1, kinds="US", mmap=True)
    for start in range(0, len(array), CHUNK_IMAGES):
        part = array[start : start + CHUNK_IMAGES].tolist()
        yield from part if array.dtype.kind == "U" else map(os.fsdecode, part)


def _lines(path: Path, given: str) -> Iterator[str]:
    expected = "a list of paths, a folder, or tar shards"
    with reading(path, ImagesError), open(path, "rb") as file:
        if found := what_it_is(file.peek(64)[:64] or b"-"):
            raise ImagesError(f"is {found[0]}", where=given, expected=expected, remedy=found[1])
        for number, line in enumerate(file, 1):
            if b"\0" in line:
                where = f"{given}, line {number}"
                raise ImagesError("not a text file", where=where, expected=expected)
            if entry := line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"):
                yield os.fsdecode(entry)


def members(
    file: BinaryIO, begin: int = 0, end: int | None = None
) -> Iterator[tuple[Any, tarfile.TarInfo]]:
    """Yield archive and member for all whose header lies in [begin, end), compressed or not.

    Nothing is extracted, no link is followed. A walk that cannot go on is a `tarfile.ReadError`,
    which says where.
    """
    file.seek(begin)
    try:
        archive: Any = tarfile.open(  # noqa: SIM115 - the file is the caller's
            fileobj=file, encoding="utf-8", errors="surrogateescape"
        )
    except tarfile.ReadError as error:
        raise tarfile.ReadError(f"no tar header at byte {begin:,}") from error
    try:
        while (member := archive.next()) and (end is None or member.offset < end):
            if member.size < 0:
                raise ValueError("an impossible size")
            yield archive, member
            archive.members.clear()  # else every member stays in memory
        # tarfile ends in silence at a block that is no header, and at the first of several ends.
        archive.fileobj.seek(archive.offset)
        rest = iter(functools.partial(archive.fileobj.read, tarfile.BLOCKSIZE), b"")
        for number, block in enumerate(() if member else rest):
            if block.strip(b"\0"):
                raise ValueError("more follows its end" if number else "no tar header")
    except (tarfile.TarError, ValueError, OverflowError, MemoryError) as error:
        raise tarfile.ReadError(f"{error} at byte {archive.offset:,}") from error


def is_url(path: str) -> bool:
    """Tell a URL from a path."""
    return "://" in path


def _without_query(path: str) -> str:
    return path.partition("?")[0] if is_url(path) else path  # a signed URL has one


@contextlib.contextmanager
def _asking(path: str) -> Iterator[None]:
    """Say in one line what a store's own error says: no credentials, no such bucket."""
    try:
        yield
    except SslprepError:
        raise
    except FileNotFoundError as error:
        wild = re.search(r"[*?\[{]", _without_query(path))
        # fsspec says the same of a file that is missing and of a server that does not answer.
        said = f" ({error.__cause__!s:.200})" if error.__cause__ else ""
        raise ImagesError(
            f"no such file{said}", where=path, remedy=_LIST if wild else "Check the path."
        ) from error
    except ImportError as error:  # fsspec itself, or what reads this kind of URL
        raise MissingExtraError(
            f"{path} cannot be opened: {error}",
            remedy="Install what reads it: pip install fsspec, for gs:// also gcsfs.",
        ) from error
    except Exception as error:
        said = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
        raise ImagesError(
            f"cannot read: {said or type(error).__name__:.200}",
            where=path,
            remedy="Check the URL and your credentials." if is_url(path) else None,
        ) from error


def _file_system(url: str) -> tuple[Any, str]:
    with _asking(url):
        import fsspec.core

        return cast(tuple[Any, str], fsspec.core.url_to_fs(url))


def open_file(path: str) -> BinaryIO:
    """Open a path or URL for reading, with seek."""
    if not is_url(path):
        if os.path.exists(path) and not os.path.isfile(path):
            raise IsADirectoryError("a pipe or a device, which might never end")
        return open(path, "rb")
    system, name = _file_system(path)
    return cast(BinaryIO, system.open(name, "rb"))


def look_at(path: str) -> tuple[bool, str]:
    """Tell whether it is a folder, and return a text that changes when the file does."""
    with _asking(path):
        if not is_url(path):
            status = os.stat(path)
            return stat.S_ISDIR(status.st_mode), f"{status.st_size}, {status.st_mtime_ns}"
        system, name = _file_system(path)
        info = system.info(name)
        return info["type"] == "directory", str(info)


def walk(folder: str) -> Iterator[str]:
    """Yield all files under a folder, those of each sorted; links too, each folder once, no junk.

    One folder's names are in memory at a time. (fsspec's own `walk` leaves out in silence what it
    cannot list, and its `find` holds all names.)
    """
    folders, seen = [folder], set()  # a link to a folder above would go round for ever
    while folders:
        place = folders.pop()
        if (real := os.path.realpath(place)) in seen:
            continue
        seen.add(real)
        with _asking(place):
            if is_url(place):
                system, path = _file_system(place)
                entries = {x["name"].rstrip("/"): x["type"] for x in system.ls(path, detail=True)}
                system.invalidate_cache(path)
                found = {system.unstrip_protocol(x): entries[x] == "directory" for x in entries}
            else:
                with os.scandir(place) as here:
                    found = {
                        x.path: (os.path.isdir(x) if x.is_symlink() else x.is_dir()) for x in here
                    }
        yield from sorted(name for name in found if not found[name])
        below = (name for name in found if found[name] and not is_junk(os.path.basename(name)))
        folders += sorted(below, reverse=True)


def read_many(urls: Iterable[str]) -> dict[str, bytes | Exception]:
    """Return the bytes of each URL, or the error that it gave; all of one store at a time.

    Those that fail are asked for again some times, but for errors that will not pass.
    """
    found: dict[str, bytes | Exception] = {}
    stores: dict[Any, dict[str, str]] = {}
    for url in urls:
        try:
            system, path = _file_system(url)
            stores.setdefault(system, {})[url] = path
        except ImagesError as error:
            found[url] = error
    for system, paths in stores.items():
        for seconds in (0.0, *RETRIES):
            todo = [url for url in paths if not isinstance(found.get(url), _SETTLED)]
            if not todo:
                break
            time.sleep(seconds)
            try:
                names = [paths[url] for url in todo]
                part = system.cat_ranges(names, None, None, on_error="return")
                found |= zip(todo, part, strict=True)
            except Exception as error:  # noqa: BLE001 - each store has its own
                found |= dict.fromkeys(todo, error)
    return found
