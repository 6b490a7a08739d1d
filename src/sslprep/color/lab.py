"""Pictures to counts of (a, b): exactly OpenCV's 8-bit Lab, counted in integers.

A *table* of this package is `int64 [256, 256]`: `table[a + 128, b + 128]` is how many pixels have
that a and b of CIE Lab (both -128…127, as OpenCV's 8-bit conversion rounds them).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import MissingExtraError

Picture = NDArray[np.uint8]
"""One picture, (height, width, 3) in the order B, G, R."""
Table = NDArray[np.int64]


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


class Counter:
    """Adds pictures to a table.

    Pictures are converted into one buffer that is counted when it is full: buffers that are used
    again stay in the cache, which on shared machines is worth more than fewer operations (a
    look-up table of all 2^24 colours, 32 MB, was slower beside other programs).

    Args:
        side: Height and width that every picture is brought to (bilinear, aspect not kept).

    Example:
        >>> counter = Counter(side=2)
        >>> counter.add(np.zeros((3, 5, 3), np.uint8))
        >>> int(counter.table()[128, 128])
        4
    """

    # `calcHist` counts in integers and returns float32, exact up to 2^24 pixels at a time.
    _BATCH_PIXELS = 8 * 256 * 256

    def __init__(self, *, side: int) -> None:
        self._cv2 = opencv()
        self._side = side
        self._batch = max(1, self._BATCH_PIXELS // side**2)
        self._small = np.empty((side, side, 3), np.uint8)
        self._lab = np.empty((self._batch * side, side, 3), np.uint8)
        self._waiting = 0
        self._table = np.zeros((256, 256), np.int64)

    def add(self, picture: Picture) -> None:
        """Count one picture, of any height and width."""
        cv2, side = self._cv2, self._side
        cv2.resize(picture, (side, side), dst=self._small)
        place = self._lab[self._waiting * side : (self._waiting + 1) * side]
        cv2.cvtColor(self._small, cv2.COLOR_BGR2LAB, dst=place)
        self._waiting += 1
        if self._waiting == self._batch:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            lab = self._lab[: self._waiting * self._side]
            counts = self._cv2.calcHist([lab], [1, 2], None, [256, 256], [0, 256, 0, 256])
            self._table += counts.astype(np.int64)
            self._waiting = 0

    def table(self) -> Table:
        """Return the counts of all pictures so far, int64 [256, 256]."""
        self._flush()
        return self._table.copy()
