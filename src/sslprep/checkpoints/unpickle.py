"""Read a pickle without importing or calling anything that it names.

The stack machine is `pickle._Unpickler`, CPython's own in Python, with a closed list of opcodes. A
global is never looked up: it is a `Global` from a list of ours, and "calling" it runs a few lines
of this package on checked arguments. Long strings stay in the file, so memory is bounded by it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, ClassVar

from sslprep.checkpoints.arrays import MappedFile, Span, StoredArray, refuse
from sslprep.checkpoints.globals import (
    NUMPY,
    Global,
    NotRead,
    PickledArray,
    PickledType,
    TextDict,
    built_array,
    call,
    find_global,
    kind_of,
)
from sslprep.errors import UnsafeFileError

MAX_BYTES, MAX_TEXT = 128, 1024
"""Bytes of a string, of text, that becomes a Python one at once; a longer one stays in the file."""
MAX_OPCODES = 500_000
_MAX_LINE = 256


def read_pickle(file: MappedFile, start: int = 0) -> tuple[Any, int]:
    """Read one pickle of a file, from byte `start`; return its value and the position after it.

    Raises:
        UnsafeFileError: The pickle names or does anything that is not on the lists, is damaged,
            or claims more than the file holds. The position is named, the file is not.
    """
    machine = Machine(file, start, file.size)
    return machine.run(), machine.at


_Unpickler: Any = pickle._Unpickler
DAMAGE = (
    pickle.UnpicklingError, LookupError, OverflowError, ValueError, TypeError, AttributeError,
)  # fmt: skip
"""What pickle's own steps raise where the stack holds something else than they want."""


class Machine(_Unpickler):  # type: ignore[misc]
    """Reads the pickle between two bytes of a file."""

    dispatch: ClassVar[dict[int, Callable[[Any], object]]]
    known: ClassVar[frozenset[str]] = NUMPY

    def __init__(self, file: MappedFile, start: int, stop: int) -> None:
        self.file, self.at, self.end, self.position = file, start, stop, start
        super().__init__(self, encoding="latin1")

    def run(self) -> Any:
        """Return the value of the pickle; `at` is behind it then."""
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []
        self.append = self.stack.append
        self.count = 0
        try:
            while True:
                self.position = self.skip(1)
                code = self.file.bytes[self.position]
                self.count += 1
                if self.count > MAX_OPCODES:
                    refuse(f"more than {MAX_OPCODES:,} opcodes")
                step = self.dispatch.get(code)
                if step is None:
                    names = (n for n, v in vars(pickle).items() if v == bytes([code]))
                    name = next(names, "unknown")
                    refuse(f"opcode 0x{code:02x} ({name}) is not on the allowlist")
                step(self)
        except pickle._Stop as stopped:  # type: ignore[attr-defined]
            return stopped.value
        except UnsafeFileError as error:
            raise error.at(f"byte {self.position}") from error
        except DAMAGE as error:
            refuse(f"a damaged pickle ({error})", where=f"byte {self.position}")

    # The file, as pickle sees it.

    def read(self, size: int) -> bytes:
        """Return so many bytes."""
        return self.file.bytes[self.skip(size) : self.at]

    def skip(self, size: int) -> int:
        """Go over `size` bytes; return where they begin."""
        left = self.end - self.at
        if size and not left:
            refuse("the file ends within the pickle; it is truncated", "Fetch it again.")
        if not 0 <= size <= left:
            refuse(f"a length of {size:,} bytes where {left:,} are left (truncated?)")
        self.at += size
        return self.at - size

    def readline(self) -> bytes:
        """Return a line that is no string: a number, or the name of a global."""
        newline = self.file.bytes.find(b"\n", self.at, min(self.end, self.at + _MAX_LINE))
        if newline < 0:
            refuse(f"a line without an end in {_MAX_LINE:,} bytes")
        return self.read(newline + 1 - self.at)

    # Strings: short ones become Python's, long ones stay where they are.

    def _text(self, size: int, encoding: Any, *, as_bytes: bool = False) -> None:
        start = self.skip(size)
        if size <= (MAX_BYTES if encoding == "raw" else MAX_TEXT):
            raw = self.file.bytes[start : self.at]
            if as_bytes:
                return self.append(raw)
            text = raw.decode("latin1" if encoding == "raw" else encoding)
            if text.isascii() or max(text) <= "\xff":  # wider ones take up to four times as much
                return self.append(text)
        return self.append(Span(self.file, start, self.at, encoding))

    def _line_text(self, encoding: Any, quotes: int) -> None:
        newline = self.file.bytes.find(b"\n", self.at, self.end)
        if newline < 0:
            refuse("a string line without an end; the file is truncated")
        if quotes:
            first, last = self.file.bytes[self.at], self.file.bytes[newline - 1]
            if newline - self.at < 2 or first != last or first not in b"'\"":
                refuse("a string without its quotes")
        self.at += quotes
        self._text(newline - quotes - self.at, encoding)
        self.at = newline + 1

    def _dict(self) -> None:
        values = self.pop_mark()
        self.append(TextDict())
        for key, value in zip(values[::2], values[1::2], strict=True):
            self.stack[-1][key] = value

    # Globals, and what is built from them.

    def find_class(self, module: str, name: str) -> Global | NotRead:
        """Return what stands for a global."""
        return find_global(self.known, module, name)

    def call(self, name: str, args: tuple[Any, ...]) -> Any:
        """Return what calling a global makes of its arguments."""
        return call(name, args)

    def _reduce(self) -> None:
        args, called = self.stack.pop(), self.stack.pop()
        if isinstance(called, Global) and isinstance(args, tuple):
            called = self.call(called.name, args)
        elif not isinstance(called, NotRead):
            refuse(f"calls {kind_of(called)} with {kind_of(args)}")
        self.append(called)

    def _newobj(self, arguments: int) -> None:
        del self.stack[-arguments:]
        if not isinstance(self.stack[-1], NotRead):
            refuse(f"makes an instance of {kind_of(self.stack[-1])}")

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, PickledArray):
            if target.value is not None:
                refuse("sets the state of an array a second time")
            target.value = built_array(state)
        elif isinstance(target, PickledType):
            if not isinstance(state, tuple) or len(state) < 2 or state[1] not in tuple("<>=|"):
                refuse("a dtype with a state that NumPy never writes")
            target.order = state[1]
        elif not isinstance(target, NotRead | dict | StoredArray):
            # PyTorch gives the dict of a model an attribute `_metadata`: versions of its layers;
            # before 0.4 it gave a parameter whether it has a gradient, and hooks.
            refuse(f"sets the state of {kind_of(target)}")

    def persistent_load(self, pid: Any) -> Any:
        """Return what an id stands for that only the reading program knows."""
        refuse(f"a persistent id, {kind_of(pid)}, is not on the allowlist")

    def number(self, size: int, *, signed: bool = False) -> int:
        """Return the little-endian integer of so many bytes."""
        return int.from_bytes(self.read(size), "little", signed=signed)


_OWN = (
    *("PROTO", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG"),
    *("LONG1", "FLOAT", "BINFLOAT", "EMPTY_LIST", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1"),
    *("TUPLE2", "TUPLE3", "MARK", "STOP", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET"),
    *("BINGET", "LONG_BINGET"),
    # These call methods of what is on the stack: of a list, a `TextDict`, a `NotRead`.
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"),
    *("GLOBAL", "STACK_GLOBAL", "BINPERSID"),  # they call `find_class` and `persistent_load`
)
"""Opcodes that pickle's own machine may carry out."""
_STEPS: dict[str, Callable[[Machine], object]] = {
    "FRAME": lambda m: m.skip(8),
    "STRING": lambda m: m._line_text("unicode-escape", 1),
    "UNICODE": lambda m: m._line_text("raw-unicode-escape", 0),
    "BINSTRING": lambda m: m._text(m.number(4, signed=True), "raw"),
    "SHORT_BINSTRING": lambda m: m._text(m.number(1), "raw"),
    "BINUNICODE": lambda m: m._text(m.number(4), "utf-8"),
    "SHORT_BINUNICODE": lambda m: m._text(m.number(1), "utf-8"),
    "BINUNICODE8": lambda m: m._text(m.number(8), "utf-8"),
    "BINBYTES": lambda m: m._text(m.number(4), "raw", as_bytes=True),
    "SHORT_BINBYTES": lambda m: m._text(m.number(1), "raw", as_bytes=True),
    "BINBYTES8": lambda m: m._text(m.number(8), "raw", as_bytes=True),
    "BYTEARRAY8": lambda m: m._text(m.number(8), "raw", as_bytes=True),
    "EMPTY_DICT": lambda m: m.append(TextDict()),
    "DICT": Machine._dict,
    "REDUCE": Machine._reduce,
    "BUILD": Machine._build,
    "NEWOBJ": lambda m: m._newobj(1),
    "NEWOBJ_EX": lambda m: m._newobj(2),
    "EMPTY_SET": lambda m: m.append(NotRead("set")),
    "FROZENSET": lambda m: (m.pop_mark(), m.append(NotRead("frozenset"))),
}
"""The others that are read. No INST, OBJ, EXT or PERSID, none that only a person writes, and no
LONG4, which is for integers of over 255 bytes."""
Machine.dispatch = {
    getattr(pickle, name)[0]: _STEPS.get(name) or _Unpickler.dispatch[getattr(pickle, name)[0]]
    for name in (*_OWN, *_STEPS)
}
