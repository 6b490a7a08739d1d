"""What the globals of a pickle stand for: a closed table of stubs.

A stub is never the thing that its name says. "Calling" one runs a few lines of ours on checked
arguments, and arrays come out as `StoredArray`, still in the file. Classes that trainers leave
beside the weights are `NotRead`, and so are their instances, whatever their state is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sslprep.checkpoints.arrays import (
    DTYPES,
    Span,
    StoredArray,
    c_strides,
    check_shape,
    refuse,
    shown,
)

_INT_KEY_BITS = 64
_MAX_KEY_PARTS = 8


@dataclass(frozen=True, eq=False)
class Stub:
    """What a global of a pickle stands for here.

    Attributes:
        build: Makes the value that calling the global would give, from (arguments, position);
            `None` where a pickle names it but has no reason to call it.
    """

    build: Callable[[tuple[Any, ...], int], Any] | None = None


@dataclass(slots=True, eq=False)
class PickledType:
    """A `numpy.dtype` of a pickle: a code, and the byte order that its state gives."""

    code: str
    order: Literal["=", "<", ">", "|"] = "="

    def resolve(self, position: int) -> np.dtype[Any]:
        """Return the NumPy type, if it is on the list of plain numbers."""
        if self.code not in DTYPES:
            code = shown(self.code, 20)
            refuse(position, f"an array of type {code!r}, which is not a plain number")
        dtype = DTYPES[self.code]
        return dtype if self.order == "|" else dtype.newbyteorder(self.order)


@dataclass(slots=True, eq=False)
class UnbuiltArray:
    """What `_reconstruct` gives until BUILD fills it; where the memo holds it, `None` after."""

    places: list[int] | None = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NotRead:
    """A class on the list, or an instance of it: whatever is done to it, nothing is kept.

    Attributes:
        kind: Module and class as the file names them, such as `argparse.Namespace`.
    """

    kind: str


Vocabulary = Mapping[tuple[str, str], Stub | NotRead]


def is_latin1(text: str) -> bool:
    """Whether every character is one byte in latin1."""
    return text.isascii() or max(text) <= "\xff"


def kind_of(value: object) -> str:
    """Return what a value is called in messages."""
    names = {Stub: "a global", NotRead: "a value that is not read", Span: "a long string"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


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
        return StoredArray(position, shape, dtype, data, strides=_strides(shape, order == "F"))
    axes = check_shape(args[-1], position)
    if order != "K" or sorted(axes) != list(range(len(shape))):
        refuse(position, "an array whose order of axes is none")
    strides = tuple(c_strides(shape)[axis] for axis in axes)
    shape = tuple(shape[axis] for axis in axes)
    return StoredArray(position, shape, dtype, data, strides=strides)


def _strides(shape: tuple[int, ...], fortran: bool) -> tuple[int, ...] | None:
    """Return the steps of an array whose first axis varies fastest; `None` for C order."""
    return c_strides(shape[::-1])[::-1] if fortran else None


def _encode(args: tuple[Any, ...], position: int) -> Span | bytes:
    if len(args) != 2 or args[1] not in ("latin1", "latin-1"):
        refuse(position, "_codecs.encode to something else than latin1")
    if isinstance(args[0], bytes) or (isinstance(args[0], Span) and args[0].encoding == "raw"):
        refuse(position, "_codecs.encode of something that is not text")
    return _octets(args[0], position)


def _ordered_dict(args: tuple[Any, ...], position: int) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if len(args) > 1 or not isinstance(args[0] if args else [], list):
        refuse(position, "an OrderedDict that is not made of pairs")
    for pair in args[0] if args else []:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            refuse(position, "an OrderedDict that is not made of pairs")
        set_item(result, pair[0], pair[1], position)
    return result


def _empty_bytes(args: tuple[Any, ...], position: int) -> bytes:
    if args:
        refuse(position, "bytes() with arguments")
    return b""


def set_item(target: dict[str, Any], key: Any, value: Any, position: int) -> None:
    """Set one item under the text of its key, each once."""
    text = _key_text(key, position)
    if text in target and not isinstance(key, str | bytes):
        text = f"[{text}]"  # 1 beside "1"
    if text in target:
        refuse(position, f"the dictionary key {shown(text)!r} a second time")
    target[text] = value


def _key_text(key: Any, position: int) -> str:
    """Return a key as text: its hash has a secret in it, so nobody can choose keys that collide."""
    match key:
        case str():
            text = key
        case bytes():
            text = key.decode("latin1")
        case int() if key.bit_length() > _INT_KEY_BITS:
            refuse(position, f"a dictionary key that is an integer of over {_INT_KEY_BITS} bits")
        case None | bool() | float() | int():
            text = str(key)
        case NotRead():
            text = key.kind
        case tuple() if len(key) <= _MAX_KEY_PARTS and not any(isinstance(p, tuple) for p in key):
            text = f"({', '.join(_key_text(part, position) for part in key)})"
        case _:
            refuse(position, f"a dictionary key that is {kind_of(key)}, not a name")
    return text


NDARRAY = Stub()

INERT_CALL = Stub()
"""`getattr` and `copyreg._reconstructor`, which pickles call on classes: here on inert ones."""

NUMPY: Vocabulary = {
    # NumPy 1 and Python 2 write numpy.core, NumPy 2 writes numpy._core.
    ("numpy.core.multiarray", "_reconstruct"): Stub(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): Stub(_reconstruct),
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Stub(_dtype),
    ("numpy.core.multiarray", "scalar"): Stub(_scalar),
    ("numpy._core.multiarray", "scalar"): Stub(_scalar),
    # Arrays in protocol 5.
    ("numpy.core.numeric", "_frombuffer"): Stub(_frombuffer),
    ("numpy._core.numeric", "_frombuffer"): Stub(_frombuffer),
    # How Python 3 writes bytes in protocols 0 to 2, and empty ones.
    ("_codecs", "encode"): Stub(_encode),
    ("__builtin__", "bytes"): Stub(_empty_bytes),
    ("collections", "OrderedDict"): Stub(_ordered_dict),
    # What the classes of the list below are made with.
    **{(module, "getattr"): INERT_CALL for module in ("builtins", "__builtin__")},
    **{(module, "_reconstructor"): INERT_CALL for module in ("copyreg", "copy_reg")},
    **{
        (module, name): Stub()
        for module in ("builtins", "__builtin__")
        for name in ("object", "dict", "list", "tuple", "int", "float", "str", "bool")
    },
}
"""All that a Caffe2 checkpoint has a reason to name, each with the reason of its existence."""


_INERT = frozenset({
    # Python and PyTorch
    "Counter", "defaultdict", "Namespace", "SimpleNamespace", "Size", "device",
    "Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath",
    "date", "datetime", "time", "timedelta", "timezone",
    # settings, logs and callbacks of trainers
    "AttrDict", "AttributeDict", "CfgNode", "ConfigDict", "EasyDict", "HistoryBuffer",
    "EarlyStopping", "ModelCheckpoint",
    # OmegaConf pickles a DictConfig with its nodes and what it knows of them
    "DictConfig", "ListConfig", "ContainerMetadata", "Metadata", "AnyNode", "StringNode",
    "IntegerNode", "FloatNode", "BooleanNode", "BytesNode", "PathNode",
    # optimizers
    "LARS", "LARC", "LAMB", "Lamb", "SGD", "ASGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam",
    "Adadelta", "Adagrad", "RMSprop", "Rprop", "LBFGS", "SGD_LARC", "Optimizer", "GradScaler",
})  # fmt: skip
"""Classes that stand beside weights, whatever module a trainer has them in."""
_PYTHON = ("set", "frozenset", "complex", "slice")
_TORCH = (
    "float64", "double", "float32", "float", "float16", "half", "bfloat16", "int64", "long",
    "int32", "int", "int16", "short", "int8", "uint8", "bool", "complex64", "complex128",
    "strided", "contiguous_format", "channels_last", "preserve_format",
)  # fmt: skip
_INERT_NAMES = frozenset(
    {(module, name) for module in ("builtins", "__builtin__") for name in _PYTHON}
    | {("torch", name) for name in _TORCH}
    | {("typing", "Any")}
)
_JAX = (
    "It is a checkpoint of JAX (Haiku, Flax); where those are installed, save its parameters as a "
    "pickled dict of NumPy arrays."
)
_ADVICE = {
    "__torch__": "It is TorchScript; in PyTorch, save torch.jit.load(…).state_dict().",
    **dict.fromkeys(("haiku", "jax", "jaxlib", "flax", "optax", "chex"), _JAX),
}
_TRAINER = (
    "It may be a pickled module; if you trust it, load it where its code is and save "
    "model.state_dict() alone."
)
_NO_TRAINER = {*sys.stdlib_module_names, "__builtin__", "numpy"}


def find_global(vocabulary: Vocabulary, module: str, name: str, position: int) -> Stub | NotRead:
    """Return what stands for a global."""
    found = vocabulary.get((module, name))
    if found is None and (name in _INERT or (module, name) in _INERT_NAMES):
        found = NotRead(f"{module}.{name}")
    if found is None:
        package = module.split(".")[0]
        advice = _ADVICE.get(package, "" if package in _NO_TRAINER else _TRAINER)
        kind = shown(f"{module}.{name}", 120)
        refuse(position, f"refers to {kind}, which is not on the allowlist", advice)
    return found


def built_array(state: Any, position: int) -> Any:
    """Return the array of a state (version, shape, dtype, is Fortran, data).

    Of a 0-d array of objects the only one: so NumPy saves a dict in a `.npy` file.
    """
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], PickledType):
        refuse(position, "an array with a state that NumPy never writes")
    _, shape, dtype, fortran, data = state
    if dtype.code in ("O", "O8"):
        if shape != () or not isinstance(data, list) or len(data) != 1:
            refuse(position, "an array of Python objects")
        return data[0]
    return StoredArray(
        position,
        check_shape(shape, position),
        dtype.resolve(position),
        _octets(data, position),
        strides=_strides(shape, fortran in (True, 1) and type(fortran) in (bool, int)),
    )
