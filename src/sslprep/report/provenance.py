"""Provenance: what made each artefact, from what, and the line that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslprep.atomic import OutputRecord
from sslprep.drawing.numbers import count_text, counted, size_text
from sslprep.drawing.svg import clean
from sslprep.errors import ManifestError
from sslprep.manifest import InputRecord
from sslprep.report.blocks import Cell, Column, Entry, Lines, Table, cells, numbers, short
from sslprep.report.collect import Artefact, Collection, note

MOST_FILES = 24
THREE_WAY = ("jigsaw", "bgr2rgb")
"""Switches that are neither on nor off by default; all others are off."""

_AGAIN = "again"
"""Folder that the reproducing lines write to, so that nothing is overwritten."""

_FILE_KINDS = ("checkpoint", "plot", "color-plot", "report")
"""Kinds of artefacts whose command takes a file, not a folder, as its output."""

_MERGED = ("k_values", "fraction")
"""Parameters of which a command that got several values wrote one artefact each."""

_TAKES_FILES = (
    *("color bins", "color plot", "jigsaw stats"),
    *("convert jigsaw", "convert detectron", "convert pytorch", "convert caffe2"),
)
"""Commands whose first parameter is their input files; no manifest holds it a second time."""


@dataclass(kw_only=True)
class Origin(Entry):
    """Where artefacts came from that one command made.

    Attributes:
        made: The artefacts: titles and anchors.
        command: The command's name.
        made_from: What it was made from: text and, where that is on the page, its anchor.
        seed: The seed, where there was chance.
        files: How many files, and how large.
    """

    made: list[Cell]
    command: str
    made_from: list[Cell]
    seed: str
    files: str


def origins(collection: Collection) -> Iterator[Origin]:
    """Yield where the artefacts came from; those of one command come together."""
    groups: dict[tuple[str, ...], list[Artefact]] = {}
    for artefact in collection.artefacts:
        record = artefact.manifest
        rest = {k: v for k, v in record.parameters.items() if k not in _MERGED}
        file = artefact.name if record.kind in _FILE_KINDS else ""
        alike = (artefact.place, record.kind, record.command, repr(record.seed), file, repr(rest))
        groups.setdefault(alike, []).append(artefact)
    for group in groups.values():
        yield _origin(group, collection)


def _origin(group: Sequence[Artefact], collection: Collection) -> Origin:
    first = group[0]
    record = first.manifest
    outputs = [(artefact, output) for artefact in group for output in artefact.manifest.outputs]
    # Partitions share a classes.json: a file that two manifests name is one file.
    files = {(artefact.place, output.file): max(0, output.bytes) for artefact, output in outputs}
    origin = Origin(
        anchor=first.anchor,
        title=first.title,
        made=[Cell(text=artefact.title, link=artefact.anchor) for artefact in group],
        command=short(record.command),
        made_from=_made_from(group, collection),
        seed="–" if record.seed is None else str(record.seed),
        files=f"{counted(len(files), 'file')}, {size_text(sum(files.values()))}",
    )
    origin.fact("kind", short(record.kind))
    origin.fact("made by", f"sslprep {short(record.sslprep)}")
    origin.fact("random generator", short(record.generator or "", 240))
    origin.fact("date", short(record.created or ""))
    line = reproduce(group, collection)
    origin.blocks.append(Lines(title="The line", lines=[line], code=True, css="command"))
    inputs = {i.path: i for artefact in group for i in artefact.manifest.inputs}
    tables = _inputs([*inputs.values()]), _outputs([output for _, output in outputs])
    origin.folded += [table for table in tables if table.rows]
    for artefact in group:
        for text in _differences(artefact, collection):
            origin.note(text)
    return origin


def _made_from(group: Sequence[Artefact], collection: Collection) -> list[Cell]:
    """Return the inputs in short: what else of the page they are, else their names."""
    inputs = [record for artefact in group for record in artefact.manifest.inputs]
    makers = [collection.makers(record) for record in inputs]
    alone = {found[0][0].anchor for found in makers if len(found) == 1}
    found: dict[str, Cell] = {}
    for record, made_by in zip(inputs, makers, strict=True):
        if made_by:  # of a file that several share, one that made another input
            maker, _ = next((m for m in made_by if m[0].anchor in alone), made_by[0])
            cell = Cell(text=short(maker.title), link=f"{maker.anchor}-origin")
        else:
            cell = Cell(text=short("/".join(Path(record.path).parts[-2:])))
        found.setdefault(cell.text, cell)
    more = [Cell(text=f"and {len(found) - 2} more")] if len(found) > 2 else []
    return [*found.values()][:2] + more


def reproduce(group: Sequence[Artefact], collection: Collection) -> str:
    """Return the command line that makes artefacts again, in a folder of its own.

    Everything that a manifest holds is quoted, so pasting the line runs sslprep and nothing else.

    Args:
        group: Artefacts of one command, alike but for the parameters that are `_MERGED`.
        collection: All artefacts: inputs may be outputs of others.
    """
    artefact = group[0]
    record = artefact.manifest
    words = ["sslprep", *record.command.split()]
    named = set(map(str, record.parameters.values()))
    inputs = [_path_of(i.path, artefact, collection) for i in record.inputs if i.path not in named]
    if record.command in _TAKES_FILES:
        words += [f"./{path}" if path.startswith("-") else path for path in inputs]
    for name, value in record.parameters.items():
        if name in _MERGED and isinstance(value, list):
            every = [a.manifest.parameters.get(name) or [] for a in group]
            alone = {repr(item): item for values in every for item in values}
            value = sorted(alone.values(), key=_by_number)
        words += _flag(f"--{name.replace('_', '-')}", value)
    if "proof" in record.details:
        words.append("--check")
    place = _AGAIN if artefact.place == "." else f"{_AGAIN}/{artefact.place}"
    if record.kind in _FILE_KINDS:
        place += f"/{record.outputs[0].file if record.outputs else artefact.name}"
    words += _flag("--plot" if record.command == "jigsaw stats" else "--output", place)
    return shlex.join(clean(word) for word in words)


def _by_number(value: object) -> tuple[bool, float, str]:
    """Sort numbers first; a manifest that somebody else wrote may hold anything."""
    number = isinstance(value, int | float)
    return not number, float(value) if isinstance(value, int | float) else 0.0, str(value)


def _path_of(path: str, artefact: Artefact, collection: Collection) -> str:
    """Return an input's path as it is to be typed.

    A command that writes several artefacts notes those that it made on the way by their names
    alone: they stand beside the manifest.
    """
    if "/" not in path and any(path in other.ending(path) for other in collection.artefacts):
        return str(artefact.path.parent / path)
    return path


def _flag(name: str, value: object) -> list[str]:
    match value:
        case False if name.removeprefix("--") in THREE_WAY:
            return [f"{name}=false"]
        case None | False:
            return []
        case True:
            return [name]
        case list():
            return [name, ",".join(map(str, value))] if value else []
        case _:
            text = str(value)
            return [f"{name}={text}"] if text.startswith("-") else [name, text]


def _inputs(inputs: Sequence[InputRecord]) -> Table:
    rows = []
    for record in inputs[:MOST_FILES]:
        if record.files_used is not None:
            amount = f"{counted(record.files_used, 'file')} used"
        else:
            amount = "–" if record.bytes is None else size_text(record.bytes)
        rows.append(cells(short(record.path, 240), amount, _hash(record.sha256)))
    columns = [Column(title="input", kind="code"), *numbers("size")]
    return Table(
        title="Made from",
        columns=[*columns, Column(title="SHA-256", kind="code")],
        rows=rows,
        caption=_more(len(inputs)),
        css="wide",
        rank=2,
    )


def _outputs(outputs: Sequence[OutputRecord]) -> Table:
    rows = [
        cells(short(record.file, 160), size_text(max(0, record.bytes)), _hash(record.sha256))
        for record in outputs[:MOST_FILES]
    ]
    columns = [Column(title="file", kind="code"), *numbers("size")]
    return Table(
        title="Files",
        columns=[*columns, Column(title="SHA-256", kind="code")],
        rows=rows,
        caption=_more(len(outputs)),
        css="wide",
        rank=2,
    )


def _hash(digest: str | None) -> str:
    return "not hashed" if digest is None else short(digest, 64)


def _more(count: int) -> str:
    left = count - MOST_FILES
    return f"{count_text(left)} more are in the manifest." if left > 0 else ""


def _differences(artefact: Artefact, collection: Collection) -> Iterator[str]:
    """Yield what of the files is not as the manifest says, by name and size."""
    for record in artefact.manifest.outputs:
        try:
            size = artefact.file(record.file).stat().st_size
        except ManifestError as error:
            yield note(error, collection.folder)
            continue
        if size != record.bytes:
            yield f"{record.file} has {count_text(size)} bytes, not {count_text(record.bytes)}."
