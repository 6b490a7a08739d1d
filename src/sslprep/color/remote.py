"""Files at paths and at URLs (`s3://`, `gs://`, `https://`, `memory://`…), the latter by fsspec."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, BinaryIO, cast

from sslprep.errors import ImagesError, MissingExtraError, SslprepError

RETRIES = (1.0, 5.0, 20.0)
"""Seconds to wait before a file that could not be had is asked for again."""
_FOR_GOOD = (FileNotFoundError, IsADirectoryError, PermissionError)


def is_url(path: str) -> bool:
    """Tell a URL from a path.

    Example:
        >>> is_url("s3://bucket/a.jpg"), is_url("/data/a.jpg"), is_url("C:/a.jpg")
        (True, False, False)
    """
    return "://" in path


@contextlib.contextmanager
def _asking(path: str) -> Iterator[None]:
    """Say in one line what a store's own error says: no credentials, no such bucket."""
    try:
        yield
    except SslprepError:
        raise
    except FileNotFoundError as error:
        raise ImagesError("no such file", where=path, remedy="Check the path.") from error
    except ImportError as error:  # fsspec itself, or what reads this kind of URL
        raise MissingExtraError(
            f"{path} cannot be opened: {error}",
            remedy="Install what reads it: pip install fsspec, for gs:// also gcsfs.",
        ) from error
    except Exception as error:
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise ImagesError(
            f"cannot read: {said:.200}", where=path, remedy="Check the URL and your credentials."
        ) from error


def _file_system(url: str) -> tuple[Any, str]:
    with _asking(url):
        import fsspec.core

        return cast(tuple[Any, str], fsspec.core.url_to_fs(url))


def open_file(path: str) -> BinaryIO:
    """Open a path or URL for reading, with seek."""
    if not is_url(path):
        return open(path, "rb")
    system, name = _file_system(path)
    return cast(BinaryIO, system.open(name, "rb"))


def is_folder(url: str) -> bool:
    """Tell a folder at a URL from a file."""
    system, path = _file_system(url)
    with _asking(url):
        return bool(system.info(path)["type"] == "directory")


def _mark(path: str) -> tuple[str, int | None, str]:
    with _asking(path):
        if not is_url(path):
            status = os.stat(path)
            return path, status.st_size, str(status.st_mtime_ns)
        system, name = _file_system(path)
        info = system.info(name)
        keys = ("ETag", "etag", "mtime", "LastModified", "updated", "created")
        return path, info.get("size"), next((str(info[key]) for key in keys if info.get(key)), "")


def marks(paths: Sequence[str]) -> list[tuple[str, int | None, str]]:
    """Return name, size and a text that changes when the file does, of each path or URL."""
    with ThreadPoolExecutor(32) as threads:  # a store answers in 50 ms, but to many at once
        return list(threads.map(_mark, paths))


def copy_here(url: str) -> IO[bytes]:
    """Copy a file to a temporary one of this machine, which goes when it is closed."""
    copy = tempfile.NamedTemporaryFile(suffix=os.path.basename(url))  # noqa: SIM115
    with _asking(url), open_file(url) as file:
        shutil.copyfileobj(file, copy)
    copy.flush()
    return copy


def files_like(url: str, *, pattern: bool = False) -> Iterator[str]:
    """Yield the URLs of all files under a folder, or of those that fit a pattern, sorted."""
    system, path = _file_system(url)
    with _asking(url):
        names = sorted(system.glob(path) if pattern else system.find(path))
    yield from map(system.unstrip_protocol, names)


def read_many(urls: Sequence[str]) -> list[bytes | Exception]:
    """Return the bytes of each URL of one store, or the error that it gave.

    All are fetched at the same time; those that fail are asked for again some times, but for
    errors that will not pass.
    """
    system, _ = _file_system(urls[0])
    paths = [_file_system(url)[1] for url in urls]
    found: list[bytes | Exception] = system.cat_ranges(paths, None, None, on_error="return")
    for seconds in RETRIES:
        failed = [
            number
            for number, content in enumerate(found)
            if isinstance(content, Exception) and not isinstance(content, _FOR_GOOD)
        ]
        if not failed:
            break
        time.sleep(seconds)
        again = system.cat_ranges([paths[n] for n in failed], None, None, on_error="return")
        for number, content in zip(failed, again, strict=True):
            found[number] = content
    return found
