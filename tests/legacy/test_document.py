"""The user's document, run as a user would: its own text, a shell, the project's root."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sslprep.demo import build, walk
from sslprep.manifest import verify

ROOT = Path(__file__).parents[2]
TEXT = (Path(__file__).parent / "commands.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
MODELS = {
    "pickle_jigsaw_model": "jigsaw_model.pkl",
    "--jigsaw True": "jigsaw_model.pkl",
    "pth_model.dat": "colorization_model.pkl",
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets, checkpoints and low-shot targets, where the document has `/path/to`."""
    folder = tmp_path_factory.mktemp("document")
    build.build_datasets(folder / "path")
    (folder / "path" / "coco_json_annotations").mkdir()
    (folder / "path" / "coco" / "annotations").rename(
        folder / "path" / "coco_json_annotations" / "coco"
    )
    build.build_checkpoints(folder / "models", width=8)
    return folder


def with_real_paths(command: str, world: Path) -> str:
    """Put real paths in the place of the document's, and drop blanks behind a backslash."""
    model = next((name for part, name in MODELS.items() if part in command), "")
    command = re.sub(r"\\ +\n", "\\\n", command)
    command = command.replace("</path/to/model.pkl>", f"{world}/models/{model}")
    # The document's targets come from a feature extraction; its labels are those of VOC2007.
    command = command.replace("/path/to/numpy_targets.npy", f"{world}/out/voc07/train_labels.npy")
    return command.replace("/path/to/", f"{world}/path/").replace(
        "/tmp/ssl-benchmark-output", f"{world}/out"
    )


def shell(command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def outputs(world: Path) -> Path:
    """The outputs of the whole document, run from its first command to its last."""
    for command in COMMANDS:
        done = shell(with_real_paths(command, world))
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    return world / "out"


def test_the_document_has_fourteen_commands_and_the_demo_walks_them() -> None:
    def flags(command: str) -> list[str]:
        return re.findall(r"extra_scripts/\S+|--\w*|(?<=-- )N", command)

    assert len(COMMANDS) == 13
    walked = [flags(step.command) for step in walk.DOCUMENT]
    # The demo runs the last command twice: for a colorization and for a supervised model.
    assert walked == [*map(flags, COMMANDS), flags(COMMANDS[-1])]


def load(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False, mmap_mode="r")


@pytest.mark.parametrize(
    ("name", "rows", "classes"),
    [
        ("coco/train", 60, 6),
        ("coco/val", 45, 6),
        ("coco/minival", 15, 6),
        ("coco/valminusminival", 30, 6),
        ("voc07/train", 2000, 20),
        ("voc07/test", 60, 20),
        ("voc12/train", 100, 20),
        ("voc12/test", 60, 20),
        ("imagenet1k/train", 120, None),
        ("imagenet1k/val", 30, None),
        ("places205/train", 480, None),
        ("places205/val", 30, None),
    ],
)
def test_data_files(outputs: Path, name: str, rows: int, classes: int | None) -> None:
    images, labels = load(outputs / f"{name}_images.npy"), load(outputs / f"{name}_labels.npy")
    assert images.shape == (rows,)
    assert images.dtype.kind == "U"
    assert labels.shape == ((rows, classes) if classes else (rows,))
    assert labels.dtype == (np.int32 if classes else np.int64)
    assert all(Path(str(path)).is_file() for path in images)


def test_jigsaw_permutations(outputs: Path) -> None:
    found = load(outputs / "jigsaw_perms" / "hamming_perms_2000_patches_9_max_avg.npy")
    assert (found.shape, found.dtype) == ((2000, 9), np.int64)
    assert np.array_equal(np.sort(found, axis=1), np.tile(np.arange(9), (2000, 1)))
    assert len(np.unique(found, axis=0)) == 2000


def test_colour_bins_and_priors(outputs: Path) -> None:
    folder = outputs / "color_bins"
    points = load(folder / "pts_in_hull_train_imagenet_bin10.npy")
    priors = load(folder / "priors_train_imagenet_bin10.npy")
    assert points.shape == (len(priors), 2)
    assert np.array_equal(np.lexsort(points.T[::-1]), np.arange(len(points)))
    assert np.isin((points + 128) % 10, 0).all()
    assert priors.sum() == pytest.approx(1)
    assert load(folder / "ab_histogram_train_imagenet.npy").sum() == 120 * 256 * 256


@pytest.mark.parametrize("k", [1, 2, 4, 8, 16, 32, 64, 96])
@pytest.mark.parametrize("sample", range(1, 6))
def test_low_shot_samples(outputs: Path, k: int, sample: int) -> None:
    voc = load(outputs / "voc07/low_shot/labels" / f"train_labels_sample{sample}_k{k}.npy")
    assert (voc.shape, voc.dtype) == ((2000, 20), np.int32)
    assert ((voc == 1).sum(0) == k).all()
    assert ((voc == 0).sum(0) == 19 * k).all()
    places = load(outputs / "places205/low_shot" / f"train_labels_sample{sample}_k{k}.npy")
    images = load(outputs / "places205/low_shot" / f"train_images_sample{sample}_k{k}.npy")
    assert np.array_equal(places, np.repeat(np.arange(5), k))
    assert len(np.unique(images)) == 5 * k


def test_detectron_model(outputs: Path) -> None:
    from sslprep.checkpoints.open import read_checkpoint

    blobs = read_checkpoint(outputs / "detection_model.pkl").blobs
    assert "conv1_w" in blobs
    assert "res2_0_branch2a_bn_s" in blobs
    assert not [n for n in blobs if re.search(r"_s\d_|_rm$|_riv$|_momentum$|^lr$|^model_iter$", n)]


@pytest.mark.parametrize("name", ["pth_jigsaw_model.dat", "pth_model.dat"])
def test_pytorch_models(outputs: Path, name: str) -> None:
    torch = pytest.importorskip("torch")
    state = torch.load(outputs / name, weights_only=True)["state_dict"]
    assert "layer4.2.conv3.weight" in state
    assert not [n for n in state if n.startswith("res")]
    # The script of 2019 kept the head of the pretext task, but for a `pred`.
    assert ("fc6.weight" in state) is (name == "pth_jigsaw_model.dat")


def test_every_output_is_as_its_manifest_says(outputs: Path) -> None:
    result = verify(folder=outputs)
    assert result.problems == ()
    assert result.files > 200


def test_a_second_run_replaces_and_gives_equal_bytes(outputs: Path, world: Path) -> None:
    before = (outputs / "voc12" / "train_labels.npy").read_bytes()
    assert shell(with_real_paths(COMMANDS[2], world)).returncode == 0
    assert (outputs / "voc12" / "train_labels.npy").read_bytes() == before
