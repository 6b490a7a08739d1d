"""`.safetensors` files: a JSON table of names, types, shapes and places, then the raw numbers.

The header is checked in full before anything is made of it, and arrays are views of the mapped
file. Format: https://huggingface.co/docs/safetensors, "Format". The library's own NumPy functions
know no bfloat16 and no float8, and write metadata in another order in every process.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import msgspec
from numpy.typing import NDArray

from sslprep.atomic import OutputSet
from sslprep.checkpoints.arrays import (
    TYPES,
    WRITTEN,
    MappedFile,
    Span,
    StoredArray,
    check_shape,
    refuse,
    shown,
)
from sslprep.checkpoints.pickling import plain_array, raw_bytes

_MAX_HEADER = 16 << 20
_MAX_TENSORS = 50_000
_TYPES = {code: name for name, (_, _, code) in TYPES.items() if code is not None}


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
    """Return the arrays by name, and the file's own metadata."""
    length = struct.unpack_from("<Q", file.bytes)[0]
    if length > _MAX_HEADER:
        refuse(f"a header of {length:,} bytes; at most {_MAX_HEADER:,} are read")
    begin = 8 + length
    metadata: dict[str, str] = {}
    entries: dict[str, _Entry] = {}
    try:
        raw = msgspec.json.decode(file.bytes[8:begin], type=dict[str, msgspec.Raw])
        if len(raw) > _MAX_TENSORS:
            refuse(f"{len(raw):,} tensors; at most {_MAX_TENSORS:,} are read")
        for name, value in raw.items():
            if name == "__metadata__":
                metadata = msgspec.json.decode(value, type=dict[str, str])
            else:
                entries[name] = msgspec.json.decode(value, type=_Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(f"a header that is not one of safetensors ({error})")
    arrays: dict[str, StoredArray] = {}
    expected = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, stop = entry.data_offsets
        if entry.dtype not in _TYPES:
            refuse(f"{shown(name)!r} of the unknown type {shown(entry.dtype, 20)!r}")
        if start != expected or not start <= stop <= file.size - begin:
            refuse(f"{shown(name)!r} at bytes {start:,} to {stop:,}, with a gap or beyond the end")
        expected = stop
        span = Span(file, begin + start, begin + stop, "raw")
        arrays[name] = StoredArray(check_shape(tuple(entry.shape)), _TYPES[entry.dtype], span)
    if expected != file.size - begin:
        refuse("bytes that belong to no tensor")
    return {name: arrays[name] for name in entries}, metadata


def save_safetensors(
    out: OutputSet, name: str, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file."""
    arrays = {key: plain_array(key, array, WRITTEN) for key, array in tensors.items()}
    # The widest type first, so that each begins at a multiple of its size.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    start = 0
    for key, array in ordered:
        code, end = TYPES[array.dtype.name][2], start + array.nbytes
        header[key] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    with out.create(name) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, array in ordered:
            file.write(raw_bytes(array))
