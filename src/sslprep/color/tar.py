"""Members of a tar shard in order, from any seekable file, starting at any header.

The standard library's `tarfile` ends in silence at a damaged header, and keeps every member in
memory; a shard that lost its second half must not pass for a shorter one. So the walk is our own
and only the header block is parsed by `tarfile`. Nothing is extracted, no link is followed.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK = 512
_MAX_HEADER_BYTES = 1 << 20
_MAX_MEMBER_BYTES = 1 << 50
_LONG_NAME, _LONG_LINK = b"L", b"K"
_PAX, _PAX_GLOBAL = b"x", b"g"
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)


class DamagedTarError(Exception):
    """The shard ends early or holds something that is no header; the text says where."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member: its name, where its headers start, and where its data stand.

    Attributes:
        name: Name in the shard.
        start: Offset of its first header block; a walk may start here.
        data: Offset of its data.
        size: Bytes of data.
        kind: `file`, `link` or `other` (folders, devices).
    """

    name: str
    start: int
    data: int
    size: int
    kind: str


def members(file: BinaryIO, *, start: int = 0, stop: int | None = None) -> Iterator[Member]:
    """Yield the members whose first header lies in [start, stop).

    Between two members the caller may read anywhere in the file.

    Raises:
        DamagedTarError: The walk cannot go on.
    """
    position = start
    while stop is None or position < stop:
        first = position
        name: str | None = None
        size: int | None = None
        while True:
            file.seek(position)
            block = file.read(_BLOCK)
            if not block and position == first and position and _length(file) == position:
                return  # some writers leave out the two blocks of zeros
            if len(block) < _BLOCK:
                raise DamagedTarError(f"ends early, at byte {_length(file):,}")
            if not block.strip(b"\0"):
                if position != first:
                    raise DamagedTarError(f"a member without its header at byte {position:,}")
                return
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise DamagedTarError(f"no tar header at byte {position:,} ({error})") from error
            position += _BLOCK
            if header.type not in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
                break
            if not 0 <= header.size <= _MAX_HEADER_BYTES:
                raise DamagedTarError(f"an impossible header at byte {position - _BLOCK:,}")
            extra = file.read(header.size)
            position += _padded(header.size)
            if header.type == _LONG_NAME:
                name = extra.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif header.type == _PAX:
                for key, value in _pax_records(extra, position):
                    if key == b"path":
                        name = value.decode("utf-8", "surrogateescape")
                    elif key == b"size" and value.isdigit() and len(value) < 20:
                        size = int(value)
        size = header.size if size is None else size
        if not 0 <= size < _MAX_MEMBER_BYTES:
            raise DamagedTarError(f"an impossible size at byte {first:,}")
        link = header.type in _LINKS
        kind = "file" if header.type in _REGULAR else "link" if link else "other"
        yield Member(
            name=header.name if name is None else name,
            start=first,
            data=position,
            size=size,
            kind=kind,
        )
        position += 0 if link else _padded(size)


def _pax_records(data: bytes, position: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the `LENGTH KEY=VALUE` records of a pax header (POSIX.1-2001, `pax`)."""
    while data.strip(b"\0"):
        digits, space, _ = data.partition(b" ")
        length = int(digits) if space and digits.isdigit() and len(digits) < 8 else 0
        key, equals, value = data[len(digits) + 1 : length].partition(b"=")
        if not equals or length > len(data):
            raise DamagedTarError(f"a malformed pax header before byte {position:,}")
        yield key, value.removesuffix(b"\n")
        data = data[length:]


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _length(file: BinaryIO) -> int:
    return file.seek(0, 2)
