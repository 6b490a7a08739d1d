"""Loaded by every Python process that a campaign starts: acts at the n-th change of a folder.

The campaign puts this folder into PYTHONPATH and says what to do in SSLPREP_TRAP; without that
variable nothing happens. The audit hook runs *before* each operation, so a kill at event n leaves
a folder as it was after n - 1 operations. Only the first process of a run acts: its workers
inherit a variable that names another process.

SSLPREP_POISON is for the workers: each ends (`kill`) or hangs (`stop`) as it opens an image whose
name says poison. SSLPREP_STORE registers the store of `slow_store.py`.
"""

import builtins
import errno
import fcntl
import io
import json
import os
import shutil
import signal
import sys
import time


def _set(trap: dict) -> None:
    watched, at = os.path.realpath(trap["watch"]), trap["at"]
    log = os.open(trap["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0
    busy = False

    def belongs(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        place = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))
        whole = os.path.join(place, os.path.basename(os.fsdecode(path)))
        return whole == watched or whole.startswith(watched + os.sep)

    def notice(kind: str, path: object) -> None:
        nonlocal count, busy
        if busy:
            return
        busy = True
        try:
            if belongs(path):
                count += 1
                line = f"{time.time()}\t{kind}\t{os.path.basename(os.fsdecode(path))}\n"  # type: ignore[arg-type]
                os.write(log, line.encode())
                if count == at:
                    act()
        finally:
            busy = False

    def act() -> None:
        if trap["action"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif trap["action"] == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        elif trap["action"] == "swap":
            shutil.copyfile(trap["source"], trap["target"])

    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    changes = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"}

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            if trap["reads"] or arguments[2] & writing:
                notice("open", arguments[0])
        elif event in changes:
            notice(event, arguments[1] if event == "os.rename" else arguments[0])

    fsync = os.fsync
    refused, _, reason = trap["refuse"].partition(":")

    def refuse() -> None:
        number = getattr(errno, reason)
        raise OSError(number, os.strerror(number))

    def watched_fsync(file: object) -> None:
        number = file if isinstance(file, int) else file.fileno()  # type: ignore[attr-defined]
        path = os.path.realpath(f"/proc/self/fd/{number}")
        notice("fsync", path)
        if belongs(path) and refused == ("folder fsync" if os.path.isdir(path) else "file fsync"):
            refuse()
        fsync(number)

    class FailingFile(io.FileIO):
        """A file of a disk that reports at the end what it could not keep."""

        def close(self) -> None:
            failing = not self.closed and self.writable() and belongs(self.name)
            super().close()
            if failing:
                refuse()

    opened = builtins.open

    def watched_open(file: object, mode: str = "r", *rest: object, **more: object) -> object:
        if "b" in mode and set(mode) & set("xw") and belongs(file):
            return io.BufferedWriter(FailingFile(file, mode.replace("b", "")))  # type: ignore[arg-type]
        return opened(file, mode, *rest, **more)  # type: ignore[call-overload]

    os.fsync = watched_fsync  # type: ignore[assignment]
    if refused == "close":
        builtins.open = watched_open  # type: ignore[assignment]
        io.FileIO = FailingFile  # type: ignore[misc]
    if refused == "flock":
        fcntl.flock = lambda *_: refuse()  # type: ignore[assignment]
    sys.addaudithook(hook)


def _poison(how: str) -> None:
    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and "poison" in os.path.basename(str(arguments[0])):
            os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)

    sys.addaudithook(hook)


if _trap := os.environ.get("SSLPREP_TRAP"):
    _parsed = json.loads(_trap)
    if os.getppid() == _parsed["parent"]:
        _set(_parsed)

if (_how := os.environ.get("SSLPREP_POISON")) and os.getppid() != int(os.environ["SSLPREP_PARENT"]):
    _poison(_how)

if os.environ.get("SSLPREP_STORE"):
    import fsspec

    fsspec.register_implementation("slow", "slow_store.SlowStore")
