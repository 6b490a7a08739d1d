"""Input files: reading them, and naming what a file is that is not what it should be.

Every reader of text and JSON goes through here, so that a web page saved in place of a download,
a file still packed or a git-LFS pointer is called that, and nobody meets a parser's own words.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from sslprep.errors import ArrayError, SslprepError

_T = TypeVar("_T")
_BOM = b"\xef\xbb\xbf"
_UNPACK = "Unpack it first."
_SIGNS: dict[bytes, tuple[str, str | None]] = {
    b"\x1f\x8b": ("a gzip file", _UNPACK),
    b"PK\x03\x04": (
        "a zip file, as numpy.savez and torch.save write",
        "Unpack it, or load it and save what you need of it in a file of its own.",
    ),
    b"BZh": ("a bzip2 file", _UNPACK),
    b"\xfd7zXZ\0": ("an xz file", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("a zstd file", _UNPACK),
    b"version https://git-lfs": ("a git-LFS pointer, not the file itself", "Run git lfs pull."),
    b"\xff\xfe": ("UTF-16 text", "Save it as UTF-8."),
    b"\xfe\xff": ("UTF-16 text", "Save it as UTF-8."),
    b"\x93NUMPY": ("a .npy file", "Check the path."),
    b"\x80": ("a pickle", None),
    b"\x89HDF": ("HDF5", None),
    b"MATLAB 5.0": ("of MATLAB", None),
}


@contextlib.contextmanager
def reading(path: Path, kind: type[SslprepError] = ArrayError) -> Iterator[None]:
    """Turn a missing or unreadable input file into one line that names it."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise kind(
                "is no ordinary file",
                where=path,
                remedy="A pipe or a device may never end; copy it to a file first.",
            )
        yield
    except FileNotFoundError as error:
        raise kind("no such file", where=path, remedy="Check the path.") from error
    except IsADirectoryError as error:
        raise kind("is a folder", where=path, expected="a file in it") from error
    except OSError as error:
        raise kind(f"cannot read: {error.strerror or error}", where=path) from error


def what_it_is(start: bytes) -> tuple[str, str | None] | None:
    """Name a file by its first bytes where it is something people mistake for theirs.

    Returns:
        What it is, and what to do about it if that is known; `None` where nothing is.

    Example:
        >>> what_it_is(b"<!DOCTYPE html><title>Quota exceeded")
        ('a web page, maybe what a failed download left', 'Download the file again.')
    """
    if not start:
        return "empty", "Copy or download it again."
    if re.match(rb"\s*<(!doctype\s+html|html)\b", start.removeprefix(_BOM), re.IGNORECASE):
        return "a web page, maybe what a failed download left", "Download the file again."
    if re.match(rb"[\t\r\n -~]\0[\t\r\n -~]\0", start):  # without its byte order mark
        return _SIGNS[b"\xff\xfe"]
    return next((found for sign, found in _SIGNS.items() if start.startswith(sign)), None)


def refuse_other(start: bytes, path: Path, kind: type[SslprepError], expected: str) -> None:
    """Refuse a file that `what_it_is` knows to be something else."""
    if found := what_it_is(start):
        raise kind(f"is {found[0]}", where=path, expected=expected, remedy=found[1])


def read_text(path: Path, kind: type[SslprepError]) -> str:
    """Read UTF-8 text, with or without a byte order mark; line ends stay as they are.

    Raises:
        SslprepError: Of `kind`: no such file, or it is not UTF-8 text. An empty file is text.
    """
    with reading(path, kind):
        data = path.read_bytes()
    if data:
        refuse_other(data[:64], path, kind, "text in UTF-8")
    return _text(data, path, kind)


def _text(data: bytes, path: Path, kind: type[SslprepError]) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise kind(
            f"holds the byte {data[error.start]:#x}",
            where=f"{path}, line {line}",
            expected="text in UTF-8",
            remedy="Save it as UTF-8.",
        ) from error


def read_json(path: Path, type_: Callable[..., _T], kind: type[SslprepError]) -> _T:
    """Read a JSON file as a msgspec type; what does not fit is named with its place and value."""
    with reading(path, kind):
        return decode_json(path.read_bytes(), type_, kind, path)


def decode_json(
    data: bytes,
    type_: Callable[..., _T],
    kind: type[SslprepError],
    path: Path,
    *,
    strict: bool = True,
) -> _T:
    """Decode the content of the JSON file `path`, as `read_json` does."""
    data = data.removeprefix(_BOM)
    try:
        return msgspec.json.decode(data, type=type_, strict=strict)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        _refuse_value(str(error), data, kind, path)
    except RecursionError as error:
        raise kind("nested too deeply", where=path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refuse_other(data[:64], path, kind, "JSON")
        if isinstance(error, UnicodeDecodeError):
            _text(data, path, kind)  # says which byte, and in which line
        if "truncated" in str(error):
            raise kind(
                f"ends in the middle, after {len(data):,} bytes",
                where=path,
                expected="JSON",
                remedy="Copy or unpack the file again.",
            ) from error
        found = re.search(r"byte (\d+)", str(error))
        at = int(found[1]) if found else 0
        near = data[max(0, at - 10) : at + 10].decode(errors="replace")
        line = data.count(b"\n", 0, at) + 1
        raise kind(f"not JSON at {near!r}, byte {at:,}, line {line:,}", where=path) from error


def _refuse_value(text: str, data: bytes, kind: type[SslprepError], path: Path) -> NoReturn:
    """Put msgspec's finding, such as ``… - at `$.images[1].id` ``, in words with the value."""
    reason, _, place = text.partition(" - at `")
    place = place.rstrip("`")
    where = f"{path}, {place}" if place else str(path)
    if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
        raise kind(f'has no "{missing[1]}"', where=where)
    for words in re.findall(r"`([a-z |]+)`", reason):
        plain = " or ".join(_PLAIN_WORDS.get(word, word) for word in words.split(" | "))
        reason = reason.replace(f"`{words}`", plain)
    expected = re.match(r"Expected (.+?)(?:, got .*)?$", reason)
    value = value_at(data, place)
    raise kind(
        f"got {value}" if value else reason.lower(),
        where=where,
        expected=expected[1] if expected else None,
        remedy="Write the number without quotes." if re.fullmatch(r'"-?\d+"', value) else None,
    )


_PLAIN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "an object {…}",
    "null": "null",
}


def value_at(data: bytes, place: str) -> str:
    """Return what stands at a JSON path such as `$.images[1].id`, shortened; "" if not found."""
    value = msgspec.Raw(data)
    try:
        for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", place):
            if index:
                value = msgspec.json.decode(value, type=list[msgspec.Raw])[int(index)]
            else:
                value = msgspec.json.decode(value, type=dict[str, msgspec.Raw])[name]
    except (msgspec.MsgspecError, LookupError, UnicodeDecodeError):
        return ""
    text = bytes(value).decode(errors="replace").strip()
    return text if len(text) <= 60 else f"{text[:57]}…"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    import hashlib  # loads OpenSSL: not while a command line is only being read

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
