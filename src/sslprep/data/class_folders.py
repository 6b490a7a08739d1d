"""Class folders on disk: which images they hold, and in which order the classes come."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sslprep.errors import AnnotationError, DatasetError
from sslprep.image_files import is_image_name, is_junk
from sslprep.input_files import read_text, reading
from sslprep.partition.images import AsciiNames, Names, sort_names


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a folder holds.

    Attributes:
        names: Names of the images (of sub-folders with their path) or folders, by code point.
        skipped: How many other entries: hidden, sub-folders, other kinds of files.
        left_out: What among them somebody may miss, in words, and how many.
    """

    names: Names
    skipped: int
    left_out: Counter[str]


def list_images(path: Path, *, recursive: bool = False) -> Found:
    """List the images in a folder.

    Links are followed; whatever is not a regular file in the end is none.

    Args:
        path: The folder.
        recursive: Take those of sub-folders too, in the order of torchvision's `ImageFolder`.
    """
    images, folders, entries, left_out = _scan(path)
    if not folders:
        return Found(names=images, skipped=entries - len(images), left_out=left_out)
    places = {"": images}
    pending = [(name, {os.path.realpath(path)}) for name in folders]
    while pending:
        place, above = pending.pop()
        real = os.path.realpath(path / place)
        if real in above:  # a link that leads back up
            continue
        places[place], inner, more, odd = _scan(path / place)
        if recursive:
            entries, left_out = entries + more, left_out + odd
        pending += [(f"{place}/{name}", above | {real}) for name in inner]
    if not recursive:
        if below := sum(map(len, places.values())) - len(images):
            left_out[_BELOW] = below
        return Found(names=images, skipped=entries - len(images), left_out=left_out)
    every = [f"{place}/{n}" if place else n for place in sorted(places) for n in places[place]]
    skipped = entries - len(every) - (len(places) - 1)
    return Found(names=Names(every), skipped=skipped, left_out=left_out)


_LEFT = " were left out"
_BELOW = f"images in sub-folders of class folders{_LEFT}; --recursive takes them"


def _scan(path: Path) -> tuple[Names, list[str], int, Counter[str]]:
    """Return a folder's images and folders, how many entries it has, and what is left out."""
    files, others = [], []
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # entries below it carry no path
        try:
            with os.scandir(handle) as entries:
                for entry in entries:
                    try:
                        if entry.is_file():
                            files.append(entry.name)
                            continue
                    except OSError:  # a link that leads to itself
                        pass
                    others.append((entry.name, _is(entry.is_dir)))
        finally:
            os.close(handle)
    except OSError:
        with reading(path, DatasetError):  # only now: it looks at the path itself, which takes time
            raise
    total = len(files) + len(others)
    names = sort_names(files)
    # The ends of the names are few, mostly one: to look at them is much faster than at all names.
    end = os.path.splitext(files[0])[1] if files else ""
    plain = names.plain(end)
    ends = {end} if plain else {name[-5:] for name in files}
    hidden = not plain and any(name.startswith(".") for name in files)
    left_out: Counter[str] = Counter()
    if hidden or not all(_is_image_end(f"a{end}") for end in ends):
        for name in names:
            if not is_image_name(name) and not is_junk(name):
                end = os.path.splitext(name)[1]
                left_out[f"files {f'ending in {end}' if end else 'without suffix'}{_LEFT}"] += 1
        names = sort_names([name for name in files if is_image_name(name)])
    if gone := sum(is_image_name(name) for name, folder in others if not folder):
        left_out[f"images that are no files, such as broken links,{_LEFT}"] = gone
    _check_names(path, names)
    folders = [name for name, folder in others if folder and not is_junk(name)]
    return names, folders, total, left_out


_is_image_end = lru_cache(4096)(is_image_name)


def list_folders(path: Path) -> Found:
    """List the folders directly in a folder, junk left out."""
    with reading(path, DatasetError), os.scandir(path) as entries:
        every = [(e.name, _is(e.is_dir) and not is_junk(e.name)) for e in entries]
    folders = Names(sorted(name for name, wanted in every if wanted))
    _check_names(path, folders)
    loose = sum(is_image_name(name) for name, wanted in every if not wanted)
    left_out = +Counter({f"images outside of class folders{_LEFT}": loose})
    return Found(names=folders, skipped=len(every) - len(folders), left_out=left_out)


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts numbers by value.

    Example:
        >>> sorted(["10", "2", "a10", "a2"], key=natural)
        ['2', '10', 'a2', 'a10']
    """
    parts = re.split(r"(\d+)", name)
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p]


def warn_of_order(names: Sequence[str]) -> str | None:
    """Warn where text order is not what the numbers in the names say: 0, 1, 10, 2."""
    ordered = sorted(names, key=natural)
    if ordered == list(names) or len({re.sub(r"\d+", "0", name) for name in names}) > 1:
        return None
    first = next(at for at, name in enumerate(names) if name != ordered[at])
    return (
        f"class ids follow text order, as torchvision's: {names[first]} has the id {first}; "
        "--class-order natural orders by number, --classes FILE as you say"
    )


def read_classes(path: Path, known: Sequence[str]) -> list[str]:
    """Read a file of class names, one a line: the classes to take, in the order of their ids.

    A line may have further words after the class, as `synset_words.txt` has, or its id.
    """
    classes: dict[str, int] = {}  # a set that keeps its order
    there = set(known)
    for number, text in enumerate(read_text(path, AnnotationError).split("\n"), 1):
        line = text.strip()
        name = line if line in there else re.split(r"[\s,;]", line, maxsplit=1)[0]
        if line and (name not in there or name in classes):
            raise AnnotationError(
                f"the class {name!r} "
                + ("has no folder" if name not in there else "is here twice"),
                where=f"{path}, line {number}",
                expected="one class folder of train a line, each once",
            )
        rest = line[len(name) :].strip(" \t,;")
        id_ = rest.partition(" ")[0]
        other_id = id_.isdecimal() and int(id_) != len(classes)
        if other_id or (rest and there.issuperset(re.split(r"\s*[,;]\s*", rest))):
            raise AnnotationError(
                f'got "{line[:60]}"',
                where=f"{path}, line {number}",
                expected=f"one class a line; this one gets the id {len(classes)}",
                remedy="Without other ids behind the classes, they are numbered by line, from 0.",
            )
        classes |= {name: number} if line else {}
    if not classes:
        raise AnnotationError("names no class", where=path, expected="one class folder a line")
    return [*classes]


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link that leads to itself
        return False


def _check_names(folder: Path, names: Names) -> None:
    ascii_ = isinstance(names, AsciiNames) or names.joined.isascii()
    for name in () if ascii_ else names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DatasetError(
                f"the name {name!r} is not UTF-8",
                where=folder,
                remedy="Rename it (convmv does whole folders).",
            ) from error
