"""Photos for the page: found, made small, and read with suspicion.

A path in a partition may name anything. Only regular files of moderate size are opened, only by
Pillow's readers of common photo formats, and only up to a limit of pixels.
"""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sslprep.errors import ImagesError, ManifestError
from sslprep.report.collect import Artefact, regular_file

LARGEST_FILE = 64_000_000
LARGEST_PICTURE = 60_000_000
"""Pixels; a photo has 24 million, and twice sixty decoded is what we are ready to hold."""

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF")
_ANCESTORS = 6


class _Details(msgspec.Struct):
    root: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as a `data:` URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def find_file(text: str, artefact: Artefact) -> Path:
    """Return where a path that a manifest or a partition names leads now.

    Where a partition's relative paths start stands in its manifest. If they are not there (any
    more), that folder is looked for here and above the manifest.

    Raises:
        ImagesError: No such file.
    """
    if "\0" in text or "://" in text:
        raise ImagesError("is not on this disk", where=text)
    path = Path(text)
    base = artefact.path.parent.absolute()
    start = artefact.details(_Details).root or artefact.parameter("relative_to")
    roots = [Path(start), Path(), base, *base.parents[:_ANCESTORS]]
    for root in [Path()] if path.is_absolute() else roots:
        try:
            if (root / path).is_file():
                return root / path
        except (OSError, ValueError):  # a name longer than any file system allows, or with a null
            continue
    raise ImagesError("file not found", where=text or None)


def thumbnail(path: Path, size: int, *, square: bool = False, quality: int = 62) -> Picture:
    """Return a photo made small.

    Args:
        path: The photo.
        size: Longer side, or with `square` both sides, in pixels.
        square: Cut the middle square out.
        quality: Of the JPEG that is made.

    Raises:
        ImagesError: It cannot be read; the text says why, without the path.
    """
    image = open_photo(path, size)
    if square:
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    else:
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return encode(image, quality=quality)


def tile_variety(path: Path) -> float:
    """Return how much the mean colours of a photo's 3 × 3 tiles differ: their deviation, 0 to 128.

    Raises:
        ImagesError: As for `thumbnail`.
    """
    square = ImageOps.fit(open_photo(path, 96), (3, 3), Image.Resampling.BOX)
    return float(np.asarray(square, float).reshape(9, 3).std(axis=0).mean())


def open_photo(path: Path, side: int) -> Image.Image:
    """Decode a photo as RGB; a JPEG at a fraction of its size, as long as that is twice `side`.

    Raises:
        ImagesError: As for `thumbnail`.
    """
    try:
        empty = not regular_file(path, limit=LARGEST_FILE).stat().st_size
    except ManifestError as error:
        raise ImagesError(error.problem) from error
    if empty:  # also what the kernel makes up, such as /proc/self/mem
        raise ImagesError("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > LARGEST_PICTURE:
                    raise ImagesError(f"has {width} × {height} pixels, too many to show")
                image.draft("RGB", (2 * side, 2 * side))
                return image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise ImagesError("has too many pixels to show") from error
    except ImagesError:
        raise
    except Exception as error:
        raise ImagesError("cannot be read as a picture") from error


def encode(image: Image.Image, *, quality: int = 62) -> Picture:
    """Return a picture as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return _picture("jpeg", file.getvalue(), image.width, image.height)


def pixels(values: NDArray[np.uint8]) -> Picture:
    """Return an array (height, width, 3 or 4) of bytes as PNG, pixel for pixel."""
    image = Image.fromarray(np.ascontiguousarray(values))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return _picture("png", file.getvalue(), image.width, image.height)


def _picture(kind: str, data: bytes, width: int, height: int) -> Picture:
    text = base64.b64encode(data).decode()
    return Picture(uri=f"data:image/{kind};base64,{text}", width=width, height=height)


def gradient(size: int) -> Picture:
    """Return a drawn picture that stands in where no photo is at hand: no two tiles are alike."""
    ramp = np.linspace(0, 1, size)
    x, y = np.meshgrid(ramp, ramp)
    rings = 0.5 + 0.5 * np.cos(14 * np.hypot(x - 0.35, y - 0.4))
    planes: list[Any] = [70 + 160 * x, 60 + 120 * rings, 215 - 150 * y]
    return encode(Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8)), quality=80)
