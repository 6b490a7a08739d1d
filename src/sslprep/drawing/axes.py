"""Axes: where ticks stand, and where a value falls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


def round_ticks(low: float, high: float, about: int = 5, *, whole: bool = False) -> list[float]:
    """Return evenly spaced round numbers that cover `low` to `high`.

    Args:
        low: Smallest value.
        high: Largest value.
        about: How many are wanted, roughly.
        whole: Only whole numbers.

    Example:
        >>> round_ticks(0, 47)
        [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
        >>> round_ticks(0, 1, whole=True)
        [0.0, 1.0]
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    if high <= low:
        high = low + 1
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    if whole:
        step = max(1.0, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True)
class Scale:
    """Maps values onto coordinates, in proportion or (`log`) by powers of ten.

    Example:
        >>> Scale(0, 10, 0, 200)(5)
        100.0
        >>> Scale(1, 100, 0, 200, log=True)(10)
        100.0
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        form: Callable[[float], float] = math.log10 if self.log else float
        low, high = form(self.low), form(self.high)
        share = (form(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def powers_of_ten(low: float, high: float) -> list[float]:
    """Return the powers of ten that enclose two positive numbers, at most about eight.

    Where there are more, it is every second or third, and 1 is one of them.

    Example:
        >>> powers_of_ten(0.002, 5)
        [0.001, 0.01, 0.1, 1.0, 10.0]
        >>> powers_of_ten(1, 2e8)
        [1.0, 100.0, 10000.0, 1000000.0, 100000000.0, 10000000000.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    step = max(1, math.ceil((last - first) / 6))
    return [10.0 ** (e * step) for e in range(first // step, -(-last // step) + 1)]
