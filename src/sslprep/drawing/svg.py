"""Drawings as SVG, built as a tree so that every text is escaped by construction.

A `Drawing` has a title and a description for those who cannot see it. Colours are not set here:
elements carry CSS classes, and `style.css` gives them a light and a dark colour. A page puts the
style sheet into its head once; `document` puts it into a file of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import accumulate
from typing import Literal
from unicodedata import combining, east_asian_width
from xml.etree import ElementTree

Number = int | float
Anchor = Literal["start", "middle", "end"]

_JOINERS = "\u200c\u200d"


def clean(text: str) -> str:
    """Replace what a page cannot or should not hold: control characters, surrogates, bidi marks.

    Example:
        >>> clean(f"a{chr(0)}b{chr(0x202E)}") == f"a{chr(0xFFFD)}b{chr(0xFFFD)}"
        True
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else _substitute(c) for c in text)


def _substitute(character: str) -> str:
    return " " if character in "\t\n\r" or character.isspace() else "\ufffd"


def coordinate(value: Number) -> str:
    """Write a coordinate with at most two decimals.

    Example:
        >>> coordinate(12.0), coordinate(1 / 3)
        ('12', '0.33')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


class Drawing:
    """One picture of lines, boxes and texts.

    Args:
        width: Width of its coordinate system.
        height: Height of its coordinate system.
        title: What it is, a few words; its name for a screen reader.
        description: What it shows, with the numbers that matter.
        css: CSS class of the whole.

    Example:
        >>> drawing = Drawing(10, 10, title="A <box>")
        >>> drawing.box(0, 0, 5, 5, css="bar", tip='"5"')
        >>> drawing.__html__().partition("><")[0]
        '<svg class="chart" viewBox="0 0 10 10" role="img" aria-label="A &lt;box&gt;"'
    """

    def __init__(
        self,
        width: Number,
        height: Number,
        *,
        title: str,
        description: str = "",
        css: str = "chart",
    ) -> None:
        self.width, self.height = width, height
        size = f"0 0 {coordinate(width)} {coordinate(height)}"
        label = clean(title)
        self.root = ElementTree.Element(
            "svg", {"class": css, "viewBox": size, "role": "img", "aria-label": label}
        )
        ElementTree.SubElement(self.root, "title").text = label
        if description:
            ElementTree.SubElement(self.root, "desc").text = clean(description)
        self._into = self.root

    def __html__(self) -> str:
        return ElementTree.tostring(self.root, encoding="unicode")

    def _add(self, tag: str, tip: str | None, **attributes: str) -> ElementTree.Element:
        known = {key.rstrip("_").replace("_", "-"): v for key, v in attributes.items() if v}
        element = ElementTree.SubElement(self._into, tag, known)
        if tip is not None:
            ElementTree.SubElement(element, "title").text = clean(tip)
        return element

    def box(
        self,
        x: Number,
        y: Number,
        width: Number,
        height: Number,
        *,
        css: str = "",
        tip: str | None = None,
        fill: str = "",
        opacity: float | None = None,
        radius: Number = 0,
    ) -> None:
        """Add a rectangle; `tip` shows when the pointer rests on it."""
        self._add(
            "rect",
            tip,
            class_=css,
            x=coordinate(x),
            y=coordinate(y),
            width=coordinate(max(0, width)),
            height=coordinate(max(0, height)),
            rx=coordinate(radius) if radius else "",
            fill=fill,
            fill_opacity="" if opacity is None else coordinate(opacity),
        )

    def line(self, x1: Number, y1: Number, x2: Number, y2: Number, *, css: str) -> None:
        """Add a straight line."""
        a, b, c, d = (coordinate(value) for value in (x1, y1, x2, y2))
        self._add("line", None, class_=css, x1=a, y1=b, x2=c, y2=d)

    def dot(
        self, x: Number, y: Number, radius: Number, *, css: str, tip: str | None = None
    ) -> None:
        """Add a disc."""
        self._add(
            "circle", tip, class_=css, cx=coordinate(x), cy=coordinate(y), r=coordinate(radius)
        )

    def path(self, data: str, *, css: str) -> None:
        """Add a path; `data` is SVG's own notation."""
        self._add("path", None, class_=css, d=data)

    def polyline(self, points: Iterable[tuple[Number, Number]], *, css: str) -> None:
        """Add a line through points."""
        text = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
        self._add("polyline", None, class_=css, points=text)

    def text(
        self,
        x: Number,
        y: Number,
        text: str,
        *,
        css: str = "",
        anchor: Anchor = "start",
        turned: bool = False,
    ) -> None:
        """Add a text, `turned` to be read from below."""
        place = f"{coordinate(x)} {coordinate(y)}"
        element = self._add(
            "text",
            None,
            class_=css,
            x="" if turned else coordinate(x),
            y="" if turned else coordinate(y),
            text_anchor="" if anchor == "start" else anchor,
            transform=f"translate({place}) rotate(-90)" if turned else "",
        )
        element.text = clean(text)

    def image(
        self, x: Number, y: Number, width: Number, height: Number, uri: str, *, name: str = ""
    ) -> None:
        """Add a picture given as a `data:` URI; `name` lets `window` show parts of it again."""
        self._add(
            "image",
            None,
            id=name,
            x=coordinate(x),
            y=coordinate(y),
            width=coordinate(width),
            height=coordinate(height),
            href=uri,
        )

    def window(
        self,
        place: Sequence[Number],
        part: Sequence[Number],
        name: str,
    ) -> None:
        """Show a part of the named picture at another place.

        Args:
            place: x, y, width, height in this drawing.
            part: x, y, width, height of the part, in the named picture's drawing.
            name: The name given to `image`, perhaps of another drawing on the page.
        """
        x, y, width, height = (coordinate(value) for value in place)
        view = " ".join(coordinate(value) for value in part)
        inner = self._add("svg", None, x=x, y=y, width=width, height=height, viewBox=view)
        ElementTree.SubElement(inner, "use", {"href": f"#{name}"})


def style() -> str:
    """Return the style sheet of all drawings."""
    return resources.files("sslprep.drawing").joinpath("style.css").read_text("utf-8")


def document(drawings: Sequence[Drawing], *, title: str, description: str = "") -> str:
    """Return drawings side by side as one SVG file, for light and dark viewers.

    Args:
        drawings: From left to right.
        title: Heading of the file, and its name for a screen reader.
        description: A line below the heading.

    Example:
        >>> text = document([Drawing(10, 10, title="a"), Drawing(10, 20, title="b")], title="both")
        >>> text.partition(" role")[0]
        '<svg class="file" viewBox="0 0 360 100"'
    """
    gap, top = 30.0, 60.0
    width = max(360.0, gap + sum(drawing.width + gap for drawing in drawings))
    height = top + max((drawing.height for drawing in drawings), default=0) + gap - 10
    whole = Drawing(width, height, title=title, description=description, css="file")
    # As plain attributes: with a namespace of its own, ElementTree would prefix every name.
    whole.root.set("xmlns", "http://www.w3.org/2000/svg")
    whole.root.set("width", coordinate(width))
    whole.root.set("height", coordinate(height))
    ElementTree.SubElement(whole.root, "style").text = style()
    whole.box(0, 0, width, height, css="page")
    whole.text(gap, 26, fitted(title, (width - 2 * gap) / 7.6), css="head")
    whole.text(gap, 44, fitted(description, (width - 2 * gap) / 6.2), css="small")
    x = gap
    for drawing in drawings:
        drawing.root.set("x", coordinate(x))
        drawing.root.set("y", coordinate(top))
        drawing.root.set("width", coordinate(drawing.width))
        drawing.root.set("height", coordinate(drawing.height))
        whole.root.append(drawing.root)
        x += drawing.width + gap
    return ElementTree.tostring(whole.root, encoding="unicode") + "\n"


def fitted(text: str, most: float) -> str:
    """Cut a text that is wider than so many digits.

    Example:
        >>> fitted("aeroplane", 6), fitted("日本語", 6), fitted("日本語の", 6)
        ('aero…', '日本語', '日本…')
    """
    if digits_wide(text) <= most:
        return text
    ends = [*accumulate(map(digits_wide, text))]
    return f"{text[: bisect_right(ends, most - 1.5)]}…"


def digits_wide(text: str) -> float:
    """Return about how many digits wide a text is, by the kinds of its characters."""
    return sum(
        0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1.6 if c in "mwMW@%…" else 1
        for c in text
    )
