"""Bytes of an image file to pixels, as `cv2.imread` in colour reads them, or a reason why not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from sslprep.color import jpeg
from sslprep.color.lab import Picture, opencv

MAX_FILE_BYTES = 1 << 30
"""A file above this is no photograph; it is listed, not read into memory."""

_ENDLESS = jpeg.END_OF_IMAGE * (1 << 15 | 1)
"""What libjpeg reads after a file's last byte: end markers, enough to fill the longest segment."""

_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG",
    b"GIF8",
    b"BM",
    b"II*\0",  # TIFF, both byte orders
    b"MM\0*",
    b"P1",  # PBM, PGM, PPM, PAM
    b"P2",
    b"P3",
    b"P4",
    b"P5",
    b"P6",
    b"P7",
    b"\0\0\0\x0cjP",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"v/1\x01",  # OpenEXR
    b"#?RADIANCE",
)


class UnreadableError(Exception):
    """An image that cannot be counted; its text is the reason given to the user."""


def _looks_like_image(data: bytes) -> bool:
    container = data[8:12] == b"WEBP" or data[4:12] in (b"ftypavif", b"ftypavis")
    return container or data.startswith(_SIGNATURES)


def reduction(height: int, width: int, side: int) -> int:
    """Return by how much (1, 2, 4 or 8) a JPEG may shrink in decoding and still be `side` large.

    Example:
        >>> reduction(512, 700, 256), reduction(511, 700, 256)
        (2, 1)
    """
    return next((n for n in (8, 4, 2) if min(height, width) >= n * side), 1)


def decode_image(data: bytes, *, fast_side: int | None = None) -> Picture:
    """Decode an image file to (height, width, 3) uint8 BGR.

    Orientation, palettes, CMYK, alpha, grey and 16 bits become what `cv2.imread` makes of them;
    a JPEG without its end marker is decoded as far as it goes, as `cv2.imread` does from a file
    (from memory alone OpenCV would give other pixels, or none).

    Args:
        data: The whole file.
        fast_side: Let the JPEG decoder shrink pictures of at least twice this many pixels in
            both directions (not exact).

    Raises:
        UnreadableError: With the reason.
    """
    cv2 = opencv()
    if not data:
        raise UnreadableError("zero bytes")
    flag = cv2.IMREAD_COLOR
    if jpeg.is_jpeg(data):
        if fast_side is not None and (size := jpeg.size(data)) is not None:
            flag = {
                1: cv2.IMREAD_COLOR,
                2: cv2.IMREAD_REDUCED_COLOR_2,
                4: cv2.IMREAD_REDUCED_COLOR_4,
                8: cv2.IMREAD_REDUCED_COLOR_8,
            }[reduction(*size, fast_side)]
        if not data.endswith(jpeg.END_OF_IMAGE):
            data += _ENDLESS
    try:
        picture: Picture | None = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        # More than 2^30 pixels, or not enough memory for them.
        raise UnreadableError(f"decode failed ({_first_line(error.err)})") from None
    if picture is None:
        reason = "decode failed" if _looks_like_image(data) else "not an image"
        raise UnreadableError(reason)
    return picture


def _first_line(text: Any) -> str:
    return str(text).strip().split("\n")[0][:100]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV to this thread: the cores are taken by processes already."""
    cv2 = opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
