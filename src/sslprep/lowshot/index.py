"""Index files: which rows a sample holds, so that it can be rebuilt without this program.

One JSON file beside each sample. Rows are row numbers of the full targets, ascending:

    {
    "kind": "lowshot-index",
    "schema": 1,
    "k": 4,  (or "fraction": 0.01)
    "sample": 1,
    "seed": 0,
    "nested": false,
    "generator": "Philox4x64-10, key (seed, sample), …",
    "rows": 5011,
    "files": ["train_targets_sample1_k4.npy"],
    "classes": [
    {"id": 0, "name": "aeroplane", "positives": [12, …], "negatives": [3, …]},
    …
    ],
    "images": {"3": "000012", "12": "000032", …}
    }

`name`, `negatives` and `images` are there where they are known or meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from sslprep.errors import ManifestError
from sslprep.files import read_json

SCHEMA = 1


class ClassRows(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The rows that a sample holds of one class.

    Attributes:
        id: Class id, or column of the label matrix.
        name: Its name, where known.
        positives: Rows of the class.
        negatives: Rows drawn as not of the class (multi-label only).
    """

    id: int
    name: str | None = None
    positives: list[int]
    negatives: list[int] | None = None


class Index(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What stands in an index file; see the module's text."""

    kind: str = "lowshot-index"
    schema: int = SCHEMA
    k: int | None = None
    fraction: float | None = None
    sample: int
    seed: int
    nested: bool
    generator: str
    rows: int
    files: list[str]
    classes: list[ClassRows]
    images: dict[int, str] | None = None


def encode(index: Index) -> bytes:
    """Lay an index out with one line for each field, and one for each class."""
    encoder = msgspec.json.Encoder()
    lines = []
    for name in index.__struct_fields__:
        value: Any = getattr(index, name)
        if value is None:
            continue
        if name == "classes":
            text = b"[\n" + b",\n".join(map(encoder.encode, index.classes)) + b"\n]"
        else:
            text = encoder.encode(value)
        lines.append(encoder.encode(name) + b": " + text)
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def read(path: Path) -> Index:
    """Read an index file.

    Raises:
        ManifestError: Not an index file, or one of a newer version of sslprep.
    """
    index: Index = read_json(path, Index, ManifestError)
    if index.kind != "lowshot-index" or index.schema > SCHEMA:
        raise ManifestError(
            f"is {index.kind!r}, schema {index.schema}",
            where=path,
            expected=f"a lowshot-index of schema {SCHEMA}",
        )
    return index
