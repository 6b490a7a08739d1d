"""A small collection with every kind of artefact, made by the commands themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

HOSTILE = "<script>alert(1)</script>\"&'"
"""A class name that is markup, an attribute's end and an entity's start at once."""


def save_photo(path: Path, number: int, size: tuple[int, int] = (48, 36)) -> None:
    """Save a JPEG with a gradient that depends on its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    planes = (x * 5 % 256, (y * 6 + 40 * number) % 256, (x + y + 90 * number) % 256)
    Image.fromarray(np.stack(planes, -1).astype(np.uint8)).save(path, quality=80)


def build_voc(folder: Path, images: int = 24) -> None:
    """Build a VOC tree of three classes, one of them with a hostile name."""
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    ids = [f"{i:06d}" for i in range(images)]
    for i, name in enumerate(ids):
        save_photo(folder / "JPEGImages" / f"{name}.jpg", i)
    for column, name in enumerate(("cat", "dog", "o<b>x")):
        for split in ("trainval", "test"):
            lines = []
            for i, image in enumerate(ids):
                label = 1 if i % 3 == column or i % 7 == column else -1
                lines.append(f"{image} {0 if i == 5 and column == 0 else label}")
            (lists / f"{name}_{split}.txt").write_text("\n".join(lines) + "\n")


def build_folders(folder: Path, each: int = 8) -> None:
    """Build an image folder tree; one class has a name that no file system forbids."""
    for split in ("train", "val"):
        for number, name in enumerate(("abbey", "\"&'<i>", "sky")):
            for i in range(each):
                save_photo(folder / split / name / f"{i}.jpg", 10 * number + i)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one or more artefacts of each kind; do not write to it."""
    from sslprep.checkpoints.detectron import convert_detectron
    from sslprep.checkpoints.pytorch import convert_pytorch
    from sslprep.color.bins import color_bins
    from sslprep.color.histogram import color_histogram
    from sslprep.color.plot import plot_color_bins
    from sslprep.data.folders import write_folders
    from sslprep.data.voc import write_voc
    from sslprep.demo import checkpoints
    from sslprep.jigsaw.generate import generate_permutations
    from sslprep.jigsaw.stats import permutation_stats
    from sslprep.lowshot.multilabel import draw_multilabel_samples
    from sslprep.lowshot.singlelabel import draw_singlelabel_samples
    from sslprep.partition.check import check_images

    base = tmp_path_factory.mktemp("world")
    out = base / "out"
    build_voc(base / "VOC2007")
    build_folders(base / "places")
    write_voc(data_source_dir=base / "VOC2007", output_dir=out / "voc07")
    write_folders(data_source_dir=base / "places", output_dir=out / "places")
    (base / "VOC2007" / "JPEGImages" / "000002.jpg").write_bytes(b"not a picture")
    check_images(folder=out / "voc07", partitions=("train",), jobs=1)
    draw_multilabel_samples(
        targets_data_file=out / "voc07" / "train_labels.npy",
        output_path=out / "voc07" / "low_shot",
        k_values=(1, 2),
        num_samples=3,
    )
    draw_singlelabel_samples(
        images_data_file=out / "places" / "train_images.npy",
        targets_data_file=out / "places" / "train_labels.npy",
        output_path=out / "places" / "low_shot",
        k_values=(1, 4),
        num_samples=2,
    )
    generate_permutations(n=20, output_dir=out / "perms")
    generate_permutations(n=9, m=4, method="max_min", output_dir=out / "perms")
    images = str(out / "places" / "train_images.npy")
    color_histogram(data_file=images, output_path=out / "color", jobs=1)
    [table] = (out / "color").glob("ab_histogram_*.npy")
    color_bins(histogram=(table,), output_path=out / "color", bin_size=(20,), weights=True)
    permutation_stats(
        file=out / "perms" / "hamming_perms_20_patches_9_code.npy", plot=out / "perms.svg"
    )
    [points] = (out / "color").glob("pts_in_hull_*.npy")
    plot_color_bins(points=points)
    model = checkpoints.small(checkpoints.JIGSAW, width=2)
    save_pickle(base / "jigsaw.pkl", checkpoints.blobs(model))
    convert_detectron(
        c2_model=base / "jigsaw.pkl",
        output_file=out / "models" / "detection.pkl",
        absorb_std=True,
    )
    convert_pytorch(
        c2_model=base / "jigsaw.pkl",
        output_model=out / "models" / "model.safetensors",
        format="safetensors",
    )
    return out


def save_pickle(path: Path, blobs: dict[str, Any]) -> None:
    """Save blobs as Caffe2 models are saved."""
    import pickle

    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a manifest by hand, with files beside it; returns its path."""

    def call(name: str, kind: str, files: dict[str, Any] | None = None, **fields: Any) -> Path:
        outputs = []
        for file, content in (files or {}).items():
            path = tmp_path / file
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                np.save(path, content)
            outputs.append({"file": file, "bytes": path.stat().st_size, "sha256": file * 2})
        record = {
            "schema": 1,
            "sslprep": "0.1",
            "kind": kind,
            "command": "made by hand",
            "parameters": {},
            "inputs": [],
            "outputs": outputs,
        }
        path = tmp_path / f"{name}.manifest.json"
        path.write_bytes(msgspec.json.encode(record | fields))
        return path

    return call


@pytest.fixture
def page(tmp_path: Path) -> Callable[[], str]:
    """Report on `tmp_path` and return the page's text."""
    from sslprep.report.page import write_report

    def call() -> str:
        result = write_report(folder=tmp_path, overwrite=True)
        assert result.bytes < 2_000_000
        return result.written[0].read_text("utf-8")

    return call


@pytest.fixture(scope="session")
def world_page(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page about the small collection."""
    from sslprep.report.page import write_report

    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(folder=world, output=path)
    return path


def chromium() -> str | None:
    """Return the path of a Chromium, if there is one."""
    import shutil

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start one headless Chromium for all tests."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    arguments = "--no-sandbox --disable-gpu --disable-quic --no-first-run"
    arguments += " --disable-background-networking --disable-component-update --disable-sync"
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=path, args=arguments.split())
        yield chrome
        chrome.close()
