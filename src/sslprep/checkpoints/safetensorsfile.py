"""`.safetensors` files: a JSON table of names, types, shapes and places, then the raw numbers.

The header is checked in full before anything is made of it, and arrays are views of the mapped
file. Format: https://huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import struct

import msgspec

from sslprep.checkpoints.arrays import DTYPES, MappedFile, Span, StoredArray, check_shape
from sslprep.checkpoints.opcodes import refuse

_MAX_HEADER = 16 << 20
_MAX_TENSORS = 50_000
_CODES = {
    "F64": "f8", "F32": "f4", "F16": "f2",
    "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1",
    "BOOL": "b1",
}  # fmt: skip


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def looks_like_safetensors(file: MappedFile) -> bool:
    """Whether a file begins as safetensors files do: a length, then a JSON object."""
    if file.size < 10:
        return False
    length = struct.unpack_from("<Q", file.bytes)[0]
    return bool(2 <= length <= file.size - 8 and file.bytes[8:9] == b"{")


def read_safetensors(file: MappedFile) -> tuple[dict[str, StoredArray], dict[str, str]]:
    """Return the arrays by name, and the file's own metadata.

    Raises:
        UnsafeFileError: A header that is not one, or that does not fit the file.
    """
    length = struct.unpack_from("<Q", file.bytes)[0]
    if length > _MAX_HEADER:
        refuse(0, f"a header of {length:,} bytes; at most {_MAX_HEADER:,} are read")
    begin = 8 + length
    metadata: dict[str, str] = {}
    entries: dict[str, _Entry] = {}
    try:
        raw = msgspec.json.decode(file.bytes[8:begin], type=dict[str, msgspec.Raw])
        if len(raw) > _MAX_TENSORS:
            refuse(8, f"{len(raw):,} tensors; at most {_MAX_TENSORS:,} are read")
        for name, value in raw.items():
            if name == "__metadata__":
                metadata = msgspec.json.decode(value, type=dict[str, str])
            else:
                entries[name] = msgspec.json.decode(value, type=_Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(8, f"a header that is not one of safetensors ({error})")
    arrays: dict[str, StoredArray] = {}
    expected = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, stop = entry.data_offsets
        if entry.dtype not in _CODES:
            refuse(8, f"{name[:60]!r} of type {entry.dtype[:20]!r}, which NumPy does not have")
        if start != expected or not start <= stop <= file.size - begin:
            refuse(8, f"{name[:60]!r} at bytes {start:,} to {stop:,}, with a gap or beyond the end")
        expected = stop
        shape = check_shape(tuple(entry.shape), 8)
        span = Span(file, begin + start, begin + stop, "raw")
        dtype = DTYPES[_CODES[entry.dtype]].newbyteorder("<")
        arrays[name] = StoredArray(8, shape, dtype, span)
    if expected != file.size - begin:
        refuse(begin + expected, "bytes that belong to no tensor")
    return {name: arrays[name] for name in entries}, metadata
