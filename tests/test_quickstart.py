"""The quickstart, run line by line."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "quickstart.md"
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)


def test_every_block_gives_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) >= 10
    for language, text in blocks:
        if language == "python":
            example = doctest.DocTestParser().get_doctest(text, {}, "page", str(PAGE), 0)
            assert doctest.DocTestRunner().run(example).failed == 0
        else:
            run_console(text)


def run_console(text: str) -> None:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        program, *arguments = shlex.split(command)
        if program == "cd":
            os.chdir(arguments[0])  # undone by monkeypatch.chdir
            continue
        assert program == "sslprep"
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        checker = doctest.OutputChecker()
        assert checker.check_output(wanted, done.stdout + done.stderr, doctest.ELLIPSIS), (
            f"{command}\nwanted:\n{wanted}\ngot:\n{done.stdout}{done.stderr}"
        )
