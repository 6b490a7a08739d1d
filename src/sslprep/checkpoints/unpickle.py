"""Read a pickle without Python's `pickle`: nothing that a file names is ever imported or called.

A pickle is a program for a small stack machine. This is such a machine with a closed list of
opcodes (`opcodes`), in which a global is never looked up: it is a `Standin` from a table of
ours, and "calling" it runs a few lines of this package on checked arguments. `numpy.ndarray`,
`numpy.dtype` and `_reconstruct` are no exception: NumPy's own, fed with a hostile state, read
and write outside their memory. Arrays come out as `StoredArray`, still in the file.

Each opcode takes a bounded amount of memory, no value is printed, hashed or compared in depth,
and nothing recurses: lists that contain themselves are as harmless as any.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from sslprep.checkpoints import opcodes as op
from sslprep.checkpoints.arrays import MappedFile, Span
from sslprep.checkpoints.opcodes import Argument, Text, refuse
from sslprep.checkpoints.standins import (
    NUMPY,
    PickledType,
    Standin,
    UnbuiltArray,
    Vocabulary,
    built_array,
    is_latin1,
    kind_of,
    set_item,
)

MAX_TEXT = 128
"""Bytes of a string that becomes a Python one at once; a longer one stays in the file."""


def read_pickle(
    file: MappedFile,
    start: int = 0,
    *,
    stop: int | None = None,
    vocabulary: Vocabulary = NUMPY,
    persistent: Callable[[Any, int], Any] | None = None,
) -> tuple[Any, int]:
    """Read one pickle of a file.

    The opcode stream and the globals that it names are looked over first; only then does the
    machine run.

    Args:
        file: The file.
        start: Where the pickle begins.
        stop: Where it must end at the latest; by default the end of the file.
        vocabulary: The globals that it may name.
        persistent: What a persistent id stands for; without it the pickle may have none.

    Returns:
        The value, in which arrays are `StoredArray` and long strings `Span`, and the position
        after the pickle.

    Raises:
        UnsafeFileError: The pickle names or does anything that is not on the lists, is damaged,
            or claims more than the file holds. The position is named, the file is not.
    """
    machine = _Machine(file, vocabulary, persistent)
    allow = persistent is not None
    end = len(file.bytes) if stop is None else stop
    for position, code, argument in op.walk(file.bytes, start, end, persistent_ids=allow):
        if code == op.GLOBAL:
            machine.standin(argument, position)
    for position, code, argument in op.walk(file.bytes, start, end, persistent_ids=allow):
        machine.step(position, code, argument)
    return machine.result(position), position + 1


class _Machine:
    """The stack, the marks and the memo, and what each opcode does to them."""

    def __init__(
        self,
        file: MappedFile,
        vocabulary: Vocabulary,
        persistent: Callable[[Any, int], Any] | None,
    ) -> None:
        self._file = file
        self._vocabulary = vocabulary
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[int, Callable[[Any, int], None]] = {
            op.PROTO: self._nothing,
            op.FRAME: self._nothing,
            op.STOP: self._nothing,
            op.MARK: self._mark,
            op.NONE: self._push,
            op.NEWTRUE: lambda _, __: self._stack.append(True),
            op.NEWFALSE: lambda _, __: self._stack.append(False),
            **dict.fromkeys((op.INT, op.BININT, op.BININT1, op.BININT2), self._push),
            **dict.fromkeys((op.LONG, op.LONG1, op.LONG4, op.FLOAT, op.BINFLOAT), self._push),
            op.STRING: self._escaped,
            op.BINSTRING: self._string,
            op.SHORT_BINSTRING: self._string,
            op.UNICODE: self._escaped_unicode,
            **dict.fromkeys((op.BINUNICODE, op.SHORT_BINUNICODE, op.BINUNICODE8), self._unicode),
            **dict.fromkeys(
                (op.BINBYTES, op.SHORT_BINBYTES, op.BINBYTES8, op.BYTEARRAY8), self._bytes
            ),
            op.EMPTY_LIST: lambda _, __: self._stack.append([]),
            op.LIST: lambda _, position: self._stack.append(self._to_mark(position)),
            op.APPEND: lambda _, position: self._extend([self._pop(position)], position),
            op.APPENDS: lambda _, position: self._extend(self._to_mark(position), position),
            op.EMPTY_DICT: lambda _, __: self._stack.append({}),
            op.DICT: self._dict,
            op.SETITEM: lambda _, position: self._update(self._several(2, position), position),
            op.SETITEMS: lambda _, position: self._update(self._to_mark(position), position),
            op.EMPTY_TUPLE: lambda _, __: self._stack.append(()),
            op.TUPLE: lambda _, position: self._stack.append(tuple(self._to_mark(position))),
            op.TUPLE1: lambda _, position: self._stack.append(tuple(self._several(1, position))),
            op.TUPLE2: lambda _, position: self._stack.append(tuple(self._several(2, position))),
            op.TUPLE3: lambda _, position: self._stack.append(tuple(self._several(3, position))),
            **dict.fromkeys((op.GET, op.BINGET, op.LONG_BINGET), self._get),
            **dict.fromkeys((op.PUT, op.BINPUT, op.LONG_BINPUT), self._put),
            op.MEMOIZE: lambda _, position: self._put(len(self._memo), position),
            op.GLOBAL: lambda name, at: self._stack.append(self.standin(name, at)),
            op.STACK_GLOBAL: self._stack_global,
            op.REDUCE: self._reduce,
            op.BUILD: self._build,
            op.BINPERSID: self._persistent_id,
        }

    def step(self, position: int, code: int, argument: Argument) -> None:
        self._steps[code](argument, position)

    def result(self, position: int) -> Any:
        value = self._pop(position)
        if self._stack or self._marks:
            refuse(position, "the pickle leaves more than one value")
        return value

    def standin(self, name: Any, position: int) -> Standin:
        found = self._vocabulary.get(name)
        if found is None:
            refuse(position, f"refers to {name[0]}.{name[1]}, which is not on the allowlist")
        return found

    def _nothing(self, _: Any, __: int) -> None:
        pass

    def _mark(self, _: Any, __: int) -> None:
        self._marks.append(len(self._stack))

    def _push(self, value: Any, _: int) -> None:
        self._stack.append(value)

    def _pop(self, position: int) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            refuse(position, "takes from an empty stack")
        return self._stack.pop()

    def _several(self, count: int, position: int) -> list[Any]:
        values = [self._pop(position) for _ in range(count)]
        values.reverse()
        return values

    def _to_mark(self, _: int) -> list[Any]:
        at = self._marks.pop()  # the walk has counted the marks
        values = self._stack[at:]
        del self._stack[at:]
        return values

    def _top(self, position: int) -> Any:
        value = self._pop(position)
        self._stack.append(value)
        return value

    # Strings. Short ones become Python's; `latin1` is how Python 2's are read everywhere.

    def _string(self, text: Text, _: int) -> None:
        if text.stop - text.start <= MAX_TEXT:
            self._stack.append(self._file.bytes[text.start : text.stop].decode("latin1"))
        else:
            self._stack.append(Span(self._file, text.start, text.stop, "raw"))

    def _bytes(self, text: Text, _: int) -> None:
        if text.stop - text.start <= MAX_TEXT:
            self._stack.append(self._file.bytes[text.start : text.stop])
        else:
            self._stack.append(Span(self._file, text.start, text.stop, "raw"))

    def _escaped(self, text: Text, position: int) -> None:
        span = Span(self._file, text.start, text.stop, "escaped")
        if text.stop - text.start <= MAX_TEXT:
            raw = self._file.bytes[text.start : text.stop]
            try:
                decoded = codecs.escape_decode(raw)[0]
            except ValueError:
                refuse(position, "a string with a malformed escape")
            self._stack.append(decoded.decode("latin1"))
        else:
            self._stack.append(span)

    def _unicode(self, text: Text, position: int) -> None:
        self._stack.append(self._text(text, "utf-8", position))

    def _escaped_unicode(self, text: Text, position: int) -> None:
        self._stack.append(self._text(text, "raw-unicode-escape", position))

    def _text(self, text: Text, coding: Any, position: int) -> str | Span:
        if text.stop - text.start <= MAX_TEXT:
            try:
                decoded = self._file.bytes[text.start : text.stop].decode(coding)
            except UnicodeDecodeError:
                refuse(position, f"a string that is not {coding}")
            # Wider characters take up to four times their place in the file.
            if decoded.isascii() or is_latin1(decoded):
                return decoded
        return Span(self._file, text.start, text.stop, coding)

    # Containers and the memo.

    def _extend(self, values: list[Any], position: int) -> None:
        target = self._top(position)
        if not isinstance(target, list):
            refuse(position, f"appends to {kind_of(target)}")
        target.extend(values)

    def _update(self, values: list[Any], position: int) -> None:
        target = self._top(position)
        if not isinstance(target, dict) or len(values) % 2:
            refuse(position, f"sets items of {kind_of(target)}")
        for i in range(0, len(values), 2):
            set_item(target, values[i], values[i + 1], position)

    def _dict(self, _: Any, position: int) -> None:
        values = self._to_mark(position)
        self._stack.append({})
        self._update(values, position)

    def _get(self, index: int, position: int) -> None:
        if index not in self._memo:
            refuse(position, f"memo index {index} was never stored")
        self._stack.append(self._memo[index])

    def _put(self, index: int, position: int) -> None:
        value = self._top(position)
        if isinstance(value, UnbuiltArray) and value.places is not None:
            value.places.append(index)
        self._memo[index] = value

    # Globals, and what is built from them.

    def _stack_global(self, _: Any, position: int) -> None:
        module, name = self._several(2, position)
        if not isinstance(module, str) or not isinstance(name, str):
            refuse(position, "a global whose name is not a short text")
        self._stack.append(self.standin((module, name), position))

    def _reduce(self, _: Any, position: int) -> None:
        called, args = self._several(2, position)
        if not isinstance(called, Standin) or called.build is None:
            refuse(position, f"calls {kind_of(called)} that is not to be called")
        if not isinstance(args, tuple):
            refuse(position, "a call without a tuple of arguments")
        self._stack.append(called.build(args, position))

    def _build(self, _: Any, position: int) -> None:
        target, state = self._several(2, position)
        if isinstance(target, UnbuiltArray):
            if target.places is None:
                refuse(position, "sets the state of an array a second time")
            built = built_array(state, position)
            for index in target.places:
                if self._memo[index] is target:
                    self._memo[index] = built
            target.places = None
            target = built
        elif isinstance(target, PickledType):
            if not isinstance(state, tuple) or len(state) < 2 or state[1] not in tuple("<>=|"):
                refuse(position, "a dtype with a state that NumPy never writes")
            target.order = state[1]
        elif not (isinstance(target, dict) and self._persistent is not None):
            # PyTorch gives the dict of a model an attribute `_metadata`: versions of its layers.
            refuse(position, f"sets the state of {kind_of(target)}")
        self._stack.append(target)

    def _persistent_id(self, _: Any, position: int) -> None:
        if self._persistent is None:  # the walk has refused it
            refuse(position, "a persistent id")
        self._stack.append(self._persistent(self._pop(position), position))
