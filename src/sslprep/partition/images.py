"""The image paths of a partition being made: how they are held, stored, and looked at on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import DatasetError


class Names(Collection[str]):
    """Names in order, held as one string: a million take 25 MB in place of 110.

    That is time, too: finding memory for them is a third of what listing a folder costs.

    Attributes:
        joined: All names, with a NUL after each.
        longest: Characters of the longest.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.joined = "\0".join([*names, ""])
        self.longest = max(map(len, names), default=0)
        self._count = len(names)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self.joined[:-1].split("\0") if self._count else ())

    def __contains__(self, name: object) -> bool:
        return name in [*self]

    def plain(self, end: str) -> bool:
        """Tell whether all names end so and none is hidden."""
        every = f"\0{self.joined}"
        return every.count(f"{end}\0") == len(self) and "\0." not in every

    def codes(self, rows: int) -> Iterator[NDArray[np.unsignedinteger]]:
        """Yield the code points of at most so many names, `(names, longest)`, 0 after the end."""
        names = iter(self)
        while block := [*islice(names, rows)]:
            array = np.array(block, f"<U{self.longest}")
            yield array.view("<u4").reshape(len(block), self.longest)


class AsciiNames(Names):
    """Names in ASCII, sorted and held as an array: that takes half the time of strings.

    Raises:
        ValueError: One is not ASCII, or so long that room for all of its length is much too much.
    """

    def __init__(self, names: Sequence[str]) -> None:
        size = guess = len(names[0]) // 8 + 1 if names else 1
        array = np.fromiter(names, f"S{8 * size}", len(names))  # two thirds of np.array's time
        self.longest = int(np.char.str_len(array).max(initial=0))
        if self.longest == 8 * size:  # one is cut, maybe
            self.longest = max(map(len, names))
            size = self.longest // 8 + 1
            if size > 4 * guess:
                raise ValueError(size)
            array = np.fromiter(names, f"S{8 * size}", len(names))
        words = array.view(">u8").reshape(len(array), size)  # they compare as the bytes do
        for word in words.T:  # mostly the first that differs tells all names apart
            key = word.astype(np.uint64)
            if (key != key[:1]).any():
                break
        order = np.argsort(key)
        key = key[order]
        if (key[1:] == key[:-1]).any():
            order = np.lexsort(words.T[::-1])
        self._array = array[order]

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._array.astype(str).tolist())

    def plain(self, end: str) -> bool:
        """As of `Names`."""
        ends = np.char.endswith(self._array, end.encode())
        return bool(ends.all() and (self._bytes()[:, 0] != ord(".")).all())

    def codes(self, rows: int) -> Iterator[NDArray[np.unsignedinteger]]:
        """As of `Names`."""
        codes = self._bytes()[:, : self.longest]
        return (codes[at : at + rows] for at in range(0, len(self), rows))

    def _bytes(self) -> NDArray[np.uint8]:
        return self._array.view(np.uint8).reshape(len(self), self._array.itemsize)


def sort_names(names: Sequence[str]) -> Names:
    """Sort names by code point."""
    with contextlib.suppress(ValueError):
        if len(names) > _FEW:
            return AsciiNames(names)
    return Names(sorted(names))


_FEW = 200
"""Names up to which strings are sorted in less time than an array is made."""


class Images:
    """Paths in row order, held as what they share and their names.

    Args:
        groups: What stands before each name, with its slash, and the names.

    Example:
        >>> images = Images([("train/cat/", ["1.jpg", "2.jpg"]), ("train/dog/", ["3.jpg"])])
        >>> len(images), images.width, images[2], list(images)[:1]
        (3, 15, 'train/dog/3.jpg', ['train/cat/1.jpg'])
    """

    def __init__(self, groups: Iterable[tuple[str, Collection[str]]]) -> None:
        self.groups = [
            (prefix, names if isinstance(names, Names) else Names(names))
            for prefix, names in groups
            if names
        ]

    def __len__(self) -> int:
        return sum(len(names) for _, names in self.groups)

    def __iter__(self) -> Iterator[str]:
        paths = ([prefix + n for n in names] if prefix else names for prefix, names in self.groups)
        return chain.from_iterable(paths)

    def __getitem__(self, row: int) -> str:
        for prefix, names in self.groups:
            if row < len(names):
                return prefix + next(islice(names, row, None))
            row -= len(names)
        raise IndexError(row)

    def __contains__(self, path: object) -> bool:
        return any(path == mine for mine in self)

    @cached_property
    def width(self) -> int:
        """Characters of the longest path."""
        return max((len(prefix) + names.longest for prefix, names in self.groups), default=0)

    def write(self, file: BinaryIO) -> None:
        """Write a `<U…` `.npy` file without ever holding all paths, or one of them as a string."""
        header = {"descr": f"<U{self.width}", "fortran_order": False, "shape": (len(self),)}
        np.lib.format.write_array_header_1_0(file, header)
        block = np.zeros((max(1, _BLOCK // (4 * self.width)), self.width), "<u4")
        for prefix, names in self.groups:
            start = np.frombuffer(prefix.encode("utf-32-le", "surrogatepass"), "<u4")
            end = len(start) + names.longest
            for codes in names.codes(len(block)):
                rows = block[: len(codes)]
                rows[:, : len(start)], rows[:, len(start) : end], rows[:, end:] = start, codes, 0
                file.write(rows.data)


_BLOCK = 1 << 19
"""Bytes of paths made at once: few enough to stay in the processor's cache."""


def stored_prefix(folder: Path, relative_to: Path | None) -> str:
    """Return what stands before an image's name in the partition, with its slash.

    Raises:
        DatasetError: The folder is not under `relative_to`.

    Example:
        >>> stored_prefix(Path("/data/voc/JPEGImages"), Path("/data"))
        'voc/JPEGImages/'
    """
    if relative_to is None:
        return os.path.join(folder, "")
    place, root = os.path.abspath(folder), os.path.abspath(relative_to)
    if os.path.commonpath([place, root]) != root:
        raise DatasetError(
            f"is not under {root}",
            where=folder,
            expected="all images under the --relative-to folder",
            remedy="Give a folder above the images.",
        )
    relative = os.path.relpath(place, root)
    return "" if relative == "." else os.path.join(relative, "")


def look_for(images: Images, root: Path) -> str | None:
    """Look whether the first, the middle and the last image are there; say what is not.

    Three looks cost nothing and show a wrong folder, a moved data set or train for val.
    """
    looked_at = [images[row] for row in sorted({0, len(images) // 2, len(images) - 1})]
    missing = [path for path in looked_at if not os.path.exists(root / path)]
    if not missing:
        return None
    text = f"the image {missing[0]} is not there"
    if len(missing) > 1:
        text = f"{len(missing)} of {len(looked_at)} images looked at are not there, such as "
        text += missing[0]
    near = nearest(root / missing[0])
    return f"{text}; {near}" if near else text


def nearest(path: Path) -> str | None:
    """Name what is there and most like a path that is not.

    Example:
        >>> nearest(Path("/no_such_folder_at_all/1.jpg"))
        'there is no folder /no_such_folder_at_all'
    """
    absent = path
    while not os.path.isdir(absent.parent) and absent != absent.parent:  # of any length
        absent = absent.parent
    try:
        with os.scandir(absent.parent) as entries:
            names = [entry.name for entry in islice(entries, 20_000)]
    except OSError:
        return None
    import difflib  # only for a file that is missing

    close = difflib.get_close_matches(absent.name, names, 1, cutoff=0.5)
    close = close or [name for name in names if os.path.splitext(name)[0] == absent.stem][:1]
    alike = f"the nearest name there is {close[0]}" if close else ""
    if close == [absent.name]:
        return f"{absent} is a broken link" if absent == path else f"{absent} is no folder"
    if close and normalize("NFC", close[0]) == normalize("NFC", absent.name):
        alike += ", in another Unicode form"
    if absent == path:
        return alike or (None if names else f"{path.parent} is empty")
    return f"there is no folder {absent}" + (f", {alike}" if alike else "")
