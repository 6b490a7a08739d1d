"""What the page is made of: sections of cards, cards of figures, tables and galleries.

Sections build these records; the template alone turns them into HTML, and escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One drawing or picture with a heading and a sentence below.

    Attributes:
        title: Heading.
        body: What is shown.
        caption: What it means.
        alt: What a picture shows, in words; a drawing brings its own.
        css: `wide` for two columns, `pixels` for a picture enlarged pixel by pixel.
        rank: How soon it goes when the page would become too large; 0 goes last.
    """

    kind: ClassVar[str] = "figure"
    title: str
    body: Drawing | Picture | Sequence[Drawing]
    caption: str = ""
    alt: str = ""
    css: str = ""
    rank: int = 0

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
    rank: int = 0

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        cells = [cell for row in self.rows for cell in row]
        return 600 + sum(len(c.text.encode("utf-8", "replace")) + 50 for c in cells)


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
    rank: int = 1

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        return 400 + sum(
            300 + len(shot.caption) * 2 + (len(shot.picture.uri) if shot.picture else 0)
            for shot in self.shots
        )


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Plain lines: remarks, or with `code` a listing that is folded at first."""

    kind: ClassVar[str] = "lines"
    title: str
    lines: Sequence[str]
    code: bool = False
    css: str = ""
    rank: int = 0

    @property
    def weight(self) -> int:
        """About how many bytes of the page it takes."""
        return 400 + sum(len(line.encode("utf-8", "replace")) + 12 for line in self.lines)


Block = Figure | Table | Gallery | Lines


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number of a card, with what it counts."""

    label: str
    value: str
    link: str = ""


@dataclass(kw_only=True)
class Holder:
    """What blocks and notes belong to.

    Attributes:
        anchor: Its id on the page.
        title: Heading.
        facts: Numbers that stand first.
        blocks: What is shown.
        notes: What could not be shown, or what to be aware of.
    """

    anchor: str
    title: str
    facts: list[Fact] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fact(self, label: str, value: str | None) -> None:
        """Add a number, unless there is none."""
        if value and all(fact.label != label for fact in self.facts):
            self.facts.append(Fact(label=label, value=value))

    def add(self, block: Block) -> None:
        """Add something to show."""
        self.blocks.append(block)

    def note(self, text: str) -> None:
        """Add a note once; of very many the first are kept."""
        if text in self.notes:
            return
        if len(self.notes) < MOST_NOTES:
            self.notes.append(short(text, 600))
        elif len(self.notes) == MOST_NOTES:
            self.notes.append("… and more")


@dataclass(kw_only=True)
class Card(Holder):
    """All about one artefact; `subtitle` says in a few words what it is."""

    subtitle: str = ""


@dataclass(kw_only=True)
class Section:
    """One part of the page.

    Attributes:
        anchor: Its id on the page.
        title: Heading.
        lead: A sentence or two on how to read it.
        sum: What all its cards come to, such as `2,990 images`.
        blocks: What stands before the cards, such as a comparison.
        cards: One for each artefact.
    """

    anchor: str
    title: str
    lead: str
    sum: str = ""
    blocks: list[Block] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)


def fit(holders: Iterable[Holder], room: int) -> None:
    """Keep the blocks that fit into `room` bytes: by rank, within a rank the smaller first.

    What goes leaves a note behind. Equal input drops equal blocks.
    """
    every = [(block, holder) for holder in holders for block in holder.blocks]
    order = sorted((block.rank, block.weight, i) for i, (block, _) in enumerate(every))
    for _, weight, i in order:
        block, holder = every[i]
        if weight <= room:
            room -= weight
        else:
            holder.blocks = [other for other in holder.blocks if other is not block]
            holder.note(f"“{block.title}” is left out: the page would become too large.")
