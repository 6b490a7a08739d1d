"""Where an artefact came from, and the line that makes it again."""

import inspect
import os
import shlex
import shutil
import typing
from pathlib import Path

import pytest

from sslprep.cli import COMMANDS
from sslprep.report.collect import collect
from sslprep.report.provenance import FLAGS, THREE_WAY, origins, reproduce


def test_every_line_makes_the_same_bytes_again(
    world: Path, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    by_command = {a.manifest.command: a for a in collect(world).artefacts}
    assert len(by_command) == 11
    for artefact in by_command.values():
        words = shlex.split(reproduce(artefact))
        assert words[0] == "sslprep"
        done = run(*words[1:], "--overwrite")
        assert done.returncode == 0, done.stderr
        for output in artefact.manifest.outputs:
            made = again / artefact.place / output.file
            assert made.read_bytes() == (artefact.path.parent / output.file).read_bytes(), made


def test_every_command_that_writes_a_manifest_has_its_flags() -> None:
    """Also that no switch is on by default: the lines leave out those that are off."""
    for name, command in COMMANDS.items():
        parameters = inspect.signature(command.load()).parameters
        assert not [p for p in parameters.values() if p.default is True], name
        hints = typing.get_type_hints(command.load())
        kinds = {key: typing.get_args(hint) for key, hint in hints.items() if key != "return"}
        assert {key for key, arms in kinds.items() if bool in arms} <= {*THREE_WAY}, name
        flags = FLAGS.get(name)
        if flags is not None:
            assert flags.output.removeprefix("--").replace("-", "_") in parameters
            assert flags.input.removeprefix("--").replace("-", "_") in {"", *parameters}


def test_a_hostile_manifest_cannot_smuggle_a_command_into_the_line(write, tmp_path: Path) -> None:
    attack = "x'; rm -rf / #\n$(reboot) `reboot` && reboot"
    write(
        "t",
        "partition",
        command="data voc; reboot",
        parameters={"data_source_dir": attack, "--flag; reboot": [attack], "n": -5},
        outputs=[{"file": attack, "bytes": 1, "sha256": ""}],
    )
    [artefact] = collect(tmp_path).artefacts
    line = reproduce(artefact)
    assert "\n" not in line
    script = "sslprep() { printf '%s\\n' \"$#\"; }; reboot() { echo CALLED; }\n" + line
    import subprocess

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(len(shlex.split(line)) - 1)


def test_inputs_made_here_are_linked_by_their_hash(world: Path) -> None:
    found = {o.title: o for o in origins(collect(world))}
    anchors = {o.title: o.anchor for o in found.values()}
    low_shot = found["voc07/low_shot/train_labels_lowshot"]
    [made_from] = [block for block in low_shot.blocks if block.title == "Made from"]
    links = {cell.link for row in made_from.rows for cell in row if cell.link}
    assert f"{anchors['voc07/train']}-origin" in links


def test_a_file_that_is_gone_or_changed_is_noted(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "perms", tmp_path / "p")
    files = sorted(p for p in (tmp_path / "p").iterdir() if p.suffix == ".npy")
    files[0].unlink()
    with open(files[1], "ab") as file:
        file.write(b"x")
    notes = [note for origin in origins(collect(tmp_path)) for note in origin.notes]
    assert f"p{os.sep}{files[0].name}: no such file. Check the path." in notes
    assert any(note.startswith(f"{files[1].name} has ") for note in notes)
