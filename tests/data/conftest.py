"""Small data sets in the real layouts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def coco_file(
    images: list[tuple[int, str]],
    annotations: list[dict[str, Any]],
    categories: list[tuple[int, str]],
) -> dict[str, Any]:
    return {
        "images": [
            {"id": id_, "file_name": name, "width": 100, "height": 50, "license": 1}
            for id_, name in images
        ],
        "annotations": [
            {"segmentation": [[1.5, 2.5]], "iscrowd": 0, "id": at, "area": 10.0}
            | {"bbox": [10.0, 10.0, 20.0, 20.0]}
            | annotation
            for at, annotation in enumerate(annotations)
        ],
        "categories": [{"id": id_, "name": name} for id_, name in categories],
    }


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """train: 3 images, val: 4 images with the categories in another order."""
    folder = tmp_path / "annotations"
    folder.mkdir()
    train = coco_file(
        [(9, "c.jpg"), (3, "a.jpg"), (5, "b.jpg")],
        [{"image_id": 9, "category_id": 18}, {"image_id": 3, "category_id": 2}],
        [(2, "dog"), (18, "cat")],
    )
    val = coco_file(
        [(40, "v0.jpg"), (41, "v1.jpg"), (42, "v2.jpg"), (43, "v3.jpg")],
        [{"image_id": 41, "category_id": 18}, {"image_id": 43, "category_id": 2}],
        [(18, "cat"), (2, "dog")],
    )
    (folder / "instances_train2014.json").write_text(json.dumps(train))
    (folder / "instances_val2014.json").write_text(json.dumps(val))
    for name, images in (("train", "abc"), ("val", ["v0", "v1", "v2", "v3"])):
        (tmp_path / name).mkdir()
        for image in images:
            (tmp_path / name / f"{image}.jpg").touch()
    return tmp_path


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Write class lists from {"cat_train": "lines"}; return the folder."""

    def write(lists: dict[str, str], name: str = "VOC2007") -> Path:
        folder = tmp_path / name
        (folder / "ImageSets" / "Main").mkdir(parents=True)
        (folder / "JPEGImages").mkdir()
        for file, text in lists.items():
            folder.joinpath("ImageSets", "Main", f"{file}.txt").write_bytes(text.encode())
        return folder

    return write


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Make empty files under a folder; return the folder."""

    def write(*files: str) -> Path:
        folder = tmp_path / "set"
        for name in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return folder

    return write
