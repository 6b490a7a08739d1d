"""Provenance: the `….manifest.json` beside every output set, and the check of it.

A manifest says what was made, from what, how and by which program. It holds no clock time
unless SOURCE_DATE_EPOCH is set, no output folder and no number of jobs: equal input gives
equal bytes, wherever and on however many cores a command ran.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from sslprep import __version__
from sslprep.atomic import MANIFEST_SUFFIX, OutputRecord, OutputSet
from sslprep.errors import ManifestError, ParameterError, SslprepError
from sslprep.input_files import decode_json, reading, sha256_of
from sslprep.parameters import command
from sslprep.results import result

SCHEMA = 1
HASH_LIMIT = 1_000_000_000
"""Inputs above this many bytes are recorded by size alone unless hashing is asked for."""

NO_CONTENT = {"output", "overwrite", "hash_inputs"}
"""Parameters that change nothing in what is written, and stand in no manifest."""


class InputRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One input as it was used: a file (bytes, hash), or a folder (how many files of it)."""

    path: str
    bytes: int | None = None
    sha256: str | None = None
    files_used: int | None = None


class Manifest(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What stands in a manifest file.

    Attributes:
        schema: Version of this layout; a reader refuses newer ones.
        sslprep: Version of the program that wrote it.
        kind: What was made: partition, lowshot, permutations, color-histogram, color-bins,
            checkpoint, plot, color-plot, report.
        command: The command, such as `data voc`.
        parameters: All parameters that bear on the content, by name.
        seed: The seed, where there was chance.
        generator: Name of the random generator and how it is keyed.
        inputs: What it was made from.
        outputs: What was made; the files beside the manifest.
        counts: Numbers of images, classes, skipped files and so on.
        warnings: What the user was warned of.
        labels: Meaning of label values.
        details: What only this kind of output has (distances, bounds, blobs, classes…).
        created: UTC time from SOURCE_DATE_EPOCH, where that is set.
    """

    schema: int
    sslprep: str
    kind: str
    command: str
    parameters: dict[str, Any]
    seed: int | None = None
    generator: str | None = None
    inputs: list[InputRecord]
    outputs: list[OutputRecord]
    counts: dict[str, int] = {}
    warnings: list[str] = []
    labels: dict[str, str] = {}
    details: dict[str, Any] = {}
    created: str | None = None


class Inputs:
    """Notes the inputs of a run at its start and describes them at its end.

    A file that changed in between is an error: the outputs would be of neither version.

    Args:
        hash_inputs: Hash also files above 1 GB.

    Example:
        >>> inputs = Inputs()
        >>> inputs.add_file(Path(__file__))
        >>> Path(inputs.records()[0].path).name
        'manifest.py'
    """

    def __init__(self, *, hash_inputs: bool = False) -> None:
        self._hash_inputs = hash_inputs
        self.digests: dict[Path, str] = {}
        """Hashes that are known already."""
        self._files: dict[Path, os.stat_result] = {}
        self._folders: dict[Path, int] = {}

    def add_file(self, path: Path) -> None:
        """Note a file before it is read."""
        with reading(path, SslprepError):
            self._files[path] = path.stat()

    def add_folder(self, path: Path, files_used: int) -> None:
        """Note a folder of which `files_used` files were used."""
        self._folders[path] = files_used

    def records(self) -> list[InputRecord]:
        """Describe all inputs, in the order in which they were added.

        Raises:
            SslprepError: An input file changed since it was added.
        """
        records = []
        for path, before in self._files.items():
            hashed = before.st_size <= HASH_LIMIT or self._hash_inputs
            with reading(path, SslprepError):
                digest = (self.digests.get(path) or sha256_of(path)) if hashed else None
                now = path.stat()
            if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise SslprepError(
                    "changed while it was being read",
                    where=path,
                    remedy="Nothing was written. Run the command again when the file is complete.",
                )
            records.append(InputRecord(path=str(path), bytes=now.st_size, sha256=digest))
        records += [InputRecord(path=str(p), files_used=n) for p, n in self._folders.items()]
        return records


def write(
    out: OutputSet,
    name: str,
    *,
    kind: str,
    command: str,
    parameters: Mapping[str, Any],
    inputs: Sequence[InputRecord],
    outputs: Iterable[str] | None = None,
    **more: Any,
) -> None:
    """Write the manifest `name` of `out`; call it after all files that it describes.

    Args:
        out: The set of files being written.
        name: File name of the manifest, ending in `.manifest.json`.
        kind: See `Manifest`, as for all that follow.
        command: The command.
        parameters: The arguments of the command, by name; those of `NO_CONTENT` are left out.
        inputs: What it was made from.
        outputs: Names of the files that it describes; by default all written so far.
        more: The other fields of `Manifest`, as far as there is something to say.
    """
    records = {record.file: record for record in out.written}
    names = records if outputs is None else outputs
    record = Manifest(
        schema=SCHEMA,
        sslprep=__version__,
        kind=kind,
        command=command,
        parameters={k: v for k, v in parameters.items() if k not in NO_CONTENT},
        inputs=list(inputs),
        outputs=[records[name] for name in names if not name.endswith(MANIFEST_SUFFIX)],
        created=_source_date(),
        **{field: value for field, value in more.items() if value is not None},
    )
    out.save_json(name, record)


def _source_date() -> str | None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(epoch), UTC).isoformat() if epoch else None
    except (ValueError, OverflowError, OSError) as error:
        raise ParameterError(
            f"SOURCE_DATE_EPOCH is {epoch!r}", expected="seconds since 1970, a whole number"
        ) from error


def read(path: Path) -> Manifest:
    """Read one manifest.

    Raises:
        ManifestError: Not a manifest, or one of a newer version of sslprep.
    """
    with reading(path, ManifestError):
        data = path.read_bytes()
    schema = decode_json(data, _SchemaOnly, ManifestError, path).schema
    if schema > SCHEMA:
        raise ManifestError(
            f"has schema {schema}",
            where=path,
            expected=f"at most {SCHEMA}",
            remedy="Upgrade sslprep to read it.",
        )
    return decode_json(data, Manifest, ManifestError, path)


class _SchemaOnly(msgspec.Struct):
    schema: int


def find(folder: Path, refused: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield every manifest under `folder`, sorted; links to folders are not followed.

    Args:
        folder: Where to look.
        refused: Told of each folder that cannot be read; by default the first is an error.

    Raises:
        ManifestError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise ManifestError(f"cannot read: {error.strerror}", where=error.filename) from error

    for place, folders, names in os.walk(folder, onerror=refused or refuse):
        folders.sort()
        for name in sorted(names):
            if name.endswith(MANIFEST_SUFFIX) and not name.startswith("."):
                yield Path(place) / name


def changed_outputs(path: Path, manifest: Manifest) -> list[str]:
    """Compare the files beside a manifest with what it says of them.

    Args:
        path: The manifest file.
        manifest: Its content.

    Returns:
        One line for each file that is missing or differs; empty where all is as it should be.
    """
    problems = []
    for output in manifest.outputs:
        file = path.parent / output.file
        try:
            if Path(output.file).name != output.file or "\0" in output.file:
                raise ManifestError(f"names {output.file!r}, not a file beside it", where=path)
            with reading(file, ManifestError):
                found, wanted = f"{file.stat().st_size} bytes", f"{output.bytes} bytes"
                if found == wanted:
                    found, wanted = f"SHA-256 {sha256_of(file)}", f"SHA-256 {output.sha256}"
            if found != wanted:
                raise ManifestError(f"has {found}", where=file, expected=f"{wanted} ({path.name})")
        except ManifestError as error:
            problems.append(str(error))
    return problems


@result
class VerifyResult:
    """What `verify` found.

    Attributes:
        manifests: How many manifests were read.
        files: How many output files were compared.
        problems: One line for each file or manifest that is not as it should be.
    """

    manifests: int
    files: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every file is as its manifest says."""
        return not self.problems

    def text(self) -> str:
        """Give the problems, then the verdict."""
        compared = f"{self.files:,} files compared with {self.manifests:,} manifests"
        verdict = (
            f"not as written: {compared}, {len(self.problems):,} problems"
            if self.problems
            else f"all as written: {compared}"
        )
        return "\n".join([*self.problems, verdict])


@command()
def verify(folder: Path) -> VerifyResult:
    """Compare every file under a folder with the manifest that describes it.

    Args:
        folder: The folder, with all folders below it; or one manifest.

    Returns:
        How much was compared, and what differs.

    Raises:
        ManifestError: No such folder, or no manifest under it.
    """
    if not folder.exists():
        raise ManifestError("no such folder", where=folder, remedy="Check the path.")
    problems: list[str] = []
    manifests = files = 0
    for path in find(folder) if folder.is_dir() else [folder]:
        manifests += 1
        try:
            manifest = read(path)
        except ManifestError as error:
            problems.append(str(error))
            continue
        files += len(manifest.outputs)
        problems += changed_outputs(path, manifest)
    if not manifests:
        raise ManifestError(
            "holds no manifest",
            where=folder,
            expected=f"at least one file named *{MANIFEST_SUFFIX}",
            remedy="Give a folder that sslprep wrote into.",
        )
    return VerifyResult(manifests=manifests, files=files, problems=tuple(problems))
