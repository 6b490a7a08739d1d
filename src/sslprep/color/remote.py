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
    """Tell a URL from a path."""
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
        # fsspec says the same of a file that is missing and of a server that does not answer.
        said = f" ({error.__cause__!s:.200})" if error.__cause__ else ""
        raise ImagesError(
            f"no such file{said}", where=path, remedy=_LIST if wild else "Check the path."
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


def _look_at(path: str) -> tuple[bool, str]:
    """Tell whether it is a folder, and return a text that changes when the file does."""
    with _asking(path):
        if not is_url(path):
            status = os.stat(path)
            return stat.S_ISDIR(status.st_mode), f"{status.st_size}, {status.st_mtime_ns}"
        system, name = _file_system(path)
        info = system.info(name)
        return info["type"] == "directory", str(info)


def is_folder(path: str) -> bool:
    """Tell a folder from a file."""
    return _look_at(path)[0]


def marks(paths: Iterable[str]) -> list[str]:
    """Return a text for each path or URL that changes when the file does."""
    with ThreadPoolExecutor(32) as threads:  # a store answers in 50 ms, but to many at once
        return [mark for _, mark in threads.map(_look_at, paths)]


def copy_here(url: str) -> Path:
    """Copy a file to this machine, for as long as this process runs."""
    with _asking(url):
        import fsspec

        return Path(fsspec.open_local(f"simplecache::{url}", simplecache={"same_names": True}))


def walk(folder: str) -> Iterator[str]:
    """Yield all files under a folder, those of each one sorted; each folder once, links too.

    One folder's names are in memory at a time. (fsspec's own `walk` leaves out in silence what it
    cannot list, and its `find` holds all names.)
    """
    folders, seen = [folder], set()  # a link to a folder above would go round for ever
    while folders:
        place = folders.pop()
        if (real := os.path.realpath(place)) not in seen:
            seen.add(real)
            found = _list(place)
            yield from sorted(name for name in found if not found[name])
            folders += sorted((name for name in found if found[name]), reverse=True)


def _list(folder: str) -> dict[str, bool]:
    """Return what lies in a folder, and whether each is a folder itself."""
    with _asking(folder):
        if not is_url(folder):
            with os.scandir(folder) as found:
                return {x.path: os.path.isdir(x) if x.is_symlink() else x.is_dir() for x in found}
        system, place = _file_system(folder)
        entries = {x["name"].rstrip("/"): x["type"] for x in system.ls(place, detail=True)}
        system.invalidate_cache(place)
        entries.pop(place.rstrip("/"), None)
        return {system.unstrip_protocol(x): kind == "directory" for x, kind in entries.items()}


def read_many(urls: Iterable[str]) -> dict[str, bytes | Exception]:
    """Return the bytes of each URL, or the error that it gave; all of one store at a time.

    Those that fail are asked for again some times, but for errors that will not pass.
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
            try:
                answers = system.cat_ranges(list(todo.values()), None, None, on_error="return")
                found |= zip(todo, answers, strict=True)
            except Exception as error:  # noqa: BLE001 - each store has its own
                found |= dict.fromkeys(todo, error)
            todo = {
                url: path
                for url, path in todo.items()
                if isinstance(found[url], Exception) and not isinstance(found[url], _FOR_GOOD)
            }
            if not todo:
                break
    return found
