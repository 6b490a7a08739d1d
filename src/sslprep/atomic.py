"""All files that one run writes into one folder: whole, or not at all.

Every file goes to a hidden `.NAME.part` beside its final name. `commit` makes them durable, moves
what they replace aside, renames them, and renames the manifests last, so a folder with a manifest
is complete. A commit that fails puts back what it moved; one that is killed is undone by the
next run over the same names.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import io
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from sslprep import interrupts
from sslprep.errors import OutputError
from sslprep.input_files import sha256_of
from sslprep.npy import write_array
from sslprep.results import encode_json

logger = logging.getLogger(__name__)
_warn = functools.cache(logger.warning)  # once for each folder or file

MANIFEST_SUFFIX = ".manifest.json"
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, 524}  # 524: the kernel's own ENOTSUPP
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS}
_TRIES = 5
_PIECE = 1 << 18


class _InPieces(io.FileIO):
    """Takes 256 KB at a time: for more Linux looks for memory in one stretch, at twice the CPU."""

    def write(self, data: Any, /) -> int:
        return super().write(memoryview(data)[:_PIECE])


class OutputRecord(msgspec.Struct, kw_only=True):
    """One finished output: its plain file name in the folder, size and SHA-256 (hex)."""

    file: str
    bytes: int
    sha256: str


class OutputSet:
    """All files that one run writes into one folder, written whole or not at all.

    Open it before any input is read, and use it as a context manager; leaving it without `commit`
    removes what was begun.

    Args:
        folder: Where the files go; created if missing.
        names: Final names of all files but the manifests. They must be plain file names.
        manifests: Names of the manifests, renamed into place after everything else.
        overwrite: Replace existing files. Otherwise an existing one is an error.
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
        self.names: list[str] = []
        self.manifests = list(manifests)
        self.written: list[OutputRecord] = []
        self._overwrite = overwrite
        self._shared = frozenset(shared)
        names = list(names)
        self._obsolete = [name for name in also_replaces if name not in names]
        self._lock_name = lock or self.manifests[0]
        self._lock_path = folder / f".{self._lock_name}.lock"
        self._cleanup = contextlib.ExitStack()
        try:
            with _os_errors(folder), interrupts.held():
                for path in [p for p in (folder, *folder.parents) if not p.exists()][::-1]:
                    path.mkdir(exist_ok=True)
                    self._cleanup.callback(_discard, path)
                self._acquire()
            self.announce([*names, *self.manifests, *self._obsolete])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def announce(self, names: Iterable[str]) -> None:
        """Add names that are known only after an input was read.

        Raises:
            OutputError: One exists, is a folder, or is no plain file name.
        """
        new = list(names)
        for name in new:
            if Path(name).name != name or name in ("", ".", "..") or "\0" in name:
                raise OutputError(
                    f"{name!r} is not a plain file name",
                    expected="a name without folders",
                    remedy="Give the folder as the output folder.",
                )
        self.names += new
        for name in new:
            self._cleanup.callback(_discard, self.part(name))
        self._finish_killed_commit(new)
        existing = []
        for name in new:
            path = self.folder / name
            if path.is_dir() and not path.is_symlink():
                raise OutputError(
                    "a folder has the name of an output",
                    where=path,
                    remedy="Move it away, or choose another output folder.",
                )
            if os.path.lexists(path) and name not in self._shared:
                existing.append(path)
        if existing and not self._overwrite:
            more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise OutputError(
                f"the output exists already{more}",
                where=existing[0],
                remedy="Pass --overwrite to replace it, or choose another output folder.",
            )

    def part(self, name: str) -> Path:
        """Return where a file of this set is written before it gets its final name."""
        return self.folder / f".{name}.part"

    def _acquire(self) -> None:
        """Take the run's lock: a file of its own that vanishes with the run.

        The lock is the kernel's (flock), so a killed run never leaves it held.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        for left in reversed(range(_TRIES)):
            ours = not os.path.lexists(self._lock_path)
            with contextlib.ExitStack() as attempt:
                handle = attempt.enter_context(open(os.open(self._lock_path, flags, 0o666), "rb"))
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise OutputError(
                        "another sslprep run is writing here",
                        where=self.folder / self._lock_name,
                        expected="one run at a time",
                        remedy="Wait for it, or choose another output folder.",
                    ) from error
                except OSError as error:
                    if error.errno not in _NO_LOCKS:
                        if ours:
                            _discard(self._lock_path)
                        raise
                    _warn(
                        f"{self.folder}: this file system has no locks; run one command at a time"
                    )
                # The run before us may have removed the file between our open and our lock. Some
                # network file systems give it another number at every look: there we go on.
                with contextlib.suppress(FileNotFoundError):
                    now = os.fstat(handle.fileno())
                    if left == 0 or os.path.samestat(now, os.stat(self._lock_path)):
                        self._cleanup.push(attempt.pop_all())
                        self._cleanup.callback(_discard, self._lock_path)
                        return

    def _finish_killed_commit(self, names: list[str]) -> None:
        """Undo what a run killed within its commit had moved, or clear up after its last rename."""
        with _os_errors(self.folder):
            begun = any(self.part(name).exists() for name in self.manifests)
            for aside, name in [(self._aside(name), name) for name in names]:
                if os.path.lexists(aside) and begun:
                    os.replace(aside, self.folder / name)
                aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open one file of the set for writing bytes."""
        if name not in self.names:
            raise ValueError(f"{name} was not announced to the OutputSet")
        part = self.part(name)
        with _os_errors(self.folder / name):
            with _durable(part) as file:
                yield file
            size, digest = part.stat().st_size, sha256_of(part)
        self.written.append(OutputRecord(file=name, bytes=size, sha256=digest))

    def save_bytes(self, name: str, data: bytes) -> None:
        """Write one whole file."""
        with self.create(name) as file:
            file.write(data)

    def save_json(self, name: str, value: object) -> None:
        """Write `value` as JSON with a final newline."""
        self.save_bytes(name, encode_json(value) + b"\n")

    def save_array(self, name: str, array: ArrayLike) -> None:
        """Write a `.npy` file (version 1.0 where it can be, never pickled)."""
        with self.create(name) as file:
            write_array(file, np.asarray(array))

    def commit(self) -> None:
        """Give every file its final name, manifests last.

        What is replaced is moved aside first, old manifests before all: between the two a folder
        has none, so it never claims to be complete when it is not. Ctrl-C waits.
        """
        ready = sorted((record.file for record in self.written), key=self.manifests.__contains__)
        with _os_errors(self.folder), interrupts.held(), contextlib.ExitStack() as undo:
            old = dict.fromkeys([*self.manifests, *self._obsolete, *ready])
            moved = [name for name in old if os.path.lexists(self.folder / name)]
            for name in moved:
                os.replace(self.folder / name, self._aside(name))
                undo.callback(os.replace, self._aside(name), self.folder / name)
            _sync_folder(self.folder)
            for name in ready:
                os.replace(self.part(name), self.folder / name)
                undo.callback(os.unlink, self.folder / name)
            _sync_folder(self.folder)
            undo.pop_all()
            for name in moved:
                self._aside(name).unlink()

    def _aside(self, name: str) -> Path:
        return self.folder / f".{self._lock_name}.{name}.replaced"

    def close(self) -> None:
        """Remove what was begun and not committed, and let other runs in."""
        with interrupts.held():  # an impatient second Ctrl-C waits too
            self._cleanup.close()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file of no set for writing; it takes its place when it is whole, or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        with _os_errors(path):
            with _durable(part) as file:
                yield file
            os.replace(part, path)
    finally:
        _discard(part)


@contextlib.contextmanager
def _durable(part: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing; at the end it is on the disk."""
    part.unlink(missing_ok=True)  # maybe a link to elsewhere
    with io.BufferedWriter(_InPieces(part, "xb")) as file:
        yield file
        file.flush()
        _sync(file.fileno(), part)


def _discard(path: Path) -> None:
    """Remove a file or an empty folder, where that can be."""
    with contextlib.suppress(OSError):
        path.rmdir() if path.is_dir() else path.unlink()


def _sync(handle: int, path: Path) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        _warn(f"{path}: this file system cannot flush ({error.strerror}); going on")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        _sync(handle, folder)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _os_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line that names the file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        space, access = "Free some space; nothing was written.", "Choose a folder you may write to."
        remedy = {
            errno.ENOSPC: space,
            errno.EDQUOT: space,
            errno.EACCES: access,
            errno.EPERM: access,
            errno.EROFS: access,
            errno.ENAMETOOLONG: "Choose a shorter name.",
            errno.EEXIST: "A file stands where the output folder should be; choose another.",
            errno.ENOTDIR: "A file stands where the output folder should be; choose another.",
        }.get(error.errno or 0)
        raise OutputError(f"cannot write: {reason}", where=where, remedy=remedy) from error
