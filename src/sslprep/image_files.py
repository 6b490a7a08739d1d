"""Which files are images, by their names: the one list that all commands go by."""

from __future__ import annotations

_SUFFIXES = {
    "AVIF": ".avif",
    "BMP": ".bmp .dib",
    "GIF": ".gif",
    "JPEG": ".jfif .jpe .jpeg .jpg",
    "JPEG2000": ".j2k .jp2",
    "PNG": ".png",
    "PPM": ".pbm .pgm .pnm .ppm",
    "TIFF": ".tif .tiff",
    "WEBP": ".webp",
}
IMAGE_FORMATS = {suffix: name for name, words in _SUFFIXES.items() for suffix in words.split()}
"""Suffixes, lower case, and Pillow's name of the format that they promise."""

_JUNK = {"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
_JUNK |= {"__pycache__", "Thumbs.db", "desktop.ini"}


def is_junk(name: str) -> bool:
    """Tell what archivers, storage boxes and systems leave behind; hidden is junk, too."""
    return name.startswith(".") or name in _JUNK


def is_image_name(name: str) -> bool:
    """Tell by its name whether a file is an image; hidden files are none.

    Args:
        name: A file name, or a path with slashes of which the last part counts.

    Example:
        >>> [is_image_name(name) for name in ("a.JPEG", "x/a.b.png", "x/.a.jpg", "Thumbs.db")]
        [True, True, False, False]
    """
    base = name.rpartition("/")[2]
    _, dot, suffix = base.rpartition(".")
    return f"{dot}{suffix}".lower() in IMAGE_FORMATS and not base.startswith(".")
