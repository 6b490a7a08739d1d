"""Every writing command, with small inputs from the demo's builders."""

from __future__ import annotations

import functools
import pickle
import shutil
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


def _poisoned(folder: Path, seed: int) -> None:
    """Build class folders, one image of which some faults make a poison."""
    _folders(folder, seed)
    some = min(folder.glob("train/*/*.jpg"))
    shutil.copyfile(some, some.with_name("poison.jpg"))


def _partition(folder: Path, seed: int) -> None:
    _poisoned(folder / "images", seed)
    _sslprep("data", "folders", folder / "images", folder / "partition")


def _two_partitions(folder: Path, seed: int) -> None:
    for name in ("one", "two"):
        _folders(folder / name, seed)
        _sslprep("data", "folders", folder / name, folder / "of" / name)


def _lists(folder: Path, seed: int) -> None:
    _folders(folder / "images", seed)
    labels = {"ant": 0, "bee": 1, "cow": 2}
    images = sorted((folder / "images" / "train").glob("*/*.jpg"))
    rows = [f"{path.relative_to(folder)} {labels[path.parent.name]}\n" for path in images]
    (folder / "train.csv").write_text("".join(rows[::2]))
    (folder / "val.csv").write_text("".join(rows[1::2]))


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
    _poisoned(folder, seed)
    paths = sorted(map(str, folder.glob("train/*/*.jpg")))
    np.save(folder / "images.npy", np.array(paths))


def _stored(folder: Path, seed: int) -> None:
    _folders(folder, seed)
    paths = sorted(map(str, folder.glob("train/*/*.jpg")))
    np.save(folder / "images.npy", np.array([f"slow://{path}" for path in paths]))


def _histogram(folder: Path, seed: int) -> None:
    _images(folder, seed)
    _sslprep("color", "histogram", folder / "images.npy", folder / "table")


def _bins(folder: Path, seed: int) -> None:
    _images(folder, seed)
    _sslprep(
        *("color", "generate", folder / "images.npy", folder / "bins"),
        *("--bin-size", 20, "--jobs", 1),
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
    _sslprep("convert", "pytorch", folder / "model.pkl", folder / "model.pth", "--keep-head")


def _model_and_images(folder: Path, seed: int) -> None:
    _plain_model(folder, seed)
    _images(folder, seed)


def _features(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((120, 3)) < 0.3).astype(np.int32)
    features = rng.normal(size=(120, 20)) + labels @ rng.normal(size=(3, 20))
    for name, rows in {"train": slice(0, 80), "test": slice(80, 120)}.items():
        np.save(folder / f"{name}_features.npy", features[rows].astype(np.float32))
        np.save(folder / f"{name}_labels.npy", labels[rows])


def _features_and_samples(folder: Path, seed: int) -> None:
    _features(folder, seed)
    _sslprep(
        *("lowshot", "voc", folder / "train_labels.npy", folder / "samples"),
        *("--k-values", "1,2", "--num-samples", 2),
    )


def _permutations(folder: Path, seed: int) -> None:
    _sslprep("jigsaw", "generate", folder, "--n", 20, "--seed", seed)


def _artefacts(folder: Path, seed: int) -> None:
    _partition(folder, seed)
    _permutations(folder / "jigsaw", seed)


def _seed(inputs: Path) -> str:
    return (inputs / "seed").read_text()


def _sampled(a: Path, out: Path) -> list[object]:
    return [a / "images.npy", a / "labels.npy", out, "--k-values", "1,2,4", "--num-samples", 2]


def _tested(a: Path, out: Path) -> list[object]:
    return [
        *("--train-features", a / "train_features.npy", "--output", out),
        *("--test-features", a / "test_features.npy", "--test-targets", a / "test_labels.npy"),
    ]


def _counted(a: Path, out: Path) -> list[object]:
    timeout = ("--worker-timeout", PATIENCE, "--max-unreadable", 0.2)
    return [a / "images.npy", out, "--jobs", 2, *timeout]


PATIENCE = 20
"""Seconds that a command waits for a worker that says nothing."""

JOBS = (
    Job(
        "data coco",
        _coco,
        lambda a, out: [
            *(a / "annotations", out),
            *("--train-imgs-path", a / "coco_train2014", "--val-imgs-path", a / "coco_val2014"),
        ],
        victim="annotations/instances_val2014.json",
    ),
    Job(
        "data voc",
        _voc,
        lambda a, out: [a, out, "--generate-json"],
        victim="ImageSets/Main/cat_trainval.txt",
    ),
    Job(
        "data folders",
        _folders,
        lambda a, out: [a, out, "--format", "npy,jsonl,csv,txt"],
    ),
    Job(
        "data folders --format hf,wds",
        _folders,
        lambda a, out: [a, out, "--format", "hf,wds"],
    ),
    Job(
        "data folders --list",
        _lists,
        lambda a, out: [a, out, "--list", a / "train.csv", a / "val.csv"],
        victim="train.csv",
    ),
    Job(
        "data merge",
        _two_partitions,
        lambda a, out: [a / "of/one/train", a / "of/two/train", "--output", out],
        victim="of/two/train_labels.npy",
    ),
    Job(
        "data link-tree",
        _partition,
        lambda a, out: [a / "partition/train", out / "tree"],
        victim="partition/train_labels.npy",
        again=None,
    ),
    Job(
        "data relocate",
        _partition,
        lambda a, out: [
            *(a / "partition", out),
            *("--old-prefix", a / "images", "--new-prefix", "/elsewhere"),
        ],
        victim="partition/train_labels.npy",
    ),
    Job(
        "data check",
        _partition,
        lambda a, out: [a / "partition", out, "--jobs", 2, "--worker-timeout", PATIENCE],
        victim="partition/train_images.npy",
        parallel=True,
        again="",
    ),
    Job(
        "lowshot voc",
        _multilabel,
        lambda a, out: [a / "targets.npy", out, "--k-values", "1,2,4", "--num-samples", 2],
        victim="targets.npy",
    ),
    Job("lowshot places", _singlelabel, _sampled, victim="labels.npy"),
    Job(
        "lowshot imagenet --nested",
        _singlelabel,
        lambda a, out: [*_sampled(a, out), "--nested"],
        victim="images.npy",
    ),
    Job(
        "jigsaw generate",
        _nothing,
        lambda a, out: [out, "--n", 701, "--seed", _seed(a)],
    ),
    Job(
        "jigsaw generate --grid",
        _nothing,
        lambda a, out: [
            *(out, "--grid", "2x3", "--n", 100, "--method", "max_min", "--seed", _seed(a)),
        ],
    ),
    Job(
        "jigsaw stats",
        _permutations,
        lambda a, out: [a / "hamming_perms_20_patches_9_code.npy", "--plot", out / "plot.svg"],
        victim="hamming_perms_20_patches_9_code.npy",
    ),
    Job(
        "color histogram",
        _images,
        _counted,
        victim="images.npy",
        resumes=(".resume.json",),
        parallel=True,
    ),
    Job(
        "color histogram slow://…",
        _stored,
        lambda a, out: [a / "images.npy", out, "--jobs", 2],
        victim="images.npy",
        resumes=(".resume.json",),
        store=True,
    ),
    Job(
        "color bins",
        _histogram,
        lambda a, out: [
            *(a / "table/ab_histogram_train_imagenet.npy", "--output", out),
            *("--bin-size", "5,10", "--weights"),
        ],
        victim="table/ab_histogram_train_imagenet.npy",
    ),
    Job(
        "color generate",
        _images,
        lambda a, out: [*_counted(a, out), "--bin-size", "10,20"],
        victim="images.npy",
        resumes=(".resume.json",),
        parallel=True,
    ),
    Job(
        "color plot",
        _bins,
        lambda a, out: [a / "bins/pts_in_hull_train_imagenet_bin20.npy", out / "plot.svg"],
        victim="bins/pts_in_hull_train_imagenet_bin20.npy",
    ),
    Job(
        "convert jigsaw",
        _jigsaw_model,
        lambda a, out: [a / "model.pkl", out / "out.pkl"],
        victim="model.pkl",
    ),
    Job(
        "convert detectron",
        _plain_model,
        lambda a, out: [a / "model.pkl", out / "out.pkl", "--absorb-std"],
        victim="model.pkl",
    ),
    Job(
        "convert pytorch",
        _plain_model,
        lambda a, out: [a / "model.pkl", out / "out.pth"],
        victim="model.pkl",
    ),
    Job(
        "convert pytorch --container legacy",
        _plain_model,
        lambda a, out: [a / "model.pkl", out / "out.pth", "--container", "legacy"],
        victim="model.pkl",
    ),
    Job(
        "convert pytorch --format safetensors",
        _plain_model,
        lambda a, out: [a / "model.pkl", out / "out.safetensors", "--format", "safetensors"],
        victim="model.pkl",
    ),
    Job(
        "convert caffe2",
        _torch_model,
        lambda a, out: [a / "model.pth", out / "out.pkl"],
        victim="model.pth",
    ),
    Job(
        "evaluate features",
        _model_and_images,
        lambda a, out: [
            *(a / "images.npy", a / "model.pkl", out, "--layers", "res2", "--batch-size", 8),
            *("--jobs", 2, "--worker-timeout", PATIENCE),
        ],
        victim="images.npy",
        resumes=("_features.unfinished",),
        parallel=True,
        share=0.5,
    ),
    Job(
        "evaluate full",
        _features,
        lambda a, out: [
            *(*_tested(a, out), "--train-targets", a / "train_labels.npy", "--scores"),
        ],
        victim="train_features.npy",
        share=0.5,
    ),
    Job(
        "evaluate lowshot",
        _features_and_samples,
        lambda a, out: [*_tested(a, out), "--samples", a / "samples", "--scores"],
        victim="test_features.npy",
        share=0.5,
    ),
    Job(
        "report",
        _artefacts,
        lambda a, out: [a, "--output", out / "report.html"],
        victim="partition/train_labels.npy",
    ),
)


def available() -> tuple[Job, ...]:
    """Return the jobs whose command the command line knows."""
    return tuple(job for job in JOBS if job.command in COMMANDS)


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
