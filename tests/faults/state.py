"""What a folder holds, and whether a run may have left it so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import SslprepError
from sslprep.input_files import sha256_of

Content = dict[str, str]
"""Path below the folder to SHA-256."""

State = Literal["untouched", "complete", "window"]


def visible(folder: Path) -> Content:
    """Return every file under a final name: none of its parts begins with a dot."""
    return {name: _digest(folder / name) for name in _names(folder) if not _is_hidden(name)}


def hidden(folder: Path) -> list[str]:
    """Return what stands under working names (`.NAME.part`, `.NAME.lock`, …)."""
    return [name for name in _names(folder) if _is_hidden(name)]


def _names(folder: Path) -> list[str]:
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [os.path.relpath(os.path.join(place, name), folder) for name in files + links]
    return sorted(found)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)


def _digest(path: Path) -> str:
    return sha256_of(path) if path.is_file() else "not a file"


def judge(folder: Path, before: Content, after: Content) -> tuple[State, list[str]]:
    """Say in which state a disturbed run left a folder, and what is wrong with that.

    Args:
        folder: The output folder.
        before: What it held before the run.
        after: What an undisturbed run would have made of it.

    Returns:
        `untouched`; `complete`; or `window`: of several sets of files some are complete, with
        their manifests, or a commit was between two renames: some files whole under their final
        names, and no manifest yet.
    """
    now = visible(folder)
    problems = _contradictions(folder, now)
    if now == before:
        return "untouched", problems
    if now == after:
        return "complete", problems
    for name, digest in now.items():
        if digest not in (before.get(name), after.get(name)):
            problems.append(f"{name} holds neither the old nor the new content")
    return "window", problems


def _contradictions(folder: Path, now: Content) -> list[str]:
    """Return what `sslprep verify` says of the manifests in a folder, if there are any."""
    if not any(name.endswith(MANIFEST_SUFFIX) for name in now):
        return []
    try:
        return [f"verify: {problem}" for problem in manifest.verify(folder=folder).problems]
    except SslprepError as error:
        return [f"verify: {error}"]
