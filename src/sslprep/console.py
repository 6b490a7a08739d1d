"""What people see: results, progress and messages.

Library code only reports (`progress`, `logging`); whether anything is shown is the command line's
choice, made once with `configure`. What a command was asked for goes to standard output, all else
to standard error.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)
_people_listen = False
_MINUTE = 60.0


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """Show warnings (and with `verbose` more) on standard error, and progress."""
    global _people_listen
    _people_listen = not quiet
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("sslprep")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"sslprep: {prefix}{record.getMessage()}"


@contextlib.contextmanager
def progress(total: int | None, unit: str, *, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, elsewhere a line every minute; yields `advance(n)`.

    Args:
        total: How many there are, if known.
        unit: What is counted, such as `images`.
        done: How many were done before this run (a resumed one).
    """
    if not _people_listen:
        yield lambda _: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, initial=done, unit=f" {unit}", unit_scale=True) as bar:
            yield lambda n: bar.update(n) and None
    else:
        yield _every_minute(total, unit, done)


def _every_minute(total: int | None, unit: str, done: int) -> Callable[[int], None]:
    start = last = time.monotonic()
    before = done

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= _MINUTE:
            last = now
            rate = (done - before) / (now - start)
            of = f" of {total:,}" if total else ""
            left = f", {(total - done) / rate / 60:,.0f} min left" if total and rate else ""
            logger.info("%s", f"{done:,}{of} {unit}, {rate:,.0f}/s{left}")

    return advance


def say(text: str) -> None:
    """Show a line of a long command's story, where a person is listening."""
    if _people_listen:
        print(text, file=sys.stderr, flush=True)
