"""Provenance: what made each artefact, from what, and the line that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sslprep.errors import ManifestError
from sslprep.report.axes import count_text, size_text
from sslprep.report.blocks import Cell, Column, Fact, Table, short
from sslprep.report.collect import Artefact, Collection, note
from sslprep.report.svg import clean

MOST_FILES = 24
_AGAIN = "again"
"""Folder that the reproducing lines write to, so that nothing is overwritten."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Flags of a command whose values no manifest holds among its parameters.

    Attributes:
        output: Where the outputs go.
        is_file: Whether that is a file, not a folder.
        input: The flag of the first input file, where the parameters do not name it.
    """

    output: str
    is_file: bool = False
    input: str = ""


FLAGS: Mapping[str, Flags] = {
    "data": Flags(output="--output-dir"),
    "lowshot": Flags(output="--output-path"),
    "jigsaw": Flags(output="--output-dir"),
    "color": Flags(output="--output-path"),
    "convert jigsaw": Flags(output="--output-file", is_file=True, input="--model-file"),
    "convert detectron": Flags(output="--output-file", is_file=True, input="--c2-model"),
    "convert pytorch": Flags(output="--output-model", is_file=True, input="--c2-model"),
    "convert caffe2": Flags(output="--output-model", is_file=True, input="--pth-model"),
}
"""By command, or by the first word of a group."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where one artefact came from.

    Attributes:
        anchor: Id of its card.
        title: Its name.
        facts: Program, command, seed, date.
        line: The command that makes it again, quoted for a shell.
        tables: Parameters, inputs and outputs.
        notes: Outputs that are not as described.
    """

    anchor: str
    title: str
    facts: Sequence[Fact]
    line: str
    tables: Sequence[Table]
    notes: Sequence[str]

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        return 900 + len(self.line) + sum(table.weight for table in self.tables)


def origins(collection: Collection) -> Iterator[Origin]:
    """Yield where each artefact came from."""
    makers = collection.makers()
    for artefact in collection.artefacts:
        record = artefact.manifest
        facts = [
            Fact(label="kind", value=short(record.kind)),
            Fact(label="made by", value=f"sslprep {short(record.sslprep)}"),
            Fact(label="command", value=short(record.command)),
        ]
        if record.seed is not None:
            facts.append(Fact(label="seed", value=str(record.seed)))
        if record.generator:
            facts.append(Fact(label="random generator", value=short(record.generator, 240)))
        if record.created:
            facts.append(Fact(label="date", value=short(record.created)))
        tables = [_parameters(artefact), _inputs(artefact, makers), _outputs(artefact)]
        yield Origin(
            anchor=artefact.anchor,
            title=artefact.title,
            facts=facts,
            line=reproduce(artefact),
            tables=[table for table in tables if table.rows],
            notes=list(_differences(artefact, collection)),
        )


def reproduce(artefact: Artefact) -> str:
    """Return the command line that makes an artefact again, in a folder of its own.

    Everything that a manifest holds is quoted, so pasting the line runs sslprep and nothing else.
    """
    record = artefact.manifest
    flags = FLAGS.get(record.command) or FLAGS.get(record.command.split(" ")[0])
    words = ["sslprep", *record.command.split()]
    if flags is not None and flags.input and record.inputs:
        words += _flag(flags.input, record.inputs[0].path)
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
        case None:
            return []
        case True:
            return [name]
        case False:
            return [f"{name}=false"]
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
    return Table(title="Parameters", columns=columns, rows=rows)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return short(", ".join(map(str, value[:100])), 240)
    return short({True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value), 240)


def _inputs(artefact: Artefact, makers: Mapping[str, tuple[Artefact, str]]) -> Table:
    rows = []
    inputs = artefact.manifest.inputs
    for record in inputs[:MOST_FILES]:
        maker = makers.get(record.sha256 or "")
        if record.files_used is not None:
            amount = f"{count_text(record.files_used)} files used"
        else:
            amount = "–" if record.bytes is None else size_text(record.bytes)
        made = Cell(text="–")
        if maker is not None:
            made = Cell(text=maker[0].title, link=maker[0].anchor)
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
