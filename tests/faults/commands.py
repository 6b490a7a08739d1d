"""Every writing command, with small inputs from the demo's builders."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np
from tests.faults import process
from tests.faults.case import Job

from sslprep.cli import COMMANDS
from sslprep.demo import build, checkpoints
from sslprep.demo.build import Photos


@functools.cache
def photos() -> Photos:
    """Read the demo's photographs once."""
    return build.load_photos()


def _coco(folder: Path, seed: int) -> None:
    build.build_coco(folder, photos(), train=12, val=9, seed=seed)


def _voc(folder: Path, seed: int) -> None:
    build.build_voc(folder, photos(), splits={"train": 12, "val": 12}, seed=seed, crlf=True)


def _folders(folder: Path, seed: int) -> None:
    build.build_image_folders(folder, photos(), ["ant", "bee", "cow"], train=8, val=3, seed=seed)


def _sslprep(*arguments: object) -> None:
    ended = process.run(["-m", "sslprep", *map(str, arguments)])
    if ended.code != 0:
        raise RuntimeError(f"sslprep {arguments}: {ended.stderr}")


def _partition(folder: Path, seed: int) -> None:
    _folders(folder / "images", seed)
    _sslprep(
        *("data", "folders", "--data_source_dir", folder / "images"),
        *("--output_dir", folder / "partition"),
    )


def _multilabel(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1], size=(300, 5), p=[0.3, 0.65, 0.05]).astype(np.int32)
    np.save(folder / "targets.npy", labels)


def _singlelabel(folder: Path, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(6), 40))
    np.save(folder / "labels.npy", labels)
    np.save(folder / "images.npy", np.array([f"/{c}/{i}.jpg" for i, c in enumerate(labels)]))


def _nothing(folder: Path, seed: int) -> None:
    (folder / "seed").write_text(str(seed))


def _images(folder: Path, seed: int) -> None:
    _folders(folder, seed)
    paths = sorted(map(str, folder.glob("train/*/*.jpg")))
    np.save(folder / "images.npy", np.array(paths))


def _histogram(folder: Path, seed: int) -> None:
    _images(folder, seed)
    _sslprep(
        *("color", "histogram", "--type", "train", "--data_file", folder / "images.npy"),
        *("--output_path", folder / "table"),
    )


def _bins(folder: Path, seed: int) -> None:
    _images(folder, seed)
    _sslprep(
        *("color", "generate", "--type", "train", "--data_file", folder / "images.npy"),
        *("--output_path", folder / "bins", "--bin_size", 20, "--jobs", 1),
    )


def _model(folder: Path, seed: int, *, towers: int) -> None:
    model = checkpoints.ResNet(
        towers=towers, width=4, heads={"pred": (10, 128)}, blocks=(3, 4, 6, 3)
    )
    blobs = checkpoints.blobs(model, seed=seed)
    (folder / "model.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))


def _jigsaw_model(folder: Path, seed: int) -> None:
    _model(folder, seed, towers=3)


def _plain_model(folder: Path, seed: int) -> None:
    _model(folder, seed, towers=0)


def _torch_model(folder: Path, seed: int) -> None:
    _plain_model(folder, seed)
    _sslprep(
        *("convert", "pytorch", "--c2_model", folder / "model.pkl"),
        *("--output_model", folder / "model.pth", "--keep-head"),
    )


def _permutations(folder: Path, seed: int) -> None:
    _sslprep("jigsaw", "generate", "--n", 20, "--seed", seed, "--output_dir", folder)


def _artefacts(folder: Path, seed: int) -> None:
    _partition(folder, seed)
    _permutations(folder / "jigsaw", seed)


def _seed(inputs: Path) -> str:
    return (inputs / "seed").read_text()


JOBS = (
    Job(
        "data coco",
        _coco,
        lambda a, out: [
            *("--json_annotations_dir", a / "annotations", "--output_dir", out),
            *("--train_imgs_path", a / "coco_train2014", "--val_imgs_path", a / "coco_val2014"),
        ],
        victim="annotations/instances_val2014.json",
    ),
    Job(
        "data voc",
        _voc,
        lambda a, out: ["--data_source_dir", a, "--output_dir", out, "--generate_json", 1],
        victim="ImageSets/Main/cat_trainval.txt",
    ),
    Job(
        "data folders",
        _folders,
        lambda a, out: [
            *("--data_source_dir", a, "--output_dir", out, "--format", "npy,jsonl,csv,txt"),
        ],
    ),
    Job(
        "data relocate",
        _partition,
        lambda a, out: [
            *("--folder", a / "partition", "--output_dir", out),
            *("--old_prefix", a / "images", "--new_prefix", "/elsewhere"),
        ],
        victim="partition/train_labels.npy",
    ),
    Job(
        "data check",
        _partition,
        lambda a, out: ["--folder", a / "partition", "--output_dir", out, "--jobs", 2],
        victim="partition/train_images.npy",
        parallel=True,
    ),
    Job(
        "lowshot voc",
        _multilabel,
        lambda a, out: [
            *("--targets_data_file", a / "targets.npy", "--output_path", out),
            *("--k_values", "1,2,4", "--num_samples", 2),
        ],
        victim="targets.npy",
    ),
    Job(
        "lowshot places",
        _singlelabel,
        lambda a, out: [
            *("--images_data_file", a / "images.npy", "--targets_data_file", a / "labels.npy"),
            *("--output_path", out, "--k_values", "1,2,4", "--num_samples", 2),
        ],
        victim="labels.npy",
    ),
    Job(
        "jigsaw generate",
        _nothing,
        lambda a, out: ["--n", 701, "--seed", _seed(a), "--output_dir", out],
    ),
    Job(
        "jigsaw stats",
        _permutations,
        lambda a, out: [
            *("--file", a / "hamming_perms_20_patches_9_code.npy", "--plot", out / "plot.svg"),
        ],
        victim="hamming_perms_20_patches_9_code.npy",
    ),
    Job(
        "color histogram",
        _images,
        lambda a, out: [*_color(a / "images.npy", out), "--jobs", 2],
        victim="images.npy",
        resumes=(".resume.npz", ".resume.jsonl"),
        parallel=True,
    ),
    Job(
        "color bins",
        _histogram,
        lambda a, out: [
            *("--histogram", a / "table" / "ab_histogram_train_imagenet.npy"),
            *("--output_path", out, "--bin_size", "5,10", "--weights"),
        ],
        victim="table/ab_histogram_train_imagenet.npy",
    ),
    Job(
        "color generate",
        _images,
        lambda a, out: [*_color(a / "images.npy", out), "--bin_size", "10,20", "--jobs", 2],
        victim="images.npy",
        resumes=(".resume.npz", ".resume.jsonl"),
        parallel=True,
    ),
    Job(
        "color plot",
        _bins,
        lambda a, out: [
            *("--points", a / "bins" / "pts_in_hull_train_imagenet_bin20.npy"),
            *("--output_file", out / "plot.svg"),
        ],
        victim="bins/pts_in_hull_train_imagenet_bin20.npy",
    ),
    Job(
        "convert jigsaw",
        _jigsaw_model,
        lambda a, out: ["--model_file", a / "model.pkl", "--output_file", out / "out.pkl"],
        victim="model.pkl",
    ),
    Job(
        "convert detectron",
        _plain_model,
        lambda a, out: [
            *("--c2_model", a / "model.pkl", "--output_file", out / "out.pkl", "--absorb_std"),
        ],
        victim="model.pkl",
    ),
    Job(
        "convert pytorch",
        _plain_model,
        lambda a, out: [
            *("--c2_model", a / "model.pkl", "--output_model", out / "out.safetensors"),
            *("--format", "safetensors"),
        ],
        victim="model.pkl",
    ),
    Job(
        "convert caffe2",
        _torch_model,
        lambda a, out: ["--pth_model", a / "model.pth", "--output_model", out / "out.pkl"],
        victim="model.pth",
    ),
    Job(
        "report",
        _artefacts,
        lambda a, out: ["--folder", a, "--output", out / "report.html"],
        victim="partition/train_labels.npy",
    ),
)


def _color(images: Path, out: Path) -> list[object]:
    return ["--type", "train", "--data_file", images, "--output_path", out]


def available() -> tuple[Job, ...]:
    """Return the jobs whose command the command line knows."""
    return tuple(job for job in JOBS if job.name in COMMANDS)


def stand_in(how: str) -> Job:
    """Return a job that runs one of the stand-ins."""

    def build_source(folder: Path, seed: int) -> None:
        data = np.random.default_rng(seed).bytes(50_000)
        (folder / "source").write_bytes(data)

    return Job(
        how,
        build_source,
        lambda a, out: ["--source", a / "source", "--output_dir", out],
        victim="source",
        program=("-m", "tests.faults.stand_in"),
    )
