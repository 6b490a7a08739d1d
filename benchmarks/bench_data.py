"""`sslprep data` against plain implementations, on inputs of the real sizes.

    python benchmarks/bench_data.py            # about 10 minutes, 4 GB under the temporary folder
    python benchmarks/bench_data.py --quick    # seconds

The baselines are what one writes first: `json.load` and a loop, `os.listdir` and `np.array`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measure import HEADER, command, compare, row, run

SSLPREP = [sys.executable, "-m", "sslprep"]


def coco_ids(images: int, seed: int) -> list[int]:
    """Return the image ids of a generated annotation file."""
    return sorted(random.Random(seed).sample(range(1, 600_000), images))


def make_coco(path: str, images: int, annotations: int, seed: int) -> None:
    """Write an annotation file with the sizes and field order of the real ones."""
    rng = random.Random(seed)
    ids = coco_ids(images, seed)
    categories = [number for number in range(1, 91) if number % 9]
    pieces = [f"{rng.uniform(0, 640):.2f}" for _ in range(4096)]
    with open(path, "w") as file:
        file.write('{"info": {"year": 2014}, "licenses": [], "images": [')
        for at, number in enumerate(ids):
            file.write(
                (", " if at else "")
                + f'{{"license": 5, "file_name": "COCO_train2014_{number:012d}.jpg", '
                f'"coco_url": "http://mscoco.org/images/{number}", "height": 480, "width": 640, '
                f'"date_captured": "2013-11-14 16:28:13", "id": {number}}}'
            )
        file.write('], "annotations": [')
        for at in range(annotations):
            start = rng.randrange(4000)
            # 2 numbers a point; the real mean is about 27 points
            points = ", ".join((pieces * 2)[start : start + 2 * rng.randrange(4, 50)])
            w, h = rng.uniform(0, 300), rng.uniform(0, 300)
            file.write(
                (", " if at else "")
                + f'{{"segmentation": [[{points}]], "area": {w * h / 2:.4f}, "iscrowd": 0, '
                f'"image_id": {rng.choice(ids)}, "bbox": [{rng.uniform(0, 600):.2f}, '
                f"{rng.uniform(0, 440):.2f}, {w:.2f}, {h:.2f}], "
                f'"category_id": {rng.choice(categories)}, "id": {at + 1}}}'
            )
        names = ", ".join(f'{{"id": {c}, "name": "class {c}"}}' for c in categories)
        file.write(f'], "categories": [{names}]}}')


def plain_coco(annotations: str, output: str, images: str) -> None:
    """json.load and a loop."""
    import numpy as np

    with open(annotations) as file:
        data = json.load(file)
    column = {c["id"]: at for at, c in enumerate(data["categories"])}
    by_id = {image["id"]: image for image in data["images"]}
    labels = {image["id"]: np.zeros(len(column), dtype=np.int32) for image in data["images"]}
    for a in data["annotations"]:
        image = by_id[a["image_id"]]
        x, y, w, h = a["bbox"]
        x2, y2 = x + max(0, w - 1), y + max(0, h - 1)
        x1, x2 = (min(image["width"] - 1, max(0, v)) for v in (x, x2))
        y1, y2 = (min(image["height"] - 1, max(0, v)) for v in (y, y2))
        if a.get("ignore", 0) != 1 and a["area"] > 0 and x2 > x1 and y2 > y1:
            labels[a["image_id"]][column[a["category_id"]]] = 1
    order = sorted(by_id, key=lambda number: by_id[number]["file_name"])
    paths = [os.path.join(images, by_id[number]["file_name"]) for number in order]
    os.makedirs(output, exist_ok=True)
    np.save(os.path.join(output, "train_images.npy"), np.array(paths))
    np.save(os.path.join(output, "train_labels.npy"), np.array([labels[n] for n in order]))


def make_folders(root: str, classes: int, images: int) -> None:
    """Write empty files in the layout and with the names of ImageNet."""
    for number in range(classes):
        synset = f"n{number * 7919 % 10_000_000:08d}"
        folder = Path(root, "train", synset)
        folder.mkdir(parents=True)
        for at in range(images):
            os.close(os.open(f"{folder}/{synset}_{at * 31 % 100_000}.JPEG", os.O_CREAT))
        folder = Path(root, "val", synset)
        folder.mkdir(parents=True)
        Path(folder, f"ILSVRC2012_val_{number:08d}.JPEG").touch()


def plain_folders(root: str, output: str) -> None:
    """os.listdir and np.array, in the order of the disk, as in 2019."""
    import numpy as np

    os.makedirs(output, exist_ok=True)
    for split in ("train", "val"):
        paths, labels = [], []
        for label, folder in enumerate(os.listdir(os.path.join(root, split))):
            for name in os.listdir(os.path.join(root, split, folder)):
                paths.append(os.path.join(root, split, folder, name))
                labels.append(label)
        np.save(os.path.join(output, f"{split}_images.npy"), np.array(paths))
        np.save(os.path.join(output, f"{split}_labels.npy"), np.array(labels))


def only_list(root: str) -> None:
    """The least that any program does: list all folders."""
    for split in ("train", "val"):
        for folder in os.listdir(os.path.join(root, split)):
            os.listdir(os.path.join(root, split, folder))


def make_voc(root: str, images: int) -> None:
    """Write class lists of the sizes of VOC2007."""
    rng = random.Random(0)
    folder = Path(root, "ImageSets", "Main")
    folder.mkdir(parents=True)
    Path(root, "JPEGImages").mkdir()
    ids = {"trainval": range(1, 2 * images, 2), "test": range(2, 2 * images, 2)}
    for split, numbers in ids.items():
        for at in range(20):
            marks = rng.choices(("-1", " 1", " 0"), (0.92, 0.07, 0.01), k=len(numbers))
            text = "".join(f"{n:06d} {m}\r\n" for n, m in zip(numbers, marks, strict=True))
            folder.joinpath(f"class{at:02d}_{split}.txt").write_text(text, newline="")


def plain_voc(root: str, output: str) -> None:
    """Read the lists line by line into dictionaries."""
    import glob

    import numpy as np

    os.makedirs(output, exist_ok=True)
    for partition, split in (("train", "trainval"), ("test", "test")):
        files = sorted(glob.glob(os.path.join(root, "ImageSets", "Main", f"*_{split}.txt")))
        labels: dict[str, np.ndarray] = {}
        for column, path in enumerate(files):
            with open(path) as file:
                for line in file:
                    image, mark = line.split()
                    if image not in labels:
                        labels[image] = np.full(len(files), -1, dtype=np.int32)
                    labels[image][column] = {1: 1, -1: 0, 0: -1}[int(mark)]
        order = sorted(labels)
        paths = [os.path.join(root, "JPEGImages", f"{image}.jpg") for image in order]
        np.save(os.path.join(output, f"{partition}_images.npy"), np.array(paths))
        np.save(
            os.path.join(output, f"{partition}_labels.npy"), np.array([labels[i] for i in order])
        )


def sslprep(name: str, source: str, output: str) -> list[str]:
    """Return the command of `sslprep data NAME`."""
    flags = ["--data_source_dir", source, "--output_dir", output, "--overwrite", "--quiet"]
    return [*SSLPREP, "data", name, *flags]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small inputs")
    quick = parser.parse_args().quick
    scale = 50 if quick else 1
    repeat = 3
    place = tempfile.mkdtemp(prefix="sslprep-bench-")
    try:
        print(HEADER)
        coco, out = f"{place}/coco", f"{place}/out"
        os.mkdir(coco)
        for name, images, annotations in (
            ("train2014", 82_783, 605_000),
            ("val2014", 40_504, 292_000),
        ):
            path = f"{coco}/instances_{name}.json"
            run(command(make_coco, path, images // scale, annotations // scale, images))
        size = os.path.getsize(f"{coco}/instances_train2014.json") / 1e6
        data = [
            *SSLPREP,
            "data",
            "coco",
            "--json_annotations_dir",
            coco,
            "--train_imgs_path",
            place,
        ]
        data += ["--val_imgs_path", place, "--overwrite", "--quiet", "--output_dir", out]
        measured = compare(
            {
                "json.load, loop": command(
                    plain_coco, f"{coco}/instances_train2014.json", f"{place}/plain", place
                ),
                "sslprep": [*data, "--partitions", "train"],
            },
            repeat if quick else 1,
        )
        base, ours = measured["json.load, loop"], measured["sslprep"]
        task = f"COCO train2014, {size:.0f} MB"
        print(row(task, "json.load, loop", base), row(task, "sslprep", ours, base), sep="\n")
        ids = Path(f"{place}/ids.txt")
        ids.write_text("\n".join(map(str, coco_ids(40_504 // scale, seed=40_504)[::8])))
        every = run([*data, "--minival_ids", str(ids)])
        print(row("COCO, all four partitions", "sslprep", every), flush=True)

        folders = f"{place}/imagenet"
        run(command(make_folders, folders, 1000 // scale, 1281))
        measured = compare(
            {
                "os.listdir alone": command(only_list, folders),
                "os.listdir, np.array": command(plain_folders, folders, f"{place}/plain2"),
                "sslprep": sslprep("folders", folders, f"{place}/out2"),
            },
            repeat,
        )
        base = measured["os.listdir, np.array"]
        for name, found in measured.items():
            count = f"{1_281_000 // scale:,} image files"
            print(row(count, name, found, base if name == "sslprep" else None), flush=True)

        voc = f"{place}/VOC2007"
        run(command(make_voc, voc, 5011))
        measured = compare(
            {
                "dictionaries, loop": command(plain_voc, voc, f"{place}/plain3"),
                "sslprep": sslprep("voc", voc, f"{place}/out3"),
                "sslprep --help": [*SSLPREP, "--help"],
            },
            7,
        )
        base = measured["dictionaries, loop"]
        for name, found in measured.items():
            print(row("VOC2007", name, found, base if name == "sslprep" else None))
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
