"""Read hostile files in this process under watch, and print one JSON line for each.

`python watched.py FILE…` is run by the tests as a child. From the first file on, an audit hook
notes everything that reading a file has no business to do: running code, starting a process,
importing, writing, opening other files. Peak memory is measured per file.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

ALLOWED = {
    "builtins.id",  # `inspect.signature` where a command checks its arguments
    "compile",  # `ast.literal_eval` of a .npy header; running what was compiled is "exec"
    "object.__getattr__",
    "object.__setattr__",
    "sys._getframe",
    "mmap.__new__",
    "os.listdir",
    "os.scandir",
    "pathlib.Path.glob",  # `inspect` looks for a manifest beside the file
}
seen: list[str] = []
watched: str | None = None


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if watched is None or event in ALLOWED or event.startswith("cpython.gc"):
        return
    if event == "open":
        path, _, flags = (*arguments, None, None)[:3]
        writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not writing and os.fspath(path) == watched:  # type: ignore[call-overload]
            return
    seen.append(f"{event} {arguments!r:.200}")


def peak_rss() -> int:
    """Return the peak resident memory since `reset_peak`, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def outcome(path: Path) -> dict[str, object]:
    """Read one file as every command does, and say how it ended."""
    from sslprep.checkpoints.open import read_checkpoint
    from sslprep.errors import SslprepError
    from sslprep.inspection.command import inspect

    texts: list[str] = []
    result: dict[str, object] = {"texts": texts}
    calls: dict[str, Callable[[], object]] = {"read": lambda: list(read_checkpoint(path).blobs)}
    if path.stat().st_size < 100_000:  # the large ones are slow, and their reading is the same
        calls["inspect"] = lambda: inspect(file=path).text()
    for name, call in calls.items():
        try:
            call()
            result[name] = "loaded"
        except SslprepError as error:
            result[name] = type(error).__name__
            texts.append(str(error))
    return result


def main(paths: list[str]) -> None:
    global watched
    rest = [path for path in paths if not path.endswith(".warm")]
    for path in paths:
        if path.endswith(".warm"):  # valid files: import everything that reading imports
            outcome(Path(path))
    sys.addaudithook(hook)
    for path in rest:
        seen.clear()
        reset_peak()
        start = time.perf_counter()
        watched = path
        result = outcome(Path(path))
        watched = None
        result["seconds"] = time.perf_counter() - start
        print(json.dumps({"file": path, **result, "seen": list(seen), "peak": peak_rss()}))


if __name__ == "__main__":
    main(sys.argv[1:])
