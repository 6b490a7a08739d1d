"""Ten times the input for each system: at most eleven times the CPU, and how much memory.

    python benchmarks/bench_growth.py            # about 10 minutes
    python benchmarks/bench_growth.py --quick    # smaller inputs

The smaller input is large enough to outweigh the start of Python, which both sizes include.
The inputs are those of the benchmarks beside this one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import bench_checkpoints
import bench_color
import bench_data
import bench_evaluate
import bench_lowshot
from measure import HEADER, SSLPREP, command, compare, row, run

MOST = 11
TINY_IMAGES = 100_000

Case = tuple[str, list[str]]


def coco(place: str, size: int) -> Case:
    """Annotations, seven for each image as in train2014."""
    run(command(bench_data.make_coco, f"{place}/instances_train2014.json", size, 7 * size, 0))
    argv = [*SSLPREP, "data", "coco", place, f"{place}/out", "--train_imgs_path", place]
    return f"COCO, {size:,} images", [*argv, "--partitions", "train"]


def folders(place: str, size: int) -> Case:
    """Image files, a thousand in a class."""
    run(command(bench_data.make_folders, place, size // 1000, 1000, 0, 0))
    argv = [*SSLPREP, "data", "folders", place, f"{place}/out", "--partitions", "train"]
    return f"image folders, {size:,} files", argv


def voc(place: str, size: int) -> Case:
    """Class lists."""
    run(command(bench_data.make_voc, place, size))
    return f"VOC, {size:,} images", [*SSLPREP, "data", "voc", place, f"{place}/out"]


def lowshot(place: str, size: int) -> Case:
    """Images of 205 classes."""
    run(command(bench_lowshot.make, place, size))
    source = [f"{place}/train_images.npy", f"{place}/train_labels.npy"]
    argv = [*SSLPREP, "lowshot", "places", *source, f"{place}/out", "--k-values", "16"]
    return f"low-shot samples, {size:,} images", argv


def jigsaw(place: str, size: int) -> Case:
    """Permutations of sixteen patches from a code."""
    argv = [*SSLPREP, "jigsaw", "generate", f"{place}/out", "--n", str(size), "--m", "16"]
    return f"jigsaw code, N = {size:,}, M = 16", argv


def color(place: str, size: int) -> Case:
    """Tiny images, eight in turn."""
    run(command(bench_color.make_million, place, size))
    argv = [*SSLPREP, "color", "histogram", f"{place}/many{size}.npy", f"{place}/out"]
    return f"colours, {size:,} tiny images", [*argv, "--global_resize_img", "8", "--jobs", "1"]


def checkpoint(place: str, width: int) -> Case:
    """A Jigsaw ResNet-50 of nine towers, whose size goes with the square of its width."""
    source = Path(place, "model.pkl")
    run(command(bench_checkpoints.make, source, width))
    argv = [*SSLPREP, "convert", "pytorch", str(source), f"{place}/out.pth"]
    return f"checkpoint to PyTorch, {source.stat().st_size / 1e6:,.0f} MB", argv


def classifier(place: str, size: int) -> Case:
    """Features that are tested on; the samples stay as they are."""
    run(command(bench_evaluate.make, place, 600, size, 512, 20, [1, 12]))
    argv = [*SSLPREP, "evaluate", "lowshot", *_lowshot_arguments(place)]
    return f"low-shot curve, {size:,} test images", argv


def _lowshot_arguments(place: str) -> list[str]:
    return [
        *("--train-features", f"{place}/train_features.npy", "--samples", f"{place}/samples"),
        *("--test-features", f"{place}/test_features.npy"),
        *("--test-targets", f"{place}/test_labels.npy", "--output", f"{place}/out"),
    ]


def features(place: str, size: int) -> Case:
    """Photographs through a narrow ResNet-50."""
    run(command(bench_color.make_photos, place, size))
    run(command(bench_checkpoints.make, f"{place}/model.pkl", 8))
    source = [f"{place}/list.npy", f"{place}/model.pkl"]
    argv = [*SSLPREP, "evaluate", "features", *source, f"{place}/out", "--layers", "res5"]
    return f"features, {size:,} images", argv


def scores(place: str, size: int) -> Case:
    """Scores of twenty classes."""
    run(command(make_scores, place, size))
    argv = [*SSLPREP, "evaluate", "scores", f"{place}/scores.npy", f"{place}/targets.npy"]
    return f"average precision, {size:,} images", argv


def make_scores(place: str, images: int) -> None:
    random = np.random.default_rng(0)
    np.save(f"{place}/scores.npy", random.normal(size=(images, 20)))
    np.save(f"{place}/targets.npy", (random.random((images, 20)) < 0.1).astype(np.int32))


SYSTEMS: list[tuple[Callable[[str, int], Case], int, int]] = [
    (coco, 8_000, 80_000),
    (folders, 100_000, 1_000_000),
    (voc, 5_000, 50_000),
    (lowshot, 245_000, 2_450_000),
    (jigsaw, 4_000, 40_000),
    (color, TINY_IMAGES, 10 * TINY_IMAGES),
    (checkpoint, 20, 64),
    (features, 50, 500),
    (classifier, 2_000, 20_000),
    (scores, 50_000, 500_000),
]


def main() -> None:
    shrink = 20 if "--quick" in sys.argv[1:] else 1
    print(HEADER)
    for make, small, large in SYSTEMS:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            sizes = (small, large) if make is checkpoint else (small // shrink, large // shrink)
            cases = [make(place, size) for place, size in zip((first, second), sizes, strict=True)]
            again = [] if make is scores else ["--overwrite"]
            measured = compare({name: [*argv, *again, "--quiet"] for name, argv in cases}, 3)
        before, after = measured.values()
        for name, one in measured.items():
            print(row("growth", name, one), flush=True)
        times = after.cpu / before.cpu
        verdict = "" if times <= MOST else f", more than {MOST}"
        print(f"{list(measured)[1]}: {times:.1f} times the CPU of a tenth{verdict}", flush=True)


if __name__ == "__main__":
    main()
