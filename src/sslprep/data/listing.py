"""Image folders: what is in them, held compactly enough for a million files.

The names of one class folder are one string; paths are put together when they are written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslprep.errors import DatasetError

IMAGE_SUFFIXES = frozenset(["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"])
"""Lower case; those that torchvision's ImageFolder reads."""

_SEPARATOR = "\0"  # the one character that no file name holds


@dataclass(frozen=True, kw_only=True)
class ClassFolder:
    """The images of one class folder, sorted by name.

    Attributes:
        name: Name of the folder.
        joined: Names of the images, separated by NUL.
        images: How many images.
        skipped: How many other entries: hidden, sub-folders, other kinds of files.
    """

    name: str
    joined: str
    images: int
    skipped: int


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image; hidden files are none.

    Example:
        >>> [is_image(name) for name in ("a.JPEG", "a.b.png", ".a.jpg", "Thumbs.db", "jpg")]
        [True, True, False, False, False]
    """
    _, dot, suffix = name.rpartition(".")
    return bool(dot) and suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")


def list_images(path: Path) -> tuple[list[str], int]:
    """List the images directly in a folder.

    Links are followed; whatever is not a regular file in the end is none.

    Returns:
        Their names, sorted by code point, and how many other entries there are.

    Raises:
        DatasetError: The folder cannot be read, or a name is not UTF-8.
    """
    images = []
    seen = 0
    known: dict[str, bool] = {}
    with _naming_the_folder(path), os.scandir(path) as entries:
        for entry in entries:
            seen += 1
            name = entry.name
            suffix = name[name.rfind(".") :]
            wanted = known.get(suffix)
            if wanted is None:
                wanted = known[suffix] = is_image(f"a{suffix}")
            try:
                if wanted and name[0] != "." and entry.is_file():
                    images.append(name)
            except OSError:  # a link that leads to itself
                continue
    images.sort()
    _check_names(path, images)
    return images, seen - len(images)


def list_folders(path: Path) -> tuple[list[str], int]:
    """List the folders directly in a folder, hidden ones left out; links are followed.

    Returns:
        Their names, sorted by code point, and how many other entries there are.

    Raises:
        DatasetError: The folder cannot be read, or a name is not UTF-8.
    """
    with _naming_the_folder(path), os.scandir(path) as entries:
        every = [(e.name, _is(e.is_dir) and not e.name.startswith(".")) for e in entries]
    folders = sorted(name for name, wanted in every if wanted)
    _check_names(path, folders)
    return folders, len(every) - len(folders)


def class_folder(name: str, images: Sequence[str], skipped: int = 0) -> ClassFolder:
    """Pack the sorted names of a class's images.

    Example:
        >>> class_folder("cat", ["1.jpg", "2.jpg"]).images
        2
    """
    return ClassFolder(
        name=name, joined=_SEPARATOR.join(images), images=len(images), skipped=skipped
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderImages(Collection[str]):
    """Paths of the images of class folders, put together while iterating.

    Attributes:
        prefix: What stands before each path, with its slash.
        folders: The class folders, in row order.
        nested: Whether the class folder is part of the path.

    Example:
        >>> list(FolderImages(prefix="train/", folders=(class_folder("cat", ["1.jpg"]),)))
        ['train/cat/1.jpg']
    """

    prefix: str
    folders: tuple[ClassFolder, ...]
    nested: bool = True

    def __len__(self) -> int:
        return sum(folder.images for folder in self.folders)

    def __iter__(self) -> Iterator[str]:
        for folder in self.folders:
            if folder.images:
                start = f"{self.prefix}{folder.name}/" if self.nested else self.prefix
                yield from [start + name for name in folder.joined.split(_SEPARATOR)]

    def __contains__(self, path: object) -> bool:
        return any(path == mine for mine in self)


@contextlib.contextmanager
def _naming_the_folder(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError("no such folder", where=path, remedy="Check the path.") from error
    except OSError as error:
        raise DatasetError(f"cannot be listed: {error.strerror}", where=path) from error


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link that leads to itself
        return False


def _check_names(folder: Path, names: Sequence[str]) -> None:
    for name in names if not "".join(names).isascii() else ():
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DatasetError(
                f"the name {name!r} is not UTF-8",
                where=folder,
                remedy="Rename it (convmv does whole folders).",
            ) from error
