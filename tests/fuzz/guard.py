"""What every fuzz test holds a reader to.

Only an `SslprepError` with one line of text may come out, within 10 seconds, in bounded memory,
and nothing outside the output folder may change. `SSLPREP_FUZZ=20 pytest tests/fuzz` tries twenty
times as many examples, drawn anew on every run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import tempfile
import tracemalloc
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sslprep.errors import SslprepError

TIMES = float(os.environ.get("SSLPREP_FUZZ", "1"))
COMPUTING, WAITING = 10.0, 60.0
"""Seconds; the second is for loaded machines, where ten seconds of waiting prove nothing."""
MEGABYTE = 1_000_000


def examples(count: int) -> Callable[[Any], Any]:
    """Set how many examples a test tries in the short form."""
    return settings(
        max_examples=max(1, round(count * TIMES)),
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Hang(BaseException):
    """A reader took longer than it may."""


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Stop what computes for more than 10 seconds, or waits for more than a minute."""

    def ring(number: int, frame: types.FrameType | None) -> None:
        raise Hang("longer than it may")

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, COMPUTING),
        signal.SIGALRM: (signal.ITIMER_REAL, WAITING),
    }
    before = {number: signal.signal(number, ring) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class Place:
    """A folder with `in` for the inputs; outputs go to `out`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs = folder / "in"
        self.out = folder / "out"
        self.inputs.mkdir()

    def attempt(self, command: Callable[..., Any], **arguments: Any) -> Any:
        """Call a command; return its result, or the error that it ended with."""
        before = self._elsewhere()
        size = sum(n for n in before.values() if isinstance(n, int))
        tracemalloc.start()
        try:
            with _alarm():
                result = command(**arguments)
        except SslprepError as error:
            result = error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 100 * MEGABYTE + 20 * size, f"{peak / MEGABYTE:.0f} MB"
        if isinstance(result, SslprepError):
            assert str(result).isprintable()
            assert not self._outputs(), "an error, but files were written"
        assert self._elsewhere() == before, "something outside the output folder changed"
        return result

    def _outputs(self) -> list[str]:
        return os.listdir(self.out) if self.out.exists() else []

    def _elsewhere(self) -> dict[bytes, object]:
        found: dict[bytes, object] = {}
        for place, folders, names in os.walk(os.fsencode(self.folder)):
            if place == os.fsencode(self.folder) and b"out" in folders:
                folders.remove(b"out")
            for name in names + folders:
                path = os.path.join(place, name)
                stat = os.lstat(path)
                found[path] = stat.st_size if os.path.isfile(path) else oct(stat.st_mode)
        return found


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Make a place in memory, where the machine has such a file system."""
    memory = "/dev/shm"
    folder = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sslprep-fuzz-", dir=folder) as name:
        yield Place(Path(name))


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308),
    *("", "a", "../../escape", "/etc/passwd", "a\nb", "a\0b", "é" * 300, "<script>", "\x1b[31m"),
    *([], {}, [[]], {"": None}, [None], [[[[[]]]]], list(range(100)), "NaN", "1e999"),
)


def spoil(document: Any, numbers: random.Random) -> Any:
    """Return a JSON document with one value, at a random depth, replaced, removed or doubled."""
    if isinstance(document, dict) and document and numbers.random() < 0.9:
        key = numbers.choice(list(document))
        chance = numbers.random()
        if chance < 0.1:
            return {k: v for k, v in document.items() if k != key}
        if chance < 0.15:
            return {**document, numbers.choice(["", "x", key + "\n", "../x"]): document[key]}
        return {**document, key: spoil(document[key], numbers)}
    if isinstance(document, list) and document and numbers.random() < 0.9:
        at = numbers.randrange(len(document))
        chance = numbers.random()
        if chance < 0.1:
            return document[:at] + document[at + 1 :]
        if chance < 0.2:
            return [*document[:at], document[at], *document[at:]]
        return [*document[:at], spoil(document[at], numbers), *document[at + 1 :]]
    return numbers.choice(ODD_VALUES)


def scramble(data: bytes, numbers: random.Random) -> bytes:
    """Return bytes with a few of them changed, removed, doubled or cut off."""
    result = bytearray(data)
    for _ in range(numbers.randint(1, 3)):
        at = numbers.randrange(len(result) + 1)
        length = numbers.choice([1, 1, 2, 4, 16, 200])
        chance = numbers.random()
        if chance < 0.35:
            result[at : at + 1] = bytes([numbers.randrange(256)])
        elif chance < 0.5:
            del result[at : at + length]
        elif chance < 0.65:
            result[at:at] = result[at : at + length]
        elif chance < 0.8:
            odd = (b"\0", b"\n", b"\r", b"\xff", b'"', b"[" * 2000, b"9" * 400, b"\xed\xa0\x80")
            result[at:at] = numbers.choice(odd)
        elif chance < 0.9:
            del result[at:]
        else:
            result[at : at + length] = numbers.randbytes(length)
    return bytes(result)


def spoilt_json(document: Any) -> st.SearchStrategy[bytes]:
    """Draw JSON near a valid document: values spoilt, then perhaps bytes scrambled."""

    def make(seed: int) -> bytes:
        numbers = random.Random(seed)
        changed = document
        for _ in range(numbers.randint(0, 2)):
            changed = spoil(changed, numbers)
        data = json.dumps(changed).encode()
        return scramble(data, numbers) if numbers.random() < 0.4 else data

    return st.integers(0, 2**32).map(make)


def scrambled(data: bytes) -> st.SearchStrategy[bytes]:
    """Draw bytes near valid ones."""
    return st.integers(0, 2**32).map(lambda seed: scramble(data, random.Random(seed)))
