"""The section on low-shot curves says what stands in the files, and nothing where that is none."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sslprep.evaluate.curve import FULL_FILE, FULL_KIND, KIND, Curve, FullMap, Point
from sslprep.evaluate.published import CURVES, VOC_CLASSES
from sslprep.report.blocks import Card, Figure, Section, Table
from sslprep.report.collect import collect
from sslprep.report.evaluation import section

COSTS = [0.1, 1.0, 10.0]


def point(k: int, mean: float, classes: int = 2) -> Point:
    return Point(
        k=k,
        mean=mean,
        std=0.5,
        min=mean - 1,
        max=mean + 1,
        interval=(mean - 2.34, mean + 2.34),
        samples=[mean - 1, mean + 1],
        costs=[1.0],
        ap=[mean + n for n in range(classes)],
    )


def curve(title: str = "net res5", **changed: Any) -> Curve:
    classes = changed.pop("classes", ["cat", "dog"])
    known = {
        "title": title,
        "protocol": "goyal2019",
        "average_precision": "envelope",
        "classes": classes,
        "costs": COSTS,
        "k_values": [1, 4],
        "samples": [1, 2],
        "published": [point(k, m, len(classes)) for k, m in ((1, 40.0), (4, 60.0))],
        "honest": [point(k, m, len(classes)) for k, m in ((1, 39.5), (4, 58.25))],
        "cost_map": [[30.0, 40.0, 35.0], [50.0, 55.0, 60.0]],
        "notes": ["Chosen on the TEST set."],
        "ap": [],
    }
    return Curve(**{**known, **changed})


@pytest.fixture
def shown(write: Any, tmp_path: Path) -> Any:
    """Return the section about some curves."""

    def call(*curves: Curve) -> Section:
        for n, made in enumerate(curves):
            write(f"c{n:02}", KIND, {f"{n:02}_lowshot_curve.json": msgspec.json.encode(made)})
        found = section(collect(tmp_path))
        assert found is not None
        return found

    return call


def block(card: Card | Section, title: str) -> Any:
    [found] = [b for b in (*card.blocks, *card.folded) if b.title == title]
    return found


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_the_numbers_are_those_of_the_file(shown: Any) -> None:
    found = shown(curve())
    assert found.points == ["60.0 mAP at k = 4: net res5"]
    [card] = found.cards
    assert texts(block(card, "Mean average precision")) == [
        ["k = 1", "40.00", "0.50", "37.7–42.3", "39.50"],
        ["k = 4", "60.00", "0.50", "57.7–62.3", "58.25"],
    ]
    assert texts(block(card, "Average precision of every class")) == [
        ["cat", "40.0", "60.0"],
        ["dog", "41.0", "61.0"],
    ]
    description = block(card, "Low-shot curve").drawings[0].root.findtext("desc")
    assert description.startswith("published protocol: k = 1 40.0, k = 4 60.0; honest")
    assert block(card, "Cost against mAP").drawings[0].root.findtext("desc") == "3 costs."
    assert block(card, "How to read the figures").lines == ["Chosen on the TEST set."]


def test_a_single_cost_has_no_chart_of_costs(shown: Any) -> None:
    [card] = shown(curve(costs=[0.5], cost_map=[[40.0], [60.0]])).cards
    assert [b.title for b in card.blocks] == ["Low-shot curve", "Mean average precision"]


def test_published_curves_stand_beside_those_of_voc_alone(shown: Any) -> None:
    voc, other = shown(curve(classes=sorted(VOC_CLASSES)), curve()).cards
    names = {known.name.partition(" ")[0] for known in CURVES}
    for card, expected in ((voc, names), (other, set())):
        drawing = block(card, "Low-shot curve").drawings[0]
        assert names & {node.text for node in drawing.root.iter("text")} == expected


def test_lines_bands_and_references_lie_where_their_values_are(shown: Any) -> None:
    """The axis runs from 0 to 80 % for these; a band is from the worst to the best sample."""
    [card] = shown(curve(classes=sorted(VOC_CLASSES))).cards
    drawing = block(card, "Low-shot curve").drawings[0]
    lines = {n.get("class"): n for n in drawing.root.iter("polyline")}
    ticks = [n for n in drawing.root.iter("line") if n.get("class") == "grid"]
    zero, eighty = float(ticks[0].get("y1")), float(ticks[-1].get("y1"))

    def value(y: str) -> float:
        return 80 * (zero - float(y)) / (zero - eighty)

    own = [p.partition(",")[2] for p in lines["line1"].get("points").split()]
    assert [value(y) for y in own] == pytest.approx([40, 60], abs=0.1)
    [band, _] = (n for n in drawing.root.iter("path") if "band" in n.get("class"))
    corners = [c.partition(" ")[2] for c in band.get("d").strip("Mz").split("L")]
    assert [value(y) for y in corners] == pytest.approx([41, 61, 59, 39], abs=0.1)
    shown_means = sorted(
        [value(p.partition(",")[2]) for p in n.get("points").split()]
        for n in drawing.root.iter("polyline")
        if n.get("class") == "reference"
    )
    means = [[m for k, m in zip(c.k, c.mean, strict=True) if k <= 4] for c in CURVES]
    assert [len(line) for line in shown_means] == [len(line) for line in sorted(means)]
    for drawn, known in zip(shown_means, sorted(means), strict=True):
        assert drawn == pytest.approx(known, abs=0.1)


def test_of_many_curves_the_first_are_compared_and_that_is_said(shown: Any) -> None:
    found = shown(*(curve(f"net {n}") for n in range(9)))
    figure: Figure = block(found, "The curves compared")
    assert "The first 4 of 9." in figure.caption
    assert len(list(figure.drawings[0].root.iter("polyline"))) == 4
    assert found.sum == "9 curves"


def test_curves_of_unlike_protocols_are_told_apart(shown: Any) -> None:
    for protocols in (("vissl", "pcl"), ("pcl", "pcl")):
        found = shown(*(curve("net", protocol=protocol) for protocol in protocols))
        texts = [n.text for n in block(found, "The curves compared").drawings[0].root.iter("text")]
        alike = protocols[0] == protocols[1]
        assert ["net" in texts, "vissl: net" in texts] == [alike, not alike]


def test_many_classes_are_cut_and_that_is_said(shown: Any) -> None:
    [card] = shown(curve(classes=[f"c{n}" for n in range(5000)])).cards
    table = block(card, "Average precision of every class")
    assert len(table.rows) == 400
    assert "The first 400 of 5,000." in table.caption
    assert card.facts["classes"] == "5,000"


@pytest.mark.parametrize(
    "change",
    [
        {"published": []},
        {"published": [point(0, 1.0)]},
        {"schema": 99},
        {"published": [point(1, 1.0, classes=7)], "honest": [], "cost_map": [], "notes": []},
    ],
)
def test_a_curve_that_says_little_is_no_crash(shown: Any, change: dict[str, Any]) -> None:
    [card] = shown(curve(**change)).cards
    assert card.notes or [b.title for b in card.blocks] == [
        "Low-shot curve",
        "Mean average precision",
    ]


def test_the_whole_training_set_is_shown_in_numbers(write: Any, tmp_path: Path) -> None:
    made = FullMap(
        title="net",
        protocol="vissl",
        average_precision="envelope",
        classes=["cat", "dog"],
        costs=[1.0, 10.0],
        ap=[70.04, 80.0],
        mean_ap=75.02,
        interval=(70.0, 80.0),
    )
    write("full", FULL_KIND, {FULL_FILE: msgspec.json.encode(made)})
    found = section(collect(tmp_path))
    assert found is not None
    assert (found.sum, found.points) == (
        "1 training set",
        ["75.0 mAP, whole training set: net"],
    )
    [card] = found.cards
    assert texts(block(card, "Average precision of every class")) == [
        ["cat", "70.0"],
        ["dog", "80.0"],
    ]
    assert card.facts["mAP, whole training set"] == "75.02 %"
