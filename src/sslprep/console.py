"""What people see: progress bars, tables and messages, all on standard error.

Library code only reports (`progress`, `logging`); whether anything is shown is the command
line's choice, made once with `configure`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_people_listen = False
_progress_wanted = False


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """Show warnings (and with `verbose` more) on standard error, and progress on a terminal."""
    global _people_listen, _progress_wanted
    _people_listen = not quiet
    _progress_wanted = sys.stderr.isatty() and not quiet
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
    """Show a bar with rate and time left; yields `advance(n)`. Tick once per chunk.

    Args:
        total: How many there are, if known.
        unit: What is counted, such as `images`.
        done: How many were done before this run (a resumed one).
    """
    if not _progress_wanted:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else f"- {unit}/s")

    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task(unit, total=total, completed=done)
        yield lambda n: bar.advance(task, n)


def say(text: str) -> None:
    """Show a line of a long command's story, where a person is listening."""
    if _people_listen:
        print(text, file=sys.stderr, flush=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a plain table; numbers go to the right.

    Example:
        >>> print(table(["class", "images"], [["cat", 12], ["horse", 3]]))
        class  images
        -----  ------
        cat        12
        horse       3
    """
    text = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headers), *text]) for i in range(len(headers))]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(headers))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(headers), line(["-" * w for w in widths]), *map(line, text)])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return "".join(c if c.isprintable() else "�" for c in text)


def show(result: Any, *, verbose: bool = False) -> None:
    """Print a command's result for a person.

    That is the record's own `text()` (with `verbose` its `full_text()`, where it has one), else
    its fields.
    """
    if verbose and hasattr(result, "full_text"):
        text = result.full_text()
    elif hasattr(result, "text"):
        text = result.text()
    else:
        fields = [
            (field.name.replace("_", " "), getattr(result, field.name))
            for field in dataclasses.fields(result)
        ]
        text = "\n".join(
            f"{name}: {_summary(value)}" for name, value in fields if value not in (None, ())
        )
    print(text, file=sys.stderr)


def _summary(value: object) -> str:
    if isinstance(value, tuple | list):
        lines = [str(item) for item in value]
        if len(lines) == 1:
            return lines[0]
        shown = lines[:20] + ([f"… and {len(lines) - 20} more"] if len(lines) > 20 else [])
        return "\n  ".join(["", *shown])
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return str(value) if isinstance(value, Path) else _cell(value)
