"""Bytes of an image file to pixels, as `cv2.imread` in colour reads them, or a reason why not."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import interrupts
from sslprep.errors import MissingExtraError
from sslprep.input_files import what_it_is

MAX_PIXELS = 1 << 28
"""Pictures above this are listed, not decoded: one of 2^30 pixels takes 6 GB in each worker."""
TRUNCATED = "truncated"

# What libjpeg reads after a file's last byte: end markers, enough to fill the longest segment.
_END_OF_IMAGE = b"\xff\xd9"
_ENDLESS = _END_OF_IMAGE * (1 << 15 | 1)
# ITU-T T.81, annex B: a JPEG is a row of segments `FF code length data`; after a start of scan
# (FF DA) come entropy-coded bytes, in which FF is followed by 00 or a restart code.
# C4, C8 and CC stand in the range of the frame headers but are tables.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


class UnreadableError(Exception):
    """An image that cannot be counted; its text is the reason given to the user."""


@functools.cache
def opencv() -> Any:
    """Import OpenCV with our limit on pixels, or say which extra brings it."""
    # Both are read at import. What OpenCV logs names no file; we list each ourselves.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    try:
        with interrupts.held():  # an import that Ctrl-C ends half-way leaves what crashes later
            import cv2
    except ImportError as error:
        raise MissingExtraError(
            f"colour commands need OpenCV ({error})",
            remedy="Install it: pip install opencv-python-headless.",
        ) from error
    return cv2


def decode_image(
    data: bytes, *, strict: bool = False, shrink_to: int | None = None
) -> tuple[NDArray[np.uint8], bool]:
    """Decode an image file; tell also whether it is whole, which `strict` demands of a JPEG.

    Orientation, palettes, CMYK, alpha, grey and 16 bits become what `cv2.imread` makes of them:
    (height, width, 3) in the order B, G, R; a JPEG without its end marker is decoded as far as it
    goes, as `cv2.imread` does from a file (from memory alone OpenCV would give other pixels, or
    none). With `shrink_to`, the side to which pictures will be brought, large JPEGs shrink already.
    """
    if not data:
        raise UnreadableError("zero bytes")
    cv2 = opencv()
    flag, whole = cv2.IMREAD_COLOR, True
    try:
        if data.startswith(b"\xff\xd8\xff"):
            whole = is_complete(data)
            if strict and not whole:
                raise UnreadableError(TRUNCATED)
            if shrink_to and (factor := reduction(data, shrink_to)) > 1:
                flag = getattr(cv2, f"IMREAD_REDUCED_COLOR_{factor}")
            if not data.endswith(_END_OF_IMAGE):
                data += _ENDLESS
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except (cv2.error, MemoryError) as error:  # more pixels than the limit, or than memory has
        said = getattr(error, "err", "not enough memory").strip().split("\n")[0]
        raise UnreadableError(f"decode failed ({said:.100})") from None
    if picture is None:
        known = what_it_is(data[:64])
        raise UnreadableError(f"not an image ({known[0]})" if known else "decode failed")
    return picture, whole


def reduction(data: bytes, side: int) -> int:
    """Return by how much (1, 2, 4 or 8) a JPEG may shrink in decoding under `--fast-decode`.

    Its shorter side stays as long as all pictures are made, but a half may go a little below:
    most of ImageNet has 375 or 333 pixels there.
    """
    headers = (data[at + 3 : at + 7] for code, at in _markers(data) if code in _FRAME_HEADERS)
    size = next(headers, b"")
    shorter = min(int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big"))
    half = 2 if 4 * shorter >= 5 * side else 1
    return next((n for n in (8, 4) if shorter >= n * side), half)


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield every marker of a JPEG but restarts: (code, position of the byte after it)."""
    position = 2
    while found := _MARKER.search(data, position):
        code, position = found[1][0], found.end()
        yield code, position
        position += int.from_bytes(data[position : position + 2], "big")


def is_complete(data: bytes) -> bool:
    """Tell whether a JPEG has its end marker; OpenCV decodes one without it in silence."""
    # Bytes after the end (padding, a maker's appendix) are common, so the markers decide.
    return data.endswith(_END_OF_IMAGE) or any(c == _END_OF_IMAGE[1] for c, _ in _markers(data))
