"""Random draws that stay the same for ever."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

GENERATOR = "PCG64(seed) as numpy.random.default_rng(seed) uses it, fixed by sslprep"


class Draws:
    """What `numpy.random.default_rng(seed)` draws today, made from its bit stream alone.

    NumPy promises that PCG64 gives one stream of bits for a seed in every version to come, but
    keeps the right to change what a Generator makes of it; a published set must not change.

    Args:
        seed: 0 or more.

    Example:
        >>> Draws(0).permutation(5), np.random.default_rng(0).permutation(5)
        (array([2, 4, 3, 0, 1]), array([2, 4, 3, 0, 1]))
    """

    def __init__(self, seed: int) -> None:
        self._words = _words(np.random.PCG64(seed))

    def below(self, n: int) -> int:
        """Return one of 0…n-1, n ≤ 2³² (Lemire, Fast random integer generation, 2019)."""
        if n == 1:
            return 0
        product = next(self._words) * n
        if product & 0xFFFFFFFF < n:
            while product & 0xFFFFFFFF < (1 << 32) % n:
                product = next(self._words) * n
        return product >> 32

    def permutation(self, n: int) -> NDArray[np.intp]:
        """Return 0…n-1 in random order (Fisher and Yates, from the end)."""
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            mask = (1 << i.bit_length()) - 1
            while (j := next(self._words) & mask) > i:
                pass
            order[i], order[j] = order[j], order[i]
        return np.array(order, dtype=np.intp)


def _words(bits: np.random.PCG64) -> Iterator[int]:
    while True:
        yield from bits.random_raw(64).astype("<u8").view("<u4").tolist()
