"""The sizes of sample that are asked for, and whether every class has enough for them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import NotEnoughError, ParameterError

DEFAULT_K_VALUES = (1, 2, 4, 8, 16, 32, 64, 96)
"""The published low-shot curves: 96 is what VOC2007's smallest class has in trainval."""

_SHOWN = 8


@dataclass(frozen=True, order=True)
class Shot:
    """One size of sample: `k` images of every class, or a `fraction` of each class's images.

    Example:
        >>> Shot(k=4).name, Shot(fraction=0.01).name
        ('k4', 'fraction0.01')
        >>> Shot(fraction=0.01).count(732), Shot(fraction=0.01).count(3)
        (7, 1)
    """

    k: int = 0
    fraction: float = 0.0

    @property
    def name(self) -> str:
        """What stands in file names."""
        return f"k{self.k}" if self.k else f"fraction{self.fraction!r}"

    @property
    def key(self) -> int:
        """The k of the draw's key; for a fraction the bits of the double, which is no small k."""
        if self.k:
            return self.k
        bits: int = struct.unpack("<Q", struct.pack("<d", self.fraction))[0]
        return bits

    @property
    def fields(self) -> dict[str, int | float]:
        """As it stands in index files and manifests."""
        return {"k": self.k} if self.k else {"fraction": self.fraction}

    def count(self, positives: int) -> int:
        """How many positives of a class with so many to draw.

        A fraction is rounded to the nearest whole number (half up, in exact decimal
        arithmetic) and is at least 1.
        """
        if self.k:
            return self.k
        exact = Fraction(repr(self.fraction)) * positives
        return max(1, int(exact + Fraction(1, 2)))


def shots_of_k(k_values: Sequence[int]) -> tuple[Shot, ...]:
    """Check a list of k and return its sizes, ascending.

    Raises:
        ParameterError: No k, a repeated one, or one below 1.
    """
    wrong = [str(k) for k in k_values if k < 1]
    if wrong:
        raise ParameterError(f"--k-values holds {', '.join(wrong)}", expected="1 or more each")
    _check_list("--k-values", k_values)
    return tuple(Shot(k=k) for k in sorted(k_values))


def shots_of_fractions(fractions: Sequence[float]) -> tuple[Shot, ...]:
    """Check a list of fractions and return its sizes, ascending.

    Raises:
        ParameterError: No fraction, a repeated one, or one outside (0, 1].
    """
    wrong = [str(f) for f in fractions if not 0 < f <= 1]
    if wrong:
        raise ParameterError(
            f"--fraction holds {', '.join(wrong)}", expected="above 0 and at most 1 (0.01 is 1 %)"
        )
    _check_list("--fraction", fractions)
    return tuple(Shot(fraction=f) for f in sorted(fractions))


def _check_list(flag: str, values: Sequence[float]) -> None:
    if not values:
        raise ParameterError(f"{flag} is empty", expected="at least one number")
    repeated = sorted({v for v in values if values.count(v) > 1})
    if repeated:
        raise ParameterError(
            f"{flag} repeats {', '.join(map(str, repeated))}", expected="each number once"
        )


def check_num_samples(num_samples: int) -> None:
    """Refuse fewer than one sample.

    Raises:
        ParameterError: Fewer than one.
    """
    if num_samples < 1:
        raise ParameterError(f"--num-samples is {num_samples}", expected="1 or more")


@dataclass(frozen=True, kw_only=True)
class Population:
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

    def named(self, names: tuple[str, ...]) -> Population:
        """Return the same with names for the classes."""
        return replace(self, names=names)

    def title(self, index: int) -> str:
        """Name the class at `index` of `ids` for a person: `class 7 (car)`."""
        name = f" ({self.names[index]})" if self.names else ""
        return f"class {self.ids[index]}{name}"

    @property
    def largest_k(self) -> int:
        """The largest k that works for every class."""
        largest = int(self.positives.min())
        others = len(self.ids) - 1
        if self.negatives is not None and others:
            largest = min(largest, int(self.negatives.min()) // others)
        return largest

    def allows(self, shot: Shot) -> bool:
        """Whether every class has enough."""
        return not shot.k or shot.k <= self.largest_k

    def shortages(self, shots: Iterable[Shot]) -> list[str]:
        """Say for every class that has too few what it has, and what each k needs.

        Classes that forbid the smallest k come first.
        """
        others = len(self.ids) - 1
        wanted = [shot.k for shot in shots if shot.k]
        found: list[tuple[float, str]] = []
        for index in range(len(self.ids)):
            # In a single-label set every image of a class is a positive of it and of no other.
            what = "images" if self.negatives is None else "positives"
            kinds = [(what, int(self.positives[index]), 1)]
            if self.negatives is not None:
                kinds.append(("negatives", int(self.negatives[index]), others))
            for kind, has, each in kinds:
                needs = [f"k={k} needs {k * each}" for k in wanted if k * each > has]
                if needs:
                    text = f"{self.title(index)} has {has} {kind}; {', '.join(needs)}"
                    found.append((has / each, text))
        return [text for _, text in sorted(found, key=lambda item: item[0])]


def possible_shots(
    shots: tuple[Shot, ...], population: Population, where: Path, *, skip_impossible: bool
) -> tuple[tuple[Shot, ...], tuple[str, ...]]:
    """Return the sizes that every class allows, and warnings of those left out.

    Raises:
        NotEnoughError: Some size is impossible and `skip_impossible` is off, or none is left.
            The text names every class and k that is short, and the largest k that works.
    """
    possible = tuple(shot for shot in shots if population.allows(shot))
    if len(possible) == len(shots):
        return shots, ()
    out = ", ".join(str(shot.k) for shot in shots if shot not in possible)
    texts = population.shortages(shots)
    more = f"; and {len(texts) - _SHOWN} more like this" if len(texts) > _SHOWN else ""
    problem = "; ".join(texts[:_SHOWN]) + more
    largest = population.largest_k
    limit = f"The largest k that works for every class is {largest}."
    if skip_impossible and possible:
        return possible, (f"{where}: k = {out} left out: {problem}. {limit}",)
    if not largest:
        remedy = "No k works: leave such classes out of the labels."
    elif possible:
        remedy = f"{limit} Lower --k-values, or pass --skip-impossible to leave out k = {out}."
    else:
        remedy = f"{limit} Lower --k-values."
    raise NotEnoughError(problem, where=where, remedy=remedy)
