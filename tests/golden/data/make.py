"""Make the expected partitions: `python tests/golden/data/make.py` writes them anew.

They pin names, dtypes, row order and the texts of all formats: training reads these files.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from sslprep.data.coco import write_coco
from sslprep.data.folders import write_folders
from sslprep.data.voc import write_voc

HERE = Path(__file__).parent


def make() -> dict[str, bytes]:
    """Return every expected file by `set/name`."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)  # stored paths are relative, so that they are the same everywhere
        try:
            _coco()
            _voc()
            _folders()
            return {
                str(path.relative_to("out")): path.read_bytes()
                for path in sorted(Path("out").rglob("*"))
                if path.is_file() and not path.name.endswith(".manifest.json")
            }
        finally:
            os.chdir(before)


def _coco() -> None:
    def box(image: int, category: int, **other: Any) -> dict[str, Any]:
        common = {"image_id": image, "category_id": category, "area": 9.5, "iscrowd": 0}
        return {**common, "bbox": [1, 2, 30.5, 4], "segmentation": [[1, 2]], **other}

    folder = Path("annotations")
    folder.mkdir()
    images = [{"id": i, "file_name": f"{9 - i}.jpg", "width": 64, "height": 48} for i in range(4)]
    annotations = [
        box(0, 7),
        box(0, 3),
        box(1, 3, ignore=1),
        box(2, 7, iscrowd=1),
        box(3, 3, area=0),
    ]
    categories = [{"id": 7, "name": "traffic light"}, {"id": 3, "name": "cup"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    for name in ("train", "val"):
        (folder / f"instances_{name}2014.json").write_text(json.dumps(data))
        Path(f"{name}2014").mkdir()
    Path("minival.txt").write_text("1\n2\n")
    write_coco(
        json_annotations_dir=folder,
        output_dir=Path("out/coco"),
        train_imgs_path=Path("train2014"),
        val_imgs_path=Path("val2014"),
        minival_ids=Path("minival.txt"),
        format=("csv", "jsonl"),
    )


def _voc() -> None:
    lists = Path("VOC2007/ImageSets/Main")
    lists.mkdir(parents=True)
    Path("VOC2007/JPEGImages").mkdir()
    for at, split in enumerate(("trainval", "test")):
        (lists / f"cat_{split}.txt").write_bytes(f"{at}1  1\r\n{at}2 -1\r\n{at}3  0\r\n".encode())
        (lists / f"dog_{split}.txt").write_bytes(f"{at}1 -1\r\n{at}4  1\r\n".encode())
    write_voc(
        data_source_dir=Path("VOC2007"),
        output_dir=Path("out/voc07"),
        generate_json=True,
        format=("csv", "jsonl"),
    )


def _folders() -> None:
    names = ["b/2.JPEG", "b/10.JPEG", "a/x.png", "B/ü, 1.jpg", "b/notes.txt"]
    for split in ("train", "val"):
        for name in names:
            path = Path("set", split, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    write_folders(
        data_source_dir=Path("set"),
        output_dir=Path("out/folders"),
        generate_json=True,
        format=("csv", "jsonl", "txt"),
    )


if __name__ == "__main__":
    for name, data in make().items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_bytes(data)
