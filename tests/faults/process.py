"""Start `python -m sslprep …` as a process group of its own, and disturb it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
TRAPS = Path(__file__).parent / "traps"
HANG = 120.0
"""Seconds after which a run counts as hanging."""


@dataclass(frozen=True)
class Trap:
    """What `traps/sitecustomize.py` does in a run: `action` at the `at`-th change of `watch`.

    Attributes:
        watch: A folder or file; changes of it (with `reads` also openings for reading) count.
        at: At which, from 1; 0 only notes them.
        action: kill, interrupt, or swap (copies `source` over `target`).
        reads: Whether openings for reading count.
        source: For swap.
        target: For swap.
        refuse: `flock`, `folder fsync`, `file fsync` or `close`, with the error that it raises:
            `close:EIO`.
    """

    watch: Path
    at: int = 0
    action: str = "note"
    reads: bool = False
    source: Path | None = None
    target: Path | None = None
    refuse: str = ""


@dataclass(frozen=True)
class Event:
    """One change of the watched folder: seconds after the start, kind, file name."""

    seconds: float
    kind: str
    name: str


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    events: tuple[Event, ...] = ()

    @property
    def says(self) -> str:
        """The last line of standard error."""
        return (self.stderr.strip().splitlines() or [""])[-1]


class Running:
    """A run that is under way."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        trap: Trap | None = None,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ):
        self._files = tempfile.TemporaryDirectory(prefix="sslprep-run-")
        folder = Path(self._files.name)
        self._log = folder / "events"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (TRAPS, ROOT / "src", ROOT))),
            "SSLPREP_PARENT": str(os.getpid()),
            **(environment or {}),
        }
        environment.pop("SSLPREP_TRAP", None)
        if trap is not None:
            environment["SSLPREP_TRAP"] = json.dumps(
                {
                    **{key: str(value) for key, value in vars(trap).items()},
                    "at": trap.at,
                    "reads": trap.reads,
                    "log": str(self._log),
                    "parent": os.getpid(),
                }
            )
        self._begin = time.time()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kill -9 the run itself; its workers must follow by themselves."""
        self.process.kill()

    def interrupt(self) -> None:
        """Do what Ctrl-C on a terminal does: SIGINT to every process of the group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def workers(self) -> list[psutil.Process]:
        """Return the workers that live."""
        return [one for one in _session(self.process.pid) if one.pid != self.process.pid]

    def end(self) -> Ended:
        """Wait for the end of the run and of all its workers."""
        remark = ""
        try:
            code = self.process.wait(HANG)
        except subprocess.TimeoutExpired:
            remark = f"hangs: killed after {HANG:.0f} s\n"
            code = -signal.SIGALRM
        seconds = time.time() - self._begin
        deadline = time.monotonic() + 10
        while (left := _session(self.process.pid)) and not remark:
            time.sleep(0.02)
            if time.monotonic() > deadline:
                remark = f"{len(left)} workers outlived the run by 10 s\n"
        for process in left:
            process.kill()
        out, err = self.process.communicate()
        events = tuple(self._events())
        self._files.cleanup()
        texts = out.decode(errors="replace"), err.decode(errors="replace")
        return Ended(code, texts[0], texts[1] + remark, seconds, events)

    def _events(self) -> Iterator[Event]:
        if self._log.exists():
            for line in self._log.read_text().splitlines():
                moment, kind, name = line.split("\t")
                yield Event(float(moment) - self._begin, kind, name)


def run(argv: Sequence[str], **how: Any) -> Ended:
    """Run to the end."""
    return Running(argv, **how).end()


def _session(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def without_override() -> list[str]:
    """Return a prefix that makes root respect file modes, as anybody else must."""
    if os.geteuid() != 0:
        return []
    lost = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}"]


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs on a new folder; needs root."""
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
        check=True,
        capture_output=True,
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


def remount(place: Path, options: str) -> None:
    """Change a mounted tmpfs: `ro`, `rw`, `size=…`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def may_mount() -> bool:
    """Whether this machine lets us mount a tmpfs."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", "size=4k"):
                return True
        except (subprocess.CalledProcessError, FileNotFoundError, OSError):
            return False
