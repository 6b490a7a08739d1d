"""`sslprep demo`: every command of the user's document, in its order, on small data sets."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sslprep import console
from sslprep.demo import build
from sslprep.errors import OutputError, SslprepError

MARK = ".sslprep-demo"
"""Stands in a folder that a demo made, so that a later one may remove it."""

DOCUMENT: tuple[tuple[str, str], ...] = (
    (
        "COCO data files",
        """python extra_scripts/create_coco_data_files.py \\
    --json_annotations_dir datasets/coco/annotations \\
    --output_dir ssl-benchmark-output/coco/ \\
    --train_imgs_path datasets/coco/coco_train2014 \\
    --val_imgs_path datasets/coco/coco_val2014""",
    ),
    (
        "VOC2007 data files",
        """python extra_scripts/create_voc_data_files.py \\
    --data_source_dir datasets/VOC2007/ \\
    --output_dir ssl-benchmark-output/voc07/""",
    ),
    (
        "VOC2012 data files",
        """python extra_scripts/create_voc_data_files.py \\
    --data_source_dir datasets/VOC2012/ \\
    --output_dir ssl-benchmark-output/voc12/""",
    ),
    (
        "ImageNet-1K data files",
        """python extra_scripts/create_imagenet_data_files.py \\
    --data_source_dir datasets/imagenet_full_size/ \\
    --output_dir ssl-benchmark-output/imagenet1k/""",
    ),
    (
        "Places-205 data files",
        """python extra_scripts/create_imagenet_data_files.py \\
    --data_source_dir datasets/places205/ \\
    --output_dir ssl-benchmark-output/places205/""",
    ),
    (
        "Jigsaw permutations",
        """python extra_scripts/generate_jigsaw_permutations.py \\
    --output_dir ssl-benchmark-output/jigsaw_perms/ \\
    -- N 2000""",
    ),
    (
        "Colorization bins and priors",
        """python extra_scripts/generate_colorization_bins_priors.par \\
    --type train \\
    --output_path ssl-benchmark-output/color_bins/ \\
    --data_file ssl-benchmark-output/imagenet1k/train_images.npy""",
    ),
    (
        "VOC2007 low-shot samples",
        """python extra_scripts/create_voc_low_shot_samples.py \\
    --targets_data_file ssl-benchmark-output/voc07/train_labels.npy \\
    --output_path ssl-benchmark-output/voc07/low_shot/labels/ \\
    --k_values "1,2,4,8,16,32,64,96" \\
    --num_samples 5""",
    ),
    (
        "Places-205 low-shot samples",
        """python extra_scripts/create_places_low_shot_samples.py \\
    --images_data_file ssl-benchmark-output/places205/train_images.npy \\
    --targets_data_file ssl-benchmark-output/places205/train_labels.npy \\
    --output_path ssl-benchmark-output/places205/low_shot/ \\
    --k_values "1,2,4,8,16,32,64,96" \\
    --num_samples 5""",
    ),
    (
        "Jigsaw model, renamed",
        """python extra_scripts/pickle_jigsaw_model.py \\
    --model_file checkpoints/jigsaw_model.pkl \\
    --output_file ssl-benchmark-output/convert_jigsaw_model.pkl""",
    ),
    (
        "Jigsaw model for detection",
        """python extra_scripts/pickle_caffe2_detection.py \\
    --c2_model ssl-benchmark-output/convert_jigsaw_model.pkl \\
    --output_file ssl-benchmark-output/detection_model.pkl \\
    --absorb_std""",
    ),
    (
        "Jigsaw model for PyTorch",
        """python extra_scripts/pickle_caffe2_to_pytorch.py \\
    --c2_model checkpoints/jigsaw_model.pkl \\
    --output_model ssl-benchmark-output/pth_jigsaw_model.dat \\
    --jigsaw True""",
    ),
    (
        "Colorization model for PyTorch",
        """python extra_scripts/pickle_caffe2_to_pytorch.py \\
    --c2_model checkpoints/colorization_model.pkl \\
    --output_model ssl-benchmark-output/pth_colorization_model.dat""",
    ),
    (
        "Supervised model for PyTorch",
        """python extra_scripts/pickle_caffe2_to_pytorch.py \\
    --c2_model checkpoints/supervised_model.pkl \\
    --output_model ssl-benchmark-output/pth_model.dat""",
    ),
)
"""The user's document; `datasets` and `checkpoints` stand for its /path/to and </path/to>."""

TODAY: tuple[tuple[str, str], ...] = (
    (
        "The images of a partition, checked",
        "sslprep data check ssl-benchmark-output/voc12",
    ),
    (
        "A permutation code in place of the greedy set",
        "sslprep jigsaw generate --n 2000 --output-dir ssl-benchmark-output/jigsaw_perms",
    ),
    (
        "Zhang's colour grid, smoothed and weighted, from the same histogram",
        "sslprep color bins --histogram ssl-benchmark-output/color_bins/"
        "ab_histogram_train_imagenet.npy --bin-size 10 --weights "
        "--output-path ssl-benchmark-output/color_bins_zhang",
    ),
    (
        "The low-shot samples, proven from the files alone",
        "sslprep lowshot verify ssl-benchmark-output/voc07/low_shot/labels",
    ),
    (
        "A converted model, proven to compute the same",
        "sslprep convert pytorch --c2-model checkpoints/supervised_model.pkl "
        "--output-model ssl-benchmark-output/torchvision_r50.pth --keep-head --check",
    ),
    (
        "Every file compared with its manifest",
        "sslprep verify ssl-benchmark-output",
    ),
    (
        "A page to look at",
        "sslprep report ssl-benchmark-output --output report.html",
    ),
)
"""What today's commands add to it."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo made.

    Attributes:
        commands: How many commands ran.
        seconds: How long the whole walk took.
        report: The page that shows everything; the last line that people see.
    """

    commands: int
    seconds: float
    report: Path

    def text(self) -> str:
        """Say where to look."""
        return (
            f"\n{self.commands} commands in {self.seconds:.0f} s. Open the report:\n{self.report}"
        )


def demo(*, folder: Path = Path("sslprep-demo"), overwrite: bool = False) -> DemoResult:
    """Walk through every command of the user's document on small data sets.

    Args:
        folder: Where data sets, checkpoints, outputs and the report go.
        overwrite: Remove what an earlier demo left in the folder.

    Returns:
        The number of commands and the report's path.

    Raises:
        OutputError: The folder holds something that no demo made.
        SslprepError: A command of the walk failed.
    """
    start = time.monotonic()
    folder = folder.absolute()
    build.load_photos()  # says what is missing before anything is written
    _prepare(folder, overwrite=overwrite)
    console.say("Building VOC2007, VOC2012, COCO2014, ImageNet and Places in small …")
    build.build_datasets(folder / "datasets")
    console.say("Building a nine-tower Jigsaw, a colorization and a supervised ResNet-50 …")
    build.build_checkpoints(folder / "checkpoints")
    _write_scripts(folder / "extra_scripts")
    for title, command in (*DOCUMENT, *TODAY):
        console.say(f"\n# {title}\n$ {command}")
        _run(command, folder)
    return DemoResult(
        commands=len(DOCUMENT) + len(TODAY),
        seconds=round(time.monotonic() - start, 1),
        report=folder / "report.html",
    )


def _prepare(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise OutputError(
                "holds files that no demo made",
                where=folder,
                expected="an empty or missing folder",
                remedy="Choose another folder.",
            )
        if not overwrite:
            raise OutputError(
                "holds an earlier demo", where=folder, remedy="Pass --overwrite to replace it."
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def _write_scripts(folder: Path) -> None:
    """Write the old scripts, which are but names, so that each command can be repeated as shown."""
    folder.mkdir()
    text = 'from sslprep.legacy import run\n\nif __name__ == "__main__":\n    run(__file__)\n'
    for _, command in DOCUMENT:
        for name in re.findall(r"extra_scripts/(\S+)", command):
            (folder / name).write_text(text, encoding="utf-8")


def _run(command: str, folder: Path) -> None:
    """Run one command in the demo's folder, as a shell there would, with this Python."""
    words = shlex.split(command.replace("\\\n", " "))
    program, *rest = words
    python = [sys.executable] if program == "python" else [sys.executable, "-m", program]
    done = subprocess.run([*python, *rest], cwd=folder, check=False)
    if done.returncode:
        raise SslprepError(
            f"ended with exit code {done.returncode}",
            where=shlex.join(words),
            remedy="Its own message stands above.",
        )
