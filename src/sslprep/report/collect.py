"""What lies under a folder: its manifests and the files that they describe.

Nothing here trusts a manifest. A file is read only where it is a plain name beside its manifest,
a regular file (never a pipe or a device), and within a limit of size.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.errors import ManifestError, SslprepError
from sslprep.input_files import reading
from sslprep.manifest import InputRecord, Manifest
from sslprep.npy import read_array

T = TypeVar("T", bound=msgspec.Struct)

LARGEST_MANIFEST = 64_000_000
LARGEST_JSON = 64_000_000
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Beyond 2^53 a JSON number is no count of anything."""


def read_fields(values: object, kind: type[T]) -> T:
    """Fill a struct from a manifest's free part; what is of another type stays at its default.

    A manifest is a file that someone gave us: where a number should stand there may be a list, a
    text or nothing.

    Example:
        >>> class Details(msgspec.Struct):
        ...     n: Count = 0
        ...     names: list[str] = []
        >>> read_fields({"n": "many", "names": ["a"], "other": 1}, Details)
        Details(n=0, names=['a'])
    """
    known: dict[str, Any] = {}
    for entry in msgspec.structs.fields(kind):
        if isinstance(values, Mapping) and entry.name in values:
            try:
                known[entry.name] = msgspec.convert(values[entry.name], entry.type)
            except msgspec.ValidationError:
                continue
    return kind(**known)


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

    def details(self, kind: type[T]) -> T:
        """Read what only this kind of artefact has."""
        return read_fields(self.manifest.details, kind)

    def parameters(self, kind: type[T]) -> T:
        """Read what it was made with."""
        return read_fields(self.manifest.parameters, kind)

    def parameter(self, name: str) -> str:
        """Return one parameter if it is a text, else an empty one."""
        value = self.manifest.parameters.get(name)
        return value if isinstance(value, str) else ""

    def count(self, name: str) -> int:
        """Return one of the manifest's counts, 0 where there is none."""
        return self.manifest.counts.get(name, 0)

    def ending(self, *suffixes: str) -> list[str]:
        """Return the names of the outputs that end in one of `suffixes`."""
        names = [output.file for output in self.manifest.outputs]
        return [name for name in names if name.endswith(suffixes)]

    def file(self, name: str, *, limit: int | None = None) -> Path:
        """Return the path of one output.

        Raises:
            ManifestError: Not a plain name, gone, not a regular file, or above `limit` bytes.
        """
        if Path(name).name != name or name in ("", ".", "..") or "\0" in name:
            raise ManifestError(f"{name!r} is not the name of a file beside its manifest")
        return regular_file(self.path.parent / name, limit=limit)

    def array(self, name: str, **checks: Any) -> NDArray[Any]:
        """Map one `.npy` output, read-only; `checks` as in `read_array`.

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

    def makers(self, record: InputRecord) -> list[tuple[Artefact, str]]:
        """Return which output of which artefacts an input is, by its hash.

        Of several equal files it is the one whose path ends like the input's: several artefacts
        made it where it is one that they share, such as a `classes.json`.
        """
        if not self._by_hash:
            for artefact in self.artefacts:
                for output in artefact.manifest.outputs:
                    self._by_hash.setdefault(output.sha256, []).append((artefact, output.file))
        path = Path(record.path).absolute()

        def alike(maker: tuple[Artefact, str]) -> int:
            own = (maker[0].path.absolute().parent / maker[1]).parts
            pairs = zip(reversed(path.parts), reversed(own), strict=False)
            return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))

        found = self._by_hash.get(record.sha256 or "", ())
        most = max(map(alike, found), default=0)
        return [maker for maker in found if alike(maker) == most]

    def sources(self, artefact: Artefact) -> list[tuple[Artefact, str]]:
        """Return what of the page an artefact was made from; of several makers the first."""
        makers = map(self.makers, artefact.manifest.inputs)
        return [found[0] for found in makers if found]


def collect(folder: Path) -> Collection:
    """Read every manifest under a folder; what cannot be read becomes a note.

    Raises:
        ManifestError: No such folder, or no manifest under it.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise ManifestError(what, where=folder, remedy="Give a folder that sslprep wrote into.")
    found = Collection(folder=folder)

    def unreadable(error: OSError) -> None:
        place = os.path.relpath(error.filename, folder)
        found.notes.append(f"{place}: cannot be looked into: {error.strerror}")

    for path in manifest.find(folder, unreadable):
        try:
            record = manifest.read(regular_file(path, limit=LARGEST_MANIFEST))
        except ManifestError as error:
            found.notes.append(note(error, folder))
            continue
        if record.kind != "report":
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


def note(error: Exception, folder: Path) -> str:
    """Say in one line what went wrong, with paths as seen from the folder."""
    text = str(error) if isinstance(error, SslprepError) else f"{type(error).__name__}: {error}"
    return text.replace(f"{folder}{os.sep}", "")
