"""Loaded by every Python process that a campaign starts: acts at the n-th change of a folder.

The campaign puts this folder into PYTHONPATH and says what to do in SSLPREP_TRAP; without that
variable nothing happens. The audit hook runs *before* each operation, so a kill at event n leaves
a folder as it was after n - 1 operations. Only the first process of a run acts: its workers
inherit a variable that names another process.
"""

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

    def watched_fsync(file: object) -> None:
        number = file if isinstance(file, int) else file.fileno()  # type: ignore[attr-defined]
        notice("fsync", os.path.realpath(f"/proc/self/fd/{number}"))
        fsync(number)

    os.fsync = watched_fsync  # type: ignore[assignment]
    sys.addaudithook(hook)


if _trap := os.environ.get("SSLPREP_TRAP"):
    _parsed = json.loads(_trap)
    if os.getppid() == _parsed["parent"]:
        _set(_parsed)
