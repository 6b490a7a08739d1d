"""Opening a tar shard: a path or URL, plain or compressed."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from sslprep.color import remote

_DECOMPRESS: dict[str, Callable[..., Any]] = {
    "gz": gzip.open,
    "tgz": gzip.open,
    "bz2": bz2.open,
    "xz": lzma.open,
}


@contextlib.contextmanager
def open_shard(path: str) -> Iterator[BinaryIO]:
    """Open a shard as a seekable file of plain tar bytes; nothing is written to disk."""
    with remote.open_url(path) if remote.is_url(path) else open(path, "rb") as file:
        opener = _DECOMPRESS.get(path.lower().rpartition(".")[2])
        yield file if opener is None else cast(BinaryIO, opener(file, "rb"))
