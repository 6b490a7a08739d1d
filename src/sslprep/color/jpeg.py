"""What a JPEG file says of itself, without decoding it: picture size, and whether it is whole.

ITU-T T.81, annex B: a file is a row of segments `FF code length data`; after a start of scan
(`FF DA`) come entropy-coded bytes, in which `FF` is followed by `00` or a restart code; the last
marker is the end of image, `FF D9`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA
# C4, C8 and CC share the range of the frame headers but are tables.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_MARKER_IN_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


def is_jpeg(data: bytes) -> bool:
    """Tell by the first bytes whether this is a JPEG file."""
    return data.startswith(b"\xff\xd8\xff")


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield every marker: (code, position of the byte after it)."""
    position, in_scan = 2, False
    while True:
        found = (_MARKER_IN_SCAN if in_scan else _MARKER).search(data, position)
        if found is None:
            return
        code, position = found[1][0], found.end()
        yield code, position
        in_scan = in_scan if code in _WITHOUT_LENGTH else code == _START_OF_SCAN
        if code not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")


def is_complete(data: bytes) -> bool:
    r"""Tell whether a JPEG file has its end marker; OpenCV decodes one without it in silence.

    Example:
        >>> is_complete(b"\xff\xd8\xff\xd9"), is_complete(b"\xff\xd8\xff\xda\0\2abc")
        (True, False)
    """
    if data.endswith(END_OF_IMAGE):
        return True
    # Bytes after the end (padding, a maker's appendix) are common, so the markers decide.
    return any(code == END_OF_IMAGE[1] for code, _ in _markers(data))


def size(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) in pixels from the frame header, `None` where there is none."""
    for code, position in _markers(data):
        if code in _FRAME_HEADERS and len(data) >= position + 7:
            height = int.from_bytes(data[position + 3 : position + 5], "big")
            return height, int.from_bytes(data[position + 5 : position + 7], "big")
    return None
