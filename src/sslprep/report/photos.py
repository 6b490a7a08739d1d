"""The photos that partitions name: where they are now, and which to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import ImagesError, SslprepError
from sslprep.report.blocks import Shot, short
from sslprep.report.collect import Artefact, Collection
from sslprep.report.pictures import Picture, gradient, thumbnail, tile_variety

_ANCESTORS = 6
_TRIED = 12
_SIDE = 192
"""Pixels of a photo that is shown larger than a thumbnail."""


def images_of(partition: Artefact) -> NDArray[np.str_]:
    """Map the image list of a partition, (images,) of paths.

    Raises:
        SslprepError: There is none, or it is damaged.
    """
    names = partition.ending("_images.npy")
    if not names:
        raise SslprepError("the manifest names no image list", where=partition.title)
    return partition.array(names[0], ndim=1, kinds="U")


def labels_of(partition: Artefact) -> NDArray[np.integer]:
    """Map the labels of a partition, (images,) or (images, classes).

    Raises:
        SslprepError: There are none, or they are damaged.
    """
    names = partition.ending("_labels.npy")
    if not names:
        raise SslprepError("the manifest names no labels", where=partition.title)
    return partition.array(names[0], ndim=(1, 2), kinds="iu")


def find_file(text: str, artefact: Artefact) -> Path:
    """Return where a path that a manifest or a partition names leads now.

    A relative path was relative to `--relative-to`, or to where the command ran: that folder is
    looked for here and above the manifest.

    Raises:
        ImagesError: No such file.
    """
    if "\0" in text or "://" in text:
        raise ImagesError("is not on this disk")
    path = Path(text)
    if path.is_absolute():
        roots = [Path()]
    else:
        base = artefact.path.parent.absolute()
        given = artefact.parameters.text("relative_to")
        roots = [*([Path(given)] if given else []), Path(), base, *base.parents[:_ANCESTORS]]
    for root in roots:
        try:
            if (root / path).is_file():
                return root / path
        except OSError:  # a name longer than any file system allows
            continue
    raise ImagesError("file not found")


def shot(text: str, artefact: Artefact, caption: str, *, size: int, square: bool = True) -> Shot:
    """Return one gallery picture of an image path, or in its place why there is none."""
    name = short(text.replace("\\", "/").rpartition("/")[2])
    alt = f"{name}: {caption}" if caption else name
    try:
        picture = thumbnail(find_file(text, artefact), size, square=square)
    except ImagesError as error:
        return Shot(picture=None, alt=alt, caption=caption, problem=f"{name}: {error.problem}")
    return Shot(picture=picture, alt=alt, caption=caption)


class SamplePhoto:
    """One square photo of the collection, found when it is first asked for."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._found: tuple[Picture, str] | None = None

    def get(self) -> tuple[Picture, str]:
        """Return the picture and where it is from.

        Of some photos of the first readable partition it is the one whose tiles differ most.
        """
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self) -> tuple[Picture, str]:
        best: tuple[float, Picture, str] | None = None
        for partition in self._collection.of_kind("partition"):
            try:
                images = images_of(partition)
            except SslprepError:
                continue
            rows = np.linspace(0, max(0, len(images) - 1), min(_TRIED, len(images))).astype(int)
            for row in rows:
                try:
                    path = find_file(str(images[row]), partition)
                    variety = tile_variety(path)
                    if best is None or variety > best[0]:
                        picture = thumbnail(path, _SIDE, square=True, quality=80)
                        best = variety, picture, f"a photo of {partition.title}"
                except ImagesError:
                    continue
            if best is not None:
                return best[1:]
        return gradient(_SIDE), "a drawn picture, for want of a photo"
