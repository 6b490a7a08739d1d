"""Checkpoints opened for a look: their names, and the first filters as a picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.open import Contents, open_checkpoint
from sslprep.errors import SslprepError
from sslprep.report.collect import regular_file
from sslprep.report.pictures import Picture, pixels

LARGEST_CHECKPOINT = 4_000_000_000
"""Bytes; the file is mapped, and only its names and the first filters are read."""

_MOST_FILTERS = 128
_CONV1 = re.compile(r"(?:.*\.)?(?:conv1_w|conv1(?:_s[0-9]+)?_w|conv1\.weight|stem\.conv1\.weight)")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A checkpoint with its first filters, as far as it could be read."""

    contents: Contents | None = None
    filters: NDArray[np.float32] | None = None
    problem: str = ""

    def bytes_of(self, blob: str) -> int | None:
        """Return the size of one array, `None` where there is no such array."""
        found = self.contents.blobs.get(blob) if self.contents is not None else None
        return found.nbytes if isinstance(found, StoredArray) else None


def open_for_look(path: Path) -> Opened:
    """Map a checkpoint and read its first filters; what goes wrong is said in the result."""
    try:
        contents = open_checkpoint(regular_file(path, limit=LARGEST_CHECKPOINT))
        return Opened(contents=contents, filters=_first_filters(contents))
    except SslprepError as error:
        return Opened(problem=str(error))


def _first_filters(contents: Contents) -> NDArray[np.float32] | None:
    for name, blob in contents.blobs.items():
        if not (isinstance(blob, StoredArray) and _CONV1.fullmatch(name)):
            continue
        if blob.ndim == 4 and blob.shape[1] in (1, 3) and 0 < max(blob.shape[2:]) <= 16:
            return np.asarray(blob.load(), np.float32)
    return None


def draw_filters(filters: NDArray[np.float32]) -> Picture | None:
    """Lay filters (n, 1 or 3, height, width) out as tiles; `None` if some value is not finite."""
    filters = filters[:_MOST_FILTERS]
    if not filters.size or not np.isfinite(filters).all():
        return None
    largest = float(np.abs(filters).max()) or 1.0
    count, channels, height, width = filters.shape
    across = min(16, max(1, round(count**0.5)))
    down = -(-count // across)
    sheet = np.full((down * (height + 1) + 1, across * (width + 1) + 1, 3), 128, np.uint8)
    shown = np.clip((filters / largest + 1) * 127.5, 0, 255).round().astype(np.uint8)
    for i, tile in enumerate(shown.transpose(0, 2, 3, 1)):
        y, x = divmod(i, across)
        top, left = 1 + y * (height + 1), 1 + x * (width + 1)
        sheet[top : top + height, left : left + width] = tile if channels == 3 else tile[..., :1]
    return pixels(sheet)
