"""Read any checkpoint as named arrays, whatever its format, and write Caffe2's pickle.

The format is told from a file's content, never from its name. No reader runs code of the file
or takes more memory than the file's size; see `unpickle`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.arrays import MappedFile, Span, StoredArray
from sslprep.checkpoints.pickling import compare_written, save_pickle
from sslprep.checkpoints.safetensorsfile import looks_like_safetensors, read_safetensors
from sslprep.checkpoints.standins import Boxed
from sslprep.checkpoints.torchfile import LEGACY_START, read_legacy, read_zip
from sslprep.checkpoints.unpickle import read_pickle
from sslprep.errors import CheckpointError, UnsafeFileError
from sslprep.files import parse_array_header, reading

__all__ = [
    "Blobs",
    "Checkpoint",
    "Contents",
    "Format",
    "compare_written",
    "holds_objects",
    "open_checkpoint",
    "read_checkpoint",
    "save_pickle",
]

Format = Literal["caffe2-pickle", "caffe2-npy", "detectron2-pickle", "torch", "safetensors"]
Blobs = dict[str, NDArray[Any] | int | float]
"""Arrays by name; Caffe2's `model_iter` is a bare number."""

_NESTS = (
    "blobs",
    "state_dict",
    "model",
    "model_state_dict",
    "classy_state_dict",
    "base_model",
    "trunk",
)
"""Under which of its keys a checkpoint keeps its arrays, in the order of preference."""
_PICKLE_STARTS = b"\x80(}c]"
"""What a pickled dict begins with: its protocol, or in protocols 0 and 1 a dict's opcodes."""
_LFS = b"version https://"
_SPARE = 16 << 20
_MAX_PLAIN = 10_000
_MAX_PLAIN_DEPTH = 8
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in a checkpoint, before its arrays are read.

    Attributes:
        path: The file.
        format: In which form it is.
        root: Under which keys the arrays were found, such as `blobs`; empty at the top level.
        blobs: Arrays still in the file (`shape`, `dtype`, `nbytes`, `load()`), and bare numbers.
        extra: What stands beside them at the top level: texts, numbers, lists and dicts of them.
        unread: Keys at the top level whose values are neither, such as an optimizer's state.
    """

    path: Path
    format: Format
    root: str = ""
    blobs: dict[str, StoredArray | int | float]
    extra: dict[str, object] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint's arrays by name; the other attributes are those of `Contents`.

    Arrays are in this machine's byte order and read-only. Most are views of the mapped file:
    not always aligned, not always C-contiguous. Copy one before changing it or giving it to
    PyTorch.
    """

    path: Path
    format: Format
    root: str = ""
    blobs: Blobs
    extra: dict[str, object] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of any supported format.

    Args:
        path: Caffe2 or Detectron `.pkl`, `.npy` with a pickled dict, Detectron2 `.pkl`,
            PyTorch `.pth`/`.dat`, or `.safetensors`.

    Raises:
        UnsafeFileError: The file names code, claims more than it holds, or is damaged.
        CheckpointError: No such file, or nothing in it that looks like named arrays.
    """
    contents = open_checkpoint(path)
    blobs: Blobs = {}
    try:
        for name, blob in contents.blobs.items():
            blobs[name] = blob.load() if isinstance(blob, StoredArray) else blob
    except UnsafeFileError as error:
        raise error.at(path) from error
    return Checkpoint(
        path=path,
        format=contents.format,
        root=contents.root,
        blobs=blobs,
        extra=contents.extra,
        unread=contents.unread,
    )


def open_checkpoint(path: Path) -> Contents:
    """Read names, shapes and types of a checkpoint, and leave the arrays in the file.

    Raises:
        UnsafeFileError: See `read_checkpoint`.
        CheckpointError: See `read_checkpoint`.
    """
    if path.is_dir():
        raise CheckpointError("is a folder", where=path, expected="a checkpoint file")
    file = MappedFile(path)
    try:
        form, tree, metadata = _read_tree(file)
        root, table = _find_table(tree)
        if form == "caffe2-pickle" and root == "model" and "__author__" in tree:
            form = "detectron2-pickle"
        blobs = _blobs(table, root)
        held = sum(blob.nbytes for blob in blobs.values() if isinstance(blob, StoredArray))
        if held > 2 * file.size + _SPARE:
            raise UnsafeFileError(
                f"its arrays share their data so often that they make {held:,} bytes",
                expected=f"about the {file.size:,} bytes of the file",
                remedy="Nothing was loaded.",
            )
        extra, unread = _beside(tree, table, root)
    except (UnsafeFileError, CheckpointError) as error:
        raise error.at(path) from error
    return Contents(
        path=path, format=form, root=root, blobs=blobs, extra={**extra, **metadata}, unread=unread
    )


def _read_tree(file: MappedFile) -> tuple[Format, Any, dict[str, object]]:
    """Tell the format by the first bytes and return it, the top-level value and metadata."""
    start = file.bytes[:16]
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise CheckpointError(f"is compressed with {name}", remedy="Decompress it first.")
    if start.startswith(b"PK\x03\x04"):
        return "torch", read_zip(file), {}
    if LEGACY_START.match(file.bytes[:32]):
        return "torch", read_legacy(file), {}
    if start.startswith(b"\x93NUMPY"):
        return "caffe2-npy", _read_boxed(file), {}
    if looks_like_safetensors(file):
        arrays, metadata = read_safetensors(file)
        return "safetensors", arrays, dict(metadata)
    if start[0] not in _PICKLE_STARTS:
        hint = "It is a pointer of Git LFS; fetch the file itself." if start == _LFS else None
        raise CheckpointError(
            f"is of no format that is known here (it begins with {start!r})",
            expected="a pickle, .npy with a dict, PyTorch or safetensors file",
            remedy=hint,
        )
    return "caffe2-pickle", _whole_pickle(file, 0), {}


def _whole_pickle(file: MappedFile, start: int) -> Any:
    value, end = read_pickle(file, start)
    if end != file.size:
        # `pickle.load` would ignore it, and with it whatever it is.
        raise UnsafeFileError(
            f"{file.size - end:,} bytes follow the end of the pickle",
            where=f"byte {end}",
            remedy="Nothing was loaded.",
        )
    return value.value if isinstance(value, Boxed) else value


def _read_boxed(file: MappedFile) -> Any:
    """Read a `.npy` file whose only element is a dict, pickled."""
    dtype, shape, start = _npy_header(file.path)
    if dtype != np.dtype(object) or shape != ():
        raise CheckpointError(
            f"is an array of shape {shape} and type {dtype}",
            expected="a checkpoint: named arrays",
        )
    return _whole_pickle(file, start)


def holds_objects(path: Path) -> bool:
    """Whether a `.npy` file holds pickled objects rather than plain values.

    Raises:
        UnsafeFileError: Its header is damaged.
    """
    try:
        return _npy_header(path)[0].hasobject
    except UnsafeFileError as error:
        raise error.at(path) from error


def _npy_header(path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return type, shape and the position after the header."""
    with reading(path, CheckpointError), open(path, "rb") as handle:
        try:
            shape, _, dtype = parse_array_header(handle)
        except ValueError as error:
            raise UnsafeFileError(
                f"not a readable .npy header ({error!s:.100})", remedy="Nothing was loaded."
            ) from error
        return dtype, shape, handle.tell()


def _find_table(tree: Any) -> tuple[str, dict[Any, Any]]:
    """Return the dict that holds the arrays, and under which keys it was."""
    path: list[str] = []
    table = tree
    while isinstance(table, dict):
        nest = next((n for n in _NESTS if isinstance(table.get(n), dict)), None)
        if nest is None:
            break
        path.append(nest)
        table = table[nest]
        if len(path) > _MAX_PLAIN_DEPTH:
            raise CheckpointError("holds dicts within dicts without end")
    place = f"under {'.'.join(path)}" if path else "at the top level"
    if not isinstance(table, dict):
        raise CheckpointError(
            f"holds a {_kind(table)}", expected="a checkpoint: a dict of named arrays"
        )
    if not any(isinstance(value, StoredArray) for value in table.values()):
        raise CheckpointError(
            f"holds no array {place}", expected="a checkpoint: a dict of named arrays"
        )
    return ".".join(path), table


def _blobs(table: dict[Any, Any], root: str) -> dict[str, StoredArray | int | float]:
    blobs: dict[str, StoredArray | int | float] = {}
    for name, value in table.items():
        if not isinstance(name, str):
            raise CheckpointError(f"a blob has the number {name} for a name", where=root or None)
        if not isinstance(value, StoredArray | int | float):
            raise CheckpointError(
                f"blob {name} is a {_kind(value)}", expected="an array or a number"
            )
        blobs[name] = value
    return blobs


def _beside(
    tree: Any, table: dict[Any, Any], root: str
) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the plain values beside the arrays at the top level, and the keys of the others."""
    extra: dict[str, object] = {}
    unread: list[str] = []
    if tree is table:
        return extra, ()
    for key, value in tree.items():
        if key == root.split(".")[0]:
            continue
        try:
            extra[str(key)] = _plain(value, [_MAX_PLAIN], 0)
        except _NotPlainError:
            unread.append(str(key))
    return extra, tuple(unread)


class _NotPlainError(Exception):
    """A value holds an array or is too large to be a setting."""


def _plain(value: Any, budget: list[int], depth: int) -> object:
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_PLAIN_DEPTH:
        raise _NotPlainError
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return value
        case Span():
            return value.text()
        case list() | tuple():
            return [_plain(item, budget, depth + 1) for item in value]
        case dict():
            return {str(key): _plain(item, budget, depth + 1) for key, item in value.items()}
        case _:
            raise _NotPlainError


def _kind(value: Any) -> str:
    if isinstance(value, Span):
        return "text"
    name = type(value).__name__
    return {"NoneType": "None", "StoredArray": "bare array"}.get(name, name)
