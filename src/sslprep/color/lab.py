"""Pictures to counts of (a, b): exactly OpenCV's 8-bit Lab, counted in integers.

A *table* of this package is `int64 [256, 256]`: `table[a + 128, b + 128]` is how many pixels have
that a and b of CIE Lab (both -128…127, as OpenCV's 8-bit conversion rounds them).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import MissingExtraError

Picture = NDArray[np.uint8]
"""One picture, (height, width, 3) in the order B, G, R."""
Table = NDArray[np.int64]

CELLS = 256 * 256


def opencv() -> Any:
    """Import OpenCV, or say which extra brings it.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(
            "colour commands need OpenCV", remedy='Install it: pip install "sslprep[color]".'
        ) from error
    return cv2


def ab_keys(pictures: Picture) -> NDArray[np.uint16]:
    """Convert BGR pixels to Lab and return `a byte * 256 + b byte` of each.

    Args:
        pictures: Pixels of any number of pictures, (rows, columns, 3), uint8, BGR.
    """
    cv2 = opencv()
    lab = cv2.cvtColor(pictures, cv2.COLOR_BGR2LAB)
    keys: NDArray[np.uint16] = lab[..., 1].astype(np.uint16)
    keys <<= 8
    keys |= lab[..., 2]
    return keys.reshape(-1)


@functools.lru_cache(maxsize=1)
def key_of_colour() -> NDArray[np.uint16]:
    """Return the key of each of the 2^24 colours, at `R * 65536 + G * 256 + B`.

    OpenCV itself fills it, so a look-up equals its conversion bit for bit, at a third of the
    time. It takes 32 MB and about 0.3 s, once per process.
    """
    plane = np.empty((256, 256, 3), np.uint8)
    plane[..., 0] = np.arange(256)
    plane[..., 1] = np.arange(256)[:, None]
    keys = np.empty((256, CELLS), np.uint16)
    for red in range(256):
        plane[..., 2] = red
        keys[red] = ab_keys(plane)
    return keys.reshape(-1)


class Counter:
    """Adds pictures to a table.

    Args:
        side: Height and width that every picture is brought to (bilinear, aspect not kept).
        by_table: Look colours up in `key_of_colour`, which pays from about 2,000 pictures on;
            else convert each. Both give the same counts.

    Example:
        >>> counter = Counter(side=2)
        >>> counter.add(np.zeros((3, 5, 3), np.uint8))
        >>> int(counter.table()[128, 128])
        4
    """

    _BATCH_PIXELS = 8 * CELLS  # the fixed cost of a count is spread; larger ones leave the cache

    def __init__(self, *, side: int, by_table: bool = False) -> None:
        self._cv2 = opencv()
        self._side = side
        self._lookup = key_of_colour() if by_table else None
        self._sums = np.zeros(CELLS, np.int64)
        self._keys = np.empty((max(1, self._BATCH_PIXELS // side**2), side * side), np.uint16)
        self._waiting = 0

    def add(self, picture: Picture) -> None:
        """Count one picture, of any height and width."""
        small = self._cv2.resize(picture, (self._side, self._side))
        if self._lookup is None:
            self._keys[self._waiting] = ab_keys(small)
        else:
            # A fourth byte makes each pixel one little-endian integer: B + 256 G + 65536 R.
            padded = self._cv2.cvtColor(small, self._cv2.COLOR_BGR2BGRA)
            colours = padded.view("<u4").reshape(-1)
            colours &= 0xFFFFFF
            # "wrap" only spares NumPy the search for an index out of range; there is none.
            self._keys[self._waiting] = self._lookup.take(colours, mode="wrap")
        self._waiting += 1
        if self._waiting == len(self._keys):
            self._flush()

    def _flush(self) -> None:
        keys = self._keys[: self._waiting].reshape(-1)
        self._sums += np.bincount(keys, minlength=CELLS)
        self._waiting = 0

    def table(self) -> Table:
        """Return the counts of all pictures so far, int64 [256, 256]."""
        self._flush()
        return self._sums.reshape(256, 256).copy()
