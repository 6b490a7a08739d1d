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

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import ParameterError

GENERATOR = (
    "Philox4x64-10, key (seed, sample), counter (block from 1, k, class, role 0 positives or "
    "1 negatives); word mod m after rejection, repeats dropped (sslprep low-shot draw 1)"
)
"""Name and keying, as manifests and index files hold it; a changed draw must change it."""

POSITIVES = 0
NEGATIVES = 1
ONE_MORE = 2

_WORD = 1 << 64


class Draws:
    """All draws of one seed.

    Args:
        seed: 0 … 2^64 - 1.
        nested: Leave k out of the key, so that within a sample each k holds the smaller ones.

    Raises:
        ParameterError: The seed is not a 64-bit number.

    Example:
        >>> draws = Draws(0, nested=True)
        >>> draws.positions(2, of=1000, sample=1, k=2, label=7).tolist()
        [818, 85]
        >>> draws.positions(4, of=1000, sample=1, k=4, label=7).tolist()
        [818, 85, 340, 559]
    """

    def __init__(self, seed: int, *, nested: bool = False) -> None:
        if not 0 <= seed < _WORD:
            raise ParameterError(f"--seed is {seed}", expected="0 to 2^64 - 1")
        self.seed = seed
        self.nested = nested
        # One generator set to each key in turn: three times as fast as a new one for each.
        # The state of an unused one says that no words are left over.
        self._philox = np.random.Philox(0)
        self._state = self._philox.state
        self._key = np.array([seed, 0], np.uint64)
        self._counter = np.zeros(4, np.uint64)
        self._state["state"] = {"counter": self._counter, "key": self._key}

    def positions(
        self, count: int, *, of: int, sample: int, k: int, label: int, role: int = POSITIVES
    ) -> NDArray[np.int64]:
        """Draw `count` different positions below `of`, in the order in which they come.

        Args:
            count: How many, n.
            of: How many rows may be drawn, m.
            sample: Number of the sample, from 1.
            k: The k of the key; see `Size.key`.
            label: Class id, or column of the label matrix.
            role: `POSITIVES`, `NEGATIVES` or `ONE_MORE`.
        """
        if count > of:
            raise ValueError(f"cannot draw {count} of {of}")
        if count == 0:
            return np.empty(0, np.int64)
        self._start((0 if self.nested else k), sample, label, role)
        last = np.uint64(_WORD - _WORD % of - 1)
        seen: dict[int, None] = {}
        # Repeats take about n²/2m words more; what is asked for at a time changes no result.
        ask = count + count * count // of + 4
        while len(seen) < count:
            words = self._philox.random_raw(ask)
            seen |= dict.fromkeys((words[words <= last] % np.uint64(of)).tolist())
        return np.fromiter(seen, np.int64, count)

    def _start(self, k: int, sample: int, label: int, role: int) -> None:
        self._key[1] = sample
        self._counter[1:] = k, label, role
        self._philox.state = self._state
