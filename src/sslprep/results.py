"""What a command returns: a frozen record that also reads well."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import msgspec

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def result(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only dataclass whose repr a person can read.

    A class may say it in its own words, in `text()`.

    Example:
        >>> @result
        ... class Counted:
        ...     images: int
        ...     skipped: tuple[str, ...] = ()
        >>> Counted(images=12345)
        <Counted
        images: 12,345>
    """
    made = dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)
    made.__repr__ = lambda self: f"<{type(self).__name__}\n{text_of(self)}>"  # type: ignore[method-assign]
    return made


def text_of(record: Any) -> str:
    """Return a record as lines for a person: its own `text()`, else its fields."""
    if hasattr(record, "text"):
        return str(record.text())
    fields = {f.name.replace("_", " "): getattr(record, f.name) for f in dataclasses.fields(record)}
    return "\n".join(f"{k}: {_summary(v)}" for k, v in fields.items() if v not in (None, ()))


def encode_json(value: object) -> bytes:
    r"""Return `value` as indented JSON; a byte of a file name that is not UTF-8 stands as `\udcXX`.

    Example:
        >>> encode_json({"a": Path("b")})
        b'{\n  "a": "b"\n}'
    """
    try:
        data = msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value, enc_hook=str), ensure_ascii=False)
        data = re.sub("[\ud800-\udfff]", lambda m: rf"\\u{ord(m[0]):x}", text).encode()
    return msgspec.json.format(data, indent=2)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a plain table; numbers go to the right.

    Example:
        >>> print(table(["class", "images"], [["cat", 12], ["horse", 3]]))
        class  images
        -----  ------
        cat        12
        horse       3
    """
    lines = [[*headers], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    for i, width in enumerate(widths):
        number = rows and all(isinstance(row[i], int | float) for row in rows)
        for line in lines:
            line[i] = line[i].rjust(width) if number else line[i].ljust(width)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return "".join(c if c.isprintable() else "�" for c in text)


def _summary(value: object) -> str:
    if isinstance(value, tuple | list):
        lines = [str(item) for item in value]
        more = [f"… and {len(lines) - 20} more"] if len(lines) > 20 else []
        return lines[0] if len(lines) == 1 else "\n  ".join(["", *lines[:20], *more])
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return str(value) if isinstance(value, Path) else _cell(value)
