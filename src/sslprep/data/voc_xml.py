"""VOC's labels from `Annotations/*.xml`, for data sets that have no class lists."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sslprep.data.voc import LEADS_OUT
from sslprep.errors import AnnotationError, DatasetError
from sslprep.image_files import is_image_name
from sslprep.input_files import read_text, reading
from sslprep.partition import ABSENT, IGNORE, PRESENT

_DIFFICULT = {"1": True, "true": True, "0": False, "false": False, "unspecified": False, "": False}


def labels_of(data: bytes) -> dict[str, int]:
    """Return the label of each class in one annotation.

    Present if any object of the class is not difficult, ignore if all of them are.

    Example:
        >>> dog = b"<object><name>dog</name><difficult>1</difficult></object>"
        >>> labels_of(b"<annotation><object><name>cat</name></object>" + dog + b"</annotation>")
        {'cat': 1, 'dog': -1}
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # entities can ask for any memory
        raise ElementTree.ParseError("has a document type")
    labels: dict[str, int] = {}
    root = ElementTree.fromstring(data)  # noqa: S314
    for element in root.iter():  # `Object` and `{namespace}object` are objects too
        element.tag = element.tag.rpartition("}")[2].lower()
    for item in root.iter("object"):
        name = (item.findtext("name") or "").strip()
        if not name:
            raise ElementTree.ParseError("an object has no name")
        word = (item.findtext("difficult") or "0").strip().lower()
        if word not in _DIFFICULT:
            raise ElementTree.ParseError(f"{name} has <difficult>{word[:20]}</difficult>")
        labels[name] = max(labels.get(name, IGNORE), IGNORE if _DIFFICULT[word] else PRESENT)
    if not labels and root.tag != "annotation":
        raise ElementTree.ParseError(f"no object, and around all is {root.tag}")
    return labels


def read_annotations(
    folder: Path, splits: Mapping[str, Path], wanted: Sequence[str] | None
) -> tuple[list[str], dict[str, tuple[list[str], NDArray[np.int32]]]]:
    """Read the annotations of the images that each split lists.

    Args:
        folder: `Annotations`.
        splits: Split -> file of image ids, one a line.
        wanted: Classes to take, in this order; `None` takes all, sorted.

    Returns:
        The classes; split -> image ids, sorted, and labels `int32 (images, classes)`.
    """
    labels: dict[str, dict[str, int]] = {}
    ids: dict[str, list[str]] = {}
    for split, path in splits.items():
        lines = map(str.strip, read_text(path, AnnotationError).split("\n"))
        ids[split] = sorted({_id(folder, line) for line in lines if line})
        for image in ids[split]:
            if LEADS_OUT.match(image):
                raise AnnotationError(f"got {image!r}", where=path, expected="an image id")
            if image not in labels:
                own = folder / f"{image}.xml"
                if is_image_name(image) and not own.exists():  # the list has names of files
                    own = folder / f"{image.rpartition('.')[0]}.xml"
                labels[image] = _read(own)
    found = sorted({name for own in labels.values() for name in own})
    if not found:
        raise DatasetError("has no object in it", where=folder, expected="VOC annotations")
    classes = list(wanted or found)
    if unknown := [name for name in classes if name not in found]:
        raise DatasetError(
            f"has no object of {unknown[0]}", where=folder, expected=", ".join(found)
        )
    return classes, {
        split: (own, np.array([[labels[i].get(c, ABSENT) for c in classes] for i in own], np.int32))
        for split, own in ids.items()
    }


def _id(folder: Path, line: str) -> str:
    """Return the image id of a line: it may hold blanks, be quoted, and have a mark or suffix."""
    there = os.path.exists(folder / f"{line}.xml")
    return line if there else re.sub(r'^"|\.xml$|"?\s+-?[01]$|"$', "", line)


def _read(path: Path) -> dict[str, int]:
    with reading(path, AnnotationError):
        data = path.read_bytes()
    try:
        return labels_of(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise AnnotationError(
            f"not readable XML ({error})", where=path, expected="a VOC annotation"
        ) from error
