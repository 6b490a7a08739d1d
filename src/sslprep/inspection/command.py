"""`inspect`: what is in a file of this program or of the benchmark, without running it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.open import PARTS, Contents, open_checkpoint
from sslprep.errors import ArrayError, CheckpointError, ManifestError
from sslprep.input_files import reading
from sslprep.inspection.array import describe_array
from sslprep.inspection.checkpoint import bytes_of, checkpoint_facts
from sslprep.npy import LONGEST_HEADER, parse_array_header, read_array
from sslprep.parameters import command
from sslprep.results import table

_SHOWN = 30
_MAX_MANIFESTS = 500


@dataclass(frozen=True, kw_only=True)
class BlobRow:
    """One blob of a checkpoint.

    Attributes:
        name: Its name.
        dtype: Its type, such as `float32`; `int` or `float` for a bare number.
        shape: Its shape.
        bytes: Bytes of its elements.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, kw_only=True)
class InspectResult:
    """What is in a file.

    Attributes:
        file: The file.
        bytes: Its size.
        what: What it is in a few words, such as `permutation set`.
        facts: What is to be said about it, by name.
        blobs: Of a checkpoint, every blob in the file's order.
        show_all: Whether `text` lists every blob.
    """

    file: Path
    bytes: int
    what: str
    facts: dict[str, object] = field(default_factory=dict)
    blobs: tuple[BlobRow, ...] = ()
    show_all: bool = False

    def text(self) -> str:
        """Lay it out for people."""
        lines = [f"{self.file}: {self.what}, {self.bytes:,} bytes"]
        lines += [f"{_fact(name)}: {_fact(value)}" for name, value in self.facts.items()]
        if self.blobs:
            shown = self.blobs if self.show_all else self.blobs[:_SHOWN]
            rows = [
                (row.name, row.dtype, "×".join(map(str, row.shape)), row.bytes) for row in shown
            ]
            lines += ["", table(["blob", "dtype", "shape", "bytes"], rows)]
            if len(shown) < len(self.blobs):
                lines.append(f"… and {len(self.blobs) - len(shown):,} more (--all shows every one)")
        return "\n".join(lines)


def _fact(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "".join(c if c.isprintable() else "�" for c in str(value))


def _blob_rows(contents: Contents) -> tuple[BlobRow, ...]:
    return tuple(
        BlobRow(name=name, dtype=blob.type, shape=blob.shape, bytes=bytes_of(blob))
        if isinstance(blob, StoredArray)
        else BlobRow(name=name, dtype=type(blob).__name__, shape=(), bytes=0)
        for name, blob in contents.stored.items()
    )


def _provenance(file: Path) -> dict[str, object]:
    """Return what the manifest beside a file says of it, where there is one."""
    paths = sorted(file.absolute().parent.glob(f"*{MANIFEST_SUFFIX}"))[:_MAX_MANIFESTS]
    for path in paths:
        try:
            record = manifest.read(path)
        except ManifestError:
            continue  # another program's, or damaged: `verify` is there to say so
        output = next((out for out in record.outputs if out.file == file.name), None)
        if output is not None:
            facts = {"made by": f"sslprep {record.sslprep} {record.command}", "manifest": path.name}
            if isinstance(order := record.details.get("channels"), str):
                facts["channel order"] = f"{order.upper()} (says the manifest)"
            if output.bytes != file.stat().st_size:
                facts["manifest"] += ", which says that it has another size"
            return dict(facts)
    return {}


def _manifest_facts(record: manifest.Manifest) -> dict[str, object]:
    return {
        "kind": record.kind,
        "command": record.command,
        "version": record.sslprep,
        **({} if record.seed is None else {"seed": record.seed}),
        "inputs": ", ".join(item.path for item in record.inputs),
        "outputs": ", ".join(item.file for item in record.outputs),
        **record.counts,
        **{f"warning {i}": text for i, text in enumerate(record.warnings, 1)},
    }


@command()
def inspect(file: Path, *, all: bool = False) -> InspectResult:
    """Show what is in a checkpoint, a `.npy` file or a manifest, without running any of it.

    A checkpoint's weights are not read, only their names, shapes and types, whatever the size of
    the file. PyTorch is not needed.

    Args:
        file: Checkpoint (`.pkl`, `.npy`, `.pth`, `.dat`, `.safetensors`), `.npy` array
            (partitions, low-shot samples, permutations, bins), or manifest.
        all: List every blob in place of the first thirty.

    Returns:
        What it is.

    Raises:
        UnsafeFileError: The file names code, or claims more than it holds.
        CheckpointError: No such file, or of no kind that is known.
        ArrayError: A damaged `.npy` file.
        ManifestError: A damaged manifest.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> path = Path(tempfile.mkdtemp()) / "permutations.npy"
        >>> np.save(path, np.array([[0, 1, 2], [1, 2, 0]]))
        >>> inspect(file=path).facts["mean distance"]
        3.0
    """
    if file.is_dir():
        raise CheckpointError("is a folder", where=file, expected="a file", remedy=PARTS)
    with reading(file, CheckpointError), open(file, "rb") as handle:
        start = BytesIO(handle.read(LONGEST_HEADER))
        size = file.stat().st_size
    if file.name.endswith(MANIFEST_SUFFIX):
        facts = _manifest_facts(manifest.read(file))
        return InspectResult(file=file, bytes=size, what="manifest", facts=facts)
    plain = False
    with contextlib.suppress(ValueError):  # it is no `.npy` file, or a damaged one
        plain = not parse_array_header(start)[2].hasobject
    if plain:
        array = read_array(file, mmap=True)
        if array.dtype.kind not in "iufbUS":
            raise ArrayError(f"got dtype {array.dtype}", where=file, expected="numbers or strings")
        what, facts = describe_array(array)
        facts = {"shape": array.shape, "dtype": array.dtype.name, **facts, **_provenance(file)}
        return InspectResult(file=file, bytes=size, what=what, facts=facts)
    contents = open_checkpoint(file)
    return InspectResult(
        file=file,
        bytes=size,
        what="checkpoint",
        facts={**checkpoint_facts(contents), **_provenance(file)},
        blobs=_blob_rows(contents),
        show_all=all,
    )
