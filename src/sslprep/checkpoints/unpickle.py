"""Read a pickle without importing or calling anything that it names.

The stack machine is `pickle._Unpickler`, CPython's own in Python, with a closed list of opcodes. A
global is never looked up: it is a `Stub` from a table of ours, and "calling" it runs a few lines
of this package on checked arguments. Long strings stay in the file, so memory is bounded by it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, ClassVar

from sslprep.checkpoints.arrays import MappedFile, Span, refuse
from sslprep.checkpoints.globals import (
    INERT_CALL,
    NUMPY,
    NotRead,
    PickledType,
    Stub,
    UnbuiltArray,
    Vocabulary,
    built_array,
    find_global,
    is_latin1,
    kind_of,
    set_item,
)
from sslprep.errors import UnsafeFileError

MAX_TEXT = 128
"""Bytes of a string that becomes a Python one at once; a longer one stays in the file."""
MAX_OPCODES = 500_000
MAX_MARKS = 64
_MAX_LINE = 256
_MAX_LONG = 16


def read_pickle(
    file: MappedFile,
    start: int = 0,
    *,
    stop: int | None = None,
    vocabulary: Vocabulary = NUMPY,
    persistent: Callable[[Any, int], Any] | None = None,
) -> tuple[Any, int]:
    """Read one pickle of a file; return its value and the position after it.

    Raises:
        UnsafeFileError: The pickle names or does anything that is not on the lists, is damaged,
            or claims more than the file holds. The position is named, the file is not.
    """
    machine = _Machine(file, start, file.size if stop is None else stop, vocabulary, persistent)
    return machine.run(), machine.at


_Unpickler: Any = pickle._Unpickler


class _Machine(_Unpickler):  # type: ignore[misc]
    dispatch: ClassVar[dict[int, Callable[[Any], object]]]

    def __init__(
        self,
        file: MappedFile,
        start: int,
        end: int,
        vocabulary: Vocabulary,
        persistent: Callable[[Any, int], Any] | None,
    ) -> None:
        self.file, self.at, self.end, self.position = file, start, end, start
        self.vocabulary, self.persistent = vocabulary, persistent
        super().__init__(self, encoding="latin1")

    def run(self) -> Any:
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []
        self.append = self.stack.append
        self.count = 0
        try:
            while True:
                self.position = self._skip(1)
                code = self.file.bytes[self.position]
                self.count += 1
                if self.count > MAX_OPCODES:
                    refuse(self.position, f"more than {MAX_OPCODES:,} opcodes")
                step = self.dispatch.get(code)
                if step is None:
                    names = (n for n, v in vars(pickle).items() if v == bytes([code]))
                    name = next(names, "unknown")
                    refuse(self.position, f"opcode 0x{code:02x} ({name}) is not on the allowlist")
                step(self)
        except pickle._Stop as stopped:  # type: ignore[attr-defined]
            if self.stack or self.metastack:
                refuse(self.position, "the pickle leaves more than one value")
            return stopped.value
        except UnsafeFileError:
            raise
        except IndexError:
            refuse(self.position, "takes from an empty stack")
        except (pickle.UnpicklingError, KeyError, OverflowError, ValueError) as error:
            refuse(self.position, f"a damaged pickle ({error})")

    # The file, as pickle sees it.

    def read(self, size: int) -> bytes:
        return self.file.bytes[self._skip(size) : self.at]

    def _skip(self, size: int) -> int:
        """Go over `size` bytes; return where they begin."""
        left = self.end - self.at
        if not left:
            refuse(
                self.position, "the file ends within the pickle; it is truncated", "Fetch it again."
            )
        if not 0 <= size <= left:
            refuse(
                self.position, f"a length of {size:,} bytes where {left:,} are left (truncated?)"
            )
        self.at += size
        return self.at - size

    def readline(self, limit: int = _MAX_LINE) -> bytes:
        newline = self.file.bytes.find(b"\n", self.at, min(self.end, self.at + limit))
        if newline < 0:
            refuse(self.position, f"a line without an end in {limit:,} bytes")
        return self.read(newline + 1 - self.at)

    # Strings: short ones become Python's, long ones stay where they are.

    def _text(self, size: int, encoding: Any, *, as_bytes: bool = False) -> None:
        start = self._skip(size)
        if size <= MAX_TEXT:
            raw = self.file.bytes[start : self.at]
            if as_bytes:
                return self.append(raw)
            text = raw.decode("latin1" if encoding == "raw" else encoding)
            if is_latin1(text):  # wider characters take up to four times their place
                return self.append(text)
        return self.append(Span(self.file, start, self.at, encoding))

    def _line_text(self, encoding: Any, quotes: int) -> None:
        newline = self.file.bytes.find(b"\n", self.at, self.end)
        if newline < 0:
            refuse(self.position, "a string line without an end; the file is truncated")
        if quotes:
            first, last = self.file.bytes[self.at], self.file.bytes[newline - 1]
            if newline - self.at < 2 or first != last or first not in b"'\"":
                refuse(self.position, "a string without its quotes")
        self.at += quotes
        self._text(newline - quotes - self.at, encoding)
        self.at = newline + 1

    def _long(self, size: int) -> None:
        if not 0 <= size <= _MAX_LONG:
            refuse(self.position, f"an integer of {size:,} bytes; at most {_MAX_LONG} are read")
        self.append(self._number(size, signed=True))

    # Containers and the memo.

    def load_mark(self) -> None:
        super().load_mark()
        if len(self.metastack) > MAX_MARKS:
            refuse(self.position, f"nested deeper than {MAX_MARKS}")

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, NotRead):
            refuse(self.position, f"appends to {kind_of(target)}")

    def _update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, NotRead):
            return
        if not isinstance(target, dict) or len(values) % 2:
            refuse(self.position, f"sets items of {kind_of(target)}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            set_item(target, key, value, self.position)

    def _dict(self) -> None:
        values = self.pop_mark()
        self.append({})
        self._update(values)

    def _pops(self, count: int) -> list[Any]:
        values = self.stack[-count:]
        del self.stack[-count:]
        if len(values) < count:
            refuse(self.position, "takes from an empty stack")
        return values

    def _put(self, index: int) -> None:
        if not 0 <= index <= self.count:
            refuse(self.position, f"memo index {index} after {self.count} opcodes (a sparse memo)")
        value = self.stack[-1]
        if isinstance(value, UnbuiltArray) and value.places is not None:
            value.places.append(index)
        self.memo[index] = value

    # Globals, and what is built from them.

    def find_class(self, module: str, name: str) -> Stub | NotRead:
        return find_global(self.vocabulary, module, name, self.position)

    def load_reduce(self) -> None:
        called, args = self._pops(2)
        if not isinstance(args, tuple):
            refuse(self.position, "a call without a tuple of arguments")
        if called is INERT_CALL and args and isinstance(args[0], NotRead):
            self.append(args[0])
        elif isinstance(called, NotRead):
            self.append(called)
        elif isinstance(called, Stub) and called.build is not None:
            self.append(called.build(args, self.position))
        else:
            refuse(self.position, f"calls {kind_of(called)} that is not to be called")

    def _newobj(self, count: int) -> None:
        called, *_ = self._pops(count)
        if not isinstance(called, NotRead):
            refuse(self.position, f"makes an instance of {kind_of(called)}")
        self.append(called)

    def _frozenset(self) -> None:
        self.pop_mark()
        self.append(NotRead("frozenset"))

    def load_build(self) -> None:
        target, state = self._pops(2)
        if isinstance(target, UnbuiltArray):
            if target.places is None:
                refuse(self.position, "sets the state of an array a second time")
            built = built_array(state, self.position)
            for index in target.places:
                if self.memo[index] is target:
                    self.memo[index] = built
            target.places = None
            target = built
        elif isinstance(target, PickledType):
            if not isinstance(state, tuple) or len(state) < 2 or state[1] not in tuple("<>=|"):
                refuse(self.position, "a dtype with a state that NumPy never writes")
            target.order = state[1]
        elif not (isinstance(target, NotRead) or (isinstance(target, dict) and self.persistent)):
            # PyTorch gives the dict of a model an attribute `_metadata`: versions of its layers.
            refuse(self.position, f"sets the state of {kind_of(target)}")
        self.append(target)

    def persistent_load(self, pid: Any) -> Any:
        if self.persistent is None:
            refuse(self.position, "a persistent id is not on the allowlist")
        return self.persistent(pid, self.position)

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.read(size), "little", signed=signed)

    def _proto(self) -> None:
        if (version := self.read(1)[0]) > pickle.HIGHEST_PROTOCOL:
            refuse(self.position, f"pickle protocol {version}; at most 5 is read")

    def _frame(self) -> None:
        if (size := self._number(8)) > self.end - self.at:
            refuse(self.position, f"a frame of {size:,} bytes where fewer are left")


_OWN = (
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG"),
    *("FLOAT", "BINFLOAT", "EMPTY_LIST", "LIST", "EMPTY_DICT", "EMPTY_TUPLE", "TUPLE", "TUPLE1"),
    *("TUPLE2", "TUPLE3", "GET", "BINGET", "LONG_BINGET", "STOP"),
    *("GLOBAL", "STACK_GLOBAL", "BINPERSID"),  # they call `find_class` and `persistent_load`
)
"""Opcodes that pickle's own machine may carry out."""
_STEPS: dict[str, Callable[[_Machine], object]] = {
    "PROTO": _Machine._proto,
    "FRAME": _Machine._frame,
    "STRING": lambda m: m._line_text("unicode-escape", 1),
    "UNICODE": lambda m: m._line_text("raw-unicode-escape", 0),
    "BINSTRING": lambda m: m._text(m._number(4, signed=True), "raw"),
    "SHORT_BINSTRING": lambda m: m._text(m._number(1), "raw"),
    "BINUNICODE": lambda m: m._text(m._number(4), "utf-8"),
    "SHORT_BINUNICODE": lambda m: m._text(m._number(1), "utf-8"),
    "BINUNICODE8": lambda m: m._text(m._number(8), "utf-8"),
    "BINBYTES": lambda m: m._text(m._number(4), "raw", as_bytes=True),
    "SHORT_BINBYTES": lambda m: m._text(m._number(1), "raw", as_bytes=True),
    "BINBYTES8": lambda m: m._text(m._number(8), "raw", as_bytes=True),
    "BYTEARRAY8": lambda m: m._text(m._number(8), "raw", as_bytes=True),
    "LONG1": lambda m: m._long(m._number(1)),
    "LONG4": lambda m: m._long(m._number(4, signed=True)),
    "APPEND": lambda m: m._extend(m._pops(1)),
    "APPENDS": lambda m: m._extend(m.pop_mark()),
    "DICT": _Machine._dict,
    "SETITEM": lambda m: m._update(m._pops(2)),
    "SETITEMS": lambda m: m._update(m.pop_mark()),
    "PUT": lambda m: m._put(int(m.readline()[:-1])),
    "BINPUT": lambda m: m._put(m._number(1)),
    "LONG_BINPUT": lambda m: m._put(m._number(4)),
    "MEMOIZE": lambda m: m._put(len(m.memo)),
    "MARK": _Machine.load_mark,
    "REDUCE": _Machine.load_reduce,
    "BUILD": _Machine.load_build,
    "NEWOBJ": lambda m: m._newobj(2),
    "NEWOBJ_EX": lambda m: m._newobj(3),
    "EMPTY_SET": lambda m: m.append(NotRead("set")),
    "ADDITEMS": lambda m: m._extend(m.pop_mark()),
    "FROZENSET": _Machine._frozenset,
}
"""The others that are read. No INST, OBJ, EXT or PERSID, and none that only a person writes."""
_Machine.dispatch = {
    getattr(pickle, name)[0]: _STEPS.get(name) or _Unpickler.dispatch[getattr(pickle, name)[0]]
    for name in (*_OWN, *_STEPS)
}
