"""Which classes each image shows, from COCO's instance annotations.

An annotation counts by the rule of the benchmark (Goyal et al. 2019, arXiv 1905.01235), which is
that of detection training: not ignored, an area, and a box that is left after clipping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.data.annotations import Annotation, Category, Image, Instances
from sslprep.errors import AnnotationError


def valid_boxes(
    boxes: NDArray[np.float64],
    area: NDArray[np.float64],
    ignore: NDArray[np.bool_],
    width: NDArray[np.float64],
    height: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Tell which annotations count.

    Args:
        boxes: (N, 4) left, top, width, height in pixels.
        area: (N,) square pixels.
        ignore: (N,) whether the annotation says `ignore: 1`.
        width: (N,) width of the image that each annotation belongs to.
        height: (N,) its height.

    Returns:
        (N,) True where `ignore` is not set, the area is positive, and the box, clipped to the
        image, still has positive width and height. Whatever is NaN does not count.

    Example:
        >>> one = np.ones(2)
        >>> boxes = np.array([[1.0, 1, 5, 5], [99, 1, 5, 5]])
        >>> valid_boxes(boxes, one, one < 0, one * 100, one * 100).tolist()
        [True, False]
    """
    x1, y1, w, h = boxes.T
    with np.errstate(invalid="ignore", over="ignore"):  # infinite sizes: the oracle agrees
        x2 = x1 + np.maximum(0.0, w - 1)
        y2 = y1 + np.maximum(0.0, h - 1)
        x1, x2 = (np.minimum(width - 1, np.maximum(0.0, x)) for x in (x1, x2))
        y1, y2 = (np.minimum(height - 1, np.maximum(0.0, y)) for y in (y1, y2))
        valid: NDArray[np.bool_] = ~ignore & (area > 0) & (x2 > x1) & (y2 > y1)
    return valid


@dataclass(frozen=True, kw_only=True, eq=False)
class Presence:
    """Which classes each image shows.

    Attributes:
        file_names: Distinct file names, sorted: the rows.
        rows: The row of each image id; images of one file name share it.
        labels: `int32 (rows, classes)`, 1 or 0; columns in the order of the file's categories.
        classes: The categories.
        annotations: How many annotations the file has (0: chosen from another file's).
        valid: How many of them count.
    """

    file_names: list[str]
    rows: dict[int, int]
    labels: NDArray[np.int32]
    classes: list[Category]
    annotations: int = 0
    valid: int = 0


def presence(instances: Instances) -> Presence:
    """Build the label matrix of a decoded annotation file.

    Raises:
        AnnotationError: A duplicate id, an unknown image or category, or a bad file name.
    """
    images, annotations = instances.images, instances.annotations
    _check_categories(instances.categories)
    file_names = sorted({image.file_name for image in images})
    _check_file_names(images)
    row_of_name = {name: row for row, name in enumerate(file_names)}
    rows = {image.id: row_of_name[image.file_name] for image in images}
    if len(rows) < len(images):
        raise _duplicate("images", [image.id for image in images])

    image_at = _positions(annotations, "image_id", [image.id for image in images])
    column = _positions(annotations, "category_id", [c.id for c in instances.categories])
    count = len(annotations)
    widths = np.fromiter(map(attrgetter("width"), images), np.float64, len(images))
    heights = np.fromiter(map(attrgetter("height"), images), np.float64, len(images))
    valid = valid_boxes(
        _boxes(annotations),
        np.fromiter(map(attrgetter("area"), annotations), np.float64, count),
        np.fromiter(
            (flag == 1 for flag in map(attrgetter("ignore"), annotations)), np.bool_, count
        ),
        widths[image_at],
        heights[image_at],
    )
    row_at = np.fromiter((rows[image.id] for image in images), np.intp, len(images))
    labels = np.zeros((len(file_names), len(instances.categories)), dtype=np.int32)
    labels[row_at[image_at[valid]], column[valid]] = 1
    return Presence(
        file_names=file_names,
        rows=rows,
        labels=labels,
        classes=instances.categories,
        annotations=count,
        valid=int(np.count_nonzero(valid)),
    )


def _boxes(annotations: Sequence[Annotation]) -> NDArray[np.float64]:
    boxes = [annotation.bbox for annotation in annotations]
    sides = [
        np.fromiter(map(attrgetter(side), boxes), np.float64, len(boxes))
        for side in ("x", "y", "width", "height")
    ]
    return np.stack(sides, axis=1)


def _positions(
    annotations: Sequence[Annotation], field: Literal["image_id", "category_id"], ids: list[int]
) -> NDArray[np.intp]:
    """Return where in `ids` each annotation's field stands."""
    wanted = np.fromiter(map(attrgetter(field), annotations), np.int64, len(annotations))
    known = np.array(ids, dtype=np.int64)
    order = np.argsort(known, kind="stable")
    found = np.searchsorted(known, wanted, sorter=order)
    at: NDArray[np.intp] = order[np.minimum(found, len(ids) - 1)] if ids else found
    unknown = known[at] != wanted if ids else np.ones(len(wanted), np.bool_)
    if unknown.any():
        first = int(np.argmax(unknown))
        listed = "images" if field == "image_id" else "categories"
        raise AnnotationError(
            f"{wanted[first]} is not among the file's {listed}",
            where=f"$.annotations[{first}].{field}",
        )
    return at


def _check_categories(categories: Sequence[Category]) -> None:
    if len({c.id for c in categories}) < len(categories):
        raise _duplicate("categories", [c.id for c in categories])
    names = [c.name for c in categories]
    if len(set(names)) < len(names):
        at = next(i for i, name in enumerate(names) if name in names[:i])
        raise AnnotationError(
            f"a second category called {names[at]}", where=f"$.categories[{at}].name"
        )
    if not names:
        raise AnnotationError("is empty", where="$.categories", expected="the classes")


def _duplicate(field: str, ids: list[int]) -> AnnotationError:
    first = {id_: at for at, id_ in reversed(list(enumerate(ids)))}
    at, id_ = next((at, id_) for at, id_ in enumerate(ids) if first[id_] != at)
    return AnnotationError(f"the id {id_} occurs a second time", where=f"$.{field}[{at}].id")


def _check_file_names(images: Sequence[Image]) -> None:
    """Refuse names that lead out of the image folder; every other one is the user's business."""
    for at, image in enumerate(images):
        name = image.file_name
        if name.startswith("/") or "\0" in name or not name or ".." in name.split("/"):
            raise AnnotationError(
                f"got {name[:60]!r}",
                where=f"$.images[{at}].file_name",
                expected="the name of a file within the image folder",
            )


def select(found: Presence, ids: set[int], *, inside: bool) -> Presence:
    """Keep the rows of the images in `ids` (or, with `inside=False`, all other rows).

    Raises:
        AnnotationError: An id that the annotation file does not have.
    """
    unknown = sorted(ids - found.rows.keys())
    if unknown:
        raise AnnotationError(
            f"{len(unknown)} of its image ids, such as {unknown[0]}, are not in val2014",
            expected="ids of images of instances_val2014.json",
        )
    wanted = np.zeros(len(found.file_names), dtype=np.bool_)
    wanted[[found.rows[id_] for id_ in ids]] = True
    keep = np.flatnonzero(wanted == inside).tolist()
    moved = {row: new for new, row in enumerate(keep)}
    return Presence(
        file_names=[found.file_names[row] for row in keep],
        rows={id_: new for id_, row in found.rows.items() if (new := moved.get(row)) is not None},
        labels=found.labels[keep],
        classes=found.classes,
    )


def align(found: Presence, classes: Sequence[Category]) -> NDArray[np.int32]:
    """Return the labels with columns in the order of `classes`, matched by name.

    Raises:
        AnnotationError: The file has other categories.
    """
    mine, wanted = [c.name for c in found.classes], [c.name for c in classes]
    if mine == wanted:
        return found.labels
    if set(mine) != set(wanted):
        odd = sorted(set(mine) ^ set(wanted))
        raise AnnotationError(
            f"has {len(mine)} categories, and {odd[0]} is in only one of the two files",
            where="$.categories",
            expected=f"the {len(wanted)} categories of the first partition, in any order",
        )
    return found.labels[:, [mine.index(name) for name in wanted]]
