"""Files at paths and at URLs (`s3://`, `gs://`, `https://`, `memory://`…), the latter by fsspec."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

from sslprep.errors import ImagesError, MissingExtraError, SslprepError

RETRIES = (1.0, 5.0, 20.0)
"""Seconds to wait before a file that could not be had is asked for again."""
_LIST = "A pattern is not read; let the shell list: printf '%s\\n' set-{000..146}.tar > list.txt."
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
        wild = re.search(r"[*?\[{]", path)
        raise ImagesError(
            "no such file", where=path, remedy=_LIST if wild else "Check the path."
        ) from error
    except ImportError as error:  # fsspec itself, or what reads this kind of URL
        raise MissingExtraError(
            f"{path} cannot be opened: {error}",
            remedy="Install what reads it: pip install fsspec, for gs:// also gcsfs.",
        ) from error
    except Exception as error:
        said = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
        raise ImagesError(
            f"cannot read: {said or type(error).__name__:.200}",
            where=path,
            remedy="Check the URL and your credentials." if is_url(path) else None,
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


def is_folder(path: str) -> bool:
    """Tell a folder from a file."""
    with _asking(path):
        if not is_url(path):
            return stat.S_ISDIR(os.stat(path).st_mode)
        system, name = _file_system(path)
        return bool(system.info(name)["type"] == "directory")


def _mark(path: str) -> str:
    with _asking(path):
        if not is_url(path):
            status = os.stat(path)
            return f"{status.st_size}, {status.st_mtime_ns}"
        system, name = _file_system(path)
        return str(system.info(name))


def marks(paths: Iterable[str]) -> list[str]:
    """Return a text for each path or URL that changes when the file does."""
    with ThreadPoolExecutor(32) as threads:  # a store answers in 50 ms, but to many at once
        return list(threads.map(_mark, paths))


def copy_here(url: str) -> Path:
    """Copy a file to this machine, for as long as this process runs."""
    with _asking(url):
        import fsspec

        return Path(fsspec.open_local(f"simplecache::{url}", simplecache={"same_names": True}))


def walk(url: str) -> Iterator[str]:
    """Yield the URLs of all files under a folder, those of each folder sorted.

    One folder's names are in memory at a time. (fsspec's own `walk` leaves out in silence what it
    cannot list, and its `find` holds all names.)
    """
    system, path = _file_system(url)
    folders = [path.rstrip("/")]
    with _asking(url):
        while folders:
            place = folders.pop()
            found = {
                entry["name"].rstrip("/"): entry["type"] for entry in system.ls(place, detail=True)
            }
            system.invalidate_cache(place)
            names = sorted(found.keys() - {place})
            yield from (system.unstrip_protocol(n) for n in names if found[n] != "directory")
            folders += [name for name in reversed(names) if found[name] == "directory"]


def read_many(urls: Iterable[str]) -> dict[str, bytes | Exception]:
    """Return the bytes of each URL, or the error that it gave.

    All of one store are fetched at the same time; those that fail are asked for again some times,
    but for errors that will not pass.
    """
    found: dict[str, bytes | Exception] = {}
    stores: dict[Any, dict[str, str]] = {}
    for url in urls:
        try:
            system, path = _file_system(url)
            stores.setdefault(system, {})[url] = path
        except ImagesError as error:
            found[url] = error
    for system, todo in stores.items():
        for seconds in (0.0, *RETRIES):
            time.sleep(seconds)
            answers = system.cat_ranges(list(todo.values()), None, None, on_error="return")
            found |= zip(todo, answers, strict=True)
            failed = [url for url in todo if isinstance(found[url], Exception)]
            todo = {url: todo[url] for url in failed if not isinstance(found[url], _FOR_GOOD)}
            if not todo:
                break
    return found
