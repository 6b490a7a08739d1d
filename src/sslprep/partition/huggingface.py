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
_COLUMNS = {"labels": PRESENT, "ignored": IGNORE}
"""With several labels: the classes of an image by column, and the label that they have."""


def write_rows(
    file: BinaryIO, images: Images, labels: Labels, ids: Sequence[int], root: Path
) -> None:
    """Write one JSON line an image: `image`, and `label`, or `labels` with `ignored`.

    Args:
        file: Where to.
        images: Paths as stored.
        labels: As in the partition.
        ids: Ids of the classes. `datasets` numbers classes from 0: by their place in this list.
        root: Where relative paths start; the rows hold absolute ones.
    """
    if labels.ndim == 1:
        labels = np.searchsorted(np.asarray(ids, np.int64), labels)
    for paths, values in batches(images, labels):
        rows = []
        for path, value in zip(paths, values, strict=True):
            row: dict[str, Any] = {"image": str(root / path)}
            if labels.ndim == 1:
                row["label"] = value
            for column, label in _COLUMNS.items() if ids and labels.ndim == 2 else ():
                row[column] = [at for at, own in enumerate(value) if own == label]
            rows.append(row)
        file.write(msgspec.json.Encoder().encode_lines(rows))


def card(partitions: Sequence[str], class_names: Sequence[str], *, single: bool) -> bytes:
    """Return the dataset card of a folder: its splits, and the features of their rows."""
    names = [f"          {_quoted(str(n))}: {_quoted(name)}" for n, name in enumerate(class_names)]
    lines = ["---", MARK.rstrip(), "configs:", "- config_name: default", "  data_files:"]
    for partition in partitions:
        lines += [f"  - split: {_quoted(partition)}", f"    path: {_quoted(partition + SUFFIX)}"]
    lines += ["dataset_info:", "  features:", "  - name: image", "    dtype: image"]
    for column in () if not class_names else ("label",) if single else _COLUMNS:
        lines += [f"  - name: {column}", "    dtype:" if single else "    list:"]
        lines += ["      class_label:", "        names:", *names]
    return "\n".join([*lines, "---", ""]).encode()


def _quoted(text: str) -> str:
    r"""Return a YAML string: a JSON string, but for emoji and the like, of which JSON makes two.

    Example:
        >>> print(_quoted('a "cat"'), _quoted("\U0001f431"))
        "a \"cat\"" "\U0001f431"
    """
    inner = (json.dumps(c)[1:-1] if ord(c) < 1 << 16 else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(inner)}"'
