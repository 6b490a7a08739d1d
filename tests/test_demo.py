"""The demo: nothing of the reader's is touched, and every step's command exists."""

import shlex
from pathlib import Path

import pytest

from sslprep.cli import COMMANDS
from sslprep.demo import walk
from sslprep.errors import OutputError


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="no demo made"):
        walk.demo(folder=tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_an_earlier_demo_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / walk.MARK).touch()
    (tmp_path / "old").touch()
    with pytest.raises(OutputError, match="--overwrite"):
        walk.demo(folder=tmp_path)
    walk._prepare(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [walk.MARK]


def test_todays_part_uses_commands_that_exist() -> None:
    for _, command in walk.TODAY:
        program, *words = shlex.split(command)
        assert program == "sslprep"
        assert " ".join(words[:2]) in COMMANDS or words[0] in COMMANDS
