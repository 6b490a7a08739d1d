"""What drawings say: each number stands where it belongs, each colour is the right one."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from sslprep.drawing.charts import BOTTOM, Series, curves
from sslprep.drawing.distances import distance_histogram, position_table
from sslprep.drawing.dots import dots
from sslprep.drawing.gamut import LEFT, PLOT, TOP, gamut, lab_to_srgb, levels_of, prior
from sslprep.drawing.numbers import tick_text
from sslprep.drawing.svg import Drawing, document

NAMES = {"title": "t", "description": "d", "x_label": "x", "y_label": "y"}


def nodes(drawing: Drawing, tag: str, css: str) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(drawing.__html__()).iter(tag)
    return [node for node in found if css in (node.get("class") or "").split()]


def number(node: ElementTree.Element, name: str) -> float:
    return float(node.get(name) or "nan")


def places(node: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, p.split(","))) for p in (node.get("points") or "").split()]


@pytest.mark.parametrize(
    ("value", "text"),
    [(999_999, "1M"), (999_600_000, "1G"), (99_950, "100k"), (9_999, "9,999"), (-1500, "−1,500")],
)
def test_a_tick_is_rounded_before_its_unit_is_chosen(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_columns_grow_by_equal_steps_for_equal_factors() -> None:
    drawing = distance_histogram([0, 10, 100, 1000])
    bars = nodes(drawing, "rect", "bar")
    tops = [number(bar, "y") for bar in bars]
    assert tops[0] - tops[1] == pytest.approx(tops[1] - tops[2], abs=0.02)
    assert {number(bar, "y") + number(bar, "height") for bar in bars} == {drawing.height - BOTTOM}
    assert [bar.findtext("title") for bar in bars] == ["1: 10", "2: 100", "3: 1,000"]
    [one, _] = nodes(distance_histogram([0, 1, 5]), "rect", "bar")
    assert number(one, "height") > 1  # a single pair stands on the axis, and can be seen


def test_a_curve_goes_through_its_first_and_last_value() -> None:
    x = np.arange(1, 5001)
    y = np.linspace(100, 0, 5000)
    [line] = nodes(curves([Series(name="a", x=x, y=y)], **NAMES), "polyline", "line1")
    first, *_, last = places(line)
    short = curves([Series(name="a", x=[1, 5000], y=[100, 0])], **NAMES)
    assert [first, last] == places(nodes(short, "polyline", "line1")[0])


def test_values_below_the_least_lie_on_the_axis_and_the_axis_runs_on() -> None:
    series = [Series(name="a", x=[1, 2, 3], y=[1, 1e-3, 1e-30])]
    drawing = curves(series, log=True, least=1e-6, **NAMES)
    [line] = nodes(drawing, "polyline", "line1")
    ys = [y for _, y in places(line)]
    top, bottom = 30, drawing.height - BOTTOM
    assert ys == pytest.approx([top, (top + bottom) / 2, bottom], abs=0.02)


def test_a_band_surrounds_its_line() -> None:
    series = Series(name="a", x=[1, 2, 4], y=[5, 6, 7], low=[4, 5, 6], high=[6, 7, 8])
    drawing = curves([series], x_ticks=[1, 2, 4], points=True, **NAMES)
    [line], [band] = nodes(drawing, "polyline", "line1"), nodes(drawing, "path", "band")
    corners = [tuple(map(float, p)) for p in re.findall(r"([\d.]+) ([\d.]+)", band.get("d") or "")]
    for (x, y), above, below in zip(places(line), corners[:3], corners[:2:-1], strict=True):
        assert above[0] == below[0] == x
        assert above[1] < y < below[1]
    xs = [x for x, _ in places(line)]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.02)  # 1, 2, 4 in equal steps
    assert len(nodes(drawing, "circle", "key1")) == 3


def test_reference_lines_are_named_at_their_ends_without_touching() -> None:
    lines = [
        Series(name=n, x=[1, 2], y=[1, 5 + i / 9], reference=True) for i, n in enumerate("abc")
    ]
    drawing = curves([Series(name="own", x=[1, 2], y=[0, 9]), *lines], **NAMES)
    labels = {
        node.text: number(node, "y")
        for node in ElementTree.fromstring(drawing.__html__()).iter("text")
        if node.get("class") == "small"
    }
    assert sorted(labels, key=lambda name: labels[str(name)]) == ["c", "b", "a"]
    assert all(b - a >= 12 for a, b in pairwise(sorted(labels.values())))


def test_dots_lie_on_one_scale() -> None:
    drawing = dots(
        ["cat", "dog"],
        [("train", [10, 1000]), ("val", [100, 0])],
        title="t",
        description="d",
        x_label="images",
        log=True,
    )
    train, val = nodes(drawing, "circle", "key1"), nodes(drawing, "circle", "key2")
    at = {node.findtext("title"): number(node, "cx") for node in [*train, *val][:3] if len(node)}
    at |= {node.findtext("title"): number(node, "cx") for node in val if len(node)}
    assert at["cat, val: 100"] - at["cat, train: 10"] == pytest.approx(
        at["dog, train: 1,000"] - at["cat, val: 100"], abs=0.02
    )
    assert len([node for node in val if len(node)]) == 1  # a logarithm of 0 is not drawn


def test_of_dots_in_one_place_the_first_lies_on_top() -> None:
    drawing = dots(["a"], [("x", [3]), ("y", [3])], title="t", description="d", x_label="x")
    circles = list(ElementTree.fromstring(drawing.__html__()).iter("circle"))[2:]
    assert [node.get("class") for node in circles] == ["key2", "key1"]


def test_a_bound_stands_at_its_distance() -> None:
    drawing = distance_histogram([0, 0, 3, 7, 0], minimum_bound=2, mean_bound=2.75)
    bars = nodes(drawing, "rect", "bar")
    middle = {b.findtext("title"): number(b, "x") + number(b, "width") / 2 for b in bars}
    minimum, mean = (nodes(drawing, "line", css)[-1] for css in ("mark1", "mark2"))
    assert number(minimum, "x1") == pytest.approx(middle["2: 3"], abs=0.02)
    slot = middle["3: 7"] - middle["2: 3"]
    assert number(mean, "x1") == pytest.approx(middle["2: 3"] + 0.75 * slot, abs=0.02)
    words = [node.text for node in ElementTree.fromstring(drawing.__html__()).iter("text")]
    assert "bound on the smallest distance: 2" in words


def test_a_position_table_writes_each_count_in_its_cell() -> None:
    drawing = position_table(np.array([[1, 2], [3, 4]]))
    tips = [node.findtext("title") for node in nodes(drawing, "rect", "shade")]
    assert tips[1] == "tile 1 at position 0: 2 times"
    assert tips[2] == "tile 0 at position 1: 3 times"


def test_a_position_table_of_many_tiles_takes_them_together() -> None:
    """255 tiles were 65,025 boxes, 9 MB, and each box less than nothing high."""
    counts = np.arange(255 * 255).reshape(255, 255)
    boxes = nodes(position_table(counts), "rect", "shade")
    assert len(boxes) == 32 * 32
    assert min(number(b, of) for b in boxes for of in ("width", "height")) > 2
    mean = counts[8:16, 248:255].mean()
    assert boxes[32 + 31].findtext("title") == f"tile 248–254 at position 8–15: {mean:,.0f} times"


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 0, 0), (53.2408, 80.0925, 67.2032)),
        ((0, 128, 0), (46.2276, -51.6985, 49.8968)),
        ((12, 12, 12), (3.3, 0, 0)),
    ],
)
def test_lab_is_turned_into_the_colour_that_has_it(
    rgb: tuple[int, int, int], lab: tuple[float, float, float]
) -> None:
    """Values of the CIE formulas (D65), also of a dark grey, where sRGB's curve is straight."""
    assert np.abs(lab_to_srgb(lab[0], lab[1:]).astype(int) - rgb).max() <= 1


def test_very_dark_colours_lie_on_the_straight_part_of_srgb() -> None:
    """Y = 2.7 / 903.3, and 255 * 12.92 * Y = 9.85 (IEC 61966-2-1)."""
    assert lab_to_srgb(2.7, [0, 0]).tolist() == [10, 10, 10]


def test_a_bin_has_its_own_colour_and_place() -> None:
    boxes = nodes_of_bins(gamut([[0, 0], [60, 0], [0, 60]], 10))
    grey, red, yellow = boxes
    assert grey.get("fill") == "#777777"
    assert red.get("fill") == "#{:02x}{:02x}{:02x}".format(*lab_to_srgb(50, [60, 0]))
    assert number(red, "x") > number(grey, "x")  # a to the right
    assert number(yellow, "y") < number(grey, "y")  # b upwards


def nodes_of_bins(drawing: Drawing) -> list[ElementTree.Element]:
    return [n for n in ElementTree.fromstring(drawing.__html__()).iter("rect") if n.get("fill")]


def test_corners_are_drawn_as_the_corners_of_their_bins() -> None:
    """A bin from (0, 0) to (20, 20) has the colour of (10, 10)."""
    drawn = [
        [(n.get("fill"), number(n, "x"), number(n, "y")) for n in nodes_of_bins(drawing)]
        for drawing in (
            gamut([[0, 0], [20, 20]], 20, corners=True),
            gamut([[10, 10], [30, 30]], 20),
        )
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0][0][1:] == (LEFT, TOP + PLOT / 2)
    assert drawn[0][1][1:] == (LEFT + PLOT / 2, TOP)


def test_every_bin_is_drawn_however_many_there_are() -> None:
    """Of bins of size 2 a quarter was drawn, the left edge of the gamut, without a word."""
    steps = np.arange(-80, 80, 2)
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    boxes = nodes_of_bins(gamut(points, 2))
    assert len(boxes) == len(points) == 6400
    assert max(number(box, "x") for box in boxes) > LEFT + 0.98 * PLOT
    [path] = nodes(prior(points, 2, np.full(6400, 1 / 6400)), "path", "depth")
    assert (path.get("d") or "").count("M") == 6400


@pytest.mark.parametrize("points", [[[0, 0]], [[i, 0] for i in range(0, 100, 10)]])
def test_few_bins_leave_room_for_the_names_of_the_axes(points: list[list[int]]) -> None:
    drawing = gamut(points, 10)
    [label] = [n for n in nodes(drawing, "text", "label") if n.get("transform")]
    _, y = map(float, re.findall(r"[\d.]+", label.get("transform") or "")[:2])
    half = len(label.text or "") * 6.6 / 2
    assert 0 < y - half < y + half < drawing.height


def test_ticks_of_the_plane_do_not_touch() -> None:
    """Bins of 100 reach from -150 to 150 and beyond."""
    drawing = gamut([[a, b] for a in range(-200, 201, 100) for b in range(-200, 201, 100)], 100)
    ticks = [n for n in nodes(drawing, "text", "tick") if n.get("text-anchor") == "middle"]
    places = [number(tick, "x") for tick in ticks]
    assert [tick.text for tick in ticks] == ["−100", "0", "100"]
    assert all(right - left > 4 * 6.6 for left, right in pairwise(places))


def test_a_line_of_one_value_is_a_dot() -> None:
    drawing = curves([Series(name="a", x=[3], y=[5])], **NAMES)
    assert len(nodes(drawing, "circle", "key1")) == 1
    assert not nodes(curves([Series(name="a", x=[1, 2], y=[5, 6])], **NAMES), "circle", "key1")


def test_whole_numbers_have_whole_ticks_in_dots() -> None:
    drawing = dots(["a"], [("n", [1])], title="t", description="d", x_label="images")
    ticks = [n.text for n in nodes(drawing, "text", "tick") if n.get("text-anchor") == "middle"]
    assert ticks == ["0", "1"]


def test_shades_of_priors_are_steps_of_the_logarithm() -> None:
    levels, low, high = levels_of([1e-8, 1e-6, 1e-4, 1e-2, 0, 1])
    assert levels.tolist() == [1, 1, 3, 6, 0, 8]
    assert (low, high) == (-6, 0)


def test_empty_bins_are_hollow_and_rare_ones_are_not() -> None:
    drawing = prior([[0, 0], [10, 0], [20, 0]], 10, [0.9, 0.1, 0])
    for css in ("hollow", "depth-1", "depth-8"):
        [path] = nodes(drawing, "path", css)
        assert (path.get("d") or "").count("M") == 1
    assert "1 bin without a pixel" in (drawing.root.findtext("desc") or "")


@pytest.mark.parametrize(("rarest", "text"), [(1e-12, "≤ 5×10⁻⁷"), (1e-3, "0.001")])
def test_the_scale_of_priors_says_where_it_ends(rarest: float, text: str) -> None:
    """Six powers of ten are told apart; what is rarer has the shade of the rarest of them."""
    drawing = prior([[0, 0], [10, 0]], 10, [0.5, rarest])
    assert text in {node.text for node in nodes(drawing, "text", "tick")}


def test_labels_of_an_axis_and_names_of_a_legend_are_kept_apart() -> None:
    k = list(range(1, 200))
    series = [Series(name=f"a name of twenty {n}", x=k, y=k) for n in range(4)]
    drawing = curves(series, x_ticks=k, **NAMES)
    ticks = [n for n in nodes(drawing, "text", "tick") if n.get("text-anchor") == "middle"]
    xs = [number(tick, "x") for tick in ticks]
    assert len(xs) > 4
    assert all(b - a >= 3 * 6.6 for a, b in pairwise(xs))
    names = [n for n in nodes(drawing, "text", "tick") if (n.text or "").startswith("a name")]
    assert len({number(n, "y") for n in names}) == 4


def test_a_file_holds_its_drawings_side_by_side_and_its_style() -> None:
    text = document(
        [Drawing(10, 10, title="a"), Drawing(20, 30, title="b")], title="<both>", description="d"
    )
    root = ElementTree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    inner = root.findall(f"{name}svg")
    assert [node.get("aria-label") for node in inner] == ["a", "b"]
    assert number(inner[1], "x") == number(inner[0], "x") + 10 + 30
    assert "prefers-color-scheme: dark" in (root.findtext(f"{name}style") or "")
    assert root.findtext(f"{name}title") == "<both>"
