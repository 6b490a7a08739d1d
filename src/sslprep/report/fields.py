"""Reading a manifest's free parts without trusting them.

A manifest is a file that someone gave us: where a number should stand there may be a list, a
text or nothing. Each reader returns the value if it is of the kind asked for, else a neutral one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

_LIMIT = 1 << 53
"""Beyond this a JSON number is no count of anything."""


class Fields:
    """A part of a manifest, read by name.

    Example:
        >>> fields = Fields({"n": "many", "mean": 8.08, "bounds": {"mean": 9}, "names": ["a", 1]})
        >>> fields.whole("n"), fields.number("mean"), fields.part("bounds").whole("mean")
        (None, 8.08, 9)
        >>> fields.texts("names"), fields.part("n").whole("x")
        ([], None)
    """

    def __init__(self, values: object) -> None:
        self._values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def get(self, name: str) -> object:
        """Return whatever stands there."""
        return self._values.get(name)

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        value = self._values.get(name)
        good = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LIMIT
        return value if good else None

    def number(self, name: str) -> float | None:
        """Return a finite number."""
        return as_number(self._values.get(name))

    def flag(self, name: str) -> bool:
        """Return whether it is true."""
        return self._values.get(name) is True

    def text(self, name: str) -> str:
        """Return a text, else an empty one."""
        value = self._values.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, else an empty one."""
        value = self._values.get(name)
        good = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return list(value) if good else []  # type: ignore[arg-type]

    def numbers(self, name: str) -> list[float]:
        """Return a list of finite numbers, else an empty one."""
        value = self._values.get(name)
        if not isinstance(value, list):
            return []
        numbers = [as_number(item) for item in value]
        return [] if None in numbers else [n for n in numbers if n is not None]

    def part(self, name: str) -> Fields:
        """Return what stands below, perhaps empty."""
        return Fields(self._values.get(name))

    def parts(self, name: str) -> list[Fields]:
        """Return a list of objects, else an empty one."""
        value = self._values.get(name)
        return [Fields(item) for item in value] if isinstance(value, list) else []

    def counts(self, name: str | None = None) -> dict[str, int]:
        """Return the whole numbers among the items below `name` (or of this part), by name."""
        part = self if name is None else self.part(name)
        found = ((key, part.whole(key)) for key in part)
        return {key: value for key, value in found if value is not None}

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._values if isinstance(key, str))


def as_number(value: object) -> float | None:
    """Return a finite number that is not a truth value, else `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _LIMIT * 1024 and math.isfinite(value) else None
