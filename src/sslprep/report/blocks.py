"""What the page is made of: sections of cards, cards of figures, tables and galleries.

Sections build these records; the template alone turns them into HTML, and escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sslprep.report.pictures import Picture
from sslprep.report.svg import Drawing

LONGEST_NAME = 60
MOST_NOTES = 12


def short(text: str, length: int = LONGEST_NAME) -> str:
    """Cut a text that is too long for its place.

    Example:
        >>> short("person", 4)
        'per…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One drawing or picture with a heading and a sentence below.

    Attributes:
        title: Heading.
        body: What is shown.
        caption: What it means.
        alt: What a picture shows, in words; a drawing brings its own.
        css: `wide` for two columns, `pixels` for a picture enlarged pixel by pixel.
    """

    kind: ClassVar[str] = "figure"
    title: str
    body: Drawing | Picture | Sequence[Drawing]
    caption: str = ""
    alt: str = ""
    css: str = ""

    @property
    def drawings(self) -> Sequence[Drawing]:
        """The drawings, where it is not a picture."""
        if isinstance(self.body, Picture):
            return ()
        return (self.body,) if isinstance(self.body, Drawing) else self.body

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        if isinstance(self.body, Picture):
            return len(self.body.uri) + 400
        return sum(len(drawing.__html__()) for drawing in self.drawings) + 400


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: its heading, and whether its cells are texts, numbers or bars."""

    title: str
    kind: Literal["text", "number", "bar", "code"] = "text"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: what is shown, by what it sorts, and how far a bar reaches.

    Attributes:
        text: What is shown.
        value: By what the column sorts, where that is not the text.
        parts: Lengths of the bar's parts, in percent of the column's width.
        link: Where on the page it leads.
        css: CSS class.
    """

    text: str = ""
    value: float | str = ""
    parts: tuple[float, ...] = ()
    link: str = ""
    css: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a caption; `sortable` columns sort where script runs; `fold` hides it at first.

    The first cell of each row is the row's heading.
    """

    kind: ClassVar[str] = "table"
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    sortable: bool = False
    fold: bool = False
    css: str = ""

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        cells = [cell for row in self.rows for cell in row]
        return 600 + sum(len(c.text.encode("utf-8", "replace")) + 70 for c in cells)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture of a gallery: a thumbnail, or in its place why there is none."""

    picture: Picture | None
    alt: str
    caption: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Thumbnails with captions."""

    kind: ClassVar[str] = "gallery"
    title: str
    shots: Sequence[Shot]
    caption: str = ""
    css: str = ""

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        return 400 + sum(
            300 + len(shot.caption) * 2 + (len(shot.picture.uri) if shot.picture else 0)
            for shot in self.shots
        )


@dataclass(frozen=True, kw_only=True)
class Group:
    """Blocks that stand together under one heading, hidden at first."""

    kind: ClassVar[str] = "group"
    title: str
    blocks: Sequence[Figure | Table | Gallery]

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        return 200 + sum(block.weight for block in self.blocks)


Block = Figure | Table | Gallery | Group


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number of a card, with what it counts."""

    label: str
    value: str
    link: str = ""


@dataclass(kw_only=True)
class Card:
    """All about one artefact.

    Attributes:
        anchor: Its id on the page.
        title: Heading.
        subtitle: File or command behind it.
        room: Bytes of the page that its blocks may still take.
        facts: Numbers that stand first.
        blocks: What is shown.
        notes: What could not be shown, or what to be aware of.
    """

    anchor: str
    title: str
    subtitle: str = ""
    room: int
    facts: list[Fact] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fact(self, label: str, value: str | None) -> None:
        """Add a number, unless there is none."""
        if value:
            self.facts.append(Fact(label=label, value=value))

    def add(self, block: Block) -> bool:
        """Add a block where there is room for it, else a note; returns whether it was added."""
        if block.weight > self.room:
            self.note(f"“{block.title}” is left out: the page would become too large")
            return False
        self.room -= block.weight
        self.blocks.append(block)
        return True

    def note(self, text: str) -> None:
        """Add a note once; of very many the first are kept."""
        if text in self.notes:
            return
        if len(self.notes) < MOST_NOTES:
            self.notes.append(short(text, 600))
        elif len(self.notes) == MOST_NOTES:
            self.notes.append("… and more")


@dataclass(kw_only=True)
class Section:
    """One part of the page.

    Attributes:
        anchor: Its id on the page.
        title: Heading.
        lead: A sentence or two on how to read it.
        blocks: What stands before the cards, such as a comparison.
        cards: One for each artefact.
    """

    anchor: str
    title: str
    lead: str
    blocks: list[Block] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)


class Room:
    """How many bytes of the page are left, shared out as the artefacts come.

    Example:
        >>> room = Room(1000, cards=2)
        >>> first = room.share()
        >>> first, room.settle(first, left=400), room.share()
        (500, None, 900)
    """

    def __init__(self, total: int, *, cards: int) -> None:
        self._left, self._cards = total, max(1, cards)

    def share(self) -> int:
        """Return what the next card may take: an equal part of what is left."""
        return self._left // max(1, self._cards)

    def settle(self, given: int, *, left: int) -> None:
        """Take note of what a card used; what it left goes to the others."""
        self._left -= given - left
        self._cards -= 1
