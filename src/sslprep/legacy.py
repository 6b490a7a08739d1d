"""The scripts of 2019 under their old names: which command each is, and its old defaults.

A file in `extra_scripts/` calls `run(__file__)` and nothing else. Flags, types and help come from
the command function; beyond the printed flags a script takes everything that its command takes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sslprep import cli
from sslprep.errors import ArgumentError

SCRIPTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "create_coco_data_files": ("data coco", {}),
    "create_voc_data_files": ("data voc", {}),
    "create_imagenet_data_files": ("data folders", {}),
    "generate_jigsaw_permutations": (
        "jigsaw generate",
        {"method": "max_avg", "ties": "reference"},
    ),
    "generate_colorization_bins_priors": (
        "color generate",
        {"grid": "fair", "type": "train", "dataset": "imagenet"},
    ),
    "create_voc_low_shot_samples": ("lowshot voc", {}),
    "create_voc_low_shot_challenge_samples": ("lowshot voc", {}),
    "create_places_low_shot_samples": ("lowshot places", {"skip_impossible": True}),
    "pickle_jigsaw_model": ("convert jigsaw", {}),
    "pickle_caffe2_detection": ("convert detectron", {}),
    "pickle_caffe2_to_pytorch": (
        "convert pytorch",
        {"bgr2rgb": False, "keep_pretext": True, "container": "legacy"},
    ),
    "pickle_pytorch_to_caffe2": ("convert caffe2", {"bgr2rgb": False}),
}
"""Script -> today's command, and the defaults of 2019 that it has changed."""


def joined(tokens: Sequence[str]) -> list[str]:
    """Join a flag that a blank has torn apart: the user's document prints `-- N 2000`."""
    result: list[str] = []
    for token in tokens:
        if result and result[-1] == "--":
            result[-1] = f"--{token}"
        else:
            result.append(token)
    return result


def run(file: str, words: Sequence[str] | None = None) -> NoReturn:
    """Run the script whose file this is, as the command line would, and exit.

    The old scripts always replaced existing files.
    """
    path = Path(file)

    def call() -> int:
        if path.stem not in SCRIPTS:
            raise ArgumentError(
                f"{path.name} is no script of 2019", expected=f"one of {', '.join(SCRIPTS)}"
            )
        command, defaults = SCRIPTS[path.stem]
        if "help" in options:
            print(f"Today's command is `sslprep {command}`.\n")
        return cli.run(path.name, command, tokens, options, {**defaults, "overwrite": True})

    options, tokens = cli.common_flags(joined(sys.argv[1:] if words is None else words))
    cli.exit_with(call, as_json="json" in options)
