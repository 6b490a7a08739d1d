"""Low-shot samples against a plain implementation, and against the least that can be done.

    python benchmarks/bench_lowshot.py            Places-205 at full size, and VOC2007
    python benchmarks/bench_lowshot.py --quick    a sixth of Places-205

The plain one loads both files and, for every k, sample and class, finds the class's rows and
draws from them: what one writes first. "floor" reads the two inputs, sorts the labels once and
writes the data files, without drawing, index files, hashes or fsync; "floor, hashed and synced"
adds what a manifest and files that survive a power cut cost any program.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from measure import HEADER, command, compare, row, run
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.lowshot.singlelabel import draw_singlelabel_samples

K_VALUES = (1, 2, 4, 8, 16, 32, 64, 96)
SAMPLES = 5
CLASSES = 205


def make(folder: str, rows: int) -> None:
    """Write image paths of 60 characters and labels, classes together as the reader writes them,
    and VOC2007-sized targets."""
    labels = np.sort(np.random.default_rng(0).integers(0, CLASSES, rows))
    images = (f"/data/places205/train/{n:03d}_cls/gsun_{i:024x}.jpg" for i, n in enumerate(labels))
    np.save(f"{folder}/train_labels.npy", labels)
    np.save(f"{folder}/train_images.npy", np.fromiter(images, "<U60", rows))
    shares = np.random.default_rng(1).uniform(0.03, 0.4, 20)
    targets = (np.random.default_rng(2).random((5011, 20)) < shares).astype(np.int32)
    np.save(f"{folder}/train_targets.npy", targets)


def ours_places(folder: str, out: str) -> None:
    draw_singlelabel_samples(
        Path(folder, "train_images.npy"),
        Path(folder, "train_labels.npy"),
        Path(out),
        overwrite=True,
    )


def plain_places(folder: str, out: str) -> None:
    images = np.load(f"{folder}/train_images.npy")
    labels = np.load(f"{folder}/train_labels.npy")
    for k in K_VALUES:
        for sample in range(1, SAMPLES + 1):
            drawn_images, drawn_labels = [], []
            for label in range(CLASSES):
                rows = np.where(labels == label)[0]
                rows = np.random.choice(rows, k, replace=False)  # noqa: NPY002 - as in 2019
                drawn_images.extend(images[rows])
                drawn_labels.extend(labels[rows])
            np.save(f"{out}/train_images_sample{sample}_k{k}.npy", drawn_images)
            np.save(f"{out}/train_labels_sample{sample}_k{k}.npy", drawn_labels)


def floor_places(folder: str, out: str, careful: int) -> None:
    images = np.load(f"{folder}/train_images.npy")
    labels = np.load(f"{folder}/train_labels.npy")
    order = np.argsort(labels, kind="stable")
    if careful:
        for name in ("train_images.npy", "train_labels.npy"):
            with open(f"{folder}/{name}", "rb") as file:
                hashlib.file_digest(file, "sha256")
    for k in K_VALUES:
        for sample in range(1, SAMPLES + 1):
            rows = order[: k * CLASSES]
            for kind, array in (("images", images[rows]), ("labels", labels[rows])):
                with open(f"{out}/train_{kind}_sample{sample}_k{k}.npy", "wb") as file:
                    np.save(file, array)
                    if careful:
                        hashlib.sha256(array.tobytes())
                        file.flush()
                        os.fsync(file.fileno())


def ours_voc(folder: str, out: str) -> None:
    draw_multilabel_samples(Path(folder, "train_targets.npy"), Path(out), overwrite=True)


def plain_voc(folder: str, out: str) -> None:
    targets = np.load(f"{folder}/train_targets.npy")
    for k in K_VALUES:
        for sample in range(1, SAMPLES + 1):
            result = np.full(targets.shape, -1, np.int32)
            for label in range(targets.shape[1]):
                for value, count in ((1, k), (0, (targets.shape[1] - 1) * k)):
                    rows = np.where(targets[:, label] == value)[0]
                    rows = np.random.choice(rows, count, replace=False)  # noqa: NPY002
                    result[rows, label] = value
            np.save(f"{out}/train_targets_sample{sample}_k{k}.npy", result)


def main() -> None:
    rows = 410_000 if "--quick" in sys.argv[1:] else 2_450_000
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "out")
        out.mkdir()
        run(command(make, place, rows))
        tasks = {
            f"Places, {rows:,} images": {
                "sslprep": command(ours_places, place, out),
                "floor": command(floor_places, place, out, 0),
                "floor, hashed and synced": command(floor_places, place, out, 1),
                "plain": command(plain_places, place, out),
            },
            "VOC2007, 5,011 × 20": {
                "sslprep": command(ours_voc, place, out),
                "plain": command(plain_voc, place, out),
            },
        }
        print(HEADER)
        for task, cases in tasks.items():
            medians = compare(cases, 3)
            base = medians["plain"]
            for name, measured in medians.items():
                print(row(task, name, measured, None if name == "plain" else base))


if __name__ == "__main__":
    main()
