"""A tree of class folders with links to the images of a partition, as today's loaders want it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sslprep import interrupts
from sslprep.atomic import OutputSet
from sslprep.errors import DatasetError, OutputError
from sslprep.parameters import command
from sslprep.partition import LABELS, image_root, read_partition
from sslprep.partition.images import Images, look_for
from sslprep.results import result

logger = logging.getLogger(__name__)


@result
class LinkTree:
    """What `link_tree` made or removed.

    Attributes:
        folder: The tree.
        links: How many links.
        classes: How many class folders.
    """

    folder: Path
    links: int
    classes: int


@command()
def link_tree(
    partition: Path, output: Path, *, hard: bool = False, remove: bool = False
) -> LinkTree:
    """Make class folders of links to the images of a single-label partition.

    Args:
        partition: Folder and name of the partition: `out/imagenet/val`.
        output: The tree, `<output>/<class>/<image>`; must not exist.
        hard: Hard links in place of symbolic ones.
        remove: Take such a tree away again: only links to the images of the partition.

    Returns:
        How many links were made or removed.

    Raises:
        DatasetError: The partition has several labels an image, or two images of one name.
        OutputError: The tree exists, holds something else, or cannot be written.
    """
    links = dict(_links(partition))
    folders = {link.parent for link in links}
    done = LinkTree(folder=output, links=len(links), classes=len(folders))
    if remove:
        _remove(output, links)
        return done
    with OutputSet(output.parent, [], manifests=[], lock=output.name):
        if os.path.lexists(output):
            remedy = "Choose another, or --remove it."
            raise OutputError("exists already", where=output, remedy=remedy)
        if odd := look_for(Images([("", [*map(str, links.values())])]), Path()):
            logger.warning("%s", odd)
        _make(output, links, link=os.link if hard else os.symlink)
    return done


def _make(tree: Path, links: dict[Path, Path], *, link: Callable[[Path, Path], None]) -> None:
    part = tree.with_name(f".{tree.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    try:
        for folder in {place.parent for place in links}:
            (part / folder).mkdir(parents=True, exist_ok=True)
        for place, image in links.items():
            link(image, part / place)
        with interrupts.held():
            part.rename(tree)
    except OSError as error:
        raise OutputError(f"cannot be linked: {error.strerror}", where=error.filename) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _links(partition: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the place of each link in the tree, and the image that it leads to."""
    images, labels, classes = read_partition(partition.parent, partition.name)
    if labels.ndim != 1:
        where = partition.with_name(partition.name + LABELS)
        raise DatasetError("has several labels an image", where=where, expected="one class each")
    root = image_root(partition.parent, partition.name)
    names = {record.id: record.name for record in classes}
    seen: set[Path] = set()
    for image, label in zip(images.tolist(), labels.tolist(), strict=True):
        place = Path(names[label], os.path.basename(image))
        if place.is_absolute() or ".." in place.parts:
            raise DatasetError(f"the link {place} would be outside of the tree", where=partition)
        if place in seen:
            raise DatasetError(f"two images would be {place}", where=partition)
        seen.add(place)
        yield place, root / image


def _remove(tree: Path, links: dict[Path, Path]) -> None:
    """Remove links to the images and folders left empty; nothing if there is anything else."""
    if not tree.is_dir():
        raise OutputError("no such folder", where=tree, remedy="Check the path.")
    for place, folders, names in os.walk(tree):
        for name in (*names, *(n for n in folders if os.path.islink(os.path.join(place, n)))):
            path = Path(place, name)
            image = links.get(path.relative_to(tree))
            ours = path.is_symlink() and image is not None and os.readlink(path) == str(image)
            with contextlib.suppress(OSError):
                ours = ours or (image is not None and path.samefile(image))
            if not ours:
                raise OutputError("is no link to an image of the partition", where=path)
    for place, _, names in os.walk(tree, topdown=False):
        for name in names:
            os.unlink(os.path.join(place, name))
        os.rmdir(place)
