"""Provenance: what made each artefact, from what, and the line that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sslprep.drawing.numbers import count_text, size_text
from sslprep.drawing.svg import clean
from sslprep.errors import ManifestError
from sslprep.report.blocks import Cell, Column, Holder, Table, short
from sslprep.report.collect import Artefact, Collection, note

MOST_FILES = 24
THREE_WAY = ("jigsaw", "bgr2rgb")
"""Switches that are neither on nor off by default; all others are off."""

_AGAIN = "again"
"""Folder that the reproducing lines write to, so that nothing is overwritten."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Flags of a command whose values no manifest holds among its parameters.

    Attributes:
        output: Where the outputs go.
        is_file: Whether that is a file, not a folder.
        input: The flag of the input files, where the parameters do not name them.
    """

    output: str
    is_file: bool = False
    input: str = ""


FLAGS: Mapping[str, Flags] = {
    "data": Flags(output="--output-dir"),
    "lowshot": Flags(output="--output-path"),
    "jigsaw": Flags(output="--output-dir"),
    "color": Flags(output="--output-path"),
    "color bins": Flags(output="--output-path", input="--histogram"),
    "color plot": Flags(output="--output-file", is_file=True),
    "jigsaw stats": Flags(output="--plot", is_file=True, input="--file"),
    "convert jigsaw": Flags(output="--output-file", is_file=True, input="--model-file"),
    "convert detectron": Flags(output="--output-file", is_file=True, input="--c2-model"),
    "convert pytorch": Flags(output="--output-model", is_file=True, input="--c2-model"),
    "convert caffe2": Flags(output="--output-model", is_file=True, input="--pth-model"),
}
"""By command, or by the first word of a group."""


@dataclass(kw_only=True)
class Origin(Holder):
    """Where one artefact came from; `line` is the command that makes it again."""

    line: str


def origins(collection: Collection) -> Iterator[Origin]:
    """Yield where each artefact came from."""
    for artefact in collection.artefacts:
        record = artefact.manifest
        origin = Origin(anchor=artefact.anchor, title=artefact.title, line=reproduce(artefact))
        origin.fact("kind", short(record.kind))
        origin.fact("made by", f"sslprep {short(record.sslprep)}")
        origin.fact("command", short(record.command))
        origin.fact("seed", None if record.seed is None else str(record.seed))
        origin.fact("random generator", short(record.generator or "", 240))
        origin.fact("date", short(record.created or ""))
        tables = (_parameters(artefact), _inputs(artefact, collection), _outputs(artefact))
        origin.blocks += [table for table in tables if table.rows]
        for text in _differences(artefact, collection):
            origin.note(text)
        yield origin


def reproduce(artefact: Artefact) -> str:
    """Return the command line that makes an artefact again, in a folder of its own.

    Everything that a manifest holds is quoted, so pasting the line runs sslprep and nothing else.
    """
    record = artefact.manifest
    flags = FLAGS.get(record.command) or FLAGS.get(record.command.split(" ")[0])
    words = ["sslprep", *record.command.split()]
    named = set(map(str, record.parameters.values()))
    unnamed = [i.path for i in record.inputs if i.path not in named]
    if flags is not None and flags.input and unnamed:
        words += _flag(flags.input, unnamed if len(unnamed) > 1 else unnamed[0])
    for name, value in record.parameters.items():
        words += _flag(f"--{name.replace('_', '-')}", value)
    if flags is not None:
        place = _AGAIN if artefact.place == "." else f"{_AGAIN}/{artefact.place}"
        if flags.is_file:
            place = f"{place}/{record.outputs[0].file if record.outputs else artefact.name}"
        words += _flag(flags.output, place)
    return shlex.join(clean(word) for word in words)


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


def _parameters(artefact: Artefact) -> Table:
    values = artefact.manifest.parameters.items()
    rows = [
        [Cell(text=short(name)), Cell(text=_shown(value))]
        for name, value in list(values)[:MOST_FILES]
        if value is not None
    ]
    columns = [Column(title="parameter", kind="code"), Column(title="value", kind="code")]
    return Table(title="Parameters", columns=columns, rows=rows, rank=2)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return short(", ".join(map(str, value[:100])), 240)
    return short({True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value), 240)


def _inputs(artefact: Artefact, collection: Collection) -> Table:
    rows = []
    inputs = artefact.manifest.inputs
    for record in inputs[:MOST_FILES]:
        maker = collection.maker(record)
        if record.files_used is not None:
            amount = f"{count_text(record.files_used)} files used"
        else:
            amount = "–" if record.bytes is None else size_text(record.bytes)
        made = Cell(text="–")
        if maker is not None:
            made = Cell(text=maker[0].title, link=f"{maker[0].anchor}-origin")
        path = Cell(text=short(record.path, 240))
        rows.append([path, Cell(text=amount), made, _hash(record.sha256)])
    return Table(
        title="Made from",
        columns=[
            Column(title="input", kind="code"),
            Column(title="size", kind="number"),
            Column(title="made here as"),
            Column(title="SHA-256", kind="code"),
        ],
        rows=rows,
        caption=_more(len(inputs)),
        rank=2,
    )


def _outputs(artefact: Artefact) -> Table:
    outputs = artefact.manifest.outputs
    rows = [
        [
            Cell(text=short(record.file, 160)),
            Cell(text=size_text(record.bytes), value=record.bytes),
            _hash(record.sha256),
        ]
        for record in outputs[:MOST_FILES]
    ]
    return Table(
        title="Files",
        columns=[
            Column(title="file", kind="code"),
            Column(title="size", kind="number"),
            Column(title="SHA-256", kind="code"),
        ],
        rows=rows,
        caption=_more(len(outputs)),
        rank=2,
    )


def _hash(digest: str | None) -> Cell:
    return Cell(text="not hashed" if digest is None else short(digest, 64))


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
