"""`.npy` files: written plain, and read after a check of their header.

Object arrays are neither written nor unpickled. The length of a file must be what its header
says, so no small file can ask for much memory.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import ArrayError
from sslprep.input_files import reading, refuse_other

LONGEST_HEADER = 1 << 14
"""Above NumPy's own limit; what a file holds behind it is not even read."""
_MOST_AXES = 32
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
_BLOCK = 1 << 20
_KINDS = {
    "i": "integers",
    "u": "unsigned integers",
    "f": "floats",
    "U": "strings",
    "S": "bytes",
    "b": "booleans",
}


def write_array(file: BinaryIO, array: NDArray[Any]) -> None:
    """Write a `.npy` file (version 1.0, C order) to anything with `write`."""
    if array.dtype.hasobject:
        raise ValueError("object arrays are never written")
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    header = np.lib.format.header_data_from_array_1_0(contiguous)
    np.lib.format.write_array_header_1_0(file, header)
    if contiguous.nbytes:  # not `tofile`, whose error on a full disk has no reason
        file.write(contiguous.reshape(-1).view(np.uint8).data)


def parse_array_header(start: BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Parse a `.npy` header with NumPy: (shape, Fortran order, dtype); the data are not looked at.

    Args:
        start: The first bytes of the file, so that no header can ask for more memory than they
            take; it stands behind the header afterwards.

    Raises:
        ValueError: It is none, or of an impossible shape.
    """
    try:
        version = np.lib.format.read_magic(start)
        if version not in _HEADERS:
            raise ValueError(f"unknown version {version}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote: we read them
            shape, fortran, dtype = _HEADERS[version](start)
    except Exception as error:  # damage meets NumPy's tokenizer, parser and arithmetic
        raise ValueError(str(error)) from error
    if (
        any(not isinstance(n, int) or n < 0 for n in shape)
        or len(shape) > _MOST_AXES
        or math.prod(n for n in shape if n) * max(1, dtype.itemsize) > sys.maxsize
        or (dtype.itemsize == 0 and not dtype.hasobject)
    ):
        raise ValueError(f"the impossible shape {shape} of {dtype}")
    return shape, fortran, dtype


def read_array(
    path: Path,
    *,
    ndim: int | tuple[int, ...] | None = None,
    kinds: str | None = None,
    mmap: bool = False,
) -> NDArray[Any]:
    """Read a `.npy` file after a check of its header; never unpickles, never over-allocates.

    Strings are looked through once for code points that no Python string can hold.

    Args:
        path: The file.
        ndim: Number(s) of axes allowed; `None` allows all.
        kinds: `dtype.kind` letters allowed, such as `"iu"` or `"U"`; `None` allows all plain ones.
        mmap: Map the file read-only in place of reading it.

    Raises:
        ArrayError: Not a `.npy` file, truncated, an object array, or not of the kind asked for.
    """
    with reading(path, ArrayError), open(path, "rb") as file:
        start = BytesIO(file.read(LONGEST_HEADER))
        try:
            shape, fortran, dtype = parse_array_header(start)
        except ValueError as error:
            if not start.getvalue().startswith(np.lib.format.MAGIC_PREFIX):
                refuse_other(start.getvalue(), path, ArrayError, "a file written by numpy.save")
            raise ArrayError(
                f"not a readable .npy file ({' '.join(str(error).split())[:100]})",
                where=path,
                expected="a file written by numpy.save",
                remedy="Load what it holds, and save it so: numpy.save(path, array).",
            ) from error
        if dtype.hasobject:
            raise ArrayError(
                "holds Python objects, which sslprep never unpickles",
                where=path,
                expected="numbers or strings",
                remedy="Save it again with a plain dtype.",
            )
        offset = file.seek(start.tell())
        size, wanted = os.fstat(file.fileno()).st_size - offset, math.prod(shape) * dtype.itemsize
        if size != wanted:
            raise ArrayError(
                f"holds {size} bytes of data",
                where=path,
                expected=f"{wanted} bytes for shape {shape} of {dtype}",
                remedy="The file is truncated or damaged; copy it again.",
            )
        if kinds is not None and dtype.kind not in kinds:
            names = ", ".join(_KINDS.get(kind, kind) for kind in kinds)
            raise ArrayError(f"got dtype {dtype}", where=path, expected=f"an array of {names}")
        allowed = (ndim,) if isinstance(ndim, int) else ndim
        if allowed is not None and len(shape) not in allowed:
            axes = " or ".join(f"{n} {'axis' if n == 1 else 'axes'}" for n in allowed)
            raise ArrayError(f"got shape {shape}", where=path, expected=f"an array with {axes}")
        if dtype.kind == "U":
            _refuse_impossible_characters(file, dtype, path)
        if mmap and 0 not in shape:
            return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
        file.seek(offset)
        flat: NDArray[Any] = np.fromfile(file, dtype, math.prod(shape))
        return flat.reshape(shape, order="F" if fortran else "C")


def _refuse_impossible_characters(file: BinaryIO, dtype: np.dtype[Any], path: Path) -> None:
    """Refuse code points that no string can hold: NumPy raises for them much later, without a name.

    Undecodable bytes of file names stand as U+DC80 to U+DCFF (PEP 383) and are let through.
    """
    code = np.dtype(np.uint32).newbyteorder(dtype.byteorder)
    while (block := np.fromfile(file, code, _BLOCK)).size:
        if block.max() < 0xD800:
            continue
        surrogate = (block >= 0xD800) & (block < 0xE000) & ((block < 0xDC80) | (block > 0xDCFF))
        odd = block[surrogate | (block > sys.maxunicode)]
        if odd.size:
            raise ArrayError(
                f"holds the impossible character {int(odd[0]):#x}",
                where=path,
                expected="Unicode text",
                remedy="The file is damaged; copy it again.",
            )
