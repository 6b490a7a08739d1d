"""`sslprep demo`: every command of the benchmark's document, in its order, on small data sets."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sslprep import console
from sslprep.demo import build
from sslprep.errors import MissingExtraError, OutputError, SslprepError
from sslprep.parameters import command
from sslprep.results import result

MARK = ".sslprep-demo"
"""Stands in a folder that a demo made, so that a later one may remove what it made."""
MADE = (
    *("datasets", "checkpoints", "extra_scripts", "ssl-benchmark-output"),
    *("report.html", "report.html.manifest.json"),
)
"""What a demo makes there."""

NEEDS = {
    "cv2": "opencv-python-headless",
    "jinja2": "jinja2",
    "skimage": "scikit-image",
    "torch": "torch",
}
"""Modules beyond the core that some command of the walk needs, and what pip calls them."""

MEGABYTES = 150
"""What a demo takes on the disk."""


@dataclass(frozen=True)
class Step:
    """One step of the walk.

    Attributes:
        title: What it makes.
        command: As it is typed.
        why: What it is good for, or what to look at.
        lines: How many lines of its output are shown: the first n, or with -n the last.
    """

    title: str
    command: str
    why: str
    lines: int = -1


DOCUMENT: tuple[Step, ...] = (
    Step(
        "COCO data files",
        """python extra_scripts/create_coco_data_files.py \\
    --json_annotations_dir datasets/coco/annotations \\
    --output_dir ssl-benchmark-output/coco/ \\
    --train_imgs_path datasets/coco/coco_train2014 \\
    --val_imgs_path datasets/coco/coco_val2014""",
        "one class map for train, val, minival and the rest of val",
    ),
    Step(
        "VOC2007 data files",
        """python extra_scripts/create_voc_data_files.py \\
    --data_source_dir datasets/VOC2007/ \\
    --output_dir ssl-benchmark-output/voc07/""",
        "a label matrix: 1 present, 0 absent, -1 ignore",
    ),
    Step(
        "VOC2012 data files",
        """python extra_scripts/create_voc_data_files.py \\
    --data_source_dir datasets/VOC2012/ \\
    --output_dir ssl-benchmark-output/voc12/""",
        "the same layout; its test split is val",
    ),
    Step(
        "ImageNet-1K data files",
        """python extra_scripts/create_imagenet_data_files.py \\
    --data_source_dir datasets/imagenet_full_size/ \\
    --output_dir ssl-benchmark-output/imagenet1k/""",
        "class folders in byte order, one id for each",
    ),
    Step(
        "Places-205 data files",
        """python extra_scripts/create_imagenet_data_files.py \\
    --data_source_dir datasets/places205/ \\
    --output_dir ssl-benchmark-output/places205/""",
        "the same command: any tree of class folders",
    ),
    Step(
        "Jigsaw permutations",
        """python extra_scripts/generate_jigsaw_permutations.py \\
    --output_dir ssl-benchmark-output/jigsaw_perms/ \\
    -- N 2000""",
        "the greedy set of 2019, byte for byte",
        lines=3,
    ),
    Step(
        "Colorization bins and priors",
        """python extra_scripts/generate_colorization_bins_priors.par \\
    --type train \\
    --output_path ssl-benchmark-output/color_bins/ \\
    --data_file ssl-benchmark-output/imagenet1k/train_images.npy""",
        "one pass over the photos; bins of any other size take none",
        lines=2,
    ),
    Step(
        "VOC2007 low-shot samples",
        """python extra_scripts/create_voc_low_shot_samples.py \\
    --targets_data_file ssl-benchmark-output/voc07/train_labels.npy \\
    --output_path ssl-benchmark-output/voc07/low_shot/labels/ \\
    --k_values "1,2,4,8,16,32,64,96" \\
    --num_samples 5""",
        "k images of each class, 5 samples of each k",
    ),
    Step(
        "Places-205 low-shot samples",
        """python extra_scripts/create_places_low_shot_samples.py \\
    --images_data_file ssl-benchmark-output/places205/train_images.npy \\
    --targets_data_file ssl-benchmark-output/places205/train_labels.npy \\
    --output_path ssl-benchmark-output/places205/low_shot/ \\
    --k_values "1,2,4,8,16,32,64,96" \\
    --num_samples 5""",
        "the same for one label an image",
    ),
    Step(
        "Jigsaw model, renamed",
        """python extra_scripts/pickle_jigsaw_model.py \\
    --model_file checkpoints/jigsaw_model.pkl \\
    --output_file ssl-benchmark-output/convert_jigsaw_model.pkl""",
        "one of the nine towers, under ordinary names",
        lines=1,
    ),
    Step(
        "Jigsaw model for detection",
        """python extra_scripts/pickle_caffe2_detection.py \\
    --c2_model ssl-benchmark-output/convert_jigsaw_model.pkl \\
    --output_file ssl-benchmark-output/detection_model.pkl \\
    --absorb_std""",
        "batch norms folded for Detectron",
        lines=1,
    ),
    Step(
        "Jigsaw model for PyTorch",
        """python extra_scripts/pickle_caffe2_to_pytorch.py \\
    --c2_model checkpoints/jigsaw_model.pkl \\
    --output_model ssl-benchmark-output/pth_jigsaw_model.dat \\
    --jigsaw True""",
        "names of torchvision",
        lines=1,
    ),
    Step(
        "Colorization model for PyTorch",
        """python extra_scripts/pickle_caffe2_to_pytorch.py \\
    --c2_model checkpoints/colorization_model.pkl \\
    --output_model ssl-benchmark-output/pth_colorization_model.dat""",
        "one input channel, L",
        lines=1,
    ),
    Step(
        "Supervised model for PyTorch",
        """python extra_scripts/pickle_caffe2_to_pytorch.py \\
    --c2_model checkpoints/supervised_model.pkl \\
    --output_model ssl-benchmark-output/pth_model.dat""",
        "the baseline of every table",
        lines=1,
    ),
)
"""The document of 2019; `datasets` and `checkpoints` stand for its /path/to and </path/to>."""

TODAY: tuple[Step, ...] = (
    Step(
        "Images checked",
        "sslprep data check ssl-benchmark-output/voc12",
        "every image of a partition is read",
        lines=1,
    ),
    Step(
        "A permutation code in place of the greedy set",
        "sslprep jigsaw generate ssl-benchmark-output/jigsaw_perms --n 2000",
        "two permutations differ in 5 positions or more, where the greedy set has 2",
        lines=3,
    ),
    Step(
        "Zhang's colour grid, smoothed and weighted",
        "sslprep color bins ssl-benchmark-output/color_bins/ab_histogram_train_imagenet.npy "
        "--output ssl-benchmark-output/color_bins_zhang --bin-size 10 --weights",
        "from the histogram of above, without another look at the photos",
    ),
    Step(
        "Low-shot samples checked",
        "sslprep lowshot verify ssl-benchmark-output/voc07/low_shot/labels",
        "from the files alone: also those that somebody else made",
    ),
    Step(
        "A converted model, checked by computing it",
        "sslprep convert pytorch checkpoints/supervised_model.pkl "
        "ssl-benchmark-output/torchvision_r50.pth --keep-head --check",
        "source and result compute the same features of a photo",
    ),
    Step(
        "Low-shot samples to evaluate",
        "sslprep lowshot voc ssl-benchmark-output/voc12/train_labels.npy "
        "ssl-benchmark-output/voc12/low_shot --k-values 1,2,4 --num-samples 5",
        "few images of each class, several times",
    ),
    Step(
        "Features to train on",
        "sslprep evaluate features ssl-benchmark-output/voc12/train_images.npy "
        "checkpoints/supervised_model.pkl ssl-benchmark-output/features --layers res5 "
        "--pooling global",
        "the last stage of the network, one row for each image",
    ),
    Step(
        "Features to test on",
        "sslprep evaluate features ssl-benchmark-output/voc12/test_images.npy "
        "checkpoints/supervised_model.pkl ssl-benchmark-output/features --layers res5 "
        "--pooling global",
        "the same of the other half",
    ),
    Step(
        "The low-shot curve",
        "sslprep evaluate lowshot "
        "--train-features ssl-benchmark-output/features/train_res5_features.npy "
        "--samples ssl-benchmark-output/voc12/low_shot "
        "--test-features ssl-benchmark-output/features/test_res5_features.npy "
        "--test-targets ssl-benchmark-output/voc12/test_labels.npy "
        "--output ssl-benchmark-output/curve",
        "what samples are for: linear SVMs on k images of each class; random weights do badly",
        lines=8,
    ),
    Step(
        "Everything verified",
        "sslprep verify ssl-benchmark-output",
        "every file against the hash in its manifest",
    ),
    Step(
        "A page to look at",
        "sslprep report ssl-benchmark-output --output report.html",
        "everything made so far, in one file",
    ),
)
"""What today's commands add to it."""

NEXT = (
    "sslprep inspect checkpoints/jigsaw_model.pkl",
    "sslprep jigsaw stats ssl-benchmark-output/jigsaw_perms/*_code.npy",
    "sslprep data folders YOUR_IMAGES out/yours",
)
"""What to try when the demo is over."""


@result
class DemoResult:
    """What the demo made.

    Attributes:
        commands: How many commands ran.
        seconds: How long the whole walk took.
        megabytes: What it left on the disk.
        report: The page that shows everything.
    """

    commands: int
    seconds: float
    megabytes: int
    report: Path

    def text(self) -> str:
        """Say where to look, and what to try next."""
        folder = self.report.parent
        steps = "\n".join(f"  {command}" for command in NEXT)
        return (
            f"\n{self.commands} commands in {self.seconds:.0f} s; {self.megabytes} MB in {folder}\n"
            f"\nReport: {self.report}\n\nTo try next:\n  cd {shlex.quote(str(folder))}\n{steps}"
        )


@command()
def run_demo(folder: Path = Path("sslprep-demo"), *, overwrite: bool = False) -> DemoResult:
    """Walk through every command on small data sets, and report on what was made.

    Args:
        folder: Where data sets, checkpoints, outputs and the report go.
        overwrite: Remove what an earlier demo left in the folder.

    Returns:
        The number of commands and the report's path.

    Raises:
        MissingExtraError: Something that a command of the walk needs is not installed.
        OutputError: The folder holds something that no demo made, or cannot be written.
        SslprepError: A command of the walk failed.
    """
    start = time.monotonic()
    folder = folder.absolute()
    if missing := [package for module, package in NEEDS.items() if find_spec(module) is None]:
        raise MissingExtraError(
            f"the demo also needs {', '.join(missing)}",
            remedy=f"Install what is missing: pip install {' '.join(missing)}.",
        )
    try:
        _prepare(folder, overwrite=overwrite)
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror}", where=folder, remedy="Choose another folder."
        ) from error
    count = len(DOCUMENT) + len(TODAY)
    console.say(
        f"{count} commands on five small data sets and three checkpoints. All run in\n{folder}\n"
        f"It takes about {MEGABYTES} MB of disk and a minute on two cores.\n"
    )
    console.say("Drawing the data sets: photographs of their class, placards that name theirs …")
    build.build_datasets(folder / "datasets")
    console.say("Making checkpoints: ResNet-50s of a quarter of the width, random weights …")
    build.build_checkpoints(folder / "checkpoints")
    _write_scripts(folder / "extra_scripts")
    for number, step in enumerate((*DOCUMENT, *TODAY), start=1):
        if number == 1:
            console.say("\nThe commands of the benchmark, as they were printed in 2019")
        if number == len(DOCUMENT) + 1:
            console.say("\nWhat today's commands add")
        console.say(
            f"{number:2}/{count} {step.title} – {step.why}\n      $ {one_line(step.command)}"
        )
        for line in _run(step, folder):
            console.say(f"      {line}")
    files = (path for path in folder.rglob("*") if path.is_file())
    return DemoResult(
        commands=count,
        seconds=round(time.monotonic() - start, 1),
        megabytes=round(sum(path.stat().st_size for path in files) / 1e6),
        report=folder / "report.html",
    )


def one_line(command: str) -> str:
    r"""Return a command without its continued lines.

    Example:
        >>> one_line("a \\\n    --b c")
        'a --b c'
    """
    return re.sub(r"\s*\\\n\s*", " ", command)


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
                "holds an earlier demo, finished or not",
                where=folder,
                remedy="Pass --overwrite to replace it.",
            )
        for name in MADE:  # what the reader made since stays
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def _write_scripts(folder: Path) -> None:
    """Write the old scripts, which are but names, so that each command can be repeated as shown."""
    folder.mkdir()
    text = 'from sslprep.legacy import run\n\nif __name__ == "__main__":\n    run(__file__)\n'
    for step in DOCUMENT:
        for name in re.findall(r"extra_scripts/(\S+)", step.command):
            (folder / name).write_text(text, encoding="utf-8")


def _run(step: Step, folder: Path) -> list[str]:
    """Run one command in the demo's folder, as a shell there would; return its last lines."""
    program, *rest = shlex.split(one_line(step.command))
    python = [sys.executable] if program == "python" else [sys.executable, "-m", program]
    done = subprocess.run(
        [*python, *rest],
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Networks as small as these are computed before a second thread has begun.
        env={"OMP_NUM_THREADS": "1", **os.environ},
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        console.say("\n".join(lines[-40:]))
        raise SslprepError(
            f"ended with exit code {done.returncode}",
            where=shlex.join([program, *rest]),
            remedy="Its own message stands above.",
        )
    return lines[: step.lines] if step.lines > 0 else lines[step.lines :]
