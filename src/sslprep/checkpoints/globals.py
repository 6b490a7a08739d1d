"""What the globals of a pickle stand for: a closed list of names.

A `Global` is never the thing that its name says. "Calling" one runs a few lines of ours on checked
arguments, and arrays come out as `StoredArray`, still in the file. Classes that trainers leave
beside the weights are `NotRead`, and so are their instances, whatever their state is.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sslprep.checkpoints.arrays import (
    TYPES,
    Span,
    StoredArray,
    c_strides,
    check_shape,
    refuse,
    shown,
)

_INT_KEY_BITS = 64
_MAX_KEY_PARTS, _LONGEST_KEY = 8, 1024
_TYPE_OF_CODE = {code: name for name, (code, _, _) in reversed(TYPES.items())}


@dataclass(frozen=True)
class Global:
    """A global of the list, by the last part of its name."""

    name: str


@dataclass(slots=True, eq=False)
class PickledType:
    """A `numpy.dtype` of a pickle: a code, and the byte order that its state gives."""

    code: str
    order: str = "<"


@dataclass(slots=True, eq=False)
class PickledArray:
    """What `_reconstruct` gives; BUILD says what it is."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class NotRead:
    """A class on the list, or an instance of it: whatever is done to it, nothing is kept.

    Attributes:
        kind: Module and class as the file names them, such as `argparse.Namespace`.
    """

    kind: str

    def __setitem__(self, key: object, value: object) -> None:
        """Keep nothing."""

    def extend(self, values: object) -> None:
        """Keep nothing."""

    append = add = extend


class TextDict(dict[str, Any]):
    """A dict whose keys are texts, each once."""

    def __setitem__(self, key: object, value: Any) -> None:
        """Set one item under the text of its key."""
        text = _key_text(key)
        if text in self and not isinstance(key, str | bytes):
            text = f"[{text}]"  # 1 beside "1"
        if text in self:
            refuse(f"the dictionary key {shown(text)!r} a second time")
        super().__setitem__(text, value)


def kind_of(value: object) -> str:
    """Return what a value is called in messages."""
    return _KINDS.get(type(value), f"a value of type {type(value).__name__}")


_KINDS = {
    Global: "a global",
    NotRead: "a value of a class",
    Span: "a text",
    StoredArray: "a bare array",
    PickledType: "numpy.dtype",
}


def call(name: str, args: tuple[Any, ...]) -> Any:
    """Return what a call makes of the arguments that picklers give it; refuse all others."""
    match name, args:
        case "_reconstruct", (Global("ndarray"), (0,), "b" | b"b"):
            return PickledArray()
        case "dtype", (str() | bytes() as code, *rest) if len(rest) <= 2:
            return PickledType(code.decode("latin1") if isinstance(code, bytes) else code)
        case "scalar", (PickledType() as kind, str() | bytes() as data):
            number = _array((), kind, data)
            return number.load().item() if isinstance(number, StoredArray) else number
        case "_frombuffer", (data, PickledType() as kind, shape, "C" | "F" as order):
            return _array(shape, kind, data, fortran=order == "F")
        case "_frombuffer", (data, PickledType() as kind, shape, "K", axes):  # transposed
            steps = c_strides(check_shape(shape))
            if sorted(check_shape(axes)) == list(range(len(steps))):
                strides = tuple(steps[axis] for axis in axes)
                return _array(tuple(shape[axis] for axis in axes), kind, data, strides)
        case "encode", (str() | Span() as text, "latin1" | "latin-1"):
            return _octets(text)
        case "bytes", ():
            return b""
        case "OrderedDict", () | (list(),):
            made = TextDict()
            for pair in args[0] if args else ():
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    refuse("an OrderedDict that is not made of pairs")
                made[pair[0]] = pair[1]
            return made
        case "getattr" | "_reconstructor", (NotRead() as inert, *_):
            return inert
    return refuse(f"calls {name} with other arguments than pickles do")


def built_array(state: Any) -> Any:
    """Return the array of a state (version, shape, type, is Fortran, data).

    Of a 0-d array of objects the only one: so NumPy saves a dict in a `.npy` file.
    """
    match state:
        case (_, (), PickledType(code="O" | "O8"), _, [value]):
            return value
        case (_, shape, PickledType() as kind, int() as fortran, data):
            return _array(shape, kind, data, fortran=fortran == 1)
    return refuse("an array with a state that NumPy never writes")


def _array(
    shape: Any,
    kind: PickledType,
    data: Any,
    strides: tuple[int, ...] | None = None,
    *,
    fortran: bool = False,
) -> StoredArray | NotRead:
    shape = check_shape(shape)
    if kind.code[:1] in ("U", "S"):
        return NotRead("a NumPy array of texts")
    if kind.code not in _TYPE_OF_CODE:
        refuse(f"an array of type {shown(kind.code, 20)!r}, which is not a plain number")
    if fortran:  # the first axis varies fastest
        strides = c_strides(shape[::-1])[::-1]
    return StoredArray(
        shape, _TYPE_OF_CODE[kind.code], _octets(data), strides, big_endian=kind.order == ">"
    )


def _octets(value: object) -> Span | bytes:
    """Return a string of the pickle as bytes; Python 2 and NumPy both take text for latin1."""
    if isinstance(value, Span | bytes):
        return value
    if not isinstance(value, str):  # a short text, all of it latin1
        refuse(f"{kind_of(value)} in place of bytes")
    return value.encode("latin1")


def _key_text(key: Any) -> str:
    """Return a key as text: its hash has a secret in it, so nobody can choose keys that collide."""
    match key:
        case str():
            return key
        case bytes():
            return key.decode("latin1")
        case int() if key.bit_length() > _INT_KEY_BITS:
            refuse(f"a dictionary key that is an integer of over {_INT_KEY_BITS} bits")
        case None | bool() | float() | int():
            return str(key)
        case NotRead():
            return key.kind
        case tuple() if len(key) <= _MAX_KEY_PARTS and not any(isinstance(p, tuple) for p in key):
            return sys.intern(f"({', '.join(map(_key_text, key))})"[:_LONGEST_KEY])
    return refuse(f"a dictionary key that is {kind_of(key)}, not a name")


NUMPY = frozenset({
    # NumPy 1 and Python 2 write numpy.core, NumPy 2 writes numpy._core; _frombuffer is of
    # protocol 5.
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core")
      for name in ("_reconstruct", "scalar")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    "numpy.ndarray", "numpy.dtype", "collections.OrderedDict",
    # How Python 3 writes bytes in protocols 0 to 2, and empty ones.
    "_codecs.encode", "__builtin__.bytes",
    # What the classes of the list below are made with, and of.
    "copyreg._reconstructor", "copy_reg._reconstructor",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__")
      for name in (
          "getattr", "object", "dict", "list", "tuple", "int", "float", "str", "bool",
      )),
})  # fmt: skip
"""All that a Caffe2 checkpoint has a reason to name."""


_INERT = frozenset({
    # Python and PyTorch
    "Counter", "defaultdict", "deque", "Namespace", "SimpleNamespace", "Size", "device",
    "Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "UUID",
    "date", "datetime", "time", "timedelta", "timezone", "TorchVersion",
    # settings, logs and callbacks of trainers
    "AttrDict", "AttributeDict", "CfgNode", "ConfigDict", "EasyDict", "HistoryBuffer",
    "EarlyStopping", "ModelCheckpoint", "AverageMeter", "Munch", "Bunch", "Box", "DotMap", "Dict",
    # OmegaConf pickles a DictConfig with its nodes and what it knows of them
    "DictConfig", "ListConfig", "ContainerMetadata", "Metadata", "AnyNode", "StringNode",
    "IntegerNode", "FloatNode", "BooleanNode", "BytesNode", "PathNode", "EnumNode",
    # optimizers and schedules (before torch 2.4 the state of a OneCycleLR held a method)
    "LambdaLR", "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR",
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR", "SequentialLR",
    "ReduceLROnPlateau", "GradualWarmupScheduler", "LinearWarmupCosineAnnealingLR",
    "LARS", "LARC", "LAMB", "Lamb", "SGD", "ASGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam",
    "Adadelta", "Adagrad", "RMSprop", "Rprop", "LBFGS", "SGD_LARC", "Optimizer", "GradScaler",
})  # fmt: skip
"""Classes that stand beside weights, whatever module a trainer has them in."""
_TORCH = (
    *TYPES, "double", "float", "half", "long", "int", "short",
    "strided", "contiguous_format", "channels_last", "preserve_format",
)  # fmt: skip
_INERT_NAMES = frozenset(
    {
        f"{m}.{n}"
        for m in ("builtins", "__builtin__")
        for n in ("set", "frozenset", "complex", "slice", "range", "xrange", "Ellipsis")
    }
    | {f"torch.{name}" for name in _TORCH}
    | {f"torch.{cuda}{name.title()}Tensor" for name in _TORCH for cuda in ("", "cuda.")}
    | {"typing.Any"}
)
_JAX = (
    "It is a checkpoint of JAX (Haiku, Flax); where those are installed, save its parameters as a "
    "pickled dict of NumPy arrays."
)
_ADVICE = {
    "_rebuild_qtensor": "It is a quantised model; convert the one that it was made from.",
    "__torch__": "It is TorchScript; in PyTorch, save torch.jit.load(…).state_dict().",
    **dict.fromkeys(("haiku", "jax", "jaxlib", "flax", "optax", "chex"), _JAX),
}
_TRAINER = (
    "It may be a pickled module; if you trust it, load it where its code is and save "
    "model.state_dict() alone."
)
_NO_TRAINER = {*sys.stdlib_module_names, "__builtin__", "numpy"}


def find_global(known: Collection[str], module: str, name: str) -> Global | NotRead:
    """Return what stands for a global: those `known` may be called, the classes are not read."""
    whole = f"{module}.{name}"
    if whole in known:
        return Global(name)
    if name in _INERT or whole in _INERT_NAMES:
        return NotRead(sys.intern(whole))  # named a hundred thousand times, kept once
    package = module.split(".")[0]
    other = "" if package in _NO_TRAINER else _TRAINER
    advice = _ADVICE.get(name, _ADVICE.get(package, other))
    return refuse(f"refers to {shown(whole, 120)}, which is not on the allowlist", advice)
