"""`sslprep data` against plain implementations, on inputs of the real sizes.

    python benchmarks/bench_data.py            # about 10 minutes, 4 GB under the temporary folder
    python benchmarks/bench_data.py --quick    # seconds

The baselines are what one writes first: `json.load` and a loop, `os.listdir` and `np.array`.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measure import HEADER, SSLPREP, command, compare, row, run


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


def make_folders(root: str, classes: int, images: int, val_classes: int, val_images: int) -> None:
    """Write empty files in the layout and with the names of ImageNet."""
    for split, folders, each in (("train", classes, images), ("val", val_classes, val_images)):
        for number in range(folders):
            synset = f"n{number * 7919 % 100_000_000:08d}"
            folder = f"{root}/{split}/{synset}"
            os.makedirs(folder)
            for at in range(each):
                name = f"{synset}_{at * 31 % 100_000}" if split == "train" else f"val_{at:08d}"
                os.close(os.open(f"{folder}/{name}.JPEG", os.O_CREAT))


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


def plain_load(path: str) -> None:
    """json.load of one file, and nothing else."""
    with open(path) as file:
        json.load(file)


def make_parts(folder: str, images: int, annotations: int) -> None:
    """Write val's file, and minival's and valminusminival's out of it."""
    val = f"{folder}/instances_val2014.json"
    make_coco(val, images, annotations, images)
    with open(val) as file:
        data = json.load(file)
    minival = {image["id"] for image in data["images"][::8]}
    for name, inside in (("minival", True), ("valminusminival", False)):
        part = {
            **data,
            "images": [i for i in data["images"] if (i["id"] in minival) == inside],
            "annotations": [a for a in data["annotations"] if (a["image_id"] in minival) == inside],
        }
        with open(f"{folder}/instances_{name}2014.json", "w") as file:
            json.dump(part, file)


def sslprep(name: str, source: str, output: str, *more: str) -> list[str]:
    """Return the command of `sslprep data NAME`."""
    return [*SSLPREP, "data", name, source, output, "--overwrite", "--quiet", *more]


def bench_coco(place: str, scale: int) -> None:
    """All four partitions, against json.load of train's file alone and a plain loop over it."""
    folder, train = f"{place}/coco", f"{place}/coco/instances_train2014.json"
    os.mkdir(folder)
    run(command(make_coco, train, 82_783 // scale, 605_000 // scale, 82_783))
    run(command(make_parts, folder, 40_504 // scale, 292_000 // scale))
    size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    images = ["--train_imgs_path", place, "--val_imgs_path", place]
    measured = compare(
        {
            "train alone: json.load": command(plain_load, train),
            "train alone: json.load, loop": command(plain_coco, train, f"{place}/plain", place),
            "train alone: sslprep": sslprep(
                "coco", folder, f"{place}/out", *images, "--partitions", "train"
            ),
            "all four files: sslprep": sslprep("coco", folder, f"{place}/out", *images),
        },
        3,
    )
    base = measured["train alone: json.load"]
    for name, found in measured.items():
        print(row(f"COCO, four files of {size:.0f} MB", name, found, base), flush=True)


def bench_folders(place: str, scale: int) -> None:
    """ImageNet's 1.33 million files, against listing the same folders."""
    folders = f"{place}/imagenet"
    run(command(make_folders, folders, 1000 // scale, 1281, 50 // scale, 1000))
    measured = compare(
        {
            "os.listdir alone": command(only_list, folders),
            "os.listdir, np.array": command(plain_folders, folders, f"{place}/plain2"),
            "sslprep": sslprep("folders", folders, f"{place}/out2"),
        },
        5,
    )
    base = measured["os.listdir alone"]
    for name, found in measured.items():
        count = f"{(1_281_000 + 50_000) // scale:,} image files"
        print(row(count, name, found, base), flush=True)
    shutil.rmtree(folders)


def bench_classes(place: str, scale: int) -> None:
    """21,841 classes of 30 images against 1,000: the cost of an image must not grow."""
    cases = {}
    for classes in (1, 1000 // scale, 21_841 // scale):
        run(command(make_folders, f"{place}/{classes}", classes, 30, 0, 0))
        more = ("--partitions", "train")
        source = f"{place}/{classes}"
        cases[f"{classes:,} classes"] = sslprep("folders", source, f"{place}/c{classes}", *more)
    measured = compare(cases, 5)
    start = measured.pop("1 classes").cpu
    for name, found in measured.items():
        images = int(name.split()[0].replace(",", "")) * 30
        each = (found.cpu - start) / images * 1e6
        print(row(f"30 images a class: {each:.1f} µs an image", name, found), flush=True)


def bench_voc(place: str, scale: int) -> None:
    """VOC2007's forty class lists."""
    voc = f"{place}/VOC2007"
    run(command(make_voc, voc, 5011 // scale))
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


def main() -> None:
    benchmarks = {
        "coco": bench_coco,
        "folders": bench_folders,
        "classes": bench_classes,
        "voc": bench_voc,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small inputs")
    parser.add_argument("--only", choices=benchmarks, help="one of them")
    given = parser.parse_args()
    import sslprep as package  # not above: what is measured loads this module too

    # As pip does: where PYTHONDONTWRITEBYTECODE is set, every start would compile the package.
    compileall.compile_dir(Path(package.__file__).parent, quiet=1)
    place = tempfile.mkdtemp(prefix="sslprep-bench-")
    try:
        print(HEADER)
        for name, benchmark in benchmarks.items():
            if given.only in (None, name):
                benchmark(place, 50 if given.quick else 1)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
