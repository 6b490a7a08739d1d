"""Drawings, axes and colours."""

from xml.etree import ElementTree

import numpy as np
import pytest

from sslprep.drawing.axes import powers_of_ten, round_ticks
from sslprep.drawing.charts import Series, curves
from sslprep.drawing.distances import distance_histogram, position_table
from sslprep.drawing.gamut import lab_to_srgb
from sslprep.drawing.numbers import power_texts, share_text, size_text
from sslprep.drawing.svg import Drawing, clean

NAMES = {"title": "t", "description": "d", "x_label": "x", "y_label": "y"}


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.__html__())
    return [node.text or "" for node in root.iter("text")]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (99_950_000, "100 MB"),
        (5e15, "5,000 TB"),
    ],
)
def test_writes_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(99999, 100000, "> 99.9 %"), (1, 1, "100 %"), (1, 8, "12.5 %"), (1, 1250, "< 0.1 %")],
)
def test_writes_shares(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


def test_powers_of_ten_enclose_the_values() -> None:
    assert powers_of_ten(1, 1) == [1, 10]
    ticks = powers_of_ten(1e-70, 0.5)
    assert ticks[0] <= 1e-70
    assert ticks[-1] >= 0.5
    assert len(ticks) <= 9
    assert power_texts([1e-12, 1.0]) == ["10⁻¹²", "1"]


def test_ticks_of_values_that_are_not_finite_are_still_ticks() -> None:
    assert round_ticks(0, float("nan")) == round_ticks(0, 1)
    assert round_ticks(3, 3)


@pytest.mark.parametrize("counts", [[0], [0, 0, 5], [0, 1], list(range(300))])
def test_columns_of_any_number_are_drawn(counts: list[int]) -> None:
    drawing = distance_histogram(counts, minimum_bound=0)
    assert "bound on the smallest distance: 0" in texts(drawing)


def test_names_below_columns_are_thinned_out() -> None:
    root = ElementTree.fromstring(distance_histogram([0] * 101).__html__())
    below = [n.text or "" for n in root.iter("text") if n.get("text-anchor") == "middle"]
    assert [text for text in below if text.isdigit()] == [str(d) for d in range(0, 101, 11)]


def test_long_curves_are_thinned_out_and_keep_their_ends() -> None:
    y = np.arange(10_000)
    drawing = curves([Series(name="a", x=y, y=y)], **NAMES)
    root = ElementTree.fromstring(drawing.__html__())
    [line] = root.iter("polyline")
    assert len(line.get("points", "").split()) == 400


def test_curves_without_a_point_are_drawn_empty() -> None:
    assert curves([], **NAMES).__html__()
    nothing = Series(name="a", x=[1, 2], y=[0, float("nan")])
    assert curves([nothing, nothing], log=True, **NAMES).__html__()


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.ones((2, 2)), np.arange(4).reshape(2, 2)])
def test_a_table_writes_each_value_in_its_cell(values: np.ndarray) -> None:
    root = ElementTree.fromstring(position_table(values).__html__())
    shown = [n.text for n in root.iter("text") if "inshade" in (n.get("class") or "")]
    assert [int(text or "") for text in shown] == values.ravel().tolist()


def test_texts_are_escaped_in_every_place_of_a_drawing() -> None:
    evil = "</text><script>\"'&"
    drawing = Drawing(9, 9, title=evil, description=evil)
    drawing.text(1, 1, evil, css=evil)
    drawing.box(0, 0, 1, 1, tip=evil)
    html = drawing.__html__()
    assert "<script" not in html
    root = ElementTree.fromstring(html)
    assert root.get("aria-label") == evil
    assert [node.text for node in root.iter("title")] == [evil, evil]


def test_characters_that_xml_or_utf8_cannot_hold_are_replaced() -> None:
    evil = "".join(map(chr, [0, 1, 8, 11, 0x7F, 0xD800, 0xFFFF, 0x202E, 0xFEFF]))
    drawing = Drawing(9, 9, title="t")
    drawing.text(1, 1, f"a{evil}b")
    ElementTree.fromstring(drawing.__html__().encode("utf-8"))
    assert clean("x\ty\nz") == "x y z"
    assert clean("naïve 猫 🐈") == "naïve 猫 🐈"


def test_lab_matches_known_colours() -> None:
    """Red, green and blue of sRGB, from their Lab values (D65)."""
    for colour, (lightness, a, b) in {
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 255, 0): (87.73, -86.18, 83.18),
        (0, 0, 255): (32.30, 79.19, -107.86),
        (255, 255, 255): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
    }.items():
        assert np.abs(lab_to_srgb(lightness, [a, b]).astype(int) - colour).max() <= 1
