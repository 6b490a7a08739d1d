"""What the page is made of: sections of cards, cards of figures, tables and galleries.

Sections build these records; the templates alone turn them into HTML, and escape them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sslprep.drawing.svg import Drawing
from sslprep.report.pictures import Picture

LONGEST_NAME = 60
MOST_NOTES = 12


def short(text: str, length: int = LONGEST_NAME) -> str:
    """Cut a text that is too long for its place.

    Example:
        >>> short("person", 4)
        'per…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Something to look at.

    Attributes:
        title: Heading.
        caption: What it means, in a sentence.
        css: CSS classes, such as `wide` for the whole row.
        rank: How soon it goes when the page would become too large; 0 goes last.
    """

    kind: ClassVar[str]
    title: str
    caption: str = ""
    css: str = ""
    rank: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure(Block):
    """One drawing or several that belong together."""

    kind: ClassVar[str] = "figure"
    drawings: Sequence[Drawing]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: its heading, and whether its cells are texts, numbers or bars."""

    title: str
    kind: Literal["text", "number", "bar", "code"] = "text"


def numbers(*titles: str) -> list[Column]:
    """Return columns of numbers."""
    return [Column(title=title, kind="number") for title in titles]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: what is shown, and how far a bar reaches.

    Attributes:
        text: What is shown.
        bar: Length of a bar, in percent of the column's width.
        link: Where on the page it leads.
    """

    text: str = ""
    bar: float = 0
    link: str = ""


def cells(*texts: str) -> list[Cell]:
    """Return cells of texts alone."""
    return [Cell(text=text) for text in texts]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table(Block):
    """A table; the first cell of each row is the row's heading. `sortable` where script runs."""

    kind: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One picture of a gallery: a thumbnail, or in its place why there is none."""

    picture: Picture | None
    alt: str
    caption: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery(Block):
    """Thumbnails with captions; they enlarge where script runs."""

    kind: ClassVar[str] = "gallery"
    photos: Sequence[Photo]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines(Block):
    """Plain lines: remarks, or with `code` a listing or a command."""

    kind: ClassVar[str] = "lines"
    lines: Sequence[str]
    code: bool = False


@dataclass(kw_only=True)
class Entry:
    """What blocks and notes stand in: a card, or a row of the provenance.

    Attributes:
        anchor: Its id on the page.
        title: Heading.
        facts: Numbers that stand first, by what they count.
        blocks: What is shown.
        folded: What is shown when asked for.
        notes: What could not be shown, or what to be aware of.
    """

    anchor: str
    title: str
    facts: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    folded: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fact(self, label: str, value: str | None) -> None:
        """Add a number, unless there is none."""
        if value:
            self.facts.setdefault(label, value)

    def note(self, text: str) -> None:
        """Add a note once; of very many the first are kept."""
        if text not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(short(text, 600))
        elif text not in self.notes and len(self.notes) == MOST_NOTES:
            self.notes.append("… and more")


@dataclass(kw_only=True)
class Card(Entry):
    """All about one artefact, or about several that belong together.

    Attributes:
        subtitle: In a few words what it is.
        also: Anchors of the further artefacts that it is about.
    """

    subtitle: str = ""
    also: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Section(Entry):
    """One part of the page.

    Attributes:
        lead: A sentence or two on how to read it.
        sum: What all its cards come to, such as `2,990 images`; stands in the summary.
        points: Lines for the summary.
        cards: One for each artefact or group.
        css: `three` for cards side by side on wide screens.
    """

    lead: str
    sum: str = ""
    points: list[str] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    css: str = ""


def fit(entries: Iterable[Entry], weights: Mapping[Block, int], room: int) -> int:
    """Keep the blocks that fit into `room` bytes: by rank, within a rank the smaller first.

    What is about a whole section goes last. What goes leaves a note behind. Equal input drops
    equal blocks.

    Returns:
        How many blocks were left out.
    """
    every = [(b, where, e) for e in entries for where in (e.blocks, e.folded) for b in where]
    every.sort(key=lambda b: (not isinstance(b[2], Section), b[0].rank, weights[b[0]]))
    gone = 0
    for block, where, entry in every:
        if weights[block] <= room:
            room -= weights[block]
            continue
        where.remove(block)
        entry.note(f"“{block.title}” is left out: the page would become too large.")
        gone += 1
    return gone
