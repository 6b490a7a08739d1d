"""A web server on the loopback address that is an object store, too: ranges, S3's lists, faults."""

import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

CUT = 0
"""A fault: the connection ends in the middle of the content."""
NONE: Mapping[str, str] = MappingProxyType({})


class Store(BaseHTTPRequestHandler):
    """Serves the files below `root`; `faults` says how the next GETs of a path go wrong."""

    protocol_version = "HTTP/1.1"
    root: Path
    faults: ClassVar[dict[str, list[int]]] = {}

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer as to GET, without the content."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with a file, a part of it, the list of a bucket, or a fault."""
        url = urlsplit(self.path)
        path, query = unquote(url.path).strip("/"), parse_qs(url.query, keep_blank_values=True)
        file, faults = self.root / path, self.faults.get(path, [])
        fault = faults.pop(0) if faults and self.command == "GET" else None
        if fault:
            self._answer(fault, f"<Error><Code>Odd{fault}</Code></Error>".encode())
        elif "list-type" in query and file.is_dir():
            self._answer(200, self._list(file, query["prefix"][0], query.get("delimiter", [""])[0]))
        elif not file.is_file():
            kind = "NoSuchBucket" if "list-type" in query else "NoSuchKey"
            self._answer(404, f"<Error><Code>{kind}</Code></Error>".encode())
        else:
            data, headers, status = file.read_bytes(), {}, 200
            if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                data, status = data[first : last + 1], 206
            self._answer(status, data, headers, cut=fault == CUT)

    def _answer(
        self, status: int, data: bytes, more: Mapping[str, str] = NONE, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        fixed = {"ETag": '"e"', "Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}
        size = {"Accept-Ranges": "bytes", "Content-Length": str(len(data))}
        for name, value in (fixed | size | more).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut

    def _list(self, bucket: Path, prefix: str, delimiter: str) -> bytes:
        """List a bucket as S3's ListObjectsV2 does, a level or all."""
        files = sorted(path for path in bucket.rglob("*") if path.is_file())
        keys = {str(path.relative_to(bucket)): path.stat().st_size for path in files}
        entries, folders = "", set()
        for key, size in keys.items():
            head, found, _ = key.removeprefix(prefix).partition(delimiter or "\0")
            if key.startswith(prefix) and found:
                folders.add(f"{prefix}{head}{delimiter}")
            elif key.startswith(prefix):
                entries += f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"
        for folder in sorted(folders):
            entries += f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        return f"<ListBucketResult>{entries}</ListBucketResult>".encode()
