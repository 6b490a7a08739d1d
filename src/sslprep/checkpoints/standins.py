"""What the globals of a pickle stand for: a closed table of inert stand-ins.

A stand-in is never the thing that its name says. "Calling" one runs a few lines of ours on
checked arguments, and arrays come out as `StoredArray`, still in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sslprep.checkpoints.arrays import (
    DTYPES,
    Span,
    StoredArray,
    c_strides,
    check_shape,
)
from sslprep.checkpoints.opcodes import refuse

_MAX_INT_KEY = 1 << 31


@dataclass(frozen=True, eq=False)
class Standin:
    """What a global of a pickle stands for here.

    Attributes:
        build: Makes the value that calling the global would give, from (arguments, position);
            `None` where a pickle names it but has no reason to call it.
    """

    build: Callable[[tuple[Any, ...], int], Any] | None = None


Vocabulary = Mapping[tuple[str, str], Standin]


class PickledType:
    """A `numpy.dtype` of a pickle: a code, and the byte order that its state gives."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code = code
        self.order: Literal["=", "<", ">", "|"] = "="

    def resolve(self, position: int) -> np.dtype[Any]:
        """Return the NumPy type, if it is on the list of plain numbers."""
        if self.code not in DTYPES:
            refuse(position, f"an array of type {self.code[:20]!r}, which is not a plain number")
        dtype = DTYPES[self.code]
        return dtype if self.order == "|" else dtype.newbyteorder(self.order)


class UnbuiltArray:
    """What `_reconstruct` gives until BUILD fills it; where the memo holds it, `None` after."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: list[int] | None = []


class Boxed:
    """The only element of a 0-d object array: how NumPy saves a dict in a `.npy` file."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def is_latin1(text: str) -> bool:
    """Whether every character is one byte in latin1."""
    try:
        text.encode("latin1")
    except UnicodeEncodeError:
        return False
    return True


def kind_of(value: object) -> str:
    """Return what a value is called in messages."""
    name = type(value).__name__
    names = {
        "Standin": "a global",
        "Span": "a long string",
        "str": "a string",
        "StoredArray": "a finished array",
    }
    return names.get(name, f"a value of type {name}")


def _octets(value: object, position: int) -> Span | bytes:
    """Return a string of the pickle as bytes; Python 2 and NumPy both take text for latin1."""
    if isinstance(value, Span | bytes):
        return value
    if not isinstance(value, str) or not is_latin1(value):
        refuse(position, f"{kind_of(value)} in place of bytes")
    return value.encode("latin1")


def _reconstruct(args: tuple[Any, ...], position: int) -> UnbuiltArray:
    if len(args) != 3 or args[0] is not NDARRAY or args[1] != (0,) or args[2] not in ("b", b"b"):
        refuse(position, "an array constructor with arguments that NumPy never writes")
    return UnbuiltArray()


def _dtype(args: tuple[Any, ...], position: int) -> PickledType:
    if not 1 <= len(args) <= 3 or not isinstance(args[0], str | bytes):
        refuse(position, "a dtype that is not a code of a plain number")
    code = args[0]
    return PickledType(code.decode("latin1") if isinstance(code, bytes) else code)


def _scalar(args: tuple[Any, ...], position: int) -> Any:
    if len(args) != 2 or not isinstance(args[0], PickledType):
        refuse(position, "a NumPy scalar that is not (type, bytes)")
    dtype, data = args[0].resolve(position), _octets(args[1], position)
    if isinstance(data, Span) or len(data) != dtype.itemsize:
        refuse(position, f"a NumPy scalar of type {dtype} with another number of bytes")
    return np.frombuffer(data, dtype)[0].item()


def _frombuffer(args: tuple[Any, ...], position: int) -> StoredArray:
    """Build (bytes, type, shape, order); order K has the axes of a transposition behind it."""
    if not 4 <= len(args) <= 5 or not isinstance(args[1], PickledType):
        refuse(position, "an array that is not (bytes, type, shape, order)")
    data, dtype = _octets(args[0], position), args[1].resolve(position)
    shape, order = check_shape(args[2], position), args[3]
    if len(args) == 4 and order in ("C", "F"):
        return StoredArray(position, shape, dtype, data, fortran=order == "F")
    axes = check_shape(args[-1], position)
    if order != "K" or sorted(axes) != list(range(len(shape))):
        refuse(position, "an array whose order of axes is none")
    strides = c_strides(shape)
    return StoredArray(
        position,
        tuple(shape[axis] for axis in axes),
        dtype,
        data,
        strides=tuple(strides[axis] for axis in axes),
    )


def _encode(args: tuple[Any, ...], position: int) -> Span | bytes:
    if len(args) != 2 or args[1] not in ("latin1", "latin-1"):
        refuse(position, "_codecs.encode to something else than latin1")
    if isinstance(args[0], bytes) or (isinstance(args[0], Span) and args[0].coding == "raw"):
        refuse(position, "_codecs.encode of something that is not text")
    return _octets(args[0], position)


def _ordered_dict(args: tuple[Any, ...], position: int) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if args:
        if len(args) != 1 or not isinstance(args[0], list):
            refuse(position, "an OrderedDict that is not made of pairs")
        for pair in args[0]:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                refuse(position, "an OrderedDict that is not made of pairs")
            set_item(result, pair[0], pair[1], position)
    return result


def _empty_bytes(args: tuple[Any, ...], position: int) -> bytes:
    if args:
        refuse(position, "bytes() with arguments")
    return b""


def set_item(target: dict[Any, Any], key: Any, value: Any, position: int) -> None:
    """Set one item; keys are short names or small integers, each once."""
    if isinstance(key, bytes):
        key = key.decode("latin1")
    if type(key) is int:
        if not -_MAX_INT_KEY < key < _MAX_INT_KEY:
            refuse(position, "a dictionary key that is a huge integer")
    elif not isinstance(key, str):
        refuse(position, f"a dictionary key that is {kind_of(key)}, not a name")
    if key in target:
        refuse(position, f"the dictionary key {key!r} a second time")
    target[key] = value


NDARRAY = Standin()

NUMPY: Vocabulary = {
    # NumPy 1 and Python 2 write numpy.core, NumPy 2 writes numpy._core.
    ("numpy.core.multiarray", "_reconstruct"): Standin(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): Standin(_reconstruct),
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Standin(_dtype),
    ("numpy.core.multiarray", "scalar"): Standin(_scalar),
    ("numpy._core.multiarray", "scalar"): Standin(_scalar),
    # Arrays in protocol 5.
    ("numpy.core.numeric", "_frombuffer"): Standin(_frombuffer),
    ("numpy._core.numeric", "_frombuffer"): Standin(_frombuffer),
    # How Python 3 writes bytes in protocols 0 to 2, and empty ones.
    ("_codecs", "encode"): Standin(_encode),
    ("__builtin__", "bytes"): Standin(_empty_bytes),
    ("collections", "OrderedDict"): Standin(_ordered_dict),
}
"""All that a Caffe2 checkpoint has a reason to name, each with the reason of its existence."""


def built_array(state: Any, position: int) -> StoredArray | Boxed:
    """Return the array of a state (version, shape, dtype, is Fortran, data)."""
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], PickledType):
        refuse(position, "an array with a state that NumPy never writes")
    _, shape, dtype, fortran, data = state
    if dtype.code in ("O", "O8"):
        if shape != () or not isinstance(data, list) or len(data) != 1:
            refuse(position, "an array of Python objects")
        return Boxed(data[0])
    return StoredArray(
        position,
        check_shape(shape, position),
        dtype.resolve(position),
        _octets(data, position),
        fortran=fortran in (True, 1) and type(fortran) in (bool, int),
    )
