"""Axes: round ticks, and numbers as people write them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


def count_text(value: float) -> str:
    """Write a whole number with separators.

    Example:
        >>> count_text(1281167)
        '1,281,167'
    """
    return f"{int(value):,}"


def share_text(part: float, whole: float) -> str:
    """Write a share in percent; a share above nothing is never shown as nothing.

    Example:
        >>> share_text(1, 3), share_text(1, 100000), share_text(0, 5), share_text(1, 0)
        ('33.3 %', '< 0.1 %', '0 %', '–')
    """
    if not whole or not math.isfinite(part / whole):
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if percent < 100 and f"{percent:.1f}" == "100.0":
        return "> 99.9 %"
    return f"{percent:.1f}".removesuffix(".0") + " %"


def size_text(size: float) -> str:
    """Write a number of bytes.

    Example:
        >>> size_text(512), size_text(102_500_000)
        ('512 bytes', '102.5 MB')
    """
    if size < 1000:
        return f"{int(size)} bytes"
    power = min(4, int(math.log10(size)) // 3)
    size, unit = size / 1000**power, ("kB", "MB", "GB", "TB")[power - 1]
    return f"{size:.3g} {unit}" if size < 100 else f"{size:,.1f} {unit}".replace(".0 ", " ")


def tick_text(value: float) -> str:
    """Write a number beside an axis, short.

    Example:
        >>> [tick_text(v) for v in (0, 0.25, 150, 1500, 20000, 2.5e6, 1e-7, -40)]
        ['0', '0.25', '150', '1,500', '20k', '2.5M', '1e-07', '−40']
    """
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        text = f"{size:.3g}"
    elif size >= 1e6:
        text = f"{size / 1e6:.3g}M"
    elif size >= 1e4:
        text = f"{size / 1e3:.3g}k"
    elif size >= 1e3:
        text = f"{size:,.0f}"
    else:
        text = f"{size:.4g}"
    return f"−{text}" if value < 0 else text


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

    Example:
        >>> powers_of_ten(0.002, 5)
        [0.001, 0.01, 0.1, 1.0, 10.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    step = max(1, math.ceil((last - first) / 6))
    return [10.0**e for e in reversed(range(last, first - step, -step))]


def power_text(value: float) -> str:
    """Write a power of ten.

    Example:
        >>> power_text(1e-6), power_text(1.0)
        ('10⁻⁶', '1')
    """
    exponent = round(math.log10(value))
    if exponent in (0, 1, 2, 3):
        return f"{10**exponent:,}"
    if exponent in (-1, -2):
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
