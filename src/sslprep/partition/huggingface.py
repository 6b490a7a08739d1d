"""A partition for Hugging Face `datasets`: rows that `load_dataset(FOLDER)` finds and types.

The rows are in `{partition}.metadata.jsonl`; the `README.md` beside them, a dataset card, names
the splits and the features. So the images may stay wherever they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from sslprep.partition import IGNORE, PRESENT, Labels, batches
from sslprep.partition.images import Images

CARD = "README.md"
SUFFIX = ".metadata.jsonl"
MARK = "# Written by sslprep; load_dataset() reads the splits and features below\n"


def write_rows(
    file: BinaryIO, images: Images, labels: Labels | None, ids: Sequence[int], root: Path
) -> None:
    """Write one JSON line an image: `image`, and `label`, or `labels` with `ignored`.

    Args:
        file: Where to.
        images: Paths as stored.
        labels: As in the partition; `None` writes images alone.
        ids: Ids of the classes. `datasets` numbers classes from 0: by their place in this list.
        root: Where relative paths start; the rows hold absolute ones.
    """
    known = np.asarray(ids, np.int64)
    if labels is None:
        labels = np.empty((len(images), 0), np.int32)
        name = None
    elif labels.ndim == 1:
        labels, name = np.searchsorted(known, labels), "label"
    else:
        name = "labels"
    for paths, values in batches(images, labels):
        rows: list[dict[str, Any]] = [{"image": str(root / path)} for path in paths]
        for row, value in zip(rows, values if name else (), strict=bool(name)):
            row[name or ""] = _columns(value, PRESENT) if name == "labels" else value
            if name == "labels":
                row["ignored"] = _columns(value, IGNORE)
        file.write(msgspec.json.Encoder().encode_lines(rows))


def _columns(row: Sequence[int], label: int) -> list[int]:
    return [column for column, value in enumerate(row) if value == label]


def card(partitions: Sequence[str], class_names: Sequence[str], *, single: bool) -> bytes:
    """Return the dataset card of a folder: its splits, and the features of their rows."""
    quote = json.dumps  # a JSON string is a YAML string, whatever the class is called
    names = [f"          {quote(str(n))}: {quote(name)}" for n, name in enumerate(class_names)]
    lines = ["---", MARK.rstrip(), "configs:", "- config_name: default", "  data_files:"]
    for partition in partitions:
        lines += [f"  - split: {partition}", f"    path: {quote(partition + SUFFIX)}"]
    lines += ["dataset_info:", "  features:", "  - name: image", "    dtype: image"]
    if class_names and single:
        lines += ["  - name: label", "    dtype:", "      class_label:", "        names:", *names]
    for column in ("labels", "ignored") if class_names and not single else ():
        lines += [
            f"  - name: {column}",
            "    list:",
            "      class_label:",
            "        names:",
            *names,
        ]
    return "\n".join([*lines, "---", ""]).encode()
