"""Arrays as they lie in a checkpoint file: known by shape, type and place, read only on demand.

A `MappedFile` is the file; a `Span` is a string in it, as it stands or in one of the encodings in
which picklers write bytes; a `StoredArray` is an array over a span or over a PyTorch storage.
Nothing here is built from what a file claims until the claim has been compared with what the
file holds, so memory is bounded by the file's size.
"""

from __future__ import annotations

import codecs
import contextlib
import math
import mmap
import os
import unicodedata  # noqa: F401  (a \\N{…} in a string would import it while a file is read)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import CheckpointError, UnsafeFileError
from sslprep.input_files import reading

Encoding = Literal["raw", "utf-8", "unicode-escape", "raw-unicode-escape"]

_ENCODINGS = ("utf-8", "unicode-escape", "raw-unicode-escape")
_DECODERS = {name: codecs.getincrementaldecoder(name) for name in _ENCODINGS}
_CHUNK = 1 << 18
_MAX_TEXT = 1 << 20
_MAX_AXES = 8
_MAX_ELEMENTS = 1 << 40

TYPES = {
    "float64": ("f8", "DoubleStorage", "F64"),
    "float32": ("f4", "FloatStorage", "F32"),
    "float16": ("f2", "HalfStorage", "F16"),
    "int64": ("i8", "LongStorage", "I64"),
    "int32": ("i4", "IntStorage", "I32"),
    "int16": ("i2", "ShortStorage", "I16"),
    "int8": ("i1", "CharStorage", "I8"),
    "uint64": ("u8", None, "U64"),
    "uint32": ("u4", None, "U32"),
    "uint16": ("u2", None, "U16"),
    "uint8": ("u1", "ByteStorage", "U8"),
    "bool": ("b1", "BoolStorage", "BOOL"),
    "complex64": ("c8", "ComplexFloatStorage", "C64"),
    "complex128": ("c16", "ComplexDoubleStorage", None),
    # NumPy has none of these: the code is of their bytes.
    "bfloat16": ("u2", "BFloat16Storage", "BF16"),
    "float8_e4m3fn": ("u1", None, "F8_E4M3"),
    "float8_e5m2": ("u1", None, "F8_E5M2"),
    "float8_e8m0fnu": ("u1", None, "F8_E8M0"),
    "float8_e4m3fnuz": ("u1", None, None),
    "float8_e5m2fnuz": ("u1", None, None),
}
"""The types of which arrays may be, plain numbers, by the name that NumPy and PyTorch give them:
NumPy's code, PyTorch's class of storages (newer types have none), safetensors' name."""
DTYPES = {code: np.dtype(code) for code, _, _ in TYPES.values()}
WRITTEN = ("float64", "float32", "float16", "int64", "int32")
"""Those that are written into PyTorch's and safetensors' files."""


def refuse(problem: str, advice: str = "", *, where: str | None = None) -> NoReturn:
    """Raise the error of every refusal; the callers that know the byte and the file add them."""
    remedy = f"{advice} Nothing was loaded.".lstrip()
    raise UnsafeFileError(problem, where=where, remedy=remedy)


def shown(text: object, limit: int = 60) -> str:
    """Return a name out of a file as messages show it: short, whatever it is."""
    whole = str(text)
    return whole if len(whole) <= limit else f"{whole[: limit - 1]}…"


class MappedFile:
    """One input file, mapped read-only. Arrays may be views of the map and keep it alive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, CheckpointError), open(path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            if self.size == 0:
                raise CheckpointError("is empty", where=path, expected="a checkpoint")
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def forget(self, start: int, stop: int) -> None:
        """Let the system take back the memory of a part that was decoded; it can be read again."""
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        length = stop // mmap.PAGESIZE * mmap.PAGESIZE - first
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
            with contextlib.suppress(OSError):
                self.bytes.madvise(mmap.MADV_DONTNEED, first, length)


@dataclass(slots=True, eq=False)
class Span:
    """A string of a pickle, still in the file: bytes `start` to `stop`, in some encoding."""

    file: MappedFile
    start: int
    stop: int
    encoding: Encoding
    _decoded: NDArray[np.uint8] | None = None

    @property
    def place(self) -> str:
        """File and byte, for messages when an array is read."""
        return f"{self.file.path}, byte {self.start}"

    def data(self, nbytes: int) -> NDArray[np.uint8]:
        """Return the `nbytes` bytes that the string stands for, decoded once."""
        if self.encoding == "raw":
            return np.frombuffer(self.file.bytes, np.uint8, nbytes, self.start)
        if self._decoded is None:
            self._decoded = self._decode(nbytes)
        if self._decoded.size != nbytes:
            problem = f"an array whose data are not the {nbytes:,} bytes of its shape"
            refuse(problem, where=self.place)
        return self._decoded

    def __len__(self) -> int:
        return self.stop - self.start

    def text(self) -> str | None:
        """Return the string as text (settings in YAML and the like); `None` above 1 MB."""
        if len(self) > _MAX_TEXT:
            return None
        encoding = "latin1" if self.encoding == "raw" else self.encoding
        return str(self.file.bytes[self.start : self.stop], encoding, "replace")

    def _decode(self, nbytes: int) -> NDArray[np.uint8]:
        """Decode piece by piece, so that a long string is never in memory twice."""
        out = np.empty(nbytes, np.uint8)
        view, filled = memoryview(self.file.bytes), 0
        decoder = _DECODERS[self.encoding]()
        try:
            for start in range(self.start, self.stop, _CHUNK):
                stop = min(start + _CHUNK, self.stop)
                part = decoder.decode(view[start:stop], stop == self.stop).encode("latin1")
                if filled + len(part) > nbytes:
                    problem = f"an array with more data than the {nbytes:,} bytes of it"
                    refuse(problem, where=self.place)
                out[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
                filled += len(part)
                self.file.forget(start, stop)
        except ValueError as error:  # UnicodeError is one
            refuse(f"a string that is not {self.encoding} latin1 ({error})", where=self.place)
        return out[:filled]


@dataclass(slots=True, eq=False)
class StoredArray:
    """An array in the file: its shape and type are known, its values are read by `load`.

    Attributes:
        shape: Lengths of its axes.
        type: The type of its elements, one of `TYPES`.
        data: Its bytes. Their number must be what shape, type and strides ask for.
        strides: Steps between neighbours along each axis, in elements; `None` for C order.
        big_endian: Whether the first byte of an element is the highest.
    """

    shape: tuple[int, ...]
    type: str
    data: Span | bytes
    strides: tuple[int, ...] | None = None
    big_endian: bool = False
    _loaded: NDArray[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        held, size = self._held, len(self.data)
        encoded = isinstance(self.data, Span) and self.data.encoding != "raw"
        if held > size or (held < size and not encoded):
            refuse(f"an array of shape {self.shape} and type {self.type} with {size:,} bytes")

    @property
    def raw(self) -> np.dtype[Any]:
        """NumPy's type of its bytes, in the file's byte order."""
        return DTYPES[TYPES[self.type][0]].newbyteorder(">" if self.big_endian else "<")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the array that `load` gives; bfloat16 is widened to float32."""
        return DTYPES["f4"] if self.type == "bfloat16" else self.raw

    @property
    def _held(self) -> int:
        """Bytes of its data."""
        count = extent(self.shape, self.strides) if self.strides else math.prod(self.shape)
        return count * self.raw.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, as `load` gives them."""
        return math.prod(self.shape) * self.dtype.itemsize

    def load(self) -> NDArray[Any]:
        """Return the array: read-only, in this machine's byte order, a view where it can be one.

        Raises:
            UnsafeFileError: Its bytes are damaged.
            CheckpointError: NumPy has no such type and no wider one was meant: float8.
        """
        if self._loaded is None:
            if isinstance(self.data, Span):
                if self.type.startswith("float8"):
                    raise CheckpointError(
                        f"an array of type {self.type}",
                        where=self.data.place,
                        expected="float32, float64, float16 or bfloat16",
                        remedy="Convert it in PyTorch, with the scales that belong to it.",
                    )
                flat = self.data.data(self._held)
            else:
                flat = np.frombuffer(self.data, np.uint8) if self.data else np.empty(0, np.uint8)
            array = flat.view(self.raw)
            if self.strides is None:
                array = array.reshape(self.shape)
            else:
                # The step along an axis of one element, or in an empty array, may be any number.
                moves = [n > 1 and 0 not in self.shape for n in self.shape]
                size = self.raw.itemsize
                steps = [s * size * m for s, m in zip(self.strides, moves, strict=True)]
                array = np.lib.stride_tricks.as_strided(array, self.shape, steps)
            if self.type == "bfloat16":  # the upper half of a float32
                wide = array.astype(np.uint32)
                wide <<= 16
                array = wide.view(np.float32)
            self._loaded = array.astype(self.dtype.newbyteorder("="), copy=False)
            self._loaded.flags.writeable = False
        return self._loaded


def extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return how many elements of a storage an array with these strides reaches over."""
    if 0 in shape:
        return 0
    return 1 + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the steps along the axes of a C-ordered array, in elements: 12, 4, 1 of (2, 3, 4)."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def check_lengths(lengths: object, what: str) -> tuple[int, ...]:
    """Return shape or strides if they may be one's, else refuse them."""
    if not (
        isinstance(lengths, tuple)
        and len(lengths) <= _MAX_AXES
        and all(type(length) is int and length >= 0 for length in lengths)
    ):
        refuse(f"an array whose {what} are not a tuple of at most {_MAX_AXES} lengths")
    return lengths


def check_shape(shape: object) -> tuple[int, ...]:
    """Return `shape` if it is one that an array can have, else refuse it."""
    lengths = check_lengths(shape, "axes")
    if math.prod(max(n, 1) for n in lengths) > _MAX_ELEMENTS:
        refuse(f"an array of shape {shown(shape)}, more than there can be")
    return lengths
