"""What `--images` means: a list, a folder or tar shards, as numbered chunks of work.

The cut depends on the input alone, so a pass can go on elsewhere, in any order. No names are in
memory as a whole: a hundred million are read, or walked over, chunk by chunk.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import functools
import glob
import hashlib
import itertools
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.color import remote
from sslprep.errors import ImagesError, ManifestError, MissingExtraError
from sslprep.image_files import is_image_name
from sslprep.input_files import reading
from sslprep.manifest import InputRecord, Inputs, Manifest
from sslprep.npy import read_array
from sslprep.partition import IMAGES

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
CHUNK_IMAGES = 512
"""Images of one chunk: about a second of work; a table of counts comes back for each."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Images that one worker takes at a time.

    Attributes:
        number: Which chunk of the pass it is.
        names: Paths or URLs of images; or of one shard.
        span: Bytes of that shard in which the headers of its members lie; `None` for images.
    """

    number: int
    names: tuple[str, ...]
    span: tuple[int, int | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Images:
    """Where images come from.

    Attributes:
        identity: A text that differs when the images asked for, or their chunks, differ.
        total: Number of images, `None` where only the pass will tell.
        chunks: Yields all chunks, the same ones each time; complains if the names changed.
        records: Describes the input for the manifest, complaining if it changed meanwhile.
    """

    identity: str
    total: int | None
    chunks: Callable[[], Iterator[Chunk]]
    records: Callable[[], list[InputRecord]]


def is_shard_name(name: str) -> bool:
    """Tell by its name whether a file is a tar shard."""
    return name.lower().endswith(SHARD_SUFFIXES)


def partition_of(images: str) -> tuple[str, Manifest] | None:
    """Return name and manifest of the partition that a list belongs to, if it is of one."""
    path = Path(images)
    name = path.name.removesuffix(IMAGES) if path.name.endswith(IMAGES) else path.stem
    try:
        record = manifest.read(path.with_name(name + MANIFEST_SUFFIX))
    except (ManifestError, ValueError):  # none, or a name that no file can have
        return None
    listed = any(output.file == path.name for output in record.outputs)
    return (name, record) if record.kind == "partition" and listed else None


def open_images(images: str, root: Path | None, inputs: Inputs) -> Images:
    """Find out what `images` is; see `color histogram`.

    Args:
        images: Path, URL or pattern.
        root: Folder that relative entries of a list start from.
        inputs: Where a list is noted for the manifest.

    Raises:
        ImagesError: No such thing, no image in it, or images and shards mixed.
        MissingExtraError: fsspec or pyarrow is needed and not installed.
    """
    if is_pattern(images):
        return _images_of(functools.partial(_matching, images), images)
    if remote.is_folder(images):
        return _images_of(functools.partial(_under, images), images)
    if is_shard_name(images):
        return _images_of(lambda: [images], images)
    name, record = partition_of(images) or (None, None)
    start = str(root or "")
    if record is not None and root is None:
        start = record.details.get("root") or record.parameters.get("relative_to") or ""
    copy = remote.copy_here(images) if remote.is_url(images) else None  # goes with `records`
    path = Path(images if copy is None else copy.name)
    inputs.add_file(path)

    def entries() -> Iterator[str]:
        for entry in _entries(path, labelled=name is not None):
            plain = not start or remote.is_url(entry)
            yield entry if plain else os.path.join(start, entry)

    def records() -> list[InputRecord]:
        found = inputs.records()
        found[-1].path = str(path) if copy is None else images
        return found

    return _images_of(entries, images, records)


def _images_of(
    entries: Callable[[], Iterable[str]],
    given: str,
    records: Callable[[], list[InputRecord]] | None = None,
) -> Images:
    """Make chunks of images or of shards, whichever the entries are."""

    def hashed(digest: Any) -> Iterator[str]:
        for entry in entries():
            digest.update(os.fsencode(entry) + b"\0")
            yield entry

    before = hashlib.sha256(b"%d\0" % CHUNK_IMAGES)
    kinds = collections.Counter(map(is_shard_name, hashed(before)))
    if len(kinds) != 1:
        raise ImagesError(
            f"holds {kinds[False]:,} images and {kinds[True]:,} tar shards",
            where=given,
            expected="a list of image paths, or a folder with images or tar shards; one kind",
        )
    number = kinds.total()
    records = records or (lambda: [InputRecord(path=given, files_used=number)])
    if kinds[True]:
        return _shards(list(entries()), records)

    def chunks() -> Iterator[Chunk]:
        now = hashlib.sha256(b"%d\0" % CHUNK_IMAGES)
        rest = hashed(now)
        for count in itertools.count():
            if not (names := tuple(itertools.islice(rest, CHUNK_IMAGES))):
                break
            yield Chunk(number=count, names=names)
        if now.digest() != before.digest():
            raise ImagesError(
                "changed while its images were being counted",
                where=given,
                remedy="Run the command again when it is complete; pass --recount.",
            )

    identity = f"images {before.hexdigest()}"
    return Images(identity=identity, total=number, chunks=chunks, records=records)


def is_pattern(images: str) -> bool:
    """Tell whether there is no such file, but wildcards or braces that may stand for some.

    Example:
        >>> is_pattern("set-{000..146}.tar"), is_pattern("s3://b/*.tar"), is_pattern("set.tar")
        (True, True, False)
    """
    return bool(re.search(r"[*?\[{]", images)) and not os.path.exists(images)


def _matching(pattern: str) -> Iterator[str]:
    """Yield what a pattern stands for: braces in their order, then wildcards, sorted."""
    for name in expand_braces(pattern):
        if not re.search(r"[*?\[]", name):
            yield name
        elif remote.is_url(name):
            yield from remote.matching(name)
        else:
            yield from sorted(glob.iglob(name, recursive=True))


def expand_braces(text: str) -> Iterator[str]:
    """Expand `{000..146}` and `{a,b}` as shells and WebDataset do.

    Example:
        >>> list(expand_braces("{a,b}-{08..10}.tar"))[:4]
        ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar']
    """
    found = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", text)
    if found is None:
        yield text
        return
    first, last, words = found.groups()
    numbers = range(int(first), int(last) + 1) if first else ()
    for word in words.split(",") if words else (f"{n:0{len(first)}d}" for n in numbers):
        yield from expand_braces(text[: found.start()] + word + text[found.end() :])


def _entries(path: Path, *, labelled: bool) -> Iterator[str]:
    """Yield the paths of a list: `.npy`, csv, JSON lines, Parquet, or one a line.

    In a partition's text file a label follows each path.
    """
    if path.suffix == ".npy":
        array = read_array(path, ndim=1, kinds="US", mmap=True)
        for start in range(0, len(array), CHUNK_IMAGES):
            yield from map(os.fsdecode, array[start : start + CHUNK_IMAGES].tolist())
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.suffix == ".csv":
        with reading(path, ImagesError), open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if "file_name" not in (rows.fieldnames or ()):
                raise ImagesError("has no column file_name", where=f"{path}, line 1")
            yield from (row["file_name"] for row in rows if row["file_name"])
    else:
        for number, line in _lines(path):
            if path.suffix == ".jsonl":
                try:
                    yield msgspec.json.decode(line, type=_Row).file_name
                except msgspec.DecodeError as error:
                    where = f"{path}, line {number}"
                    raise ImagesError(f"is no row: {error}", where=where) from error
            else:
                yield os.fsdecode(re.sub(_LABEL, b"", line) if labelled else line)


_LABEL = rb" (\[[-\d, ]*\]|-?\d+)$"


class _Row(msgspec.Struct):
    file_name: str


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with reading(path, ImagesError), open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if b"\0" in line:
                raise ImagesError(
                    "not a text file",
                    where=f"{path}, line {number}",
                    expected="a list of image paths, a folder, or tar shards",
                )
            if entry := line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"):
                yield number, entry


def _parquet(path: Path) -> Iterator[str]:
    try:
        import pyarrow.parquet

        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(columns=["file_name"]):
            yield from batch.column("file_name").to_pylist()
    except ImportError as error:
        raise MissingExtraError(
            f"{path} needs pyarrow", remedy="Install it: pip install pyarrow."
        ) from error
    except (OSError, KeyError, ValueError) as error:  # pyarrow's own are of these too
        raise ImagesError(
            f"no Parquet file with a column file_name: {error}", where=path
        ) from error


def _under(folder: str) -> Iterator[str]:
    """Yield every image and shard under a folder, sorted; each folder once, links too."""
    names = remote.walk(folder) if remote.is_url(folder) else _walk(folder)
    return (name for name in names if is_image_name(name) or is_shard_name(name))


def _walk(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise ImagesError(f"cannot read: {error.strerror}", where=error.filename) from error

    seen: set[tuple[int, int]] = set()  # a link to a folder above would go round for ever
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (os.path.join(place, name) for name in sorted(names))


def _shards(shards: list[str], records: Callable[[], list[InputRecord]]) -> Images:
    """Images in tar shards: a chunk each, walked by its worker; a lone plain one is cut."""
    digest = hashlib.sha256(msgspec.json.encode((CHUNK_IMAGES, remote.marks(shards)))).hexdigest()
    lone = len(shards) == 1 and shards[0].lower().endswith(".tar") and not remote.is_url(shards[0])

    def chunks() -> Iterator[Chunk]:
        cuts = _cut(shards[0]) if lone else ((0, None) for _ in shards)
        names = itertools.repeat(shards[0]) if lone else shards
        for number, (span, name) in enumerate(zip(cuts, names, strict=False)):
            yield Chunk(number=number, names=(name,), span=span)

    return Images(identity=f"shards {digest}", total=None, chunks=chunks, records=records)


def _cut(shard: str) -> Iterator[tuple[int, int | None]]:
    begin, images = 0, 0
    with contextlib.suppress(DamagedTarError, OSError), open(shard, "rb") as file:
        for _, member in members(file):
            if images == CHUNK_IMAGES:
                yield begin, member.offset
                begin, images = member.offset, 0
            images += is_image_name(member.name)
    yield begin, None  # where it is damaged, the worker that gets the rest reports it


class DamagedTarError(Exception):
    """A shard ends early or holds something that is no header; the text says where."""


def members(
    file: BinaryIO, begin: int = 0, end: int | None = None
) -> Iterator[tuple[Any, tarfile.TarInfo]]:
    """Yield archive and member for all whose header lies in [begin, end), compressed or not.

    Nothing is extracted, no link is followed.

    Raises:
        DamagedTarError: The walk cannot go on.
    """
    file.seek(begin)
    try:
        archive: Any = tarfile.open(  # noqa: SIM115 - the file is the caller's
            fileobj=file, encoding="utf-8", errors="surrogateescape"
        )
    except tarfile.ReadError as error:
        raise DamagedTarError(f"no tar header at byte {begin:,}") from error
    try:
        while (member := archive.next()) and (end is None or member.offset < end):
            if member.size < 0:
                raise DamagedTarError(f"an impossible size at byte {member.offset:,}")
            yield archive, member
            archive.members.clear()  # else every member stays in memory
        if member is None:
            # tarfile ends in silence at a block that is no header: look at what it met.
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise DamagedTarError(f"no tar header at byte {archive.offset:,}")
    except (tarfile.TarError, ValueError, OverflowError, MemoryError) as error:
        raise DamagedTarError(f"{error} at byte {archive.offset:,}") from error
