"""`sslprep report`: one self-contained page about everything that lies under a folder."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import logging
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from sslprep import __version__, manifest
from sslprep.drawing.numbers import count_text, size_text
from sslprep.drawing.svg import clean, style
from sslprep.errors import MissingExtraError, OutputError
from sslprep.files import MANIFEST_SUFFIX, OutputSet
from sslprep.report import checkpoints, colors, lowshot, partitions, permutations
from sslprep.report.blocks import Section, fit, short
from sslprep.report.collect import Collection, collect
from sslprep.report.photos import SamplePhoto
from sslprep.report.provenance import origins

logger = logging.getLogger(__name__)

LARGEST_PAGE = 2_000_000
"""Bytes that a page must stay below."""

MOST_ARTEFACTS = 200
PLOTS = ("plot", "color-plot")
"""Kinds that are pictures of what the page draws itself; only their provenance is shown."""
_LONGEST_TEXT = 4000
_TEMPLATES = "templates"


def compose(collection: Collection) -> bytes:
    """Return the page about a collection, below two million bytes.

    Should the estimate of what fits have been wrong, the page is made again with less.
    """
    room = LARGEST_PAGE * 9 // 10
    while True:
        page = _render(collection, room).encode("utf-8", "replace")
        if len(page) < LARGEST_PAGE or room < 1000:
            return page
        room = room * 3 // 4


def _render(collection: Collection, room: int) -> str:
    left_out = collection.artefacts[MOST_ARTEFACTS:]
    shown = Collection(
        folder=collection.folder,
        artefacts=collection.artefacts[:MOST_ARTEFACTS],
        notes=list(collection.notes),
    )
    if left_out:
        shown.notes.append(f"{count_text(len(left_out))} more artefacts are not shown.")
    sections = _sections(shown)
    cards = [card for section in sections for card in section.cards]
    order = {card.anchor: i for i, card in enumerate(cards)}
    made = sorted(origins(shown), key=lambda o: order.get(o.anchor, len(order)))
    fit([*cards, *made], room)
    for artefact in shown.artefacts:
        if artefact.anchor not in order and artefact.manifest.kind not in PLOTS:
            kind = short(artefact.manifest.kind)
            shown.notes.append(f"{artefact.title}: of the kind {kind!r}, which has no view here.")
    return _fill_template(
        folder=shown.folder.absolute().name or str(shown.folder),
        sections=sections,
        origins=made,
        shown={card.anchor for card in cards},
        notes=shown.notes,
        totals=_totals(shown),
    )


def _sections(collection: Collection) -> list[Section]:
    photo = SamplePhoto(collection)
    made = [
        partitions.section(collection),
        lowshot.section(collection),
        permutations.section(collection, photo),
        colors.section(collection),
        checkpoints.section(collection),
    ]
    return [section for section in made if section is not None]


def _totals(collection: Collection) -> str:
    artefacts = collection.artefacts
    files = sum(len(a.manifest.outputs) for a in artefacts)
    size = sum(max(0, o.bytes) for a in artefacts for o in a.manifest.outputs)
    noun = "artefact" if len(artefacts) == 1 else "artefacts"
    return f"{count_text(len(artefacts))} {noun}, {count_text(files)} files, {size_text(size)}"


def _fill_template(**values: Any) -> str:
    """Fill the page's template; every text is cleaned and escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    script = _asset("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = environment.get_template("page.html").render(
        style=style() + _asset("page.css"),
        script=script,
        script_hash=digest,
        version=__version__,
        **values,
    )
    return text + "\n"


def _asset(name: str) -> str:
    return resources.files("sslprep.report").joinpath(_TEMPLATES, name).read_text("utf-8")


def _breakable(text: str) -> object:
    """Let a long name break after its slashes, underscores and dots."""
    import markupsafe

    parts = re.split(r"(?<=[/_.])(?=.)", clean(text))
    return markupsafe.Markup("<wbr>").join(parts)  # the parts are escaped


def _finalize(value: object) -> object:
    """Clean what a template is about to escape."""
    return short(clean(value), _LONGEST_TEXT) if type(value) is str else value


@dataclass(frozen=True, kw_only=True)
class ReportWritten:
    """What `report` wrote.

    Attributes:
        written: The page and its manifest.
        artefacts: How many artefacts it shows.
        bytes: Size of the page.
        warnings: What could not be read.
    """

    written: tuple[Path, ...]
    artefacts: int
    bytes: int
    warnings: tuple[str, ...]

    def text(self) -> str:
        """Say where the page is."""
        return f"{self.artefacts} artefacts on a page of {size_text(self.bytes)}: {self.written[0]}"


def report(*, folder: Path, output: Path | None = None, overwrite: bool = False) -> ReportWritten:
    """Write one HTML page that shows everything made under a folder.

    The page needs no network, no other file and no script. What cannot be read is named on it.

    Args:
        folder: The folder; all manifests below it are read.
        output: The page to write; by default report.html in the folder.
        overwrite: Replace an existing page.

    Returns:
        The page, its size, and what could not be read.

    Raises:
        ManifestError: No folder, or no manifest under it.
        MissingExtraError: Jinja2 is not installed.
        OutputError: The page exists already, or cannot be written.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError(
            "the report is laid out with Jinja2",
            remedy='Install it: pip install "sslprep[report]".',
        )
    path = output or folder / "report.html"
    if path.is_dir():
        raise OutputError("is a folder", where=path, expected="a file such as report.html")
    record = path.name + MANIFEST_SUFFIX
    collection = collect(folder)
    for warning in collection.notes:
        logger.warning("%s", warning)
    inputs = manifest.Inputs()
    for artefact in collection.artefacts:
        inputs.add_file(artefact.path)
    with OutputSet(path.parent, [path.name], manifests=[record], overwrite=overwrite) as out:
        page = compose(collection)
        out.save_bytes(path.name, page)
        manifest.write(
            out,
            record,
            kind="report",
            command="report",
            parameters={"folder": folder},
            inputs=inputs.records(),
            counts={"artefacts": len(collection.artefacts)},
            warnings=collection.notes,
        )
        out.commit()
    return ReportWritten(
        written=(path, path.with_name(record)),
        artefacts=len(collection.artefacts),
        bytes=len(page),
        warnings=tuple(collection.notes),
    )
