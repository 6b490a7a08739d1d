"""The text of every `--help`, 100 columns wide."""

import contextlib
import io
import os
from pathlib import Path

from sslprep import cli, legacy

HERE = Path(__file__).parent


def pages() -> dict[str, list[str]]:
    """Return the command line of each help page by the name of its golden file."""
    modern = ["", *cli.GROUPS, *cli.COMMANDS]
    calls = {" ".join(["sslprep", path]).strip(): path.split() for path in modern}
    return calls | {name: [name] for name in legacy.SCRIPTS}


def page(call: list[str]) -> str:
    """Return one page as it is printed."""
    written = io.StringIO()
    os.environ["COLUMNS"] = "100"
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        if call and call[0] in legacy.SCRIPTS:
            legacy.run(f"{call[0]}.py", ["--help"])
        else:
            cli.main([*call, "--help"])
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


if __name__ == "__main__":
    for name, call in pages().items():
        (HERE / f"{name.replace(' ', '_')}.txt").write_text(page(call), encoding="utf-8")
