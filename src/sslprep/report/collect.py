"""What lies under a folder: its manifests and the files that they describe.

Nothing here trusts a manifest. A file is read only where it is a plain name beside its manifest,
a regular file (never a pipe or a device), and within a limit of size.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ManifestError, SslprepError
from sslprep.files import MANIFEST_SUFFIX, read_array, reading
from sslprep.manifest import InputRecord, Manifest
from sslprep.report.fields import Fields

LARGEST_MANIFEST = 64_000_000
LARGEST_JSON = 64_000_000


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """One manifest and the files beside it.

    Attributes:
        path: The manifest.
        place: Its folder, relative to the folder reported on (`.` for that folder itself).
        manifest: What stands in it.
        anchor: Its id on the page.
    """

    path: Path
    place: str
    manifest: Manifest
    anchor: str

    @property
    def name(self) -> str:
        """The manifest's name without its ending."""
        return self.path.name.removesuffix(MANIFEST_SUFFIX)

    @property
    def title(self) -> str:
        """Folder and name."""
        return self.name if self.place == "." else f"{self.place}/{self.name}"

    @property
    def details(self) -> Fields:
        """What only this kind has."""
        return Fields(self.manifest.details)

    @property
    def parameters(self) -> Fields:
        """What it was made with."""
        return Fields(self.manifest.parameters)

    @property
    def names(self) -> list[str]:
        """Names of all outputs, as the manifest gives them."""
        return [output.file for output in self.manifest.outputs]

    def ending(self, *suffixes: str) -> list[str]:
        """Return the outputs whose names end in one of `suffixes`."""
        return [name for name in self.names if name.endswith(suffixes)]

    def file(self, name: str, *, limit: int | None = None) -> Path:
        """Return the path of one output.

        Raises:
            ManifestError: Not a plain name, gone, not a regular file, or above `limit` bytes.
        """
        if Path(name).name != name or name in ("", ".", "..") or "\0" in name:
            raise ManifestError(f"{name!r} is not the name of a file beside its manifest")
        return regular_file(self.path.parent / name, limit=limit)

    def array(self, name: str, **checks: Any) -> NDArray[Any]:
        """Map one `.npy` output, read-only; `checks` as in `files.read_array`.

        Raises:
            ManifestError: As for `file`.
            ArrayError: Damaged, or not of the kind asked for.
        """
        return read_array(self.file(name), mmap=True, **checks)


def regular_file(path: Path, *, limit: int | None = None) -> Path:
    """Return `path` if it is a regular file of at most `limit` bytes.

    Raises:
        ManifestError: It is not.
    """
    try:
        with reading(path, ManifestError):
            found = path.stat()
    except ValueError as error:  # a null byte
        raise ManifestError("is not a path", where=repr(str(path))) from error
    if not stat.S_ISREG(found.st_mode):
        raise ManifestError("is not a regular file", where=path)
    if limit is not None and found.st_size > limit:
        raise ManifestError(
            f"has {found.st_size:,} bytes, too many to show", where=path, expected=f"{limit:,}"
        )
    return path


@dataclass(kw_only=True)
class Collection:
    """All that was found.

    Attributes:
        folder: The folder reported on.
        artefacts: One for each readable manifest, by path.
        notes: One line for each thing that could not be read.
    """

    folder: Path
    artefacts: list[Artefact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _by_hash: dict[str, list[tuple[Artefact, str]]] = field(default_factory=dict)

    def of_kind(self, *kinds: str) -> list[Artefact]:
        """Return the artefacts of some kinds."""
        return [a for a in self.artefacts if a.manifest.kind in kinds]

    def maker(self, record: InputRecord) -> tuple[Artefact, str] | None:
        """Return which output of which artefact an input is, by its hash.

        Of several equal files it is the one whose path ends like the input's.
        """
        if not self._by_hash:
            for artefact in self.artefacts:
                for output in artefact.manifest.outputs:
                    self._by_hash.setdefault(output.sha256, []).append((artefact, output.file))
        found = self._by_hash.get(record.sha256 or "")
        if not found:
            return None
        path = Path(record.path).absolute()

        def alike(maker: tuple[Artefact, str]) -> int:
            parts = zip(
                reversed(path.parts),
                reversed((maker[0].path.absolute().parent / maker[1]).parts),
                strict=False,
            )
            return len(list(takewhile(lambda pair: pair[0] == pair[1], parts)))

        return max(found, key=alike)

    def relative(self, path: Path) -> str:
        """Return a path as seen from the folder, for people."""
        text = str(path)
        return os.path.relpath(text, self.folder) if path.is_relative_to(self.folder) else text


def collect(folder: Path) -> Collection:
    """Read every manifest under a folder; what cannot be read becomes a note.

    Raises:
        ManifestError: No such folder, or no manifest under it.
    """
    if not folder.is_dir():
        raise ManifestError("no such folder", where=folder, remedy="Check the path.")
    found = Collection(folder=folder)
    paths = _manifests(folder, found.notes)
    for path in paths:
        try:
            record = manifest.read(regular_file(path, limit=LARGEST_MANIFEST))
        except ManifestError as error:
            found.notes.append(note(error, folder))
            continue
        if record.kind == "report":
            continue
        artefact = Artefact(
            path=path,
            place=os.path.relpath(path.parent, folder),
            manifest=record,
            anchor=f"artefact-{len(found.artefacts) + 1}",
        )
        found.artefacts.append(artefact)
    if not found.artefacts and not found.notes:
        raise ManifestError(
            "holds no manifest",
            where=folder,
            expected=f"at least one file named *{MANIFEST_SUFFIX}",
            remedy="Give a folder that sslprep wrote into.",
        )
    return found


def _manifests(folder: Path, notes: list[str]) -> Sequence[Path]:
    """Return every manifest under a folder, sorted; unlike `manifest.find`, go on after a wall."""
    paths: list[Path] = []

    def refuse(error: OSError) -> None:
        place = os.path.relpath(error.filename, folder)
        notes.append(f"{place}: cannot be looked into: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        found = (n for n in sorted(names) if n.endswith(MANIFEST_SUFFIX) and n[0] != ".")
        paths += [Path(place) / name for name in found]
    return paths


def note(error: Exception, folder: Path) -> str:
    """Say in one line what went wrong, with paths as seen from the folder."""
    text = str(error) if isinstance(error, SslprepError) else f"{type(error).__name__}: {error}"
    return text.replace(f"{folder}{os.sep}", "")
