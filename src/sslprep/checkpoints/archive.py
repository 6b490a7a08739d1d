"""The directory of a zip archive, read with every number checked against the file.

Only what PyTorch writes is accepted: records stored without compression or encryption, so none
can unfold to more than its place in the file. Format: APPNOTE.TXT of PKWARE, 4.3.
"""

from __future__ import annotations

import struct

from sslprep.checkpoints.arrays import MappedFile
from sslprep.checkpoints.opcodes import refuse

_MAX_RECORDS = 50_000
_MAX_COMMENT = 1 << 16
_END = struct.Struct("<4sHHHHIIH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_UNKNOWN = 0xFFFFFFFF
_ENCRYPTED = 1


def zip_records(file: MappedFile) -> dict[str, tuple[int, int]]:
    """Return first byte and length of each record by its name.

    Raises:
        UnsafeFileError: A damaged directory, a compressed record, or one beyond the file.
    """
    position, stop, count = _directory(file)
    records: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        if position + _ENTRY.size > stop:
            refuse(position, "a zip directory shorter than it says")
        entry = _ENTRY.unpack_from(file.bytes, position)
        (magic, _, _, flags, method, _, _, _, packed, size) = entry[:10]
        name_length, extra_length, comment_length = entry[10:13]
        header = entry[16]
        names = position + _ENTRY.size
        extras = names + name_length
        after = extras + extra_length + comment_length
        if magic != b"PK\x01\x02" or after > stop:
            refuse(position, "a damaged zip directory")
        name = file.bytes[names:extras].decode("utf-8", "replace")
        packed, size, header = _wide(file, extras, extra_length, packed, size, header)
        if method != 0 or packed != size or flags & _ENCRYPTED:
            refuse(position, f"record {name[:60]!r} is compressed or encrypted")
        if name in records:
            refuse(position, f"record {name[:60]!r} a second time")
        records[name] = (_first_byte(file, header, size, position), size)
        position = after
    return records


def _directory(file: MappedFile) -> tuple[int, int, int]:
    """Return start and end of the central directory, and how many records it lists."""
    tail = max(0, file.size - _END.size - _MAX_COMMENT)
    at = file.bytes.rfind(b"PK\x05\x06", tail)
    if at < 0 or at + _END.size > file.size:
        refuse(file.size, "a zip archive without its directory; it is truncated")
    _, _, _, _, count, size, start, _ = _END.unpack_from(file.bytes, at)
    locator = at - _END64_LOCATOR.size
    if locator >= 0 and file.bytes[locator : locator + 4] == b"PK\x06\x07":
        at = _END64_LOCATOR.unpack_from(file.bytes, locator)[2]
        if at + _END64.size > file.size or file.bytes[at : at + 4] != b"PK\x06\x06":
            refuse(locator, "a damaged zip directory")
        count, size, start = _END64.unpack_from(file.bytes, at)[7:10]
    if start + size > file.size or count > _MAX_RECORDS:
        refuse(at, f"a zip directory of {count:,} records in {size:,} bytes")
    return start, start + size, count


def _wide(
    file: MappedFile, position: int, length: int, packed: int, size: int, header: int
) -> tuple[int, int, int]:
    """Return sizes and place from the zip64 field, where the short ones say to look there."""
    stop = position + length
    while position + 4 <= stop:
        kind, width = struct.unpack_from("<HH", file.bytes, position)
        position += 4
        if kind == 1:
            numbers = []
            for value in (size, packed, header):  # in this order, only those that do not fit
                if value == _UNKNOWN:
                    if position + 8 > stop:
                        refuse(position, "a damaged zip directory")
                    value = struct.unpack_from("<Q", file.bytes, position)[0]
                    position += 8
                numbers.append(value)
            return numbers[1], numbers[0], numbers[2]
        position += width
    return packed, size, header


def _first_byte(file: MappedFile, header: int, size: int, position: int) -> int:
    if header + _LOCAL.size > file.size:
        refuse(position, "a record beyond the end of the file")
    local = _LOCAL.unpack_from(file.bytes, header)
    first: int = header + _LOCAL.size + local[9] + local[10]
    if local[0] != b"PK\x03\x04" or first + size > file.size:
        refuse(position, "a record beyond the end of the file")
    return first
