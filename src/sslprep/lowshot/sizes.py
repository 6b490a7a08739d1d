"""Sizes of samples: k images of every class, or a fraction; and whether there are enough."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import NotEnoughError, ParameterError

DEFAULT_K_VALUES = (1, 2, 4, 8, 16, 32, 64, 96)
"""The published low-shot curves: 96 is what VOC2007's smallest class has in trainval."""

_SHOWN = 8


@dataclass(frozen=True, order=True)
class Size:
    """One size of sample.

    Attributes:
        k: Images of every class; 0 where it is a fraction.
        fraction: Share of the images.
        balanced: The share is of the whole set, and every class gets the same number of images
            (some of them one more); otherwise it is the share of each class.

    Example:
        >>> Size(k=4).name, Size(fraction=0.01).name, Size(fraction=0.01, balanced=True).name
        ('k4', 'fraction0.01', 'balanced0.01')
    """

    k: int = 0
    fraction: float = 0.0
    balanced: bool = False

    @property
    def name(self) -> str:
        """What stands in file names; "unknown" of a list whose name does not tell."""
        if not self.k and not self.fraction:
            return "unknown"
        if self.k:
            return f"k{self.k}"
        return f"{'balanced' if self.balanced else 'fraction'}{self.fraction!r}"

    @property
    def key(self) -> int:
        """The k of the draw's key: for a fraction the bits of the double, which is no small k.

        Those of a balanced fraction are the bits of its negative.
        """
        if self.k:
            return self.k
        value = -self.fraction if self.balanced else self.fraction
        bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
        return bits

    @property
    def fields(self) -> dict[str, int | float | bool]:
        """As it stands in index files and manifests."""
        if self.k:
            return {"k": self.k}
        return {"fraction": self.fraction, **({"balanced": True} if self.balanced else {})}

    @property
    def value(self) -> int | float:
        """The k, or the fraction."""
        return self.k or self.fraction

    def count(self, positives: int) -> int:
        """How many of a class with so many images to draw (not for balanced fractions).

        A fraction is rounded to the nearest whole number (half up, in exact decimal
        arithmetic) and is at least 1.

        Example:
            >>> Size(k=4).count(732), Size(fraction=0.01).count(732), Size(fraction=0.01).count(3)
            (4, 7, 1)
        """
        if self.k:
            return self.k
        return max(1, int(self._of(positives) + Fraction(1, 2)))

    def each(self, rows: int, classes: int) -> tuple[int, int]:
        """How many images of every class a balanced fraction has, and how many have one more.

        The share of the whole set is rounded down; every class has at least one.

        Example:
            >>> Size(fraction=0.01, balanced=True).each(1_281_167, 1000)  # as SimCLR's 1percent.txt
            (12, 811)
        """
        return divmod(max(classes, int(self._of(rows))), classes)

    def _of(self, number: int) -> Fraction:
        return Fraction(repr(self.fraction)) * number


def sizes_asked(
    k_values: Sequence[int] | None, fraction: Sequence[float] | None, *, balanced: bool
) -> tuple[Size, ...]:
    """Return the sizes that are asked for, ascending; by default the published k.

    Raises:
        ParameterError: Both are given, or one holds a number twice.
    """
    if k_values is not None and fraction is not None:
        raise ParameterError(
            "--k-values and --fraction exclude each other", expected="one of the two"
        )
    if balanced and fraction is None:
        raise ParameterError(
            "--balanced is given without --fraction",
            expected="a fraction, such as --fraction 0.01",
            remedy="With --k-values every class has the same number of images anyway.",
        )
    flag, values = "--fraction", fraction
    if values is None:
        flag, values = "--k-values", k_values or DEFAULT_K_VALUES
    repeated = sorted(value for value, times in Counter(values).items() if times > 1)
    if repeated:
        raise ParameterError(
            f"{flag} repeats {', '.join(map(str, repeated))}", expected="each number once"
        )
    if fraction is None:
        return tuple(Size(k=int(k)) for k in sorted(values))
    return tuple(Size(fraction=f, balanced=balanced) for f in sorted(values))


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCounts:
    """How many rows each class has to draw from.

    Attributes:
        ids: Class ids or columns, ascending.
        names: Their names, where known, else empty.
        positives: Rows of each class.
        negatives: Rows known not to be of the class (multi-label), else `None`.
    """

    ids: NDArray[np.int64]
    positives: NDArray[np.int64]
    names: tuple[str, ...] = ()
    negatives: NDArray[np.int64] | None = None

    @property
    def largest_k(self) -> int:
        """The largest k that works for every class."""
        largest = int(self.positives.min())
        others = len(self.ids) - 1
        if self.negatives is not None and others:
            largest = min(largest, int(self.negatives.min()) // others)
        return largest

    def needs(self, size: Size) -> int:
        """How many images a size needs of every class; a fraction of each class always works."""
        if size.balanced:
            each, more = size.each(int(self.positives.sum()), len(self.ids))
            return each + (more > 0)
        return size.k

    def allows(self, size: Size) -> bool:
        """Whether every class has enough."""
        return self.needs(size) <= self.largest_k

    def shortages(self, sizes: Sequence[Size]) -> list[str]:
        """Say for every class that has too few what it has, and what each size needs.

        Classes that forbid the smallest size come first.
        """
        # In a single-label set every image of a class is a positive of it and of no other.
        kinds = [("images" if self.negatives is None else "positives", self.positives, 1)]
        if self.negatives is not None:
            kinds.append(("negatives", self.negatives, len(self.ids) - 1))
        found: list[tuple[float, str]] = []
        for index, id_ in enumerate(self.ids):
            for kind, rows, each in kinds:
                has = int(rows[index])
                needs = [
                    f"{s.name.replace('k', 'k=')} needs {self.needs(s) * each}"
                    for s in sizes
                    if self.needs(s) * each > has
                ]
                if needs:
                    name = f" ({self.names[index]})" if self.names else ""
                    text = f"class {id_}{name} has {has} {kind}; {', '.join(needs)}"
                    found.append((has / each, text))
        return [text for _, text in sorted(found, key=lambda item: item[0])]


def possible_sizes(
    sizes: tuple[Size, ...], counts: ClassCounts, where: Path, *, skip_impossible: bool
) -> tuple[tuple[Size, ...], tuple[str, ...]]:
    """Return the sizes that every class allows, and warnings of those left out.

    Raises:
        NotEnoughError: Some size is impossible and `skip_impossible` is off, or none is left.
            The text names every class and size that is short, and the largest k that works.
    """
    possible = tuple(size for size in sizes if counts.allows(size))
    if len(possible) == len(sizes):
        return sizes, ()
    flag, what = ("--k-values", "k") if sizes[0].k else ("--fraction", "fraction")
    out = ", ".join(str(size.value) for size in sizes if size not in possible)
    texts = counts.shortages(sizes)
    more = f"; and {len(texts) - _SHOWN} more like this" if len(texts) > _SHOWN else ""
    problem = "; ".join(texts[:_SHOWN]) + more
    largest = counts.largest_k
    limit = f"The largest k that works for every class is {largest}."
    if skip_impossible and possible:
        return possible, (f"{where}: {what} = {out} left out: {problem}. {limit}",)
    if not largest:
        remedy = "No k works: leave such classes out of the labels."
    elif possible:
        remedy = f"{limit} Lower {flag}, or pass --skip-impossible to leave out {what} = {out}."
    else:
        remedy = f"{limit} Lower {flag}."
    raise NotEnoughError(problem, where=where, remedy=remedy)
