"""Open any checkpoint as a flat list of named arrays, whatever its format.

The format is told from a file's content, never from its name. No reader runs code of the file or
takes more memory than the file's size; see `unpickle`. Every array and every plain value of the
file comes out under its path from the top, whatever dict or list it stands in; which of them are
the network is for others to say.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.arrays import MappedFile, Span, StoredArray, refuse
from sslprep.checkpoints.globals import NotRead, PickledArray, kind_of
from sslprep.checkpoints.safetensorsfile import looks_like_safetensors, read_safetensors
from sslprep.checkpoints.torchfile import LEGACY_START, read_legacy, read_tar, read_zip
from sslprep.checkpoints.unpickle import read_pickle
from sslprep.errors import CheckpointError, UnsafeFileError
from sslprep.input_files import what_it_is
from sslprep.npy import parse_array_header

Container = Literal["pickle", "npy", "zip", "legacy", "tar", "safetensors"]
Key = tuple[str, ...]
"""Where something stands in a file: the keys and list indexes from the top down to it."""
Value = str | int | float | bool | bytes | list[Any] | None
"""A plain value; a list holds plain values alone."""
Leaf = StoredArray | NotRead | Value

_FORMATS: dict[Container, str] = {
    "pickle": "caffe2-pickle",
    "npy": "caffe2-npy",
    "safetensors": "safetensors",
}
_PICKLE_STARTS = b"\x80(}c]"
"""What a pickled dict begins with: its protocol, or in protocols 0 and 1 a dict's opcodes."""
_SPARE = 16 << 20
_MAX_DEPTH = 24
_MAX_TEXTS = 16 << 20
_MAX_VALUES = 200_000
_LONGEST_HEADER = 1 << 16
PARTS = "A model in parts must be made one file first (safetensors.torch, torch.distributed)."
_LINE_ENDS = (
    "Its line ends seem to have been changed on the way (FTP in text mode, git's autocrlf); fetch "
    "it again as binary."
)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in a checkpoint.

    Attributes:
        path: The file.
        container: In which form it is; `zip`, `legacy` and `tar` are PyTorch's.
        leaves: Every array (`StoredArray`, still in the file), every plain value and what was left
            in the file, in its order.
    """

    path: Path
    container: Container
    leaves: dict[Key, Leaf]

    @cached_property
    def arrays(self) -> dict[Key, StoredArray]:
        """Every array."""
        return {key: leaf for key, leaf in self.leaves.items() if isinstance(leaf, StoredArray)}

    @cached_property
    def values(self) -> dict[Key, Value]:
        """Every plain value: settings, counters, texts."""
        others = StoredArray | NotRead
        return {key: leaf for key, leaf in self.leaves.items() if not isinstance(leaf, others)}

    @property
    def unread(self) -> dict[Key, NotRead]:
        """What was left in the file, such as values of classes."""
        return {key: leaf for key, leaf in self.leaves.items() if isinstance(leaf, NotRead)}

    @cached_property
    def main(self) -> Key:
        """The dict with the most arrays directly in it, the first of equals."""
        return Counter(key[:-1] for key in self.arrays).most_common(1)[0][0]

    @cached_property
    def stored(self) -> dict[str, StoredArray | int | float]:
        """Arrays and numbers of `main` by name."""
        return {
            key[-1]: leaf
            for key, leaf in self.leaves.items()
            if key[:-1] == self.main and isinstance(leaf, StoredArray | int | float)
        }

    @cached_property
    def blobs(self) -> dict[str, NDArray[Any] | int | float]:
        """The same, the arrays read; Caffe2's `model_iter` is a bare number.

        They are in this machine's byte order and read-only. Most are views of the mapped file: not
        always aligned or C-contiguous. Copy one before changing it or giving it to PyTorch.
        """
        return {n: b.load() if isinstance(b, StoredArray) else b for n, b in self.stored.items()}

    @cached_property
    def extra(self) -> dict[str, Any]:
        """The plain values outside of `blobs`, in dicts as in the file."""
        result: dict[str, Any] = {}
        for key, value in self.values.items():
            if key[:-1] == self.main and key[-1] in self.stored:
                continue
            place = result
            for part in key[:-1]:
                place = place.setdefault(part, {})
            place[key[-1]] = value
        metadata = result.pop("__metadata__", {}) if self.container == "safetensors" else {}
        return {**metadata, **result}

    @property
    def format(self) -> str:
        """The container, and what a pickle was written for."""
        of_detectron2 = self.main == ("model",) and ("__author__",) in self.leaves
        if self.container == "pickle" and of_detectron2:
            return "detectron2-pickle"
        return _FORMATS.get(self.container, "torch")


def read_checkpoint(path: Path) -> Contents:
    """Read the arrays of a checkpoint of any supported format: `blobs` of what is returned.

    Args:
        path: Caffe2 or Detectron `.pkl`, `.npy` with a pickled dict, Detectron2 `.pkl`,
            PyTorch `.pth`/`.dat`, or `.safetensors`.

    Raises:
        UnsafeFileError: The file names code, claims more than it holds, or is damaged.
        CheckpointError: No such file, or nothing in it that looks like named arrays.
    """
    contents = open_checkpoint(path)
    _ = contents.blobs
    return contents


def open_checkpoint(path: Path) -> Contents:
    """Read names, shapes and types of a checkpoint, and leave the arrays in the file."""
    if path.is_dir():
        raise CheckpointError("is a folder", where=path, expected="a checkpoint file", remedy=PARTS)
    file = MappedFile(path)
    try:
        container, tree = _read_tree(file)
        contents = Contents(path=path, container=container, leaves=_leaves(tree))
        held = sum(array.nbytes for array in contents.arrays.values())
        if held > 2 * file.size + _SPARE:
            problem = f"its arrays share their data so often that they make {held:,} bytes"
            expected = f"about the {file.size:,} bytes of the file"
            raise UnsafeFileError(problem, expected=expected, remedy="Nothing was loaded.")
    except (UnsafeFileError, CheckpointError) as error:
        start = file.bytes[:_LONGEST_HEADER]
        # Every newline has a carriage return before it; in a binary file one in 256 has.
        changed = b"\n" in start and not re.search(rb"(?<!\r)\n", start)
        if changed and isinstance(error, UnsafeFileError):
            error.remedy = f"{_LINE_ENDS} Nothing was loaded."
        raise error.at(path) from error
    return contents


def _read_tree(file: MappedFile) -> tuple[Container, Any]:
    """Tell the container by the first bytes; return it and the top-level value."""
    start = file.bytes[:256]
    if start.startswith(b"PK\x03\x04"):
        return "zip", read_zip(file)
    if LEGACY_START.match(start):
        return "legacy", read_legacy(file)
    if file.bytes[257:262] == b"ustar":
        return "tar", read_tar(file)
    if start.startswith(b"\x93NUMPY"):
        return "npy", _read_boxed(file)
    if looks_like_safetensors(file):
        arrays, metadata = read_safetensors(file)
        return "safetensors", {**arrays, "__metadata__": metadata}
    if start[0] not in _PICKLE_STARTS:
        unknown = f"of no format that is known here (it begins with {start[:16]!r})"
        json = ("JSON, perhaps the index of a model in shards", PARTS)
        what, remedy = what_it_is(start) or (json if start[:1] == b"{" else (unknown, None))
        expected = "a pickle, .npy with a dict, PyTorch or safetensors file"
        raise CheckpointError(f"is {what}", expected=expected, remedy=remedy)
    return "pickle", _whole_pickle(file, 0)


def _whole_pickle(file: MappedFile, start: int) -> Any:
    value, end = read_pickle(file, start)
    if end != file.size:
        # `pickle.load` would ignore it, and with it whatever it is.
        refuse(f"{file.size - end:,} bytes follow the end of the pickle", where=f"byte {end}")
    return value


def _read_boxed(file: MappedFile) -> Any:
    """Read a `.npy` file whose only element is a dict, pickled."""
    start = io.BytesIO(file.bytes[:_LONGEST_HEADER])
    try:
        shape, _, dtype = parse_array_header(start)
    except ValueError as error:
        refuse(f"not a readable .npy header ({error!s:.100})")
    if dtype != np.dtype(object) or shape != ():
        problem = f"is an array of shape {shape} and type {dtype}"
        raise CheckpointError(problem, expected="a checkpoint: named arrays")
    return _whole_pickle(file, start.tell())


def _leaves(tree: Any) -> dict[Key, Leaf]:
    """Return the leaves of a tree of dicts and lists, each dict or list where it stands first."""
    found: dict[Key, Leaf] = {}
    room = texts = _MAX_TEXTS
    values, seen = _MAX_VALUES, set()
    left: list[tuple[Key, Any]] = [((), tree)]
    while left:
        key, value = left.pop()
        if isinstance(value, PickledArray):
            value = value.value
        if not key and not isinstance(value, dict):
            raise CheckpointError(f"holds {kind_of(value)}", expected=_EXPECTED)
        if isinstance(value, dict | list | tuple):
            # One list may stand in itself a million times: only the first is gone into.
            again = id(value) in seen
            seen.add(id(value))
            values -= len(value) * again
            listed = not isinstance(value, dict) and values >= 0
            if listed and all(isinstance(item, _PLAIN) for item in value):
                found[key] = list(value)
            elif again or len(key) > _MAX_DEPTH:
                found[key] = NotRead("values that stand elsewhere too, or too deep")
            else:
                # One array may stand in a list half a million times, at the end of a long path.
                pairs = value.items() if isinstance(value, dict) else enumerate(value)
                inside = [(str(name), item) for name, item in pairs]
                room -= sum(64 + len(name) for name, _ in inside) + len(inside) * sum(map(len, key))
                if room < 0:
                    refuse("values whose paths are megabytes together")
                left += [((*key, name), item) for name, item in inside][::-1]
        elif isinstance(value, Span):
            texts -= len(value)
            text = value.text() if texts >= 0 else None
            found[key] = NotRead(f"a text of {len(value):,} bytes") if text is None else text
        else:
            found[key] = value if isinstance(value, _LEAVES) else NotRead(kind_of(value))
    if not any(isinstance(leaf, StoredArray) for leaf in found.values()):
        raise CheckpointError("holds no array", expected=_EXPECTED)
    return found


_EXPECTED = "a checkpoint: a dict of named arrays"
_PLAIN = (type(None), bool, int, float, str, bytes)
_LEAVES = (*_PLAIN, StoredArray, NotRead)
