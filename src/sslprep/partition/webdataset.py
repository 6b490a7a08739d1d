"""A partition as WebDataset shards: tar files of images and labels, equal bytes every time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sslprep import console
from sslprep.atomic import OutputSet
from sslprep.errors import DatasetError
from sslprep.input_files import reading
from sslprep.partition import Labels, batches
from sslprep.partition.images import Images

SHARD = 10_000
"""Images in a shard: about 1 GB of ImageNet."""


def write_shards(
    out: OutputSet,
    name: str,
    images: Images,
    labels: Labels,
    class_names: Sequence[str],
    root: Path,
) -> list[str]:
    """Write `{name}-000000.tar`, … with a sample of each image, in row order.

    A sample is `{row}.jpg` (or as the image is called) with its bytes, `{row}.cls` with the
    class id (single labels), and `{row}.json`: `file_name`, and `label` or `labels` by class.

    Returns:
        Names of the shards.

    Raises:
        DatasetError: An image cannot be read.
    """
    rows = enumerate(row for batch in batches(images, labels) for row in zip(*batch, strict=True))
    shards = [f"{name}-{at:06d}.tar" for at in range(-(-len(images) // SHARD))]
    out.announce(shards)
    with console.progress(len(images), "images") as advance:
        for shard in shards:
            with (
                out.create(shard) as file,
                tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
            ):
                for row, (path, label) in islice(rows, SHARD):
                    with reading(root / path, DatasetError):
                        content = (root / path).read_bytes()
                    _add(tar, f"{row:09d}{Path(path).suffix.lower() or '.jpg'}", content)
                    record: dict[str, Any] = {"file_name": path}
                    if labels.ndim == 1:
                        _add(tar, f"{row:09d}.cls", str(label).encode())
                        record["label"] = label
                    elif class_names:
                        record["labels"] = dict(zip(class_names, label, strict=True))
                    _add(tar, f"{row:09d}.json", msgspec.json.encode(record))
                    advance(1)
    return shards


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file whose header holds nothing of the machine or the hour."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))
