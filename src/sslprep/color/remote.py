"""Files at URLs (`s3://`, `gs://`, `https://`, `memory://`…), through fsspec."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, BinaryIO, cast

from sslprep.errors import ImagesError, MissingExtraError

_GLOB = frozenset("*?[")


def is_url(path: str) -> bool:
    """Tell a URL from a path.

    Example:
        >>> is_url("s3://bucket/a.jpg"), is_url("/data/a.jpg"), is_url("C:/a.jpg")
        (True, False, False)
    """
    return "://" in path


def _file_system(url: str) -> tuple[Any, str]:
    try:
        import fsspec.core
    except ImportError as error:
        raise MissingExtraError(
            f"{url} is a URL", remedy='Install what reads it: pip install "sslprep[remote]".'
        ) from error
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ValueError as error:  # an unknown protocol
        raise ImagesError(f"cannot open: {error}", where=url) from error
    except ImportError as error:  # a known one whose package is absent, such as s3fs
        raise MissingExtraError(f"{url} cannot be opened: {error}") from error
    return system, path


def open_url(url: str) -> BinaryIO:
    """Open a file for reading, with seek."""
    system, path = _file_system(url)
    return cast(BinaryIO, system.open(path, "rb"))


def describe(url: str) -> tuple[bool, int | None, str]:
    """Return (is a folder, size in bytes, a text that changes when the file does).

    Raises:
        ImagesError: There is no such thing.
    """
    system, path = _file_system(url)
    try:
        info = system.info(path)
    except FileNotFoundError as error:
        raise ImagesError("no such file", where=url, remedy="Check the URL.") from error
    except OSError as error:
        raise ImagesError(f"cannot read: {error}", where=url) from error
    mark = info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified")
    return info.get("type") == "directory", info.get("size"), str(mark)


def copy_here(url: str) -> IO[bytes]:
    """Copy a file to a temporary one of this machine, which vanishes when it is closed."""
    copy = tempfile.NamedTemporaryFile(prefix="sslprep-list-")  # noqa: SIM115 - the caller's
    try:
        with open_url(url) as file:
            shutil.copyfileobj(file, copy)
    except OSError as error:
        copy.close()
        raise ImagesError(f"cannot read: {error}", where=url) from error
    copy.flush()
    return copy


def files_under(url: str) -> list[str]:
    """Return the URLs of all files under a folder, sorted."""
    system, path = _file_system(url)
    return [system.unstrip_protocol(name) for name in sorted(system.find(path))]


def read_many(urls: Sequence[str]) -> Iterator[bytes | BaseException]:
    """Yield the bytes of each URL, or the error that it gave, in order.

    One request for all of them, which object stores answer concurrently.
    """
    contents: dict[str, bytes | BaseException] = {}
    systems = [_file_system(url) for url in urls]
    together: dict[int, tuple[Any, list[str]]] = {}
    for url, (system, path) in zip(urls, systems, strict=True):
        if _GLOB.isdisjoint(path):
            together.setdefault(id(system), (system, []))[1].append(path)
        else:  # `cat` of many would take the name for a pattern
            try:
                contents[url] = system.cat_file(path)
            except (OSError, ValueError) as error:
                contents[url] = error
    found = {key: s.cat(paths, on_error="return") for key, (s, paths) in together.items()}
    for url, (system, path) in zip(urls, systems, strict=True):
        missing = FileNotFoundError(2, "No such file", path)
        yield contents[url] if url in contents else found[id(system)].get(path, missing)
