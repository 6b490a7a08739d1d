"""COCO's `instances_*.json`, read into typed records of the few fields that labels need.

Polygons and masks are skipped by the JSON parser; they never become Python objects. What is
malformed is reported with the file and the JSON path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from sslprep.errors import AnnotationError
from sslprep.files import reading

# What int64 holds: ids go into NumPy arrays.
_Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
_T = TypeVar("_T")


class Box(msgspec.Struct, gc=False, array_like=True):
    """`bbox`: left, top, width, height, in pixels."""

    x: float
    y: float
    width: float
    height: float


class Annotation(msgspec.Struct, gc=False):
    """One object in one image; `area` in square pixels."""

    image_id: _Id
    category_id: _Id
    bbox: Box
    area: float
    ignore: float | bool | None = 0


class Image(msgspec.Struct, gc=False):
    """One image; width and height in pixels."""

    id: _Id
    file_name: str
    width: _Number
    height: _Number


class Category(msgspec.Struct, frozen=True, gc=False):
    """One class."""

    id: _Id
    name: str


class Instances(msgspec.Struct):
    """A whole file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class _Categories(msgspec.Struct):
    categories: list[Category]


class _ImageId(msgspec.Struct, gc=False):
    id: _Id


class _ImageIds(msgspec.Struct):
    images: list[_ImageId]


def read_instances(path: Path) -> Instances:
    """Read images, annotations and categories of one file.

    Raises:
        AnnotationError: Not JSON, truncated, or a field is missing or of another type.
    """
    return _decode(path, Instances)


def read_categories(path: Path) -> list[Category]:
    """Read only the categories of a file."""
    return _decode(path, _Categories).categories


def read_image_ids(path: Path) -> set[int]:
    """Read image ids: of a COCO file's `images`, of a JSON list, or one a line.

    Raises:
        AnnotationError: Something else is in the file.
    """
    with reading(path, AnnotationError), open(path, "rb") as file:
        start = file.read(4096).lstrip()[:1]
    if start == b"{":
        return {image.id for image in _decode(path, _ImageIds).images}
    if start == b"[":
        return set(_decode(path, list[_Id]))
    ids = set()
    with reading(path, AnnotationError):
        lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", line, re.ASCII):
            raise AnnotationError(
                f'got "{line.strip()[:60]}"',
                where=f"{path}, line {number}",
                expected="one image id (a whole number) a line, or a JSON list of them",
            )
        ids.add(int(line))
    return ids


def _decode(path: Path, type_: type[_T]) -> _T:
    # Read, not mapped: a mapped file that shrinks under us would end the process.
    with reading(path, AnnotationError):
        data = path.read_bytes()
    if not data:
        raise AnnotationError("is empty", where=path, expected="JSON")
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        raise _misfit(path, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(path, data, error, type_) from error


_PLAIN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
}


def _misfit(path: Path, text: str) -> AnnotationError:
    """Put msgspec's own finding, such as ``… - at `$.annotations[17].bbox` ``, in our form."""
    reason, _, place = text.partition(" - at `")
    where = f"{path}, {place.rstrip('`')}" if place else f"{path}"
    short = re.fullmatch(r"Expected `array` of at least length 4, got (\d+)", reason)
    if short:
        return AnnotationError(
            f"got {short[1]} numbers", where=where, expected="4: x, y, width, height"
        )
    mistyped = re.fullmatch(r"Expected `(.+)`, got `(.+)`", reason)
    if mistyped:
        expected, got = (_PLAIN_WORDS.get(word, word) for word in mistyped.groups())
        return AnnotationError(f"got {got}", where=where, expected=expected)
    missing = re.fullmatch(r"Object missing required field `(.+)`", reason)
    if missing:
        return AnnotationError(
            f'has no "{missing[1]}"',
            where=where,
            expected="a COCO instances file" if not place else None,
        )
    return AnnotationError(reason[:1].lower() + reason[1:], where=where)


def _malformed(path: Path, data: bytes, error: Exception, type_: type[_T]) -> AnnotationError:
    """Say why a file is not JSON, with the JSON path where it holds NaN or Infinity."""
    if isinstance(error, RecursionError):
        return AnnotationError("nested too deeply", where=path, expected="a COCO instances file")
    if "truncated" in str(error):
        return AnnotationError(
            f"ends in the middle, after {len(data)} bytes",
            where=path,
            expected="JSON",
            remedy="Copy or unpack the file again.",
        )
    at = re.search(r"byte (\d+)", str(error))
    constant = re.match(rb"-?(?:NaN|Infinity)", data[int(at[1]) :][:9]) if at else None
    if at and data[int(at[1]) - 1 : int(at[1]) + 8] == b"-Infinity":
        constant = re.match(rb"-Infinity", data[int(at[1]) - 1 :][:9])
    if not constant:
        reason = str(error).removeprefix("JSON is malformed: ")
        return AnnotationError(f"not JSON: {reason}", where=path)
    found = constant[0].decode()
    # Some programs write these words although JSON has no such numbers. As null, the parser
    # reports the path where they stand.
    plain = re.sub(rb"(?<=[\[,:\s])-?(?:NaN|Infinity)(?=[\s,\]}])", b"null", data)
    try:
        msgspec.json.decode(plain, type=type_)
        place = f"{path}, byte {at[1]}" if at else f"{path}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as second:
        place = f"{path}, {str(second).partition(' - at `')[2].rstrip('`')}"
    return AnnotationError(f"got {found}", where=place, expected="a number")
