"""Small data sets and checkpoints in the form in which they are downloaded.

The pictures are pieces of the photographs that scikit-image ships. Their labels are drawn from a
seeded generator, not seen: what is real is the layout, the file formats and the oddities (CRLF
line ends, stray files, category ids with gaps, images without annotation).
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
from sslprep.errors import MissingExtraError

Photos = Sequence[NDArray[np.uint8]]

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "hubble_deep_field", "ihc")
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
COCO_CATEGORIES = {1: "person", 2: "bicycle", 4: "motorcycle", 17: "cat", 47: "cup", 62: "chair"}
IMAGENET_SYNSETS = ("n01440764", "n02123045", "n03594945", "n03792782", "n07930864")
PLACES = ("abbey", "airport_terminal", "alley", "coffee_shop", "sky")


def load_photos() -> Photos:
    """Read the packaged photographs, RGB uint8 (H, W, 3) each."""
    try:
        import skimage
    except ImportError as error:
        raise MissingExtraError(
            "the demo takes its photographs from scikit-image",
            remedy='Install it: pip install "sslprep[demo]".',
        ) from error
    from PIL import Image

    folder = Path(skimage.__file__).parent / "data"
    files = [path for name in PHOTOS for path in sorted(folder.glob(f"{name}.*"))]
    return [np.asarray(Image.open(path).convert("RGB")) for path in files]


def save_piece(
    photos: Photos, path: Path, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[int, int]:
    """Save a random piece of a random photo as JPEG; returns its width and height in pixels.

    Args:
        photos: From `load_photos`.
        path: Where to save it.
        rng: Chooses photo, piece and mirroring.
        size: Width and height to scale it to; one picture in three stands upright.
    """
    from PIL import Image

    photo = photos[int(rng.integers(len(photos)))]
    width, height = size if rng.random() < 2 / 3 else size[::-1]
    scale = rng.uniform(0.4, 0.9) * min(photo.shape[1] / width, photo.shape[0] / height)
    w, h = int(width * scale), int(height * scale)
    x, y = rng.integers(photo.shape[1] - w + 1), rng.integers(photo.shape[0] - h + 1)
    piece = photo[y : y + h, x : x + w]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    Image.fromarray(piece).resize((width, height), Image.Resampling.BILINEAR).save(path, quality=88)
    return width, height


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
        for name in ids:
            save_piece(photos, pictures / f"{name}.jpg", rng, (100, 75))
        rows[split] = ids, _voc_labels(rng, count)
    if {"train", "val"} <= set(rows):
        (train, a), (val, b) = rows["train"], rows["val"]
        rows["trainval"] = train + val, np.concatenate([a, b])
    for split, (ids, labels) in rows.items():
        for column, name in enumerate(VOC_CLASSES):
            lines = [f"{i} {v:2d}{end}" for i, v in zip(ids, labels[:, column], strict=True)]
            (lists / f"{name}_{split}.txt").write_text("".join(lines), newline="")
        (lists / f"{split}.txt").write_text("".join(f"{i}{end}" for i in ids), newline="")


def _voc_labels(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Draw VOC's labels (1 present, -1 absent, 0 difficult), one image in 20 of each class."""
    labels = np.full((count, len(VOC_CLASSES)), -1)
    # Two classes an image by turns: every class gets as many as any other.
    turns = np.arange(count)
    labels[turns, turns % 20] = 1
    extra = rng.random(count) < 0.3
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
            width, height = save_piece(photos, pictures / name, rng, (160, 120))
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            for _ in range(rng.integers(0, 4)):
                annotations.append(_coco_annotation(rng, number, width, height, len(annotations)))
        _write_coco(folder, f"{split}2014", images, annotations)
        if split == "val":
            part = [
                {**image, "file_name": image["file_name"].rpartition("_")[2]}
                for image in images[::3]
            ]
            ids = {image["id"] for image in part}
            _write_coco(folder, "val2017", part, [a for a in annotations if a["image_id"] in ids])


def _coco_annotation(
    rng: np.random.Generator, image: int, width: int, height: int, number: int
) -> dict[str, Any]:
    x, y = float(rng.uniform(0, width - 12)), float(rng.uniform(0, height - 12))
    w, h = float(rng.uniform(8, width - x)), float(rng.uniform(8, height - y))
    x, y, w, h = (round(v, 2) for v in (x, y, w, h))
    return {
        "id": number + 1,
        "image_id": image,
        "category_id": int(rng.choice(list(COCO_CATEGORIES))),
        "bbox": [x, y, w, h],
        "area": round(w * h, 2),
        "iscrowd": int(rng.random() < 0.05),
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
    }


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
            for i in range(count):
                save_piece(photos, place / f"{name}_{i:05d}.jpg", rng, (100, 75))


def build_datasets(folder: Path) -> None:
    """Build the five data sets of the user's document under `folder`."""
    photos = load_photos()
    # The document samples up to 96 positives and 19 x 96 negatives of each of 20 classes.
    voc07 = {"train": 1000, "val": 1000, "test": 60}
    build_voc(folder / "VOC2007", photos, splits=voc07, seed=7, crlf=True)
    voc12 = {"train": 60, "val": 60}
    build_voc(folder / "VOC2012", photos, splits=voc12, seed=12, crlf=False)
    build_coco(folder / "coco", photos, train=60, val=45, seed=14)
    build_image_folders(
        folder / "imagenet_full_size", photos, IMAGENET_SYNSETS, train=24, val=6, seed=1
    )
    build_image_folders(folder / "places205", photos, PLACES, train=96, val=6, seed=205)


def build_checkpoints(folder: Path, *, width: int = 64) -> None:
    """Build the three checkpoints of the user's document: a Jigsaw, a colorization, a supervised.

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
