"""The quickstart, run line by line: the demo as a process, which starts 25 more; the rest here."""

import doctest
import io
import logging
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from sslprep.cli import main

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
        call = as_process if arguments == ["demo"] else in_this_process
        code, shown = call(arguments)
        assert code == 0, f"{command}\n{shown}"
        checker = doctest.OutputChecker()
        assert checker.check_output(wanted, shown, doctest.ELLIPSIS), (
            f"{command}\nwanted:\n{wanted}\ngot:\n{shown}"
        )


def as_process(arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sslprep", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def in_this_process(arguments: list[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(arguments)
    logging.getLogger("sslprep").handlers.clear()
    return ended.value.code or 0, out.getvalue() + err.getvalue()
