"""PyTorch checkpoint files, read without PyTorch and without its unpickler.

Since 1.6 a file is a zip archive of `data.pkl` and one uncompressed record per storage; before,
it was five pickles followed by the storages. Both are read by the machine of `unpickle` with a
closed table of the names that a state dict needs. `torch.load(weights_only=True)` would refuse
code as well, but not a 1 KB file that asks for 100 GB, and importing PyTorch alone takes more
memory than this reader may. Formats: `torch/serialization.py` and APPNOTE.TXT of PKWARE.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from sslprep.checkpoints.archive import zip_records
from sslprep.checkpoints.arrays import (
    DTYPES,
    MappedFile,
    Span,
    StoredArray,
    check_shape,
    extent,
)
from sslprep.checkpoints.opcodes import refuse
from sslprep.checkpoints.standins import NUMPY, Standin, Vocabulary
from sslprep.checkpoints.unpickle import read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The integer that a file of the old format begins with, as a pickle of its own."""
LEGACY_START = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL
)
_LEGACY_VERSION = 1001
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}


@dataclass(frozen=True, eq=False)
class _StorageType(Standin):
    code: str = ""


@dataclass(frozen=True, eq=False)
class _Storage:
    """A storage that a tensor lies in: type, number of elements, first byte in the file."""

    dtype: np.dtype[Any]
    count: int
    start: int


class _Storages:
    """Where the storages of one file are, and the stand-ins that make arrays of them.

    Args:
        file: The file.
        places: First byte and length of each storage by its key; `None` while they are not
            known: then tensors come out as `None`, and `sizes` gathers the item size of each.
    """

    def __init__(self, file: MappedFile, places: dict[str, tuple[int, int]] | None) -> None:
        self._file = file
        self._places = places
        self.sizes: dict[str, int] = {}
        self.vocabulary: Vocabulary = {
            **NUMPY,
            ("torch._utils", "_rebuild_tensor_v2"): Standin(self._tensor),
            ("torch._utils", "_rebuild_tensor"): Standin(self._tensor),
            ("torch._utils", "_rebuild_parameter"): Standin(_parameter),
            **{("torch", name): _StorageType(code=code) for name, code in _STORAGES.items()},
        }

    def storage(self, value: Any, position: int) -> _Storage:
        """Return what a persistent id ('storage', type, key, device, elements[, view]) names."""
        if (
            not isinstance(value, tuple)
            or not 5 <= len(value) <= 6
            or value[0] != "storage"
            or not isinstance(value[1], _StorageType)
            or not isinstance(value[2], str)
            or type(value[4]) is not int
            or value[4] < 0
        ):
            refuse(position, "a persistent id that is not a storage")
        if len(value) == 6 and value[5] is not None:
            refuse(position, "a storage that is a view of another (PyTorch before 0.4)")
        key, dtype, count = value[2], DTYPES[value[1].code].newbyteorder("<"), value[4]
        if self._places is None:
            if self.sizes.setdefault(key, dtype.itemsize) != dtype.itemsize:
                refuse(position, f"storage {key!r} with two types")
            return _Storage(dtype, count, 0)
        if key not in self._places:
            refuse(position, f"storage {key!r}, which is not in the file")
        start, length = self._places[key]
        if length != count * dtype.itemsize:
            refuse(position, f"storage {key!r} of {count:,} {dtype} with {length:,} bytes")
        return _Storage(dtype, count, start)

    def _tensor(self, args: tuple[Any, ...], position: int) -> StoredArray | None:
        if not 4 <= len(args) <= 7 or not isinstance(args[0], _Storage):
            refuse(position, "a tensor that is not (storage, offset, shape, strides, …)")
        storage, offset = args[:2]
        shape, strides = check_shape(args[2], position), check_shape(args[3], position)
        if type(offset) is not int or offset < 0 or len(shape) != len(strides):
            refuse(position, "a tensor with an impossible offset or strides")
        reach = extent(shape, strides)
        if offset + reach > storage.count:
            refuse(position, f"a tensor of shape {shape} that reaches beyond its storage")
        if self._places is None:
            return None
        first = storage.start + offset * storage.dtype.itemsize
        span = Span(self._file, first, first + reach * storage.dtype.itemsize, "raw")
        return StoredArray(position, shape, storage.dtype, span, strides=strides)


def _parameter(args: tuple[Any, ...], position: int) -> StoredArray | None:
    if not 1 <= len(args) <= 3 or not (args[0] is None or isinstance(args[0], StoredArray)):
        refuse(position, "a parameter that is not a tensor")
    return args[0]


def read_zip(file: MappedFile) -> Any:
    """Read a checkpoint in PyTorch's zip format.

    Returns:
        Its value; tensors are `StoredArray`.

    Raises:
        UnsafeFileError: Not such a file, damaged, or it names what a state dict does not need.
    """
    records = zip_records(file)
    pickles = [name for name in records if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        refuse(0, "a zip archive without one data.pkl, so not a PyTorch checkpoint")
    folder = pickles[0].split("/")[0]
    if (order := records.get(f"{folder}/byteorder")) is not None:
        start, length = order
        if file.bytes[start : start + min(length, 16)] != b"little":
            refuse(start, "a checkpoint in big-endian byte order")
    prefix = f"{folder}/data/"
    places = {
        name.removeprefix(prefix): records[name] for name in records if name.startswith(prefix)
    }
    storages = _Storages(file, places)
    start, length = records[pickles[0]]
    value, end = read_pickle(
        file,
        start,
        stop=start + length,
        vocabulary=storages.vocabulary,
        persistent=storages.storage,
    )
    if end != start + length:
        refuse(end, "more bytes after the end of the pickle")
    return value


def read_legacy(file: MappedFile) -> Any:
    """Read a checkpoint in PyTorch's format of before 1.6, as `read_zip` does."""
    magic, position = read_pickle(file)
    version, position = read_pickle(file, position)
    system, begin = read_pickle(file, position)
    if magic != LEGACY_MAGIC or version != _LEGACY_VERSION or not isinstance(system, dict):
        refuse(position, "not PyTorch's old format")
    if system.get("little_endian") is not True:
        refuse(position, "a checkpoint in big-endian byte order")
    # The storages stand behind the pickle and do not say their type: once over it for the types.
    first = _Storages(file, None)
    _, position = read_pickle(file, begin, vocabulary=first.vocabulary, persistent=first.storage)
    keys, position = read_pickle(file, position)
    storages = _Storages(file, _legacy_places(file, keys, first.sizes, position))
    value, _ = read_pickle(file, begin, vocabulary=storages.vocabulary, persistent=storages.storage)
    return value


def _legacy_places(
    file: MappedFile, keys: Any, sizes: dict[str, int], position: int
) -> dict[str, tuple[int, int]]:
    """Return where each storage is: 8 bytes of count before each, in the order of the keys."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        refuse(position, "a list of storages that is not one")
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in sizes or key in places:
            refuse(position, f"storage {key!r}, which no tensor names, or twice")
        if position + 8 > file.size:
            refuse(position, "the file ends before its storages; it is truncated")
        length = struct.unpack_from("<q", file.bytes, position)[0] * sizes[key]
        position += 8
        if not 0 <= length <= file.size - position:
            refuse(position, f"storage {key!r} of {length:,} bytes where fewer are left")
        places[key] = (position, length)
        position += length
    if position != file.size:
        refuse(position, f"{file.size - position:,} bytes after the last storage")
    return places
