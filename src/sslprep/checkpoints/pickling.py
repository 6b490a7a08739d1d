"""Write a pickle as Python 2 and NumPy 1 wrote it: protocol 2 and raw byte strings.

Python 3's own `pickle` in protocol 2 writes an array's bytes as text, half of them two bytes
long: files 1.5 times as large as the weights, with a copy in memory of each form. This one
writes the bytes themselves, straight from the array, under the old name
`numpy.core.multiarray`, so that Python 2 and 3 (`encoding="latin1"`), NumPy 1 and 2 read them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.arrays import DTYPES, MappedFile, Span, StoredArray
from sslprep.checkpoints.unpickle import read_pickle
from sslprep.errors import CheckpointError, OutputError
from sslprep.files import OutputSet, reading

_CHUNK = 4 << 20
_LONGEST_STRING = (1 << 31) - 1
_MAX_DEPTH = 32


class _Writer:
    """Opcodes are collected and written before each array, whose bytes go straight to the file."""

    def __init__(self, write: Callable[[Any], object]) -> None:
        self._write = write
        self._pending = bytearray(b"\x80\x02")
        self._memo: dict[str, int] = {}

    def dump(self, value: Any) -> None:
        self._value(value, 0)
        self._pending += b"."
        self._write(self._pending)

    def _value(self, value: Any, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise CheckpointError(f"a value nested deeper than {_MAX_DEPTH} cannot be written")
        out = self._pending
        match value:
            case None:
                out += b"N"
            case True:
                out += b"\x88"
            case False:
                out += b"\x89"
            case np.generic():
                self._value(value.item(), depth)
            case int():
                out += _integer(value)
            case float():
                out += b"G" + struct.pack(">d", value)
            case str() | bytes():
                out += _string(value)
            case np.ndarray():
                self._array(value)
            case dict():
                out += b"}("
                for key, item in value.items():
                    self._value(key, depth + 1)
                    self._value(item, depth + 1)
                out += b"u"
            case list() | tuple():
                out += b"("
                for item in value:
                    self._value(item, depth + 1)
                out += b"l" if isinstance(value, list) else b"t"
            case _:
                kind = type(value).__name__
                raise CheckpointError(f"a value of type {kind} has no place in a checkpoint")

    def _array(self, array: NDArray[Any]) -> None:
        if array.dtype.str[1:] not in DTYPES:
            raise CheckpointError(f"an array of type {array.dtype} has no place in a checkpoint")
        if array.nbytes > _LONGEST_STRING:
            raise CheckpointError(
                f"an array of {array.nbytes:,} bytes",
                expected=f"at most {_LONGEST_STRING:,}, the longest string of pickle protocol 2",
            )
        out = self._pending
        self._once("_reconstruct", b"cnumpy.core.multiarray\n_reconstruct\n")
        self._once("ndarray", b"cnumpy\nndarray\n")
        # _reconstruct(ndarray, (0,), "b"), then the state (1, shape, dtype, is Fortran, data).
        out += b"K\x00\x85U\x01b\x87R(K\x01("
        for length in array.shape:
            out += _integer(length)
        out += b"t"
        self._once(array.dtype.str, _dtype(array.dtype))
        out += b"\x89"
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        out += _string_header(data.size)
        self._write(out)
        out.clear()
        for start in range(0, data.size, _CHUNK):
            self._write(data[start : start + _CHUNK].data)
        out += b"tb"

    def _once(self, name: str, definition: bytes) -> None:
        """Write something the first time, and after that where the reader's memo has it."""
        index = self._memo.get(name)
        if index is None:
            index = self._memo[name] = len(self._memo)
            self._pending += definition + bytes((ord("q"), index))
        else:
            self._pending += bytes((ord("h"), index))


def _dtype(dtype: np.dtype[Any]) -> bytes:
    """Return `dtype(code, align=False, copy=True)` and its state, with the byte order in it."""
    order, code = dtype.str[0], dtype.str[1:]
    state = b"(K\x03" + _string(order) + b"NNN" + _integer(-1) * 2 + b"K\x00t"
    return b"cnumpy\ndtype\n" + _string(code) + b"\x89\x88\x87R" + state + b"b"


def _integer(value: int) -> bytes:
    if 0 <= value < 1 << 8:
        return struct.pack("<cB", b"K", value)
    if -(1 << 31) <= value < 1 << 31:
        return struct.pack("<ci", b"J", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(raw) > 16:
        raise CheckpointError("an integer of more than 128 bits has no place in a checkpoint")
    return struct.pack("<cB", b"\x8a", len(raw)) + raw


def _string(value: str | bytes) -> bytes:
    """Return a byte string: `str` to Python 2, and to Python 3 with `encoding="latin1"`."""
    if isinstance(value, str):
        if not value.isascii():
            raw = value.encode("utf-8", "surrogatepass")
            return struct.pack("<cI", b"X", len(raw)) + raw
        value = value.encode("ascii")
    return _string_header(len(value)) + value


def _string_header(length: int) -> bytes:
    return struct.pack("<cB", b"U", length) if length < 256 else struct.pack("<ci", b"T", length)


def write_pickle(file: BinaryIO, value: Any) -> None:
    """Write one pickle of dicts, lists, tuples, numbers, strings and arrays of plain numbers.

    Arrays that are views (transposed, flipped, strided) are made contiguous one at a time.

    Args:
        file: Anything with `write`.
        value: What to write. `bytes` and ASCII `str` alike become byte strings.

    Raises:
        CheckpointError: A value of another kind, or an array of 2 GiB and more.

    Example:
        >>> import io, pickle
        >>> file = io.BytesIO()
        >>> write_pickle(file, {"blobs": {"conv1_w": np.ones((2, 3), np.float32)}})
        >>> pickle.loads(file.getvalue(), encoding="latin1")["blobs"]["conv1_w"].shape
        (2, 3)
    """
    _Writer(file.write).dump(value)


def save_pickle(out: OutputSet, name: str, value: dict[str, Any]) -> None:
    """Write one file of an output set as a pickle, and read it back before it gets its name.

    Raises:
        CheckpointError: See `write_pickle`; the file is named.
        OutputError: The file read back is not what was written.
    """
    try:
        with out.create(name) as file:
            write_pickle(file, value)
    except CheckpointError as error:
        raise error.at(out.folder / name) from error
    compare_written(out.part(name), value, name=str(out.folder / name))


def compare_written(path: Path, value: Any, *, name: str | None = None) -> None:
    """Read a pickle with the safe reader and compare it with what should be in it, bit for bit.

    Args:
        path: The file.
        value: What was written.
        name: How errors call the file; by default its path.

    Raises:
        OutputError: Anything differs.
    """
    with reading(path, OutputError), open(path, "rb") as handle:
        file = MappedFile(path)
        found, end = read_pickle(file)
        different = _difference(found, value, handle) or (
            None if end == file.size else f"{file.size - end} bytes more than the pickle"
        )
    if different is not None:
        raise OutputError(
            f"reads back differently: {different}",
            where=name or path,
            remedy="The disk may be failing; nothing was put in place.",
        )


def _difference(found: Any, value: Any, handle: BinaryIO, place: str = "top level") -> str | None:
    """Return where `found`, as read, is not `value`; arrays are read through a small buffer."""
    match value:
        case np.ndarray():
            return None if _same_array(found, value, handle) else place
        case dict():
            if not isinstance(found, dict) or list(found) != list(value):
                return f"the names of {place}"
            pairs = [(found[key], item, str(key)) for key, item in value.items()]
        case list() | tuple():
            if type(found) is not type(value) or len(found) != len(value):
                return place
            pairs = [(a, b, place) for a, b in zip(found, value, strict=True)]
        case bytes() | str():
            text = value.decode("latin1") if isinstance(value, bytes) else value
            read = found.text(len(found)) if isinstance(found, Span) else found
            return None if read == text else place
        case np.generic():
            return _difference(found, value.item(), handle, place)
        case float():
            same = isinstance(found, float) and struct.pack("d", found) == struct.pack("d", value)
            return None if same else place
        case _:
            return None if type(found) is type(value) and found == value else place
    for one, other, name in pairs:
        if (problem := _difference(one, other, handle, name)) is not None:
            return problem
    return None


def _same_array(found: Any, array: NDArray[Any], handle: BinaryIO) -> bool:
    if (
        not isinstance(found, StoredArray)
        or found.shape != array.shape
        or found.dtype != array.dtype
        or found.fortran
    ):
        return False
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    start = 0
    for part in found.parts(handle):
        if not np.array_equal(part, data[start : start + part.size]):
            return False
        start += part.size
    return start == data.size
