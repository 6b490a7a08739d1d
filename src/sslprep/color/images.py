"""What `--images` means: a list, a folder or tar shards, as numbered chunks of work.

The cut depends on the input alone, so a pass can go on elsewhere, in any order. Nothing here is
in memory as a whole: a hundred million names are read, or walked over, chunk by chunk.
"""

from __future__ import annotations

import collections
import csv
import functools
import glob
import hashlib
import itertools
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.color import remote
from sslprep.errors import ImagesError, ManifestError, MissingExtraError
from sslprep.image_files import is_image_name
from sslprep.input_files import reading, sha256_of
from sslprep.manifest import InputRecord, Inputs, Manifest
from sslprep.npy import read_array
from sslprep.partition import IMAGES

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
CHUNK_IMAGES = 512
"""Images of one chunk: about a second of work; a table of counts comes back for each."""
_ROWS = (".csv", ".jsonl", ".parquet", ".txt")


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Images that one worker takes at a time.

    Attributes:
        number: Which chunk of the pass it is.
        names: Paths or URLs of images; or of one shard.
        span: Bytes of that shard in which the headers of its members lie; `None` for images.
        deadly: Images that are left out, by their place in the chunk, with the reason.
        notes: A file in which the worker notes the place that it is at.
    """

    number: int
    names: tuple[str, ...]
    span: tuple[int, int | None] | None = None
    deadly: dict[int, str] = field(default_factory=dict)
    notes: str | None = None


@dataclass(frozen=True, kw_only=True)
class Images:
    """Where images come from.

    Attributes:
        identity: A text that differs when the images asked for differ.
        layout: How they are cut; an unfinished pass is only good for the same cut.
        total: Number of images, `None` where only the pass will tell.
        chunks: Yields all chunks, the same ones each time; complains if the names changed.
        records: Describes the input for the manifest, complaining if it changed meanwhile.
    """

    identity: str
    layout: str
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
    if remote.is_url(images) or not (images.endswith(IMAGES) or path.suffix in _ROWS):
        return None
    try:
        record = manifest.read(path.with_name(name + MANIFEST_SUFFIX))
    except ManifestError:
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
    url = remote.is_url(images)
    if is_pattern(images):
        return _images_of(functools.partial(_matching, images), images)
    if not url:
        with reading(Path(images), ImagesError):
            os.stat(images)
    if remote.is_folder(images) if url else os.path.isdir(images):
        return _images_of(functools.partial(_under, images), images)
    if is_shard_name(images):
        return _images_of(lambda: iter([images]), images)
    part = partition_of(images)
    if part is not None and root is None:
        record = part[1]
        root = Path(record.details.get("root") or record.parameters.get("relative_to") or "")
    copy = remote.copy_here(images) if url else None  # it goes when nobody holds it any more
    path = Path(images if copy is None else copy.name)
    if copy is None:
        inputs.add_file(path)
    digest = sha256_of(path)

    def entries() -> Iterator[str]:
        for entry in _entries(path, of_partition=part is not None):
            plain = root is None or remote.is_url(entry)
            yield entry if plain else os.path.join(str(root), entry)

    def records() -> list[InputRecord]:
        if copy is None:
            return inputs.records()
        return [InputRecord(path=images, bytes=os.stat(copy.name).st_size, sha256=digest)]

    return _images_of(entries, images, identity=f"{digest} under {root}", records=records)


def _images_of(
    entries: Callable[[], Iterable[str]],
    given: str,
    *,
    identity: str | None = None,
    records: Callable[[], list[InputRecord]] | None = None,
) -> Images:
    """Make chunks of images or of shards, whichever the entries are."""
    digest = None if identity else hashlib.sha256()  # of names, where no file holds them
    kinds: collections.Counter[bool] = collections.Counter()
    for entry in entries():
        if digest is not None:
            digest.update(os.fsencode(entry) + b"\0")
        kinds[is_shard_name(entry)] += 1
    if len(kinds) != 1:
        counted = f"{kinds[False]:,} images and {kinds[True]:,} tar shards"
        raise ImagesError(
            f"holds {counted if kinds else 'no images'}",
            where=given,
            expected="a list of image paths, or a folder with images or tar shards; one kind",
            remedy="Give a list or a pattern of the ones to use." if kinds else None,
        )
    number = kinds.total()
    if records is None:

        def records() -> list[InputRecord]:
            return [InputRecord(path=given, files_used=number)]

    if kinds[True]:
        return _shards(list(entries()), records)

    def chunks() -> Iterator[Chunk]:
        again, rest = hashlib.sha256(), iter(entries())
        for count in itertools.count():
            names = tuple(itertools.islice(rest, CHUNK_IMAGES))
            if not names:
                break
            if digest is not None:
                again.update(b"".join(os.fsencode(name) + b"\0" for name in names))
            yield Chunk(number=count, names=names)
        if digest is not None and again.digest() != digest.digest():
            raise ImagesError(
                "changed while its images were being counted",
                where=given,
                remedy="Run the command again when it is complete; pass --recount.",
            )

    return Images(
        identity=f"images {digest.hexdigest() if digest else identity}",
        layout=f"{CHUNK_IMAGES} a chunk",
        total=number,
        chunks=chunks,
        records=records,
    )


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
            yield from remote.files_like(name, pattern=True)
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
    if words is None:
        width = len(first) if first.startswith("0") else 0
        words = ",".join(f"{n:0{width}d}" for n in range(int(first), int(last) + 1))
    for word in words.split(","):
        yield from expand_braces(text[: found.start()] + word + text[found.end() :])


def _entries(path: Path, *, of_partition: bool) -> Iterator[str]:
    """Yield the paths of a list: `.npy`, csv, JSON lines, Parquet, or one a line."""
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
                    raise ImagesError(
                        f"is no row: {error}", where=f"{path}, line {number}"
                    ) from error
            elif of_partition:  # a label follows, or a list of them
                yield os.fsdecode(re.sub(rb" (\[[-\d, ]*\]|-?\d+)$", b"", line))
            else:
                yield os.fsdecode(line)


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
    except ImportError as error:
        raise MissingExtraError(
            f"{path} needs pyarrow", remedy='Install it: pip install "sslprep[parquet]".'
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        for batch in file.iter_batches(columns=["file_name"]):
            yield from batch.column("file_name").to_pylist()
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise ImagesError(
            f"is no Parquet file with a column file_name ({error})", where=path
        ) from error


def _under(folder: str) -> Iterator[str]:
    """Yield every image and shard under a folder, sorted; each folder once, links too."""
    if remote.is_url(folder):
        names: Iterable[str] = remote.files_like(folder)
    else:
        names = _walk(folder)
    return (name for name in names if is_image_name(name) or is_shard_name(name))


def _walk(folder: str) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()  # a link to a folder above would go round for ever

    def refuse(error: OSError) -> None:
        raise ImagesError(f"cannot read: {error.strerror}", where=error.filename) from error

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
    marks = remote.marks(shards)
    digest = hashlib.sha256(msgspec.json.encode(marks)).hexdigest()
    lone = len(shards) == 1 and shards[0].lower().endswith(".tar") and not remote.is_url(shards[0])

    def chunks() -> Iterator[Chunk]:
        spans: Iterable[tuple[str, tuple[int, int | None]]]
        spans = _cut(shards[0]) if lone else ((shard, (0, None)) for shard in shards)
        for number, (shard, span) in enumerate(spans):
            yield Chunk(number=number, names=(shard,), span=span)

    return Images(
        identity=f"shards {digest}",
        layout=f"a lone one {CHUNK_IMAGES} images a chunk",
        total=None,
        chunks=chunks,
        records=records,
    )


def _cut(shard: str) -> Iterator[tuple[str, tuple[int, int | None]]]:
    begin, images = 0, 0
    try:
        with open(shard, "rb") as file:
            for _, member in members(file):
                if images == CHUNK_IMAGES:
                    yield shard, (begin, member.offset)
                    begin, images = member.offset, 0
                images += is_image_name(member.name)
    except (DamagedTarError, OSError):
        pass  # the worker that gets the rest meets the same place and reports it
    yield shard, (begin, None)


class DamagedTarError(Exception):
    """A shard ends early or holds something that is no header; the text says where."""


def members(
    file: BinaryIO, begin: int = 0, end: int | None = None
) -> Iterator[tuple[Any, tarfile.TarInfo]]:
    """Yield the members of a shard, compressed or not, whose header lies in [begin, end).

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
