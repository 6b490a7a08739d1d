"""Files written whole or not at all, and files read with a check.

An `OutputSet` is all that one run writes into one folder. Every file goes to a hidden
`.NAME.part` beside its final name; `commit` makes them durable, renames them, and renames the
manifests last, so a folder with a manifest is complete. A killed run leaves only `.part` files,
which the next run over the same names takes away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import logging
import math
import os
import sys
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslprep import interrupts
from sslprep.errors import ArrayError, OutputError
from sslprep.input_files import read_json as read_json
from sslprep.input_files import reading as reading
from sslprep.input_files import sha256_of as sha256_of

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
MANIFEST_SUFFIX = ".manifest.json"


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """One finished output: its name in the folder, size in bytes and SHA-256 (hex)."""

    name: str
    bytes: int
    sha256: str


class _HashingWriter(io.RawIOBase):
    """Pass bytes on to a file and hash them on the way, so that no output is read again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._hash.update(view)
        self.size += view.nbytes
        return view.nbytes

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class OutputSet:
    """All files that one run writes into one folder, written whole or not at all.

    Use as a context manager; leaving it without `commit` removes what was begun.

    Args:
        folder: Where the files go; created if missing.
        names: Final names of all files but the manifests. They must be plain file names.
        manifests: Names of the manifests, renamed into place after everything else.
        overwrite: Replace existing files. Otherwise an existing one is an error, before any work.
        lock: The name that two runs must not hold at once; by default the first manifest.
        also_replaces: Names that this run makes obsolete: removed at commit where they exist and
            are not written anew. They count as existing outputs.
        shared: Names of `names` that may exist already, because other runs into the folder write
            them too; the caller sees to it that their content still serves those runs.

    Raises:
        OutputError: A file exists, another run writes here, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with OutputSet(folder, ["a.npy"], manifests=["a.manifest.json"]) as out:
        ...     out.save_array("a.npy", np.arange(3))
        ...     out.save_json("a.manifest.json", {"kind": "example"})
        ...     out.commit()
        >>> sorted(path.name for path in folder.iterdir())
        ['a.manifest.json', 'a.npy']
    """

    def __init__(
        self,
        folder: Path,
        names: Iterable[str],
        *,
        manifests: Sequence[str],
        overwrite: bool = False,
        lock: str | None = None,
        also_replaces: Iterable[str] = (),
        shared: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self.names = list(names)
        self._shared = frozenset(shared)
        self.manifests = list(manifests)
        self.written: list[WrittenFile] = []
        self._obsolete = [name for name in also_replaces if name not in self.names]
        self._made_folders: list[Path] = []
        lock = lock or self.manifests[0]
        self._journal = folder / f".{lock}.commit"
        self._lock_path = folder / f".{lock}.lock"
        for name in (*self.names, *self.manifests, *self._obsolete):
            _check_plain_name(name)
        self._lock: IO[bytes] | None = None
        try:
            with _os_errors(folder):
                with interrupts.held():
                    self._make_folder()
                    self._lock = self._acquire(lock)
                self._refuse_folders()
                if not overwrite:
                    self._refuse_existing()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _make_folder(self) -> None:
        missing = [self.folder, *self.folder.parents]
        self._made_folders = [path for path in missing if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)

    def _remove_made_folders(self) -> None:
        for path in self._made_folders:
            with contextlib.suppress(OSError):  # not empty, so not ours alone
                path.rmdir()

    def part(self, name: str) -> Path:
        """Return where a file of this set is written before it gets its final name."""
        return self.folder / f".{name}.part"

    def _acquire(self, name: str) -> IO[bytes]:
        """Take the run's lock: a file of its own that vanishes with the run.

        The lock is the kernel's (flock), so a killed run never leaves it held.
        """
        path = self._lock_path
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = open(os.open(path, flags, 0o666), "rb")  # noqa: SIM115 - held until close()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                raise OutputError(
                    "another sslprep run is writing here",
                    where=self.folder / name,
                    expected="one run at a time",
                    remedy="Wait for it, or choose another output folder.",
                ) from None
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.ENOLCK):
                    handle.close()
                    raise
                logger.warning("%s: this file system has no locks; run one command at a time", path)
            # The run before us may have removed the file between our open and our lock.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), os.stat(path)):
                    return handle
            handle.close()

    def _refuse_folders(self) -> None:
        """Refuse what no rename can replace, before any work and not within the commit."""
        for name in (*self.names, *self.manifests, *self._obsolete):
            path = self.folder / name
            if path.is_dir() and not path.is_symlink():
                raise OutputError(
                    "a folder has the name of an output",
                    where=path,
                    remedy="Move it away, or choose another output folder.",
                )

    def _refuse_existing(self) -> None:
        leftovers = self._names_of_an_interrupted_commit() | self._shared
        wanted = (*self.names, *self.manifests, *self._obsolete)
        existing = [n for n in wanted if os.path.lexists(self.folder / n) and n not in leftovers]
        if existing:
            more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise OutputError(
                f"the output exists already{more}",
                where=self.folder / existing[0],
                remedy="Pass --overwrite to replace it, or choose another output folder.",
            )

    def _names_of_an_interrupted_commit(self) -> set[str]:
        """Return outputs that a run killed within `commit` had begun to put in place."""
        try:
            return set(msgspec.json.decode(self._journal.read_bytes(), type=list[str]))
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return set()

    def _write_journal(self, names: list[str]) -> None:
        try:
            with _create_anew(self._journal) as file:
                file.write(msgspec.json.encode(names))
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            self._journal.unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open one file of the set for writing (bytes, front to back)."""
        if name not in self.names and name not in self.manifests:
            raise ValueError(f"{name} was not announced to the OutputSet")
        with _os_errors(self.folder / name):
            with _create_anew(self.part(name)) as file:
                writer = _HashingWriter(file)
                yield writer  # type: ignore[misc]
                file.flush()
                os.fsync(file.fileno())
            self.written.append(
                WrittenFile(name=name, bytes=writer.size, sha256=writer.hexdigest())
            )

    def save_bytes(self, name: str, data: bytes) -> None:
        """Write one whole file."""
        with self.create(name) as file:
            file.write(data)

    def save_json(self, name: str, value: object, *, indent: int = 2) -> None:
        """Write `value` as JSON with a final newline."""
        data = msgspec.json.encode(value, enc_hook=str)
        self.save_bytes(name, msgspec.json.format(data, indent=indent) + b"\n")

    def save_array(self, name: str, array: ArrayLike) -> None:
        """Write a `.npy` file (version 1.0 where it can be, never pickled)."""
        with self.create(name) as file:
            write_array(file, np.asarray(array))

    def commit(self) -> None:
        """Give every file its final name, manifests last.

        Old manifests go first: between the two a folder has none, so it never claims to be
        complete when it is not. Ctrl-C waits until the renames are done. A journal names what
        is being put in place, so that after a kill just here a restart may replace it.
        """
        done = [file.name for file in self.written]
        ready = [n for n in done if n not in self.manifests]
        with _os_errors(self.folder), interrupts.held():
            self._write_journal([*ready, *self.manifests])
            for name in self.manifests:
                (self.folder / name).unlink(missing_ok=True)
            _sync_folder(self.folder)
            for name in self._obsolete:
                (self.folder / name).unlink(missing_ok=True)
            for name in (*ready, *(n for n in self.manifests if n in done)):
                os.replace(self.part(name), self.folder / name)
            self._journal.unlink()
            _sync_folder(self.folder)
            self._made_folders = []

    def forget_commit(self) -> None:
        """Take away the journal of a run killed just after its last rename: the set is whole."""
        with _os_errors(self.folder):
            self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what was begun and not committed, and let other runs in."""
        with interrupts.held():  # an impatient second Ctrl-C waits too
            if self._lock is not None and not self._lock.closed:
                for name in (*self.names, *self.manifests):
                    with contextlib.suppress(OSError):
                        self.part(name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    self._lock_path.unlink()
                self._lock.close()
            self._remove_made_folders()


def _create_anew(path: Path) -> BinaryIO:
    """Open a new file of ours; what stands in its place, maybe a link to elsewhere, goes."""
    path.unlink(missing_ok=True)
    return open(path, "xb")


def _check_plain_name(name: str) -> None:
    if Path(name).name != name or name in ("", ".", "..") or "\0" in name:
        raise OutputError(
            f"{name!r} is not a plain file name",
            expected="a name without folders",
            remedy="Give the folder as the output folder.",
        )


@contextlib.contextmanager
def _os_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line that names the file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedies = {
            errno.ENOSPC: "Free some space; nothing was written.",
            errno.EDQUOT: "Free some space; nothing was written.",
            errno.EACCES: "Choose a folder that you may write to.",
            errno.EPERM: "Choose a folder that you may write to.",
            errno.EROFS: "Choose a folder that you may write to.",
            errno.ENAMETOOLONG: "Choose a shorter name.",
        }
        remedy = remedies.get(error.errno or 0)
        raise OutputError(f"cannot write: {reason}", where=where, remedy=remedy) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_array_header(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write the header of a C-ordered `.npy` file; its raw data follow."""
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)


def write_array(file: BinaryIO, array: NDArray[Any]) -> None:
    """Write a `.npy` file to anything with `write`, without a copy of the whole array."""
    if array.dtype.hasobject:
        raise ValueError("object arrays are never written")
    array = np.ascontiguousarray(array).reshape(array.shape)
    write_array_header(file, array.dtype, array.shape)
    if array.size:
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, 16 * _CHUNK):
            file.write(flat[start : start + 16 * _CHUNK].data)


def write_strings(
    file: BinaryIO, strings: Iterable[str], *, count: int, width: int, chunk: int = 65536
) -> None:
    """Write `count` strings as a `<U{width}` `.npy` file without holding the array.

    Args:
        file: Where to write.
        strings: The strings, in order.
        count: How many there are.
        width: Characters of the longest (at least 1 is stored, as NumPy does).
        chunk: Strings turned into an array at a time.
    """
    dtype = np.dtype(f"<U{max(1, width)}")
    write_array_header(file, dtype, (count,))
    iterator = iter(strings)
    left = count
    while left:
        part = np.fromiter(iterator, dtype=dtype, count=min(chunk, left))
        file.write(part.view(np.uint8).data)
        left -= len(part)


def read_array(
    path: Path,
    *,
    ndim: int | tuple[int, ...] | None = None,
    kinds: str | None = None,
    mmap: bool = False,
) -> NDArray[Any]:
    """Read a `.npy` file after a check of its header; never unpickles, never over-allocates.

    Args:
        path: The file.
        ndim: Number(s) of axes allowed; `None` allows all.
        kinds: `dtype.kind` letters allowed, such as `"iu"` or `"U"`; `None` allows all plain ones.
        mmap: Map the file read-only in place of reading it.

    Raises:
        ArrayError: Not a `.npy` file, truncated, an object array, or not of the kind asked for.
    """
    with reading(path), open(path, "rb") as file:
        dtype, shape, fortran, offset = read_array_header(file, path)
        if kinds is not None and dtype.kind not in kinds:
            names = ", ".join(_KIND_NAMES.get(kind, kind) for kind in kinds)
            raise ArrayError(f"got dtype {dtype}", where=path, expected=f"an array of {names}")
        allowed = (ndim,) if isinstance(ndim, int) else ndim
        if allowed is not None and len(shape) not in allowed:
            wanted = " or ".join(f"{n} {'axis' if n == 1 else 'axes'}" for n in allowed)
            raise ArrayError(f"got shape {shape}", where=path, expected=f"an array with {wanted}")
        if dtype.kind == "U":
            _refuse_impossible_characters(file, dtype, path)
            file.seek(offset)
        order = "F" if fortran else "C"
        if mmap and 0 not in shape:
            return np.memmap(path, dtype, "r", offset, shape, order)  # type: ignore[call-overload,no-any-return]
        count = int(np.prod(shape, dtype=object)) if shape else 1
        return np.fromfile(file, dtype, count).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]


def _refuse_impossible_characters(file: BinaryIO, dtype: np.dtype[Any], path: Path) -> None:
    """Refuse code points that no Python string can hold, or none that names a file.

    Undecodable bytes of file names stand as U+DC80 to U+DCFF (PEP 383) and are let through.
    """
    code = np.dtype(np.uint32).newbyteorder(dtype.byteorder)
    while (block := np.fromfile(file, code, _CHUNK)).size:
        if block.max() < _FIRST_SURROGATE:
            continue
        odd = (block >= _FIRST_SURROGATE) & ~((block >= 0xDC80) & (block <= 0xDCFF))
        odd &= (block < 0xE000) | (block > sys.maxunicode)
        if odd.any():
            raise ArrayError(
                f"holds the impossible character {int(block[odd][0]):#x}",
                where=path,
                expected="Unicode text",
                remedy="The file is damaged; copy it again.",
            )


_FIRST_SURROGATE = 0xD800
_KIND_NAMES = {
    "i": "integers",
    "u": "unsigned integers",
    "f": "floats",
    "U": "strings",
    "S": "bytes",
    "b": "booleans",
}


_HEADER_ERRORS = (
    *(ValueError, TypeError, SyntaxError, LookupError, AttributeError, OverflowError),
    tokenize.TokenError,
)
"""What NumPy raises for a `.npy` header that is not one."""
_ARRAY_VERSIONS = {
    (1, 0): (np.lib.format.read_array_header_1_0, 2),
    (2, 0): (np.lib.format.read_array_header_2_0, 4),
    (3, 0): (np.lib.format.read_array_header_2_0, 4),
}
"""How to read the header of each version of the format, and how wide its length field is."""
_LONGEST_HEADER = 10_000
"""NumPy's own limit."""
_MOST_AXES = 32
"""NumPy 1's limit."""


def parse_array_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Let NumPy parse a `.npy` header: (shape, Fortran order, dtype), not checked further.

    Raises:
        ValueError: It is none; whatever NumPy raises for that.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _ARRAY_VERSIONS:
            raise ValueError(f"unknown version {version}")
        reader, width = _ARRAY_VERSIONS[version]
        length = int.from_bytes(file.read(width), "little")
        if length > _LONGEST_HEADER:  # NumPy would ask for that much memory before it looks
            raise ValueError(f"a header of {length} bytes")
        file.seek(-width, os.SEEK_CUR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote: we read them
            return reader(file)
    except (*_HEADER_ERRORS, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error


def read_array_header(
    file: BinaryIO, path: Path
) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Read and check a `.npy` header: (dtype, shape, Fortran order, offset of the data).

    The shape must be exactly what the rest of the file holds, so no small file can ask for
    much memory.

    Raises:
        ArrayError: Not a `.npy` file, an object array, or a length that does not fit.
    """
    try:
        shape, fortran, dtype = parse_array_header(file)
    except ValueError as error:
        raise ArrayError(
            f"not a readable .npy file ({error!s:.100})".replace("\n", " "),
            where=path,
            expected="a file written by numpy.save",
        ) from error
    if dtype.hasobject:
        raise ArrayError(
            "holds Python objects, which sslprep never unpickles",
            where=path,
            expected="numbers or strings",
            remedy="Save it again with a plain dtype.",
        )
    if (
        any(not isinstance(n, int) or n < 0 for n in shape)
        or len(shape) > _MOST_AXES
        or math.prod(n for n in shape if n) * max(1, dtype.itemsize) > sys.maxsize
        or dtype.itemsize == 0
    ):
        raise ArrayError(f"has the impossible shape {shape} of {dtype}", where=path)
    offset = file.tell()
    size = os.fstat(file.fileno()).st_size - offset
    wanted = dtype.itemsize
    for n in shape:
        wanted *= n
    if size != wanted:
        raise ArrayError(
            f"holds {size} bytes of data",
            where=path,
            expected=f"{wanted} bytes for shape {shape} of {dtype}",
            remedy="The file is truncated or damaged; copy it again.",
        )
    return dtype, shape, fortran, offset
