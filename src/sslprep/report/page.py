"""`sslprep report`: one self-contained page about everything that lies under a folder."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import logging
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from sslprep import __version__, manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.drawing.numbers import counted, size_text
from sslprep.drawing.svg import clean, style
from sslprep.errors import MissingExtraError, ParameterError
from sslprep.parameters import command
from sslprep.report import checkpoints, colors, evaluation, lowshot, partitions, permutations
from sslprep.report.blocks import Block, Section, fit, short
from sslprep.report.collect import Artefact, Collection, collect
from sslprep.report.provenance import Origin, origins
from sslprep.results import result

logger = logging.getLogger(__name__)

LARGEST_PAGE = 2_000_000
"""Bytes that a page must stay below."""

MOST_ARTEFACTS = (200, 100, 40, 10)
"""How many are shown at most: the first of these for which the page does not become too large."""

QUIET = ("plot", "color-plot", "features")
"""Kinds that have no view of their own; only their provenance is shown."""

_SECTIONS = (partitions, lowshot, permutations, colors, checkpoints, evaluation)
_LONGEST_TEXT = 4000


def compose(collection: Collection) -> bytes:
    """Return the page about a collection, below two million bytes.

    Everything but the blocks (figures, tables, galleries) is laid out first; then as many blocks
    as there is room for, by importance.
    """
    templates = _templates()
    page = b""
    for most in MOST_ARTEFACTS:
        shown = Collection(folder=collection.folder, artefacts=_some(collection.artefacts, most))
        sections, made, notes = _parts(collection, shown)
        entries = [*sections, *(card for section in sections for card in section.cards), *made]
        show = templates.get_template("blocks.html").module.show
        html = {b: show(b) for entry in entries for b in (*entry.blocks, *entry.folded)}
        weights = {block: len(text.encode("utf-8", "replace")) for block, text in html.items()}
        told = {**_summary(collection, len(shown.artefacts), made), "origins": made, "notes": notes}
        frame = _page(templates, sections, dict.fromkeys(html, ""), told)
        room = LARGEST_PAGE - len(frame) - 1000
        while room > 0:
            gone = fit(entries, weights, room)
            page = _page(templates, sections, html, told)
            if len(page) < LARGEST_PAGE:
                return page
            room -= 200 * gone + len(page) - LARGEST_PAGE + 1000  # notes need room as well
    return page


def _some(artefacts: Sequence[Artefact], most: int) -> list[Artefact]:
    """Return so many artefacts in their order, of each kind as many as of any other."""
    before: Counter[str] = Counter()
    turns = []
    for i, artefact in enumerate(artefacts):
        turns.append((before[artefact.manifest.kind], i))
        before[artefact.manifest.kind] += 1
    return [artefacts[i] for i in sorted(i for _, i in sorted(turns)[:most])]


def _parts(
    collection: Collection, shown: Collection
) -> tuple[list[Section], list[Origin], list[str]]:
    """Describe the artefacts that are shown: sections, provenance, and what cannot be shown."""
    notes = list(collection.notes)
    left_out = len(collection.artefacts) - len(shown.artefacts)
    if left_out:
        notes.append(f"{counted(left_out, 'more artefact')} not shown.")
    sections = [made for view in _SECTIONS if (made := view.section(shown)) is not None]
    place: dict[str, int] = {}
    known = {artefact.anchor: artefact for artefact in shown.artefacts}
    for card in (card for section in sections for card in section.cards):
        found, card.notes = card.notes, []
        for anchor in (card.anchor, *card.also):
            place[anchor] = len(place)
            for warning in known[anchor].manifest.warnings:
                card.note(f"Warning of the run: {warning}")
        for text in found:
            card.note(text)
    made = sorted(origins(shown), key=lambda origin: place.get(origin.anchor, len(place)))
    for artefact in shown.artefacts:
        if artefact.anchor not in place and artefact.manifest.kind not in QUIET:
            kind = short(artefact.manifest.kind)
            notes.append(f"{artefact.title}: of the kind {kind!r}, which has no view here.")
    for origin in made:
        if origin.anchor not in place:  # no card says it
            warnings = [w for cell in origin.made for w in known[cell.link].manifest.warnings]
            origin.fact("warnings of the run", short("; ".join(warnings), 600))
    return sections, made, notes


def _summary(collection: Collection, shown: int, made: Sequence[Origin]) -> dict[str, Any]:
    """Say what there is, how much of it is shown, and whether it is as the manifests say."""
    artefacts = collection.artefacts
    files = [output for a in artefacts for output in a.manifest.outputs]
    totals = [counted(len(artefacts), "artefact"), counted(len(files), "file")]
    text = ", ".join([*totals, size_text(sum(max(0, f.bytes) for f in files))])
    if shown < len(artefacts):
        text += f"; {counted(shown, 'artefact')} are shown"
    differing, unread = sum(len(origin.notes) for origin in made), len(collection.notes)
    wrong = [f"{counted(differing, 'file')} not as the manifests say: see the provenance."]
    unreadable = counted(unread, "manifest or folder", "manifests or folders")
    wrong = wrong[: bool(differing)] + [f"{unreadable} cannot be read: see below."][: bool(unread)]
    whole = "Every file" + " of these" * (shown < len(artefacts))
    return {
        "folder": collection.folder.absolute().name or str(collection.folder),
        "totals": text,
        "health": " ".join(wrong) or f"{whole} is there, with the size that its manifest states.",
        "bad": bool(wrong),
    }


def _page(
    templates: Any, sections: list[Section], html: dict[Block, str], told: dict[str, Any]
) -> bytes:
    script = _asset("page.js")
    cards = [card for section in sections for card in section.cards]
    text: str = templates.get_template("page.html").render(
        **told,
        sections=sections,
        shown={anchor for card in cards for anchor in (card.anchor, *card.also)},
        html=html,
        drawing_style=style(),
        style=_asset("page.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )
    return (text + "\n").encode("utf-8", "replace")


@cache
def _templates() -> Any:
    """Return the templates; every text that they show is cleaned and escaped."""
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
    return environment


def _asset(name: str) -> str:
    return resources.files("sslprep.report").joinpath("templates", name).read_text("utf-8")


def _breakable(text: str) -> object:
    """Let a long name break after its slashes, underscores and dots."""
    import markupsafe

    parts = re.split(r"(?<=[/_.])(?=.)", clean(text))
    return markupsafe.Markup("<wbr>").join(parts)  # the parts are escaped


def _finalize(value: object) -> object:
    """Clean what a template is about to escape."""
    return short(clean(value), _LONGEST_TEXT) if type(value) is str else value


@result
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
        shown = counted(self.artefacts, "artefact")
        return f"{shown} on a page of {size_text(self.bytes)}: {self.written[0]}"


@command()
def write_report(
    folder: Path, *, output: Path | None = None, overwrite: bool = False
) -> ReportWritten:
    """Write one HTML page that shows everything made under a folder.

    The page needs no network, no other file and no script. What cannot be read is named on it.

    Args:
        folder: The folder; all manifests below it are read.
        output: The page to write, a name ending in .html; by default report.html in the folder.
        overwrite: Replace an existing page.

    Returns:
        The page, its size, and what could not be read.

    Raises:
        ManifestError: No folder, or no manifest under it.
        MissingExtraError: Jinja2 is not installed.
        OutputError: The page exists already, or cannot be written.
        ParameterError: The page's name does not end in .html.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError(
            "the report is laid out with Jinja2",
            remedy="Install it: pip install jinja2.",
        )
    path = output or folder / "report.html"
    if path.suffix.lower() not in (".html", ".htm"):
        raise ParameterError(f"--output is {path}", expected="a name ending in .html")
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
