"""Numbers as people write them."""

from __future__ import annotations

import math


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
        ['0', '0.25', '150', '1,500', '20k', '2.5M', '10⁻⁷', '−40']
        >>> [tick_text(v) for v in (9_999.9, 999_999, 999_600_000, 1e15)]
        ['10k', '1M', '1G', '10¹⁵']
    """
    size = abs(value)
    if size and not 1e-3 <= size < 1e12:
        exponent = math.floor(math.log10(size) + 1e-12)
        digits = f"{size / 10.0**exponent:.3g}"
        text = f"{'' if digits == '1' else f'{digits}×'}10{superscript(exponent)}"
    else:
        # Rounded first: 999,999 is 1M, not 1000k.
        size = float(f"{size:.3g}") if size >= 9_999.5 else size
        for unit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
            if size >= unit:
                text = f"{size / min(unit, 1e3 if letter == 'k' else unit):.3g}{letter}"
                break
        else:
            text = f"{size:,.0f}" if size >= 1e3 else f"{size:.4g}"
    return f"−{text}" if value < 0 else text


def superscript(number: int) -> str:
    """Write an exponent.

    Example:
        >>> superscript(-12)
        '⁻¹²'
    """
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def power_texts(values: list[float]) -> list[str]:
    """Write the powers of ten of one axis, all in one way.

    Example:
        >>> power_texts([1.0, 10.0, 100.0]), power_texts([0.01, 1.0, 1e4])
        (['1', '10', '100'], ['10⁻²', '1', '10⁴'])
    """
    exponents = [round(math.log10(value)) for value in values]
    if all(-2 <= e <= 3 for e in exponents):
        return [f"{10**e:,}" if e >= 0 else f"{10.0**e:g}" for e in exponents]
    return ["1" if e == 0 else f"10{superscript(e)}" for e in exponents]


def counted(number: float, noun: str, plural: str = "") -> str:
    """Write a number with what it counts.

    Example:
        >>> counted(1, "bin"), counted(2, "bin"), counted(2000, "class", "classes")
        ('1 bin', '2 bins', '2,000 classes')
    """
    return f"{count_text(number)} {noun if number == 1 else plural or f'{noun}s'}"
