"""COCO's `instances_*.json`: the few fields that labels need, and which classes each image shows.

Polygons and masks are skipped by the JSON parser; they never become Python objects. An
annotation counts by the rule of the benchmark (Goyal et al. 2019, arXiv 1905.01235), which is
that of detection training: not ignored, an area, and a box that is left after clipping.
"""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import attrgetter, eq
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.errors import AnnotationError
from sslprep.input_files import decode_json, read_text, reading
from sslprep.partition import loads_once

_T = TypeVar("_T")
_Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What int64 holds."""


class ImageName(msgspec.Struct, gc=False):
    """One image of which the size does not matter."""

    id: _Id
    file_name: str


class Image(ImageName, gc=False):
    """One image; width and height in pixels."""

    width: float
    height: float


class ImageLevel(msgspec.Struct, gc=False, kw_only=True):
    """An annotation of a whole image, or one whose box does not matter."""

    image_id: _Id
    category_id: _Id
    ignore: float | bool | None = 0


class Annotation(ImageLevel, gc=False, kw_only=True):
    """One object in one image; box: left, top, width, height in pixels; area in square pixels."""

    bbox: tuple[float, float, float, float]
    area: float


class Category(msgspec.Struct, frozen=True, gc=False):
    """One class."""

    id: _Id
    name: Annotated[str, msgspec.Meta(min_length=1)]


class Categories(msgspec.Struct):
    """A file of which only the classes matter."""

    categories: list[Category]


class Images(msgspec.Struct):
    """A file of which only the images matter."""

    images: list[ImageName]


class ImageLevelInstances(Categories):
    """A whole file of which the boxes do not matter."""

    images: Sequence[ImageName]
    annotations: Sequence[ImageLevel]


class Instances(ImageLevelInstances):
    """A whole file."""

    images: Sequence[Image]
    annotations: Sequence[Annotation]


REASONS = ("ignore is set", "no width or height of the image", "no box left", "no area")
"""Why an annotation does not count, in the order of the checks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Presence:
    """Which classes each image shows.

    Attributes:
        file_names: Distinct file names, sorted: the rows.
        labels: `int32 (rows, classes)`, 1 or 0; columns in the order of the file's categories.
        classes: The categories.
        rows: The row of each image id; images of one file name share it.
        annotations: How many annotations the file has.
        uncounted: How many of them do not count, by reason.
        warnings: Why they do not count, classes that lose all, and boxes that look odd.
    """

    file_names: list[str]
    labels: NDArray[np.int32]
    classes: list[Category]
    rows: Mapping[int, int] = field(default_factory=dict)
    annotations: int = 0
    uncounted: Mapping[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()


_NO_BOXES = "Where boxes do not matter, pass --image-level."
_OF_BOXES = re.compile(r'\.(bbox|area|width|height)(\[\d\])? got|no "(bbox|area|width|height)"')


def read_presence(path: Path, *, image_level: bool = False) -> Presence:
    """Read one annotation file; the decoded records are gone when this returns.

    Args:
        path: The file.
        image_level: Count annotations whether or not they have a box.
    """
    kind: type[ImageLevelInstances] = ImageLevelInstances if image_level else Instances
    collects = gc.isenabled()
    gc.disable()  # a million records, and no cycle among them: to look for one takes a tenth
    try:
        found = presence(_decode(path, kind))
    except AnnotationError as error:
        if _OF_BOXES.search(f"{error.where} {error.problem}"):
            error.remedy = error.remedy or _NO_BOXES
        if f"{error.where}".startswith("$."):  # in what was decoded
            raise error.at(path) from error
        raise
    finally:
        if collects:
            gc.enable()
    if not found.annotations:
        raise AnnotationError("is empty", where=f"{path}, $.annotations", expected="annotations")
    if found.annotations == sum(found.uncounted.values()):
        raise AnnotationError(
            found.warnings[0],
            where=path,
            expected="boxes in pixels: left, top, width, height",
            remedy=_NO_BOXES,
        )
    return found


def read_categories(path: Path) -> list[Category]:
    """Read only the categories of a file."""
    return _decode(path, Categories).categories


def read_image_ids(path: Path) -> set[int]:
    """Read image ids: of a COCO file's `images`, of a JSON list, or one a line."""
    with reading(path, AnnotationError), open(path, "rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{":
        return {image.id for image in _decode(path, Images).images}
    if start == b"[":
        return set(_decode(path, list[int]))
    lines = read_text(path, AnnotationError).split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip() and not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", line, re.ASCII):
            raise AnnotationError(
                f'got "{line.strip()[:60]}"',
                where=f"{path}, line {number}",
                expected="one image id (a whole number) a line, or a JSON list of them",
            )
    return {int(line) for line in lines if line.strip()}


_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')


def _decode(path: Path, type_: type[_T]) -> _T:
    # Read, not mapped: a mapped file that shrinks under us would end the process.
    with reading(path, AnnotationError):
        data = path.read_bytes()
    try:
        found = decode_json(data, type_, AnnotationError, path)
    except AnnotationError as error:
        whole = re.match(r"got -?\d+\.0*$", error.problem)  # 1.0 is a whole number
        if not whole and b"NaN" not in data and b"Infinity" not in data:
            raise
        # Not JSON, but some programs write them. Where nobody reads them they do no harm.
        plain = _NAN.sub(lambda m: m[0] if m[0][:1] == b'"' else b'["%s"]' % m[0], data)
        try:
            found = decode_json(plain, type_, AnnotationError, path, strict=False)
        except AnnotationError as second:
            problem = re.sub(r'^got \["(.*)"\]$', r"got \1", second.problem)
            raise AnnotationError(problem, where=second.where, expected=second.expected) from second
    count = 2 * len(getattr(found, "annotations", ()))
    if len(data) < _SMALL or (count and _count_ids(data) > count):
        loads_once(data.decode("utf-8-sig", errors="replace"), path)
    return found


_SMALL = 8_000_000
"""Bytes up to which each key is looked at; of larger files only the ids are counted first."""


def _count_ids(data: bytes) -> int:
    """Count keys that end in `_id`, in half the time of `bytes.count`."""
    text, size, found = np.frombuffer(data, np.uint8), 1 << 16, 0
    for start in range(0, len(text), size):
        block = text[start : start + size + 3]
        ends = np.flatnonzero(block[:-3] == ord("_"))
        for letter in b'id"':
            ends = ends[block[ends + 1] == letter] + 1
        found += len(ends)
    return found


def valid_boxes(
    boxes: NDArray[np.float64], width: NDArray[np.float64], height: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell which boxes are left after clipping to their image.

    Args:
        boxes: (N, 4) left, top, width, height in pixels.
        width: (N,) width of the image that each annotation belongs to.
        height: (N,) its height.

    Returns:
        (N,) True where the box, clipped to the image, still has positive width and height.

    Example:
        >>> hundred = np.full(2, 100.0)
        >>> valid_boxes(np.array([[1.0, 1, 5, 5], [99, 1, 5, 5]]), hundred, hundred).tolist()
        [True, False]
    """
    x1, y1, w, h = boxes.T
    with np.errstate(invalid="ignore", over="ignore"):  # infinite sizes: the oracle agrees
        x2 = x1 + np.maximum(0.0, w - 1)
        y2 = y1 + np.maximum(0.0, h - 1)
        x1, x2 = (np.minimum(width - 1, np.maximum(0.0, x)) for x in (x1, x2))
        y1, y2 = (np.minimum(height - 1, np.maximum(0.0, y)) for y in (y1, y2))
        valid: NDArray[np.bool_] = (x2 > x1) & (y2 > y1)
    return valid


def presence(instances: ImageLevelInstances) -> Presence:
    """Build the label matrix of a decoded annotation file."""
    images, categories = instances.images, instances.categories
    ids, columns = [image.id for image in images], [category.id for category in categories]
    names = [image.file_name.replace("\\", "/") for image in images]  # of programs of Windows
    _refuse_twice("categories", "id", columns)
    _refuse_twice("categories", "name", [category.name for category in categories])
    _check_file_names(names)
    _refuse_twice("images", "id", ids)
    if not categories:
        raise AnnotationError("is empty", where="$.categories", expected="the classes")
    total = len(instances.annotations)
    file_names = sorted(set(names))
    row_of = {name: row for row, name in enumerate(file_names)}
    rows = np.array([row_of[name] for name in names], np.intp)
    place_of_image, column_of = _Places("images", ids), _Places("categories", columns)
    sides = None
    if isinstance(instances, Instances):
        sides = np.array([(image.width, image.height) for image in instances.images], np.float64)
    labels = np.zeros((len(file_names), len(categories)), dtype=np.int32)
    seen = np.zeros(len(categories), np.int64)
    why: Counter[int] = Counter()
    outside = 0.0
    for start in range(0, total, _BLOCK):
        block = instances.annotations[start : start + _BLOCK]
        image_at = place_of_image.of("image_id", block, start)
        column = column_of.of("category_id", block, start)
        reason, of_block = _reasons(block, None if sides is None else sides[image_at])
        outside += of_block
        valid = reason < 0
        labels[rows[image_at[valid]], column[valid]] = 1
        seen += np.bincount(column, minlength=len(columns))
        why.update(reason[~valid].tolist())
    uncounted = {REASONS[at]: why[at] for at in sorted(why)}
    lost = [categories[at].name for at in np.flatnonzero((seen > 0) & ~labels.any(axis=0))]
    return Presence(
        file_names=file_names,
        rows=dict(zip(ids, rows.tolist(), strict=True)),
        labels=labels,
        classes=categories,
        annotations=total,
        uncounted=uncounted,
        warnings=_warnings(total, uncounted, lost, corners=4 * outside > total),
    )


def _warnings(
    total: int, uncounted: Mapping[str, int], lost: Sequence[str], *, corners: bool
) -> list[str]:
    """Say which annotations do not count, and what the boxes may be."""
    said = []
    if uncounted:
        why = ", ".join(f"{reason}: {count:,}" for reason, count in uncounted.items())
        classes = f"; classes that lose all: {', '.join(lost[:20])}" if lost else ""
        count = f"{sum(uncounted.values()):,} of {total:,} annotations"
        said.append(f"{count} do not count ({why}){classes}")
    if corners:
        sizes = "As widths and heights, many of them reach outside of their images"
        said.append(f"are the boxes left, top, right, bottom? {sizes}")
    return said


_BLOCK = 8192
"""Annotations looked at together: few enough to stay in the processor's cache."""


def _reasons(
    block: Sequence[ImageLevel], sides: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], float]:
    """Return for each annotation the place of its reason in `REASONS`; -1: it counts.

    And how many boxes reach outside of their images, if all may be left, top, right, bottom.

    Args:
        block: (N,) annotations.
        sides: (N, 2) width and height of their images; `None` where boxes do not matter.
    """
    flags = map(attrgetter("ignore"), block)
    reasons = [np.fromiter(map(eq, flags, repeat(1)), np.bool_, len(block))]
    outside = 0.0
    if sides is not None:
        area = np.fromiter(map(attrgetter("area"), block), np.float64, len(block))
        flat = chain.from_iterable(map(attrgetter("bbox"), block))
        boxes = np.fromiter(flat, np.float64, 4 * len(block)).reshape(-1, 4)
        width, height = sides.T
        low, high = boxes[:, :2], boxes[:, 2:]
        outside = (low + high > sides).any(axis=1).sum() if (low < high).all() else -np.inf
        reasons += [~((width > 0) & (height > 0)), ~valid_boxes(boxes, width, height), ~(area > 0)]
    return np.select(reasons, list(range(len(reasons))), -1), outside


class _Places:
    """Where the images or categories stand in their list, by id."""

    def __init__(self, listed: str, ids: Sequence[int]) -> None:
        self._listed, self._low = listed, min(ids, default=0)
        self._table = None
        span = max(ids, default=0) - self._low + 1
        if span <= _DENSE:  # a table is ten times as fast
            self._table = np.full(span + 1, -1, np.intp)  # one more: what is outside
            self._table[np.array(ids, np.int64) - self._low] = np.arange(len(ids))
        else:
            self._place_of = {id_: place for place, id_ in enumerate(ids)}

    def of(self, field: str, block: Sequence[ImageLevel], start: int) -> NDArray[np.intp]:
        """Return the place of the one that each annotation names."""
        ids = map(attrgetter(field), block)
        if self._table is None:
            places = np.fromiter(map(self._place_of.get, ids, repeat(-1)), np.intp, len(block))
        else:
            wanted = np.fromiter(ids, np.int64, len(block)) - self._low
            places = self._table[np.clip(wanted, -1, len(self._table) - 1)]
        if (unknown := np.flatnonzero(places < 0)).size:
            at = int(unknown[0])
            raise AnnotationError(
                f"{getattr(block[at], field)} is not among the file's {self._listed}",
                where=f"$.annotations[{start + at}].{field}",
            )
        return places


_DENSE = 1 << 23
"""Ids up to which a table by id is made; beyond, a dictionary is searched."""


def _refuse_twice(listed: str, field: str, values: Sequence[int | str]) -> None:
    if len(set(values)) < len(values):
        seen: set[int | str] = set()
        at = next(at for at, v in enumerate(values) if v in seen or seen.add(v))  # type: ignore[func-returns-value]
        raise AnnotationError(
            f"the {field} {values[at]} occurs a second time", where=f"$.{listed}[{at}].{field}"
        )


def _check_file_names(names: Sequence[str]) -> None:
    """Refuse names that lead out of the image folder; every other one is the user's business."""
    for at, name in enumerate(names):
        outside = name.startswith("/") or "://" in name or ".." in name.split("/")
        if outside or "\0" in name or not name:
            raise AnnotationError(
                f"got {name[:60]!r}",
                where=f"$.images[{at}].file_name",
                expected="the name of a file within the image folder",
            )


def select(found: Presence, ids: set[int], *, inside: bool) -> Presence:
    """Keep the rows of the images in `ids` (or, with `inside=False`, all other rows)."""
    wanted = np.zeros(len(found.file_names), dtype=np.bool_)
    wanted[[found.rows[id_] for id_ in ids]] = True
    keep = np.flatnonzero(wanted == inside)
    return Presence(
        file_names=[found.file_names[row] for row in keep.tolist()],
        labels=found.labels[keep],
        classes=found.classes,
    )


def align(found: Presence, classes: Sequence[Category], path: Path) -> NDArray[np.int32]:
    """Return the labels with columns in the order of `classes`, matched by name."""
    mine, wanted = [c.name for c in found.classes], [c.name for c in classes]
    if mine == wanted:
        return found.labels
    if set(mine) != set(wanted):
        odd = sorted(set(mine) ^ set(wanted))
        raise AnnotationError(
            f"has {len(mine)} categories, and {odd[0]!r} is in only one of the two files",
            where=f"{path}, $.categories",
            expected=f"the {len(wanted)} categories of the first partition, in any order",
        )
    place = {name: column for column, name in enumerate(mine)}
    return found.labels[:, [place[name] for name in wanted]]
