"""The opcodes of a pickle that this package reads, and a walk over them that trusts no length.

The walk splits the stream into opcodes and their arguments; it makes no object of the pickle.
Long strings are given as positions in the file. What is not in `OPCODES` ends the walk: there is
no INST, OBJ, NEWOBJ, EXT or PERSID, and nothing that only a program written by hand would need
(DUP, POP). Source of the format: the comments of CPython's `Lib/pickletools.py`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import NoReturn

from sslprep.errors import UnsafeFileError

MAX_OPCODES = 500_000
"""A nine-tower ResNet-152 takes about half of it; each opcode costs some hundred bytes at most."""
MAX_MARKS = 64
"""Open marks, which is how deep tuples, lists and dicts can stand inside each other."""
MAX_PROTOCOL = 5
_MAX_LINE = 256
_MAX_LONG = 16

PROTO, FRAME, STOP, MARK = b"\x80\x95.("
NONE, NEWTRUE, NEWFALSE = b"N\x88\x89"
INT, BININT, BININT1, BININT2, LONG, LONG1, LONG4, FLOAT, BINFLOAT = b"IJKML\x8a\x8bFG"
STRING, BINSTRING, SHORT_BINSTRING = b"STU"
UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8 = b"VX\x8c\x8d"
BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8 = b"BC\x8e\x96"
EMPTY_LIST, LIST, APPEND, APPENDS = b"]lae"
EMPTY_DICT, DICT, SETITEM, SETITEMS = b"}dsu"
EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3 = b")t\x85\x86\x87"
GET, BINGET, LONG_BINGET, PUT, BINPUT, LONG_BINPUT, MEMOIZE = b"ghjpqr\x94"
GLOBAL, STACK_GLOBAL, REDUCE, BUILD, BINPERSID = b"c\x93RbQ"

_FIXED = {
    BININT: struct.Struct("<i"),
    BININT1: struct.Struct("<B"),
    BININT2: struct.Struct("<H"),
    BINFLOAT: struct.Struct(">d"),
    BINGET: struct.Struct("<B"),
    LONG_BINGET: struct.Struct("<I"),
    BINPUT: struct.Struct("<B"),
    LONG_BINPUT: struct.Struct("<I"),
    PROTO: struct.Struct("<B"),
    FRAME: struct.Struct("<Q"),
}
_COUNTED = {
    SHORT_BINSTRING: struct.Struct("<B"),
    BINSTRING: struct.Struct("<i"),
    SHORT_BINUNICODE: struct.Struct("<B"),
    BINUNICODE: struct.Struct("<I"),
    BINUNICODE8: struct.Struct("<Q"),
    SHORT_BINBYTES: struct.Struct("<B"),
    BINBYTES: struct.Struct("<I"),
    BINBYTES8: struct.Struct("<Q"),
    BYTEARRAY8: struct.Struct("<Q"),
    LONG1: struct.Struct("<B"),
    LONG4: struct.Struct("<i"),
}
_INTEGER_LINES = {
    INT: re.compile(rb"-?[0-9]{1,39}"),
    LONG: re.compile(rb"-?[0-9]{1,39}L?"),
    GET: re.compile(rb"[0-9]{1,10}"),
    PUT: re.compile(rb"[0-9]{1,10}"),
}
_FLOAT_LINE = re.compile(rb"[-+]?(?:[0-9]+\.?[0-9]*(?:e[-+]?[0-9]+)?|nan|inf)", re.IGNORECASE)
_NAME_LINE = re.compile(rb"[A-Za-z_][A-Za-z0-9_.]*")
_PUTS = (PUT, BINPUT, LONG_BINPUT)
_CLOSES_MARK = (LIST, DICT, TUPLE, APPENDS, SETITEMS)

_BARE = frozenset((
    STOP, MARK, NONE, NEWTRUE, NEWFALSE, EMPTY_LIST, LIST, APPEND, APPENDS,
    EMPTY_DICT, DICT, SETITEM, SETITEMS, EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3, MEMOIZE,
    STACK_GLOBAL, REDUCE, BUILD, BINPERSID,
))  # fmt: skip
OPCODES = frozenset((*_FIXED, *_COUNTED, *_INTEGER_LINES, FLOAT, STRING, UNICODE, GLOBAL, *_BARE))
"""Every opcode that is read; BINPERSID only where the format has persistent ids (PyTorch)."""

_REFUSED_NAMES = {
    ord("i"): "INST",
    ord("o"): "OBJ",
    0x81: "NEWOBJ",
    0x92: "NEWOBJ_EX",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    ord("P"): "PERSID",
    BINPERSID: "BINPERSID",
    ord("0"): "POP",
    ord("1"): "POP_MARK",
    ord("2"): "DUP",
    0x8F: "EMPTY_SET",
    0x90: "ADDITEMS",
    0x91: "FROZENSET",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}


@dataclass(frozen=True, slots=True)
class Text:
    """A string argument, left in the file: bytes `start` to `stop`."""

    start: int
    stop: int


Argument = int | float | None | Text | tuple[str, str]


def refuse(position: int, problem: str) -> NoReturn:
    """Raise the error of every refusal; the caller that knows the file adds its name."""
    raise UnsafeFileError(problem, where=f"byte {position}", remedy="Nothing was loaded.")


def walk(
    data: mmap | bytes, start: int = 0, stop: int | None = None, *, persistent_ids: bool = False
) -> Iterator[tuple[int, int, Argument]]:
    r"""Yield (position, opcode, argument) of each opcode up to and including STOP.

    Args:
        data: The file.
        start: Where the pickle begins.
        stop: Where it must end at the latest; by default the end of the data.
        persistent_ids: Accept BINPERSID.

    Raises:
        UnsafeFileError: An opcode that is not in `OPCODES`, a length beyond the end of the file,
            too many opcodes or open marks, a memo index that no pickler writes, no STOP.

    Example:
        >>> [(position, chr(opcode), argument) for position, opcode, argument in walk(b"K\x05.")]
        [(0, 'K', 5), (2, '.', None)]
    """
    position, count, marks = start, 0, 0
    end = len(data) if stop is None else stop
    while True:
        if position >= end:
            refuse(position, "the file ends within the pickle; it is truncated or not a pickle")
        opcode = data[position]
        if opcode not in OPCODES or (opcode == BINPERSID and not persistent_ids):
            name = _REFUSED_NAMES.get(opcode, "unknown")
            refuse(position, f"opcode 0x{opcode:02x} ({name}) is not on the allowlist")
        count += 1
        if count > MAX_OPCODES:
            refuse(position, f"more than {MAX_OPCODES:,} opcodes")
        argument, after = (
            (None, position + 1) if opcode in _BARE else _argument(data, position, opcode, end)
        )
        if opcode == MARK:
            marks += 1
            if marks > MAX_MARKS:
                refuse(position, f"nested deeper than {MAX_MARKS}")
        elif opcode in _CLOSES_MARK:
            marks -= 1
            if marks < 0:
                refuse(position, "closes a mark that was never opened")
        elif opcode in _PUTS and isinstance(argument, int) and argument > count:
            refuse(position, f"memo index {argument} after {count} opcodes (a sparse memo)")
        yield position, opcode, argument
        if opcode == STOP:
            return
        position = after


def _argument(data: mmap | bytes, position: int, opcode: int, end: int) -> tuple[Argument, int]:
    """Return the argument of the opcode at `position`, and where the next opcode begins."""
    begin = position + 1
    if (fixed := _FIXED.get(opcode)) is not None:
        after = begin + fixed.size
        if after > end:
            refuse(position, "the file ends within an opcode; it is truncated")
        value = fixed.unpack_from(data, begin)[0]
        if opcode == PROTO and value > MAX_PROTOCOL:
            refuse(position, f"pickle protocol {value}; at most {MAX_PROTOCOL} is read")
        if opcode == FRAME and value > end - after:
            refuse(position, f"a frame of {value:,} bytes where {end - after:,} are left")
        return value, after
    if (counter := _COUNTED.get(opcode)) is not None:
        return _counted(data, position, opcode, counter, end)
    if opcode in (STRING, UNICODE):
        newline = data.find(b"\n", begin, end)
        if newline < 0:
            refuse(position, "a string line without an end; the file is truncated")
        return _quoted(data, position, newline, quotes=opcode == STRING), newline + 1
    if opcode in _INTEGER_LINES:
        line, after = _line(data, position, begin, end, _INTEGER_LINES[opcode])
        if opcode == INT and line in (b"00", b"01"):  # how protocol 0 writes False and True
            return line == b"01", after
        return int(line.rstrip(b"L")), after
    if opcode == FLOAT:
        line, after = _line(data, position, begin, end, _FLOAT_LINE)
        return float(line), after
    module, after = _line(data, position, begin, end, _NAME_LINE)  # GLOBAL
    name, after = _line(data, position, after, end, _NAME_LINE)
    return (module.decode(), name.decode()), after


def _counted(
    data: mmap | bytes, position: int, opcode: int, counter: struct.Struct, end: int
) -> tuple[Argument, int]:
    begin = position + 1 + counter.size
    if begin > end:
        refuse(position, "the file ends within an opcode; it is truncated")
    length = counter.unpack_from(data, position + 1)[0]
    if not 0 <= length <= end - begin:
        refuse(position, f"a length of {length:,} bytes where {end - begin:,} are left")
    after = begin + length
    if opcode in (LONG1, LONG4):
        if length > _MAX_LONG:
            refuse(position, f"an integer of {length:,} bytes; at most {_MAX_LONG} are read")
        return int.from_bytes(data[begin:after], "little", signed=True), after
    return Text(begin, after), after


def _line(
    data: mmap | bytes, position: int, begin: int, end: int, pattern: re.Pattern[bytes]
) -> tuple[bytes, int]:
    newline = data.find(b"\n", begin, min(end, begin + _MAX_LINE))
    if newline < 0:
        refuse(position, f"a line without an end in {_MAX_LINE} bytes")
    line = data[begin:newline]
    if pattern.fullmatch(line) is None:
        refuse(position, f"a line that no pickler writes: {line[:40]!r}")
    return line, newline + 1


def _quoted(data: mmap | bytes, position: int, newline: int, *, quotes: bool) -> Text:
    start, stop = position + 1, newline
    if quotes:
        if stop - start < 2 or data[start] != data[stop - 1] or data[start] not in b"'\"":
            refuse(position, "a string without its quotes")
        start, stop = start + 1, stop - 1
    return Text(start, stop)
