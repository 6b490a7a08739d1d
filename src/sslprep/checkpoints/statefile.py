"""State dicts as files: PyTorch's own zip format and safetensors, both written without PyTorch.

The zip format (`torch/serialization.py`, since 1.6) is an archive of stored records: a pickle of
the names and shapes, and the raw numbers of each tensor. Written here it needs no import of
PyTorch, which costs more than the whole conversion, and its bytes depend on nothing but the
content: no time, no file name. `torch.load` with its default `weights_only=True` takes it, and
`mmap=True` too, as each record begins at a multiple of 64.

Safetensors' own writer sorts its metadata differently in every process; this one does not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.blobs import open_checkpoint
from sslprep.errors import CheckpointError, OutputError
from sslprep.files import OutputSet

Tensors = Mapping[str, NDArray[Any]]

_CHUNK = 4 << 20
_ALIGNMENT = 64
_FOLDER = "archive"
_LARGEST_ZIP = (1 << 32) - (1 << 24)
_STORAGES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
}
_SAFE_CODES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32"}


def save_torch(out: OutputSet, name: str, tensors: Tensors) -> None:
    """Write `{'state_dict': OrderedDict}` as `torch.save` would, and read it back.

    Raises:
        CheckpointError: More than 4 GB, or numbers of a type that state dicts do not hold.
        OutputError: The file read back is not what was written.
    """
    _check_types(tensors, _STORAGES)
    if sum(array.nbytes for array in tensors.values()) > _LARGEST_ZIP:
        raise CheckpointError(
            "the state dict is larger than 4 GB", remedy="Write it with --format safetensors."
        )
    with out.create(name) as file:
        archive = _Archive(file)
        archive.add("data.pkl", _state_dict_pickle(tensors))
        archive.add("byteorder", b"little")
        for index, array in enumerate(tensors.values()):
            archive.add(f"data/{index}", _raw(array))
        archive.add("version", b"3\n")
        archive.close()
    compare_tensors(out, name, tensors, root="state_dict")


def save_safetensors(
    out: OutputSet, name: str, tensors: Tensors, metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file, and read it back.

    Raises:
        CheckpointError: Numbers of a type that state dicts do not hold.
        OutputError: The file read back is not what was written.
    """
    _check_types(tensors, _SAFE_CODES)
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    start = 0
    # The widest type first, so that each begins at a multiple of its size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    for key, array in ordered:
        code = _SAFE_CODES[array.dtype.str[1:]]
        offsets = [start, start + array.nbytes]
        header[key] = {"dtype": code, "shape": list(array.shape), "data_offsets": offsets}
        start += array.nbytes
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    with out.create(name) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, array in ordered:
            _write(file, _raw(array))
    compare_tensors(out, name, tensors, root="")


def compare_tensors(out: OutputSet, name: str, tensors: Tensors, *, root: str) -> None:
    """Read a file of an output set back with the safe reader and compare it, bit for bit.

    Raises:
        OutputError: Anything differs.
    """
    path = out.part(name)
    contents = open_checkpoint(path)
    problem = None
    if contents.root != root or set(contents.blobs) != set(tensors):
        problem = "other names"
    else:
        with open(path, "rb") as handle:
            for key, array in tensors.items():
                if not _same(contents.blobs[key], array, handle):
                    problem = key
                    break
    if problem is not None:
        raise OutputError(
            f"reads back differently: {problem}",
            where=out.folder / name,
            remedy="The disk may be failing; nothing was put in place.",
        )


def _same(stored: object, array: NDArray[Any], handle: BinaryIO) -> bool:
    if (
        not isinstance(stored, StoredArray)
        or stored.shape != array.shape
        or stored.dtype != array.dtype
    ):
        return False
    raw, start = _raw(array), 0
    for part in stored.parts(handle):
        if not np.array_equal(part, raw[start : start + part.size]):
            return False
        start += part.size
    return start == raw.size


def _check_types(tensors: Tensors, known: Mapping[str, str]) -> None:
    for name, array in tensors.items():
        if array.dtype.str[1:] not in known:
            raise CheckpointError(f"{name} holds {array.dtype}", expected="floats or integers")


def _raw(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array's bytes in C order, little-endian."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8)


def _write(file: BinaryIO, data: bytes | NDArray[np.uint8]) -> None:
    for start in range(0, len(data), _CHUNK):
        file.write(data[start : start + _CHUNK])  # type: ignore[arg-type]


class _Archive:
    """A zip archive of stored records, written front to back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0
        self._directory = bytearray()
        self._count = 0

    def add(self, name: str, data: bytes | NDArray[np.uint8]) -> None:
        """Add one record, its data at a multiple of 64."""
        path = f"{_FOLDER}/{name}".encode()
        size = len(data)
        # No flags, method stored, no time; checksum and sizes. Versions (0) stand before it.
        crc = zlib.crc32(data)  # type: ignore[arg-type]
        common = struct.pack("<HHHHIII", 0, 0, 0, 0, crc, size, size)
        begin = self._position + 30 + len(path) + 4
        padding = struct.pack("<2sH", b"FB", -begin % _ALIGNMENT) + b"Z" * (-begin % _ALIGNMENT)
        self._directory += b"PK\1\2\0\0\0\0" + common
        self._directory += struct.pack("<HHHHHII", len(path), 0, 0, 0, 0, 0, self._position)
        self._directory += path
        self._put(b"PK\3\4\0\0" + common + struct.pack("<HH", len(path), len(padding)))
        self._put(path + padding)
        _write(self._file, data)
        self._position += size
        self._count += 1

    def close(self) -> None:
        """Write the directory."""
        start = self._position
        length = len(self._directory)
        self._put(bytes(self._directory))
        end = struct.pack("<HHHHIIH", 0, 0, self._count, self._count, length, start, 0)
        self._put(b"PK\5\6" + end)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._position += len(data)


def _state_dict_pickle(tensors: Tensors) -> bytes:
    """Return the pickle of `{'state_dict': OrderedDict(name=tensor, …)}`, protocol 2.

    A tensor is `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`
    and its storage the persistent id `('storage', type, key, 'cpu', elements)`.
    """
    out = bytearray(b"\x80\x02}" + _text("state_dict"))
    out += b"ccollections\nOrderedDict\nq\x00)R("
    for index, (name, array) in enumerate(tensors.items()):
        storage = _STORAGES[array.dtype.str[1:]].encode()
        out += _text(name)
        out += b"ctorch._utils\n_rebuild_tensor_v2\n(("
        out += _text("storage") + b"ctorch\n" + storage + b"\n" + _text(str(index)) + _text("cpu")
        out += _integer(array.size) + b"tQK\x00"
        out += _tuple(array.shape) + _tuple(_strides(array.shape))
        out += b"\x89h\x00)RtR"
    return bytes(out + b"us.")


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the steps of a C-ordered array, in elements.

    Example:
        >>> _strides((2, 3, 4))
        (12, 4, 1)
    """
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.insert(0, step)
        step *= max(length, 1)
    return tuple(strides)


def _text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _integer(value: int) -> bytes:
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"
