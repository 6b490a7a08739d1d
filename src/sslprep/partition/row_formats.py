"""A partition as rows: JSON lines, csv, text and Parquet.

All are written in batches, so that a million rows are never in memory as Python objects.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, BinaryIO

import msgspec

from sslprep.errors import DatasetError, MissingExtraError
from sslprep.partition import Labels, batches


def import_pyarrow() -> Any:
    """Return pyarrow, or say how to install it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "--format parquet needs pyarrow", remedy="Install it: pip install pyarrow."
        ) from error
    return pyarrow


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
    name = "label" if labels.ndim == 1 else "labels" if class_names else None
    if kind == "parquet":
        _write_parquet(file, images, labels, split, name)
        return
    if kind in ("csv", "txt"):
        columns = ["label"] if labels.ndim == 1 else list(class_names)
        labels = labels.reshape(len(images), len(columns))
    if kind == "csv":
        _check_columns(columns)
        file.write(_csv([("file_name", *columns, "split")], columns))
    for paths, values in batches(images, labels):
        rows = zip(paths, values, strict=True)
        if kind == "csv":
            file.write(_csv(((path, *cells, split) for path, cells in rows), paths))
        elif kind == "txt":
            file.write("".join(" ".join([p, *map(str, v)]) + "\n" for p, v in rows).encode())
        else:
            records = (
                {"file_name": path, **({name: value} if name else {}), "split": split}
                for path, value in rows
            )
            file.write(msgspec.json.Encoder().encode_lines(records))


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
    name, count = Counter(["file_name", *columns, "split"]).most_common(1)[0]
    if count > 1:
        raise DatasetError(
            f"a class is called {name!r}, like another column of the csv file",
            remedy="Choose --format jsonl or parquet.",
        )


def _write_parquet(
    file: BinaryIO, images: Collection[str], labels: Labels, split: str, name: str | None
) -> None:
    pa = import_pyarrow()
    kind = pa.int64() if labels.ndim == 1 else pa.list_(pa.int32())
    fields = {"file_name": pa.string(), **({name: kind} if name else {}), "split": pa.string()}
    schema = pa.schema(fields)
    with pa.parquet.ParquetWriter(pa.PythonFile(file, mode="w"), schema) as writer:
        for paths, values in batches(images, labels):
            row = {"file_name": paths, name: values, "split": [split] * len(paths)}
            writer.write_table(pa.table({field: row[field] for field in fields}, schema=schema))
