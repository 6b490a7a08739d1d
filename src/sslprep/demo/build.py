"""Small data sets and checkpoints in the form in which they are downloaded.

What is real is the layout, the file formats and the oddities (CRLF line ends, category ids with
gaps, images without annotation). Labels are true: an image shows what it is labelled with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.pickling import write_pickle
from sslprep.demo import checkpoints
from sslprep.demo.pictures import Photos, collage, load_photos, picture_of

__all__ = [
    "Photos",
    "build_checkpoints",
    "build_coco",
    "build_datasets",
    "build_image_folders",
    "build_voc",
    "load_photos",
]

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
COCO_CATEGORIES = {1: "person", 2: "bicycle", 4: "motorcycle", 17: "cat", 47: "cup", 62: "chair"}
IMAGENET_SYNSETS = {
    "n01440764": "tench",
    "n02123045": "tabby",
    "n03594945": "jeep",
    "n03792782": "mountain bike",
    "n07920052": "espresso",
}
PLACES = ("abbey", "airport_terminal", "alley", "coffee_shop", "sky")

_LANDSCAPE, _PORTRAIT = (128, 96), (96, 128)
WIDTH = 16
"""Channels of conv1 of the demo's networks: of the published 64 a quarter, for 1/16 of the work."""


def build_voc(
    folder: Path, photos: Photos, *, splits: dict[str, int], seed: int, crlf: bool
) -> None:
    """Build a VOC2007 or VOC2012 tree: `JPEGImages` and the class lists of `ImageSets/Main`.

    Args:
        folder: The `VOC20xx` folder.
        photos: From `load_photos`.
        splits: Images per split; `trainval` is added as `train` and `val` together.
        seed: Seeds pictures and labels.
        crlf: End lines as the real VOC2007 does.
    """
    rng = np.random.default_rng(seed)
    lists, pictures = folder / "ImageSets" / "Main", folder / "JPEGImages"
    for path in (lists, pictures):
        path.mkdir(parents=True)
    end = "\r\n" if crlf else "\n"
    rows: dict[str, tuple[list[str], NDArray[np.int64]]] = {}
    first = 1
    for split, count in splits.items():
        ids = [f"{i:06d}" for i in range(first, first + count)]
        first += count
        labels = _voc_labels(rng, count)
        for name, row in zip(ids, labels, strict=True):
            present, difficult = (
                [VOC_CLASSES[i] for i in np.flatnonzero(row == v)] for v in (1, 0)
            )
            picture, _ = collage(present, photos, rng, _size(rng), small=difficult)
            picture.save(pictures / f"{name}.jpg", quality=85)
        rows[split] = ids, labels
    if {"train", "val"} <= set(rows):
        (train, a), (val, b) = rows["train"], rows["val"]
        rows["trainval"] = train + val, np.concatenate([a, b])
    for split, (ids, labels) in rows.items():
        for column, name in enumerate(VOC_CLASSES):
            lines = [f"{i} {v:2d}{end}" for i, v in zip(ids, labels[:, column], strict=True)]
            (lists / f"{name}_{split}.txt").write_text("".join(lines), newline="")
        (lists / f"{split}.txt").write_text("".join(f"{i}{end}" for i in ids), newline="")


def _size(rng: np.random.Generator) -> tuple[int, int]:
    """One picture in three stands upright."""
    return _PORTRAIT if rng.random() < 1 / 3 else _LANDSCAPE


def _voc_labels(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Draw VOC's labels (1 present, -1 absent, 0 difficult): every class in turn, some besides.

    People are somewhat more, as in the real set, where they are by far the largest class; here
    96 low-shot positives must leave 19 × 96 negatives.
    """
    labels = np.full((count, len(VOC_CLASSES)), -1)
    turns = np.arange(count)
    labels[turns, turns % 20] = 1
    labels[rng.random(count) < 0.02, VOC_CLASSES.index("person")] = 1
    extra = rng.random(count) < 0.25
    labels[turns[extra], (turns[extra] + 7) % 20] = 1
    difficult = (rng.random(labels.shape) < 0.004) & (labels == -1)
    labels[difficult] = 0
    return labels


def build_coco(folder: Path, photos: Photos, *, train: int, val: int, seed: int) -> None:
    """Build COCO2014 as downloaded, with `instances_val2017.json` in the place of minival.

    Args:
        folder: Gets `annotations`, `coco_train2014` and `coco_val2014`.
        photos: From `load_photos`.
        train: Images of train2014.
        val: Images of val2014; a third of them is val2017.
        seed: Seeds pictures and annotations.
    """
    rng = np.random.default_rng(seed)
    (folder / "annotations").mkdir(parents=True)
    number = 1
    for split, count in {"train": train, "val": val}.items():
        pictures = folder / f"coco_{split}2014"
        pictures.mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for _ in range(count):
            number += int(rng.integers(1, 40))
            name = f"COCO_{split}2014_{number:012d}.jpg"
            drawn = rng.choice(list(COCO_CATEGORIES), int(rng.integers(0, 4)), replace=False)
            size = _size(rng)
            names = [COCO_CATEGORIES[int(category)] for category in drawn]
            picture, parts = collage(names, photos, rng, size)
            picture.save(pictures / name, quality=85)
            images.append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
            for category, (left, top, right, bottom) in zip(drawn.tolist(), parts, strict=True):
                x, y, w, h = map(float, (left, top, right - left, bottom - top))
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": category,
                        "bbox": [x, y, w, h],
                        "area": w * h,
                        "iscrowd": 0,
                        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    }
                )
        _write_coco(folder, f"{split}2014", images, annotations)
        if split == "val":
            part = [
                {**image, "file_name": image["file_name"].rpartition("_")[2]}
                for image in images[::3]
            ]
            ids = {image["id"] for image in part}
            _write_coco(folder, "val2017", part, [a for a in annotations if a["image_id"] in ids])


def _write_coco(
    folder: Path, name: str, images: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> None:
    categories = [{"id": i, "name": n, "supercategory": "demo"} for i, n in COCO_CATEGORIES.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "annotations" / f"instances_{name}.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def build_image_folders(
    folder: Path, photos: Photos, classes: Sequence[str], *, train: int, val: int, seed: int
) -> None:
    """Build `train/<class>/` and `val/<class>/` as ImageNet and Places are laid out.

    Args:
        folder: The data set's folder.
        photos: From `load_photos`.
        classes: Names of the class folders.
        train: Images per class in train.
        val: Images per class in val.
        seed: Seeds the pictures.
    """
    rng = np.random.default_rng(seed)
    for split, count in {"train": train, "val": val}.items():
        for name in classes:
            place = folder / split / name
            place.mkdir(parents=True)
            shown = name if name in photos else IMAGENET_SYNSETS.get(name, name)
            for i in range(count):
                picture = picture_of(shown, photos, rng, _size(rng))
                picture.save(place / f"{name}_{i:05d}.jpg", quality=85)


def build_datasets(folder: Path) -> None:
    """Build the five data sets of the benchmark under `folder`."""
    photos = load_photos()
    # Low-shot samples take up to 96 positives and 19 x 96 negatives of each of 20 classes.
    voc07 = {"train": 1000, "val": 1000, "test": 60}
    build_voc(folder / "VOC2007", photos, splits=voc07, seed=7, crlf=True)
    # Of this one the features are computed: 5 or more of each class to train, 3 to test.
    voc12 = {"train": 100, "val": 60}
    build_voc(folder / "VOC2012", photos, splits=voc12, seed=12, crlf=False)
    build_coco(folder / "coco", photos, train=60, val=45, seed=14)
    synsets = list(IMAGENET_SYNSETS)
    build_image_folders(folder / "imagenet_full_size", photos, synsets, train=24, val=6, seed=1)
    build_image_folders(folder / "places205", photos, PLACES, train=96, val=6, seed=205)


def build_checkpoints(folder: Path, *, width: int = WIDTH) -> None:
    """Build three checkpoints of the benchmark: a Jigsaw, a colorization, a supervised.

    Args:
        folder: Gets `jigsaw_model.pkl`, `colorization_model.pkl` and `supervised_model.pkl`.
        width: Channels of conv1; 64 in the published models.
    """
    folder.mkdir(parents=True)
    models = {
        "jigsaw": checkpoints.JIGSAW,
        "colorization": checkpoints.COLORIZATION,
        "supervised": checkpoints.SUPERVISED,
    }
    for seed, (name, model) in enumerate(models.items()):
        chosen = model if width == 64 else checkpoints.small(model, width=width)
        with open(folder / f"{name}_model.pkl", "wb") as file:
            write_pickle(file, {"blobs": checkpoints.blobs(chosen, seed=seed)})
