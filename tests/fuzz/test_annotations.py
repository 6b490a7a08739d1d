"""COCO JSON, VOC lists, and the text lists of ImageNet and Places."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.guard import examples, place, scrambled, spoilt_json

from sslprep import write_coco, write_folders, write_voc
from sslprep.errors import SslprepError

COCO: dict[str, Any] = {
    "images": [
        {"id": 9, "file_name": "a.jpg", "width": 20, "height": 10},
        {"id": 4, "file_name": "b.jpg", "width": 20, "height": 10},
    ],
    "annotations": [
        {
            "id": i,
            "image_id": image,
            "category_id": 7,
            "area": 4.5,
            "iscrowd": 0,
            "bbox": [1.0, 2.0, 5.0, 5.5],
            "segmentation": [[1, 2, 3, 4, 5, 6]],
        }
        for i, image in enumerate((9, 4, 4))
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
}
VOC = b"000001  1\r\n000002 -1\r\n000003  0\r\n"
PLACES = b"a/abbey/1.jpg 0\nb/beach/2.jpg 1\na/abbey/3.jpg 0\n"
FLAT = b"ImageId,PredictionString\nv1,n01 1 2 3 4\nv2,n02 1 2 3 4 n02 3 3 3 3\n"


@examples(150)
@given(spoilt_json(COCO))
def test_coco(data: bytes) -> None:
    with place() as at:
        (at.inputs / "instances_train2014.json").write_bytes(json.dumps(COCO).encode())
        (at.inputs / "instances_val2014.json").write_bytes(data)
        at.attempt(
            write_coco,
            json_annotations_dir=at.inputs,
            output_dir=at.out,
            train_imgs_path=at.inputs,
            val_imgs_path=at.inputs,
            partitions=("train", "val"),
        )


@examples(120)
@given(scrambled(VOC))
def test_voc(data: bytes) -> None:
    with place() as at:
        lists = at.inputs / "ImageSets" / "Main"
        lists.mkdir(parents=True)
        (at.inputs / "JPEGImages").mkdir()
        for name in ("cat", "dog"):
            for split in ("train", "val", "trainval", "test"):
                (lists / f"{name}_{split}.txt").write_bytes(VOC)
        (lists / "dog_trainval.txt").write_bytes(data)
        at.attempt(write_voc, data_source_dir=at.inputs, output_dir=at.out, generate_json=True)


@examples(100)
@given(scrambled(PLACES))
def test_places_lists(data: bytes) -> None:
    with place() as at:
        lists = at.inputs / "train_places.csv", at.inputs / "val_places.csv"
        lists[0].write_bytes(PLACES)
        lists[1].write_bytes(data)
        at.attempt(write_folders, data_source_dir=at.inputs, output_dir=at.out, list=lists)


@examples(100)
@given(scrambled(FLAT))
def test_flat_validation_labels(data: bytes) -> None:
    with place() as at:
        for synset in ("n01", "n02"):
            (at.inputs / "train" / synset).mkdir(parents=True)
            (at.inputs / "train" / synset / "t.JPEG").write_bytes(b"")
        (at.inputs / "val").mkdir()
        for name in ("v1", "v2"):
            (at.inputs / "val" / f"{name}.JPEG").write_bytes(b"")
        labels = at.folder / "labels.csv"
        labels.write_bytes(data)
        at.attempt(write_folders, data_source_dir=at.inputs, output_dir=at.out, val_labels=labels)


@examples(60)
@given(st.sampled_from(["coco", "ids"]), st.binary(max_size=60))
def test_minival_ids(kind: str, data: bytes) -> None:
    with place() as at:
        for name in ("train", "val"):
            (at.inputs / f"instances_{name}2014.json").write_bytes(json.dumps(COCO).encode())
        ids = at.folder / "ids.txt"
        ids.write_bytes(b"9\n" + data if kind == "ids" else data)
        result = at.attempt(
            write_coco,
            json_annotations_dir=at.inputs,
            output_dir=at.out,
            train_imgs_path=at.inputs,
            val_imgs_path=at.inputs,
            minival_ids=ids,
        )
        assert isinstance(result, SslprepError) or result.written
