"""The text of every `--help`, 100 columns wide."""

import os
import subprocess
import sys
from pathlib import Path

from sslprep import cli, legacy

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def pages() -> dict[str, list[str]]:
    """Return the command line of each help page by the name of its golden file."""
    modern = ["", *cli.GROUPS, *cli.COMMANDS]
    calls = {
        " ".join(["sslprep", path]).strip(): ["-m", "sslprep", *path.split()] for path in modern
    }
    return calls | {name: [f"extra_scripts/{name}.py"] for name in legacy.SCRIPTS}


def page(call: list[str]) -> str:
    """Print one page as a process does."""
    done = subprocess.run(
        [sys.executable, *call, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    for name, call in pages().items():
        (HERE / f"{name.replace(' ', '_')}.txt").write_text(page(call), encoding="utf-8")
