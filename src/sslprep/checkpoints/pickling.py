"""Write pickles as Python 2 and NumPy 1 wrote them, and globals by name without importing them.

Python 3's own protocol 2 writes bytes as text, half of them two bytes long: files 1.5 times as
large as the weights. Here they stay bytes, under the old name `numpy.core.multiarray`, so that
Python 2 and 3 (`encoding="latin1"`), NumPy 1 and 2 read them.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Container
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from sslprep.atomic import OutputSet
from sslprep.checkpoints.arrays import DTYPES
from sslprep.errors import CheckpointError

_LONGEST_STRING = (1 << 31) - 1


class Name:
    """A global that is written by its name alone; nothing is imported."""

    def __init__(self, module: str, name: str) -> None:
        self.opcodes = f"c{module}\n{name}\n".encode()

    def __call__(self) -> None:
        """Pickle wants to see something that can be called; nobody calls it."""


_RECONSTRUCT = Name("numpy.core.multiarray", "_reconstruct")
_NDARRAY, _DTYPE = Name("numpy", "ndarray"), Name("numpy", "dtype")
_NO_SHAPE = (0,)
_Pickler: Any = pickle._Pickler


class Pickler(_Pickler):  # type: ignore[misc]
    """Protocol 2 of plain values, arrays as raw byte strings."""

    dispatch: ClassVar[dict[Any, Any]] = {
        kind: _Pickler.dispatch[kind] for kind in (type(None), bool, int, float, tuple, list, dict)
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, protocol=2)

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        """Pickle one value, if it is of a kind that a checkpoint may hold."""
        if type(value) not in self.dispatch:
            kind = type(value).__name__
            raise CheckpointError(f"a value of type {kind} has no place in a checkpoint")
        super().save(value, save_persistent_id)

    def _bytes(self, value: bytes | memoryview) -> None:
        size = len(value)
        header = struct.pack("<cB", b"U", size) if size < 256 else struct.pack("<ci", b"T", size)
        self.write(header)
        self.write(value)

    def _str(self, value: str) -> None:
        if value.isascii():
            self._bytes(value.encode())
        else:
            super().save_str(value)

    def _global(self, value: Name) -> None:
        self.write(value.opcodes)
        self.memoize(value)

    def _array(self, array: NDArray[Any]) -> None:
        if array.dtype.str[1:] not in DTYPES:
            raise CheckpointError(f"an array of type {array.dtype} has no place in a checkpoint")
        if array.nbytes > _LONGEST_STRING:
            raise CheckpointError(
                f"an array of {array.nbytes:,} bytes",
                expected=f"at most {_LONGEST_STRING:,}, the longest string of pickle protocol 2",
            )
        data = raw_bytes(np.ascontiguousarray(array))
        state = (1, array.shape, array.dtype, False, data)
        self.save_reduce(_RECONSTRUCT, (_NDARRAY, _NO_SHAPE, b"b"), state)

    def _dtype(self, dtype: np.dtype[Any]) -> None:
        state = (3, dtype.str[:1].encode(), None, None, None, -1, -1, 0)
        self.save_reduce(_DTYPE, (dtype.str[1:].encode(), False, True), state, obj=dtype)

    dispatch |= {
        bytes: _bytes,
        memoryview: _bytes,
        str: _str,
        Name: _global,
        np.ndarray: _array,
        **dict.fromkeys(map(type, DTYPES.values()), _dtype),
    }


def plain_array(name: str, array: NDArray[Any], known: Container[str]) -> NDArray[Any]:
    """Return an array in C order and little-endian, if its type is one of those `known`."""
    if array.dtype.name not in known:
        raise CheckpointError(f"{name} holds {array.dtype}", expected="floats or integers")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def raw_bytes(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order, not copied."""
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def write_pickle(file: BinaryIO, value: Any) -> None:
    """Write one pickle of dicts, lists, tuples, numbers, strings and arrays of plain numbers.

    Raises:
        CheckpointError: A value of another kind, or an array of 2 GiB and more.
    """
    Pickler(file).dump(value)


def save_pickle(out: OutputSet, name: str, value: dict[str, Any]) -> None:
    """Write one file of an output set as a pickle."""
    with out.create(name) as file:
        write_pickle(file, value)
