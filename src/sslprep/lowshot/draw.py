"""The draw: which rows of a class are in a sample, a pure function of (seed, sample, k, class).

Stated so that anyone can rebuild it without this program or NumPy:

1. The generator is Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
   1, 2, 3"). Its key is (seed, sample). Its counter, lowest word first, is (b, k, class, role) with
   b = 1, 2, 3, …; each block b gives four 64-bit words, in order. `class` is the class id or the
   column, `role` 0 for positives and 1 for negatives. `k` is 0 for nested samples, and for a
   fraction the 64 bits of that IEEE double (for a balanced one those of its negative). Which
   classes of a balanced fraction have one image more is drawn among them with class 0, role 2.
2. The rows that may be drawn are numbered 0 … m-1 in ascending order. A word w at or above
   m·floor(2^64 / m) is dropped, so that w mod m is exactly uniform; else w mod m is a position.
3. Positions seen before are dropped. The first n that are left are the sample.

A shorter sample is a prefix of a longer one from the same stream. So another class changes no
draw (it only lengthens the negatives), and with `k` left out of the key the samples nest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import ParameterError
from sslprep.lowshot.labels import Classes, Rows
from sslprep.lowshot.sizes import Size

GENERATOR = (
    "Philox4x64-10, key (seed, sample), counter (block from 1, k, class, role 0 positives or "
    "1 negatives); word mod m after rejection, repeats dropped (sslprep low-shot draw 1)"
)
"""Name and keying, as manifests and index files hold it; a changed draw must change it."""

POSITIVES, NEGATIVES, ONE_MORE = 0, 1, 2

_WORD = 1 << 64


@dataclass(frozen=True)
class Draws:
    """All draws of one seed, 0 … 2^64 - 1.

    Nested ones leave k out of the key, so that within a sample each k holds the smaller ones.

    Example:
        >>> Draws(0, nested=True).positions(4, of=1000, sample=1, k=4, label=7).tolist()
        [818, 85, 340, 559]
    """

    seed: int
    nested: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seed < _WORD:
            raise ParameterError(f"--seed is {self.seed}", expected="0 to 2^64 - 1")

    def positions(
        self, count: int, *, of: int, sample: int, k: int, label: int, role: int = POSITIVES
    ) -> NDArray[np.int64]:
        """Draw `count` (n) different positions below `of` (m), in the order in which they come.

        Samples are numbered from 1; `k` is the `Size.key`, `label` the class id or column.
        """
        if count > of:
            raise ValueError(f"cannot draw {count} of {of}")
        if count == 0:
            return np.empty(0, np.int64)
        key = np.array([self.seed, sample], np.uint64)
        counter = np.array([0, 0 if self.nested else k, label, role], np.uint64)
        philox = np.random.Philox(key=key, counter=counter)
        last = np.uint64(_WORD - _WORD % of - 1)
        drawn = np.empty(0, np.int64)
        # Repeats take about n²/2m words more; what is asked for at a time changes no result.
        ask = count + count * count // of + 4
        while len(drawn) < count:
            words = philox.random_raw(ask)
            more = (words[words <= last] % np.uint64(of)).astype(np.int64)
            drawn = _without_repeats(np.concatenate([drawn, more]), of)
        return drawn[:count]


def _without_repeats(positions: NDArray[np.int64], of: int) -> NDArray[np.int64]:
    if of > 16 * len(positions):  # a table of all of them would be large, and slower
        return np.fromiter(dict.fromkeys(positions.tolist()), np.int64)
    order = np.arange(len(positions))
    first = np.empty(of, np.int64)
    first[positions[::-1]] = order[::-1]  # of several the last is kept: here the first
    kept: NDArray[np.int64] = positions[first[positions] == order]
    return kept


class Drawn(NamedTuple):
    """Rows drawn of each class, ascending: of it, and (multi-label) not of it."""

    positives: list[Rows]
    negatives: list[Rows] | None


def draw_sample(classes: Classes, draws: Draws, size: Size, sample: int) -> Drawn:
    """Draw k rows (or a fraction) of every class; multi-label, (classes - 1)·k negatives too.

    Goyal et al. 2019 (arXiv 1905.01235), low-shot image classification. Every class is drawn
    independently; which classes of a balanced fraction have one row more is drawn as well.
    """
    draw = partial(draws.positions, sample=sample, k=size.key)
    counts = [size.count(len(rows)) for rows in classes.positives]
    if size.balanced:
        each, more = size.each(classes.rows, len(classes.ids))
        lucky = draw(more, of=len(counts), label=0, role=ONE_MORE)
        counts = [each + (n in lucky) for n in range(len(counts))]

    def rows_of(pools: list[Rows], counts: list[int], role: int) -> list[Rows]:
        rows = []
        for label, count, pool in zip(classes.ids, counts, pools, strict=True):
            chosen = draw(count, of=len(pool), label=label, role=role)
            rows.append(pool[np.sort(chosen)])
        return rows

    others = [size.k * (len(counts) - 1)] * len(counts)
    return Drawn(
        rows_of(classes.positives, counts, POSITIVES),
        None if classes.negatives is None else rows_of(classes.negatives, others, NEGATIVES),
    )
