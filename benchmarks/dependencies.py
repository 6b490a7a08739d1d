"""The packages that sslprep asks for, with licence, maintainers and size: `make audit`.

Prints the first table of docs/dependencies.md, from what is installed here.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]


def direct() -> dict[str, list[str]]:
    """Return each package that pyproject names, and for which extras (`core` for none)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = {"core": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for group, requirements in groups.items():
        for requirement in requirements:
            name = re.match(r"[\w.-]+", requirement)
            if name and name[0] != "sslprep":
                found.setdefault(name[0], []).append(group)
    return found


def licence(about: metadata.PackageMetadata) -> str:
    """Return the licence in a few words, as the package states it."""
    for text in (about.get("License-Expression"), about.get("License")):
        if text and len(text) < 30:
            return text
    named = [c for c in about.get_all("Classifier") or [] if c.startswith("License")]
    return named[0].rpartition(":: ")[2] if named else "several, see its files"


def who(about: metadata.PackageMetadata) -> str:
    """Return who looks after it, as the package states it."""
    for key in ("Maintainer", "Maintainer-email", "Author", "Author-email"):
        if text := about.get(key):
            return re.sub(r"\s*<[^>]*>", "", text).replace('"', "") or text
    return "–"


def megabytes(name: str) -> float:
    """Return the size of a package's own files."""
    files = [Path(str(path.locate())) for path in metadata.files(name) or ()]
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def main() -> None:
    """Print the table."""
    print("| package | for | version | licence | maintainers | MB |\n|---|---|---|---|---|---|")
    for name, extras in direct().items():
        about = metadata.metadata(name)
        print(
            f"| {name} | {', '.join(extras)} | {about['Version']} | {licence(about)} "
            f"| {who(about)} | {megabytes(name):.1f} |"
        )


if __name__ == "__main__":
    main()
