"""A partition as WebDataset shards: tar files of images and labels, equal bytes every time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    labels: Labels | None,
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
    rows = _rows(images, labels, class_names)
    shards = [f"{name}-{at:06d}.tar" for at in range(-(-len(images) // SHARD))]
    out.announce(shards)
    with console.progress(len(images), "images") as advance:
        for at, shard in enumerate(shards):
            with (
                out.create(shard) as file,
                tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
            ):
                for row in range(at * SHARD, min((at + 1) * SHARD, len(images))):
                    path, label, record = next(rows)
                    with reading(root / path, DatasetError):
                        content = (root / path).read_bytes()
                    suffix = Path(path).suffix.lower() or ".jpg"
                    _add(tar, f"{row:09d}{suffix}", content)
                    if label is not None:
                        _add(tar, f"{row:09d}.cls", str(label).encode())
                    _add(tar, f"{row:09d}.json", record)
                    advance(1)
    return shards


def _rows(
    images: Images, labels: Labels | None, class_names: Sequence[str]
) -> Iterator[tuple[str, int | None, bytes]]:
    encode = msgspec.json.encode
    if labels is None:
        yield from ((path, None, encode({"file_name": path})) for path in images)
        return
    for paths, values in batches(images, labels):
        for path, value in zip(paths, values, strict=True):
            if labels.ndim == 1:
                yield path, value, encode({"file_name": path, "label": value})
            else:
                by_class = dict(zip(class_names, value, strict=True))
                yield path, None, encode({"file_name": path, "labels": by_class})


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file whose header holds nothing of the machine or the hour."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))
