"""What `--images` means: a list, a folder or tar shards, as numbered chunks of work.

The cut depends on the input alone, so a pass can go on elsewhere, in any order. No names are in
memory as a whole: a hundred million are read, or walked over, chunk by chunk.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import itertools
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.color import remote
from sslprep.errors import ImagesError, ManifestError
from sslprep.image_files import is_image_name
from sslprep.input_files import reading, sha256_of
from sslprep.manifest import Inputs, Manifest
from sslprep.npy import read_array
from sslprep.partition import IMAGES

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
CHUNK_IMAGES = 512
"""Images of one chunk: about a second of work; a table of counts comes back for each."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The `number`th part of a pass, which one worker takes at a time.

    `names` are paths or URLs of images; with `span` of one shard, in those bytes of which the
    headers of the members lie.
    """

    number: int
    names: tuple[str, ...]
    span: tuple[int, int | None] | None = None


class Images:
    """Images in files or in tar shards, cut into chunks.

    Attributes:
        identity: A text that differs when the images asked for, or their chunks, differ.
        shards: Whether they are in shards.
        total: Number of files, images or shards.
    """

    def __init__(self, given: str, entries: Callable[[], Iterable[str]]) -> None:
        self._given, self._entries = given, entries
        digest, kinds = hashlib.sha256(), collections.Counter[bool]()
        for part in self._parts(digest):
            kinds.update(map(is_shard_name, part))
        if len(kinds) != 1:
            raise ImagesError(
                f"holds {kinds[False]:,} images and {kinds[True]:,} tar shards",
                where=given,
                expected="a list of image paths, or a folder with images or tar shards; one kind",
            )
        self._digest, self.total, self.shards = digest.digest(), kinds.total(), kinds[True] > 0
        marks = remote.marks(entries()) if self.shards else []
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


def is_shard_name(name: str) -> bool:
    """Tell by its name whether a file is a tar shard."""
    return name.lower().endswith(SHARD_SUFFIXES)


def is_wanted(name: str) -> bool:
    """Tell by its name whether a file among others is an image or a shard; hidden ones are none."""
    hidden = name.rpartition("/")[2].startswith(".")
    return is_image_name(name) or (is_shard_name(name) and not hidden)


def partition_of(images: str) -> tuple[str, Manifest] | None:
    """Return name and manifest of the partition that a list is of: its .npy, or as written."""
    path = Path(images)
    name = path.name.removesuffix(IMAGES) if path.name.endswith(IMAGES) else path.stem
    with contextlib.suppress(ManifestError, OSError, ValueError):  # or no name of a file at all
        record = manifest.read(path.with_name(name + MANIFEST_SUFFIX))
        digests = {output.file: output.sha256 for output in record.outputs}
        ours = record.kind == "partition" and path.name in digests
        if ours and (path.suffix == ".npy" or digests[path.name] == sha256_of(path)):
            return name, record
    return None


def open_images(
    images: str,
    root: Path | None,
    inputs: Inputs,
    partition: tuple[str, Manifest] | None = None,
) -> Images:
    """Find out what `images` (of a partition, if any) and `root` mean; a list goes to `inputs`."""
    if remote.is_folder(images):
        return Images(images, lambda: filter(is_wanted, remote.walk(images)))
    if is_shard_name(images):
        return Images(images, lambda: [images])
    path = remote.copy_here(images) if remote.is_url(images) else Path(images)
    start = str(root or "")
    if partition:
        name, record = partition
        path = path.with_name(name + IMAGES)  # which all its formats list
        start = start or record.details.get("root") or record.parameters.get("relative_to") or ""
    elif path.suffix in (".csv", ".jsonl", ".parquet"):
        raise ImagesError(
            "is a table that no finished partition of sslprep lists as it is",
            where=images,
            expected="a list of paths: .npy, or text with one a line",
            remedy="Write its column of paths to a text file.",
        )
    inputs.add_file(path)

    def entries() -> Iterator[str]:
        for name in _array(path) if path.suffix == ".npy" else _lines(path):
            yield name if not start or remote.is_url(name) else os.path.join(start, name)

    return Images(images, entries)


def _cut(shard: str) -> Iterator[tuple[int, int | None]]:
    """Cut a lone shard, if it is plain and local, so that many can work on it."""
    begin, images = 0, 0
    if shard.lower().endswith(".tar") and not remote.is_url(shard):
        with contextlib.suppress(DamagedTarError, OSError), open(shard, "rb") as file:
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


def _lines(path: Path) -> Iterator[str]:
    with reading(path, ImagesError), open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if b"\0" in line:
                raise ImagesError(
                    "not a text file",
                    where=f"{path}, line {number}",
                    expected="a list of image paths, a folder, or tar shards",
                )
            if entry := line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"):
                yield os.fsdecode(entry)


class DamagedTarError(Exception):
    """A shard ends early or holds something that is no header; the text says where."""


def members(
    file: BinaryIO, begin: int = 0, end: int | None = None
) -> Iterator[tuple[Any, tarfile.TarInfo]]:
    """Yield archive and member for all whose header lies in [begin, end), compressed or not.

    Nothing is extracted, no link is followed. A walk that cannot go on is a `DamagedTarError`.
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
        # tarfile ends in silence at a block that is no header, and at the first of several ends.
        archive.fileobj.seek(at := archive.offset)
        while member is None and (block := archive.fileobj.read(tarfile.BLOCKSIZE)):
            if block.strip(b"\0"):
                what = "no tar header" if at == archive.offset else "more follows its end,"
                raise DamagedTarError(f"{what} at byte {at:,}")
            at += len(block)
    except (tarfile.TarError, ValueError, OverflowError, MemoryError) as error:
        raise DamagedTarError(f"{error} at byte {archive.offset:,}") from error
