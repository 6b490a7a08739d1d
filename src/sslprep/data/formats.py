"""A partition as rows: JSON lines, csv, text, Parquet, and the targets JSON.

All are written in batches, so that a million rows are never in memory as Python objects.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, BinaryIO, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep.errors import DatasetError, MissingExtraError

Labels = NDArray[np.int32] | NDArray[np.int64]
Format = Literal["npy", "jsonl", "csv", "txt", "parquet"]

_BATCH = 16384


def import_pyarrow() -> Any:
    """Return pyarrow, or say how to install it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "--format parquet needs pyarrow", remedy='Install it: pip install "sslprep[parquet]".'
        ) from error
    return pyarrow


def _batches(strings: Collection[str], labels: Labels) -> Iterator[tuple[list[str], list[Any]]]:
    iterator = iter(strings)
    for start in range(0, len(strings), _BATCH):
        yield list(islice(iterator, _BATCH)), labels[start : start + _BATCH].tolist()


def write(
    file: BinaryIO,
    kind: str,
    images: Collection[str],
    labels: Labels,
    split: str,
    class_names: Sequence[str],
) -> None:
    """Write the rows of a partition, one an image.

    Args:
        file: Where to.
        kind: `jsonl`, `csv`, `txt` or `parquet`.
        images: Paths, in row order.
        labels: `(images,)` class ids, or `(images, classes)` of 1, 0, -1.
        split: Name of the partition.
        class_names: Names of the columns of `labels`.
    """
    if kind == "parquet":
        _write_parquet(file, images, labels, split)
        return
    if kind == "csv":
        columns = ["label"] if labels.ndim == 1 else list(class_names)
        _check_columns(columns)
        file.write(_csv([("file_name", *columns, "split")], columns))
    for paths, values in _batches(images, labels):
        if kind == "csv":
            cells = ((v,) for v in values) if labels.ndim == 1 else values
            rows = ((p, *v, split) for p, v in zip(paths, cells, strict=True))
            file.write(_csv(rows, paths))
        elif kind == "jsonl":
            name = "label" if labels.ndim == 1 else "labels"
            objects = [
                {"file_name": p, name: v, "split": split}
                for p, v in zip(paths, values, strict=True)
            ]
            file.write(msgspec.json.Encoder().encode_lines(objects))
        else:
            lines = (f"{p} {v}\n" for p, v in zip(paths, values, strict=True))
            file.write("".join(lines).encode())


def _csv(rows: Iterable[Sequence[object]], strings: Iterable[str]) -> bytes:
    """Return lines of csv; `strings` are those cells that may hold anything."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if any("\r" in string for string in strings):
        # Before Python 3.13 the csv module quotes "\r" only where it is part of the line end.
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows(rows)
    return text.getvalue().encode()


def _check_columns(columns: Sequence[str]) -> None:
    names = ["file_name", *columns, "split"]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(
            f"a class is called {twice[0]!r}, like another column of the csv file",
            remedy="Choose --format jsonl or parquet.",
        )


def _write_parquet(file: BinaryIO, images: Collection[str], labels: Labels, split: str) -> None:
    pa = import_pyarrow()
    kind = pa.int64() if labels.ndim == 1 else pa.list_(pa.int32())
    schema = pa.schema(
        [
            ("file_name", pa.string()),
            ("label" if labels.ndim == 1 else "labels", kind),
            ("split", pa.string()),
        ]
    )
    with pa.parquet.ParquetWriter(pa.PythonFile(file, mode="w"), schema) as writer:
        for paths, values in _batches(images, labels):
            columns = [paths, pa.array(values, kind), list(repeat(split, len(paths)))]
            writer.write_table(pa.table(columns, schema=schema))


def write_targets(
    file: BinaryIO, keys: Collection[str], labels: Labels, class_names: Sequence[str]
) -> None:
    """Write labels as one JSON object, one line for each image.

    Args:
        file: Where to.
        keys: Name of each image: its id, or `class/file`.
        labels: `(images,)` gives `{key: class id}`, `(images, classes)` gives
            `{key: {class name: label}}`.
        class_names: Names of the columns of `labels`.
    """
    encode = msgspec.json.encode
    before = b"{\n"
    for names, values in _batches(keys, labels):
        rows = (
            values if labels.ndim == 1 else [dict(zip(class_names, v, strict=True)) for v in values]
        )
        lines = [b"%s: %s" % (encode(k), encode(v)) for k, v in zip(names, rows, strict=True)]
        file.write(before + b",\n".join(lines))
        before = b",\n"
    file.write(b"\n}\n")
