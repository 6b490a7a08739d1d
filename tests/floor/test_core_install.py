"""What works after `pip install sslprep` without extras: what the README promises of the core."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT

import sslprep

MODULES = {"pillow": "PIL"}
CORE = {
    MODULES.get(name, name)
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name in re.findall(r"^[\w-]+", line)
}
KNOWN = CORE | {"sslprep", "coverage"}
WITHOUT_EXTRAS = f"""
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
class CoreAlone:
    def find_spec(self, name, path=None, target=None):
        known = name.partition(".")[0] in sys.stdlib_module_names | {KNOWN!r} | set(sys.argv)
        return PathFinder.find_spec(name, path, target) if known else None
sys.meta_path[:] = [BuiltinImporter, FrozenImporter, CoreAlone()]
import sslprep
from sslprep import SslprepError
"""


def without_extras(code: str, folder: Path, *but: str) -> str:
    """Run code where Python finds the core's packages alone, but for those named."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + code, *but],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_can_be_loaded(tmp_path: Path) -> None:
    said = without_extras(
        "print(*(getattr(sslprep, n).__name__ for n in sslprep.__all__))", tmp_path
    )
    assert len(said.split()) == len(sslprep.__all__)


def test_from_class_folders_to_the_low_shot_curve(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part, count in {"train": 8, "val": 3}.items():
        for name in ("cat", "dog", "emu"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for n in range(count):
                Image.new("RGB", (4, 4)).save(tmp_path / f"images/{part}/{name}/{n}.jpg")
        rows = random.normal(size=(3 * count, 6)).astype(np.float32)
        rows[np.arange(3 * count), np.repeat(range(3), count)] += 2
        np.save(tmp_path / f"{part}.npy", rows)
    said = without_extras(
        """
import pathlib
sslprep.write_folders("images", "data")
assert sslprep.check_images("data").ok
images, labels = "data/train_images.npy", "data/train_labels.npy"
sslprep.draw_singlelabel_samples(images, labels, "samples", k_values=(1, 2), num_samples=2)
assert sslprep.verify_samples("samples").ok
features = {"train_features": "train.npy", "test_features": "val.npy"}
targets = {"test_targets": "data/val_labels.npy"}
sslprep.evaluate_lowshot(**features, **targets, samples="samples", output="curve")
sslprep.evaluate_full(**features, **targets, train_targets=labels, output="full", scores=True)
print(sslprep.evaluate_scores("full/full_scores.npy", "data/val_labels.npy").images)
sslprep.generate_permutations("permutations", n=10)
(made,) = pathlib.Path("permutations").glob("*.npy")
assert sslprep.permutation_stats(made)
assert sslprep.verify(".").ok
""",
        tmp_path,
    )
    assert said.splitlines()[-1] == "9"


@pytest.mark.parametrize(
    ("call", "extra"),
    [
        ("sslprep.color_histogram('images.npy', 'out')", "pip install opencv-python-headless"),
        ("sslprep.write_features('images.npy', 'model.pkl', 'out')", "pip install torch"),
        ("sslprep.write_report('.')", "pip install jinja2"),
        ("sslprep.run_demo('out')", "pip install"),
        ("sslprep.write_folders('images', 'out', format='parquet')", "pip install pyarrow"),
    ],
)
def test_what_needs_an_extra_says_which(tmp_path: Path, call: str, extra: str) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "a" / "b.jpg")
    np.save(tmp_path / "images.npy", np.array(["images/a/b.jpg"]))
    said = without_extras(f"try: {call}\nexcept SslprepError as error: print(error)", tmp_path)
    assert extra in said


def test_colour_and_the_report_need_no_other_extra(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (200, 30, 40)).save(tmp_path / "a.png")
    np.save(tmp_path / "images.npy", np.array(["a.png"]))
    made = "sslprep.generate_color_bins('images.npy', '.', root='.', jobs=1)"
    without_extras(made, tmp_path, "cv2")
    without_extras("sslprep.write_report('.')", tmp_path, "jinja2", "markupsafe")
