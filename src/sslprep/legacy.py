"""The scripts of 2019 under their old names: which command each is, and its old defaults.

A file in `extra_scripts/` calls `run(__file__)` and nothing else. Flags, types and help come from
the command function; beyond the printed flags a script takes everything that its command takes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from sslprep.cli import COMMANDS, build_script_app, run_command


@dataclass(frozen=True)
class Script:
    """One old script.

    Attributes:
        command: The modern command.
        renames: Old flag to new flag, where they differ.
        defaults: Defaults of 2019 that the modern command has changed, by flag.
    """

    command: str
    renames: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


SCRIPTS: Mapping[str, Script] = {
    "create_coco_data_files": Script("data coco"),
    "create_voc_data_files": Script("data voc"),
    "create_imagenet_data_files": Script("data folders"),
    "generate_jigsaw_permutations": Script(
        "jigsaw generate", defaults={"method": "max_avg", "ties": "reference"}
    ),
    "generate_colorization_bins_priors": Script("color generate", defaults={"grid": "fair"}),
    "create_voc_low_shot_samples": Script("lowshot voc"),
    "create_voc_low_shot_challenge_samples": Script("lowshot voc"),
    "create_places_low_shot_samples": Script(
        "lowshot places", defaults={"skip_impossible": "true"}
    ),
    "pickle_jigsaw_model": Script("convert jigsaw"),
    "pickle_caffe2_detection": Script("convert detectron"),
    "pickle_caffe2_to_pytorch": Script(
        "convert pytorch", defaults={"bgr2rgb": "false", "keep_pretext": "true"}
    ),
    "pickle_pytorch_to_caffe2": Script("convert caffe2", defaults={"bgr2rgb": "false"}),
}


def translate(script: Script, tokens: Sequence[str]) -> list[str]:
    """Turn an old command line into the tokens of the modern command.

    The user's document prints `-- N 2000` with a stray space; it means `--N 2000`. The old
    scripts always replaced existing files.

    Example:
        >>> translate(SCRIPTS["pickle_jigsaw_model"], ["--", "model_file", "m.pkl"])
        ['--model-file', 'm.pkl', '--overwrite=true']
    """
    joined: list[str] = []
    for token in tokens:
        if joined and joined[-1] == "--":
            joined[-1] = f"--{token}"
        else:
            joined.append(token)
    result = [_rename(script, token) if token.startswith("--") else token for token in joined]
    given = {token.partition("=")[0] for token in result}
    for name, value in {**script.defaults, "overwrite": "true"}.items():
        flag = _flag(name)
        if flag not in given and f"--no-{flag[2:]}" not in given:
            result.append(f"{flag}={value}")
    return result


def _rename(script: Script, token: str) -> str:
    name, equals, value = token.partition("=")
    flag = _flag(name.lstrip("-").lower())
    renames = {_flag(old): _flag(new) for old, new in script.renames.items()}
    return f"{renames.get(flag, flag)}{equals}{value}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run(file: str) -> NoReturn:
    """Run the script whose file this is, as the command line would, and exit."""
    path = Path(file)
    script = SCRIPTS[path.stem]
    command = COMMANDS[script.command]
    run_command(
        lambda: build_script_app(path.name, script.command, command),
        *([], translate(script, sys.argv[1:]), command),
    )
