"""VOC's class lists: lines of an image id and a mark, and the label matrix that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import AnnotationError

PRESENT, ABSENT, IGNORE = 1, 0, -1
LABEL_OF_MARK = {b"1": PRESENT, b"-1": ABSENT, b"0": IGNORE}
"""What the lists write -> what a partition holds. VOC's 0 is "difficult": it counts neither way."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class ClassList:
    """One class list.

    Attributes:
        ids: (images,) image ids in UTF-8, dtype `S…`, in the order of the lines.
        labels: (images,) `int32`: 1 present, 0 absent, -1 ignore.
    """

    ids: NDArray[np.bytes_]
    labels: NDArray[np.int32]


def parse_list(data: bytes) -> ClassList:
    r"""Read one class list.

    Args:
        data: Lines of an image id and 1, -1 or 0, with any white space between.

    Raises:
        AnnotationError: A line of another form, or one image with two labels; names the line.

    Example:
        >>> parse_list(b"000005 -1\r\n000007  1\r\n000009  0\r\n").labels
        array([ 0,  1, -1], dtype=int32)
    """
    return _parse_table(data) or _parse_lines(data)


def _parse_table(data: bytes) -> ClassList | None:
    """Read a list whose lines are all as long as the first, as the real ones are, at once.

    Returns `None` where anything at all is unusual.
    """
    length = data.find(b"\n") + 1
    first = data[:length].split()
    if len(first) != 2 or len(data) % length or not data.startswith(first[0]):
        return None
    width = len(first[0])
    table = np.frombuffer(data, np.uint8).reshape(-1, length)
    end = length - (2 if data[length - 2 : length - 1] == b"\r" else 1)
    ids, blank, sign, digit = (
        table[:, :width],
        table[:, width:-1],
        table[:, end - 2],
        table[:, end - 1],
    )
    negative = sign == ord("-")
    plain = (
        (end - 2 > width or (end - 2 == width and not negative.any()))
        and bool((table[:, length - 1] == ord("\n")).all())
        and bool((table[:, end:] == table[0, end:]).all())
        and bool((blank[:, : end - 2 - width] == ord(" ")).all())
        and bool(((ids > ord(" ")) & (ids < 127) & (ids != ord("/"))).all())
        and bool((negative | (sign == ord(" "))).all())
        and bool(((digit == ord("1")) | ((digit == ord("0")) & ~negative)).all())
    )
    if not plain:
        return None
    keys = np.ascontiguousarray(ids).view(f"S{width}").ravel()
    if not bool((keys[1:] > keys[:-1]).all()):  # an image may be there twice
        return None
    labels = np.where(digit == ord("0"), IGNORE, np.where(negative, ABSENT, PRESENT))
    return ClassList(keys, labels.astype(np.int32))


def _parse_lines(data: bytes) -> ClassList:
    """Read any list line by line; empty lines are allowed."""
    labels: dict[bytes, int] = {}
    for number, line in enumerate(data.removeprefix(_BOM).split(b"\n"), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in LABEL_OF_MARK or not _can_be_id(words[0]):
            shown = line.strip()[:60].decode("utf-8", errors="backslashreplace")
            raise AnnotationError(
                f'got "{shown}"', where=f"line {number}", expected='"<image id> <1, -1 or 0>"'
            )
        label = LABEL_OF_MARK[words[1]]
        if labels.setdefault(words[0], label) != label:
            raise AnnotationError(
                f"image {words[0].decode()} occurs a second time, with another label",
                where=f"line {number}",
                expected="each image once in a list",
            )
    ids = np.array(list(labels), dtype=np.bytes_) if labels else np.empty(0, "S1")
    return ClassList(ids, np.array(list(labels.values()), dtype=np.int32))


def _can_be_id(word: bytes) -> bool:
    """Tell whether a word can be the name of an image within its folder."""
    try:
        return word.decode().isprintable() and b"/" not in word
    except UnicodeDecodeError:
        return False


def combine(lists: Mapping[str, ClassList]) -> tuple[list[str], NDArray[np.int32]]:
    r"""Join class lists to rows.

    Args:
        lists: The list of each class, in column order.

    Returns:
        Image ids, sorted, and labels `int32 (images, classes)`. An image that a list does not
        hold is ignored in that column (-1).

    Example:
        >>> ids, labels = combine({"cat": parse_list(b"b 1\na -1"), "dog": parse_list(b"b -1")})
        >>> ids, labels.tolist()
        (['a', 'b'], [[0, -1], [1, 0]])
    """
    distinct: list[NDArray[Any]] = []  # the real lists of a split all hold the same images
    same_as = []
    for class_list in lists.values():
        ids = class_list.ids
        at = next((i for i, other in enumerate(distinct) if np.array_equal(ids, other)), None)
        if at is None:
            at = len(distinct)
            distinct.append(ids)
        same_as.append(at)
    every = np.unique(np.concatenate(distinct))  # UTF-8 sorts by code point
    rows = [np.searchsorted(every, ids) for ids in distinct]
    labels = np.full((len(every), len(lists)), IGNORE, dtype=np.int32)
    for column, (at, class_list) in enumerate(zip(same_as, lists.values(), strict=True)):
        labels[rows[at], column] = class_list.labels
    return [image_id.decode() for image_id in every.tolist()], labels
