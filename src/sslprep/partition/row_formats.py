"""A partition as rows: JSON lines, csv, text and Parquet.

All are written in batches, so that a million rows are never in memory as Python objects.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import Any, BinaryIO

import msgspec
import numpy as np

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
    labels: Labels | None,
    split: str,
    class_names: Sequence[str],
) -> None:
    """Write the rows of a partition, one an image.

    Args:
        file: Where to.
        kind: `jsonl`, `csv`, `txt` or `parquet`.
        images: Paths, in row order.
        labels: `(images,)` class ids, `(images, classes)` of 1, 0, -1, or `None`: there are none.
        split: Name of the partition.
        class_names: Names of the columns of `labels`.
    """
    unlabelled = labels is None
    if labels is None:
        labels = np.empty((len(images), 0), np.int32)
    name = "label" if labels.ndim == 1 else "labels"
    if kind == "parquet":
        _write_parquet(file, images, labels, split, None if unlabelled else name)
        return
    if kind == "csv":
        columns = ["label"] if labels.ndim == 1 else list(class_names)
        _check_columns(columns)
        file.write(_csv([("file_name", *columns, "split")], columns))
    for paths, values in batches(images, labels):
        if kind == "csv":
            cells = ((v,) for v in values) if labels.ndim == 1 else values
            rows = ((p, *v, split) for p, v in zip(paths, cells, strict=True))
            file.write(_csv(rows, paths))
        elif kind == "jsonl":
            objects = [
                {"file_name": p, "split": split}
                if unlabelled
                else {"file_name": p, name: v, "split": split}
                for p, v in zip(paths, values, strict=True)
            ]
            file.write(msgspec.json.Encoder().encode_lines(objects))
        else:
            labelled = zip(paths, values, strict=True)
            lines = [f"{p}\n" for p in paths] if unlabelled else [f"{p} {v}\n" for p, v in labelled]
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
    counts = Counter(["file_name", *columns, "split"])
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DatasetError(
            f"a class is called {twice[0]!r}, like another column of the csv file",
            remedy="Choose --format jsonl or parquet.",
        )


def _write_parquet(
    file: BinaryIO, images: Collection[str], labels: Labels, split: str, name: str | None
) -> None:
    pa = import_pyarrow()
    kind = pa.int64() if labels.ndim == 1 else pa.list_(pa.int32())
    fields = [("file_name", pa.string()), ("split", pa.string())]
    if name:
        fields.insert(1, (name, kind))
    schema = pa.schema(fields)
    with pa.parquet.ParquetWriter(pa.PythonFile(file, mode="w"), schema) as writer:
        for paths, values in batches(images, labels):
            columns = [paths, list(repeat(split, len(paths)))]
            if name:
                columns.insert(1, pa.array(values, kind))
            writer.write_table(pa.table(columns, schema=schema))
