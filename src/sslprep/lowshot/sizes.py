"""Sizes of samples: k images of every class, or a fraction; and whether there are enough."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from sslprep.errors import NotEnoughError, ParameterError
from sslprep.lowshot.labels import Classes

DEFAULT_K_VALUES = (1, 2, 4, 8, 16, 32, 64, 96)
"""The published low-shot curves: 96 is what VOC2007's smallest class has in trainval."""

_SHOWN = 8


class Size(NamedTuple):
    """One size of sample.

    Example:
        >>> Size(k=4).name, Size(fraction=0.01).name, Size(fraction=0.01, balanced=True).name
        ('k4', 'fraction0.01', 'balanced0.01')
    """

    k: int = 0  #: images of every class; 0 where it is a fraction
    fraction: float = 0.0  #: share of the images
    #: the share is of the whole set, and every class gets the same number of images (some of them
    #: one more); otherwise it is the share of each class
    balanced: bool = False

    @property
    def name(self) -> str:
        """What stands in file names; "unknown" of a list whose name does not tell."""
        if self.k:
            return f"k{self.k}"
        kind = "balanced" if self.balanced else "fraction"
        return f"{kind}{self.fraction!r}" if self.fraction else "unknown"

    @property
    def key(self) -> int:
        """The k of the draw's key: for a fraction the bits of the double, which is no small k.

        Those of a balanced fraction are the bits of its negative.
        """
        value = -self.fraction if self.balanced else self.fraction
        return self.k or int.from_bytes(struct.pack("<d", value), "little")

    @property
    def fields(self) -> dict[str, int | float | bool]:
        """As it stands in index files and manifests."""
        balanced = {"balanced": True} if self.balanced else {}
        return {"k": self.k} if self.k else {"fraction": self.fraction, **balanced}

    def count(self, positives: int) -> int:
        """How many of a class with so many images to draw (not for balanced fractions).

        A fraction is rounded to the nearest whole number (half up, in exact decimal
        arithmetic) and is at least 1.

        Example:
            >>> Size(k=4).count(732), Size(fraction=0.01).count(732), Size(fraction=0.01).count(3)
            (4, 7, 1)
        """
        return self.k or max(1, int(Fraction(repr(self.fraction)) * positives + Fraction(1, 2)))

    def each(self, rows: int, classes: int) -> tuple[int, int]:
        """How many images of every class a balanced fraction has, and how many have one more.

        The share of the whole set is rounded down; every class has at least one.

        Example:
            >>> Size(fraction=0.01, balanced=True).each(1_281_167, 1000)  # as SimCLR's 1percent.txt
            (12, 811)
        """
        return divmod(max(classes, int(Fraction(repr(self.fraction)) * rows)), classes)


def sizes_asked(
    k_values: Sequence[int] | None, fraction: Sequence[float] | None, *, balanced: bool
) -> tuple[Size, ...]:
    """Return the sizes that are asked for, ascending; by default the published k."""
    if k_values is not None and fraction is not None:
        raise ParameterError("--k-values and --fraction exclude each other", expected="one of them")
    if balanced and fraction is None:
        hint = "With --k-values every class has the same number of images anyway."
        raise ParameterError("--balanced is given without --fraction", remedy=hint)
    flag, values = "--fraction", sorted(fraction or ())
    if fraction is None:
        flag, values = "--k-values", sorted(k_values or DEFAULT_K_VALUES)
    repeated = sorted({str(v) for v, w in pairwise(values) if v == w})
    if repeated:
        raise ParameterError(f"{flag} repeats {', '.join(repeated)}", expected="each number once")
    return tuple(Size(int(v)) if fraction is None else Size(0, v, balanced) for v in values)


def needs(size: Size, classes: Classes) -> int:
    """How many images a size needs of every class; a fraction of each class always works."""
    each, more = size.each(classes.rows, len(classes.ids)) if size.balanced else (size.k, 0)
    return each + (more > 0)


def largest_k(classes: Classes) -> int:
    """The largest k that works for every class."""
    others = len(classes.ids) - 1 if classes.negatives else 0
    limits = [len(rows) for rows in classes.positives]
    limits += [len(rows) // others for rows in classes.negatives or () if others]
    return min(limits)


def shortages(sizes: Sequence[Size], classes: Classes) -> list[str]:
    """Say for every class that has too few what it has, and what each size needs.

    Classes that forbid the smallest size come first.
    """
    # In a single-label set every image of a class is a positive of it and of no other.
    kinds = [("positives" if classes.negatives else "images", classes.positives, 1)]
    kinds += [("negatives", classes.negatives, len(classes.ids) - 1)] if classes.negatives else []
    found = []
    for kind, pools, each in kinds:
        for index, (id_, rows) in enumerate(zip(classes.ids, pools, strict=True)):
            wanted = {size.name.replace("k", "k="): needs(size, classes) * each for size in sizes}
            short = [f"{name} needs {count}" for name, count in wanted.items() if count > len(rows)]
            name = f" ({classes.names[index]})" if classes.names else ""
            text = f"class {id_}{name} has {len(rows)} {kind}; {', '.join(first_few(short))}"
            found += [(len(rows) / each, text)] if short else []
    return [text for _, text in sorted(found, key=lambda item: item[0])]


def first_few(texts: list[str]) -> list[str]:
    """Return so many texts as people read, and how many more there are."""
    more = [f"and {len(texts) - _SHOWN:,} more"] if len(texts) > _SHOWN else []
    return [*texts[:_SHOWN], *more]


def possible_sizes(
    sizes: Sequence[Size], classes: Classes, where: Path, skip_impossible: bool
) -> tuple[list[Size], tuple[str, ...]]:
    """Return the sizes that every class allows, and warnings of those left out.

    Where none is left, or none may be left out, the NotEnoughError names every class and size that
    is short, and the largest k that works.
    """
    largest = largest_k(classes)
    possible = [size for size in sizes if needs(size, classes) <= largest]
    if len(possible) == len(sizes):
        return possible, ()
    flag, what = ("--k-values", "k") if sizes[0].k else ("--fraction", "fraction")
    out = ", ".join(first_few([str(s.k or s.fraction) for s in sizes if s not in possible]))
    problem = "; ".join(first_few(shortages(sizes, classes)))
    limit = f"The largest k that works for every class is {largest}."
    if skip_impossible and possible:
        return possible, (f"{where}: {what} = {out} left out: {problem}. {limit}",)
    remedy = f"{limit} Lower {flag}."
    if not largest:
        remedy = "No k works: leave such classes out of the labels."
    elif possible:
        remedy = f"{limit} Lower {flag}, or pass --skip-impossible to leave out {what} = {out}."
    raise NotEnoughError(problem, where=where, remedy=remedy)
