"""Where an artefact came from, and the line that makes it again."""

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from sslprep.cli import COMMANDS, load, main
from sslprep.parameters import parameters_of
from sslprep.report.blocks import Lines
from sslprep.report.collect import collect
from sslprep.report.provenance import THREE_WAY, origins


def test_every_line_makes_the_same_bytes_again(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of the page, as it is printed; files and manifests."""
    monkeypatch.chdir(tmp_path)
    lines = lines_of(world)
    assert len({line.split(" --")[0].split(" /")[0] for line in lines}) >= 10  # kinds of commands
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "sslprep"
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        assert ended.value.code == 0, line
    again = tmp_path / "again"
    for artefact in collect(world).artefacts:
        for path in [artefact.path, *(artefact.file(o.file) for o in artefact.manifest.outputs)]:
            made = again / path.relative_to(world)
            assert content(made) == content(path), made


def content(path: Path) -> object:
    """Return a file's bytes; of a manifest all but the folders of inputs, spelled anew."""
    if not path.name.endswith(".manifest.json"):
        return path.read_bytes()
    record = json.loads(path.read_bytes())
    for given in record["inputs"]:
        given["path"] = Path(given["path"]).name
    return record


def lines_of(folder: Path) -> list[str]:
    every = (block for origin in origins(collect(folder)) for block in origin.blocks)
    return [line for block in every if isinstance(block, Lines) for line in block.lines]


def test_artefacts_of_one_command_have_one_line(world: Path) -> None:
    found = {tuple(cell.text for cell in o.made): o for o in origins(collect(world))}
    voc = next(made for made in found if "voc07/train" in made)
    assert set(voc) == {"voc07/train", "voc07/test"}


def test_sizes_that_were_drawn_together_are_drawn_together_again(write, tmp_path: Path) -> None:
    for k in (4, 16, 1):
        parameters = {"targets": "t.npy", "k_values": [k], "seed": 0}
        write(f"t_k{k}", "lowshot", parameters=parameters, command="lowshot voc")
    [line] = lines_of(tmp_path)
    assert line == "sslprep lowshot voc --targets t.npy --k-values 1,4,16 --seed 0 --output again"


def test_a_switch_that_was_turned_off_stays_off(write, tmp_path: Path) -> None:
    parameters = {"bgr2rgb": False, "keep_head": False, "channels": None, "jigsaw": True}
    fields = {"command": "convert pytorch", "parameters": parameters}
    write("m.pth", "checkpoint", {"m.pth": b"x"}, inputs=[{"path": "m.pkl"}], **fields)
    [line] = lines_of(tmp_path)
    words = ["sslprep", "convert", "pytorch", "m.pkl", "--bgr2rgb=false", "--jigsaw"]
    assert line.split() == [*words, "--output", "again/m.pth"]


def test_a_path_that_begins_like_a_flag_is_no_flag(write, tmp_path: Path) -> None:
    fields = {"command": "convert pytorch", "parameters": {"picture": "-p.jpg"}}
    write("m.pth", "checkpoint", {"m.pth": b"x"}, inputs=[{"path": "-m.pkl"}], **fields)
    [line] = lines_of(tmp_path)
    words = ["sslprep", "convert", "pytorch", "./-m.pkl", "--picture=-p.jpg"]
    assert line.split() == [*words, "--output", "again/m.pth"]


def test_a_checked_conversion_is_checked_again(write, tmp_path: Path) -> None:
    details = {"proof": {"stages": ["conv1"], "largest_relative_difference_below": 1e-4}}
    write("m.pth", "checkpoint", {"m.pth": b"x"}, command="convert pytorch", details=details)
    assert "--check" in lines_of(tmp_path)[0].split()


def test_every_switch_is_off_by_default_or_known_to_be_three_way() -> None:
    """The lines leave out the switches that are off."""
    for name in COMMANDS:
        for parameter in parameters_of(load(name)):
            assert parameter.default is not True, name
            if parameter.form == "switch" and parameter.default is None:
                assert parameter.name in THREE_WAY, name


def test_a_hostile_manifest_cannot_smuggle_a_command_into_the_line(write, tmp_path: Path) -> None:
    attack = "x'; rm -rf / #\n$(reboot) `reboot` && reboot"
    write(
        "t",
        "partition",
        command="data voc; reboot",
        parameters={"data_source_dir": attack, "--flag; reboot": [attack], "n": -5},
        outputs=[{"file": attack, "bytes": 1, "sha256": ""}],
    )
    [line] = lines_of(tmp_path)
    assert "\n" not in line
    script = "sslprep() { printf '%s\\n' \"$#\"; }; reboot() { echo CALLED; }\n" + line
    import subprocess

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(len(shlex.split(line)) - 1)


def test_inputs_made_here_are_linked_by_their_hash(world: Path) -> None:
    found = {o.title: o for o in origins(collect(world))}
    low_shot = next(o for title, o in found.items() if title.startswith("voc07/low_shot"))
    assert any(cell.text == "voc07/train" and cell.link for cell in low_shot.made_from)


def test_a_file_that_partitions_share_names_none_that_made_nothing_else(
    write, tmp_path: Path
) -> None:
    """Samples of train and its classes.json seemed to be made from test, which shares the file."""
    shared = {"file": "classes.json", "bytes": 2, "sha256": "c"}
    for name in ("test", "train"):
        own = {"file": f"{name}_labels.npy", "bytes": 1, "sha256": name}
        write(name, "partition", outputs=[own, shared])
    inputs = [
        {"path": str(tmp_path / file), "bytes": 1, "sha256": digest}
        for file, digest in (("train_labels.npy", "train"), ("classes.json", "c"))
    ]
    write("samples", "lowshot", inputs=inputs)
    [made] = [o for o in origins(collect(tmp_path)) if o.title == "samples"]
    assert [cell.text for cell in made.made_from] == ["train"]


def test_a_file_that_is_gone_or_changed_is_noted(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "perms", tmp_path / "p")
    files = sorted(p for p in (tmp_path / "p").iterdir() if p.suffix == ".npy")
    files[0].unlink()
    with open(files[1], "ab") as file:
        file.write(b"x")
    notes = [note for origin in origins(collect(tmp_path)) for note in origin.notes]
    assert f"p{os.sep}{files[0].name}: no such file. Check the path." in notes
    assert any(note.startswith(f"{files[1].name} has ") for note in notes)
