"""The page in a real Chromium, opened from the disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from sslprep.drawing.charts import Series, curves
from sslprep.drawing.distances import position_table
from sslprep.drawing.dots import dots
from sslprep.drawing.svg import style
from sslprep.report.blocks import short
from sslprep.report.page import write_report

pytestmark = pytest.mark.browser

WIDTHS = (360, 390, 1600)
MISPLACED = """drawings => drawings.flatMap(drawing => {
    const frame = drawing.getBoundingClientRect();
    const texts = [...drawing.querySelectorAll("text")].filter(t => t.textContent);
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    const name = drawing.getAttribute("aria-label");
    const out = boxes.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1
        || b.top < frame.top - 1 || b.bottom > frame.bottom + 1);
    const over = boxes.flatMap(([s, a], i) => boxes.slice(i + 1).filter(([, b]) =>
        a.left + 1 < b.right && b.left + 1 < a.right
        && a.top + 3 < b.bottom && b.top + 3 < a.bottom).map(([t]) => [s, t]));
    return [...out.map(([t]) => [name, "outside", t]),
            ...over.map(pair => [name, "overlap", ...pair])];
})"""
"""Texts of a drawing that lie outside of it, or on each other."""

Open = Callable[..., Any]


@contextmanager
def opening(browser: Any, world_page: Path) -> Iterator[Open]:
    """Open the page (or another) with given width, colours, script; close all at the end."""
    contexts = []

    def call(path: Path = world_page, *, width: int = 1600, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.messages, page.requests = [], []
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield call
    for context in contexts:
        context.close()


@pytest.fixture
def opened(browser: Any, world_page: Path) -> Iterator[Open]:
    """Open pages that the test may click about in."""
    with opening(browser, world_page) as call:
        yield call


@pytest.fixture(scope="module")
def seen(browser: Any, world_page: Path) -> Iterator[Open]:
    """Give the page of a width and colours to every test that only looks at it, or unfolds it."""
    with opening(browser, world_page) as call:

        @cache
        def once(width: int = 1600, color_scheme: str = "light") -> Any:
            return call(width=width, color_scheme=color_scheme)

        yield once


def test_opens_from_the_disk_without_an_error_or_a_request(opened: Open, world_page: Path) -> None:
    page = opened()
    page.wait_for_load_state("networkidle")
    assert page.messages == []
    assert {u for u in page.requests if not u.startswith("data:")} == {world_page.as_uri()}


def test_no_table_is_cut_on_a_wide_screen_and_no_list_is_one_line(opened: Open) -> None:
    wider = """nodes => nodes.filter(n => n.scrollWidth > %g * n.clientWidth + 1)
        .map(n => [n.ariaLabel, n.scrollWidth, n.clientWidth])"""
    page = opened(width=1000)
    assert page.eval_on_selector_all(".scroll.broad", wider % 1) == []
    page = opened(width=1400)
    assert page.eval_on_selector_all(":not(details *) > .scroll:not(details *)", wider % 1) == []
    page.eval_on_selector_all("details", "nodes => nodes.forEach(n => n.open = true)")
    assert page.locator(".listing").count() > 2
    assert page.eval_on_selector_all(".scroll", wider % 1.5) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_provenance_is_cut_nowhere(opened: Open, width: int) -> None:
    """On a phone the unit of every size was behind the edge."""
    widths = "nodes => nodes.map(n => [n.scrollWidth, n.clientWidth])"
    [(needed, there)] = opened(width=width).eval_on_selector_all(".scroll:has(> .origins)", widths)
    assert needed <= there


@pytest.mark.parametrize("width", WIDTHS)
def test_every_picture_has_a_size_and_every_drawing_too(seen: Open, width: int) -> None:
    page = seen(width=width)
    sizes = page.eval_on_selector_all(
        "img, svg image, .canvas > svg",
        """nodes => nodes.map(node => {
            const box = node.getBoundingClientRect();
            return [node.tagName, box.width, box.height, node.naturalWidth ?? 1];
        })""",
    )
    assert len(sizes) > 30
    assert not [s for s in sizes if min(s[1:]) < 1]


@pytest.mark.parametrize("width", WIDTHS)
def test_does_not_scroll_sideways(seen: Open, width: int) -> None:
    page = seen(width=width)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", WIDTHS)
def test_texts_of_a_chart_lie_within_it_and_do_not_overlap(seen: Open, width: int) -> None:
    page = seen(width=width)
    problems = page.eval_on_selector_all(".canvas > svg", MISPLACED)
    assert problems == [], problems


def test_texts_of_any_script_and_number_lie_within_their_drawing(
    opened: Open, tmp_path: Path
) -> None:
    names = [
        "日本語のクラス名" * 4,
        "🐱🐶" * 9,
        "a" * 99,
        "W" * 99,
        "e\u0301" * 40,
        "مرحبا بالعالم",
    ]
    about = {"title": "t", "description": "d", "x_label": "x"}
    lines = [Series(name=short(name, 30), x=[1, 2], y=[3, 4]) for name in names[:4]]
    drawings = [
        dots(names, [(name[:9], [1.0] * 6) for name in names[:2]], **about),
        curves(lines, y_label="y", **about),
        *(position_table(np.full((m, m), 12345)) for m in (9, 10, 16, 25)),
    ]
    canvases = "".join(f"<div class=canvas>{drawing.__html__()}</div>" for drawing in drawings)
    page = tmp_path / "page.html"
    page.write_text(f"<meta charset=utf-8><style>{style()}</style>{canvases}", "utf-8")
    problems = opened(page, width=400).eval_on_selector_all(".canvas > svg", MISPLACED)
    assert problems == [], problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_colour_schemes(seen: Open, scheme: str) -> None:
    page = seen(color_scheme=scheme)
    faint = page.evaluate(
        """() => {
            const luminance = colour => {
                const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).slice(0, 3).map(v => {
                    v /= 255;
                    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = node => {
                for (; node; node = node.parentElement) {
                    const colour = getComputedStyle(node).backgroundColor;
                    if (!/, 0\\)$/.test(colour)) return colour;
                }
                return "rgb(255, 255, 255)";
            };
            const found = new Map();
            for (const node of document.querySelectorAll("body *:not(script, title, desc)")) {
                if (![...node.childNodes].some(c => c.nodeType === 3 && c.data.trim())) continue;
                if (node.classList.contains("inshade")) continue;
                const style = getComputedStyle(node);
                const ink = node.closest("svg") ? style.fill : style.color;
                const [a, b] = [luminance(ink), luminance(ground(node))];
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5) found.set(node.tagName + "." + node.getAttribute("class"), ratio);
            }
            return [...found];
        }"""
    )
    assert faint == [], faint


def test_light_and_dark_differ(seen: Open) -> None:
    colours = [
        seen(color_scheme=scheme).evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('svg .bar')).fill]"
        )
        for scheme in ("light", "dark")
    ]
    assert colours[0][0] != colours[1][0]
    assert colours[0][1] != colours[1][1]


def classes_of(table: Any) -> list[str]:
    return [text.strip() for text in table.locator("tbody th").all_inner_texts()]


def unfold(page: Any) -> None:
    page.eval_on_selector_all("details", "nodes => nodes.forEach(node => { node.open = true })")


def until(page: Any, law: str) -> None:
    """Wait for a law; `wait_for_function` needs an eval that the page forbids."""
    for _ in range(500):
        if page.evaluate(law):
            return
        page.wait_for_timeout(20)
    raise AssertionError(law)


def test_a_table_sorts_by_mouse_and_says_how(opened: Open) -> None:
    page = opened()
    unfold(page)
    table = page.locator("table[data-sort]").filter(has_text="o<b>x").first
    button = table.get_by_role("button", name="train")
    button.click()
    numbers = [int(t) for t in table.locator("tbody td.number:nth-child(2)").all_inner_texts()]
    assert numbers == sorted(numbers, reverse=True)
    head = table.locator("th", has=page.get_by_role("button", name="train"))
    assert head.get_attribute("aria-sort") == "descending"
    button.click()
    numbers = [int(t) for t in table.locator("tbody td.number:nth-child(2)").all_inner_texts()]
    assert numbers == sorted(numbers)
    assert head.get_attribute("aria-sort") == "ascending"
    assert table.locator("[aria-sort]").count() == 1
    assert "Sorted by train" in table.locator("xpath=ancestor::*[2]").inner_text()


def test_numbers_sort_as_they_are_written(opened: Open, write: Any, tmp_path: Path) -> None:
    """Only plain numbers did: 1,200 and 2.5 × and 0.3 % were no numbers to the script."""
    sizes = {"a": [1200, 480], "b": [30, 12, 1], "c": [7, 0], "d": [1] * 1001}
    for name, present in sizes.items():
        labels = np.repeat(np.arange(len(present)), present)
        details = {"classes": [str(i) for i in range(len(present))]}
        write(name, "partition", {f"{name}_labels.npy": labels}, details=details)
    write_report(folder=tmp_path)
    page = opened(tmp_path / "report.html")
    table = page.locator("table[data-sort]").first
    for name, order in {"images": "adbc", "classes": "dbca", "imbalance": "cbad"}.items():
        table.get_by_role("button", name=name).click()
        assert "".join(classes_of(table)) == order, name


def test_a_table_sorts_by_keyboard(opened: Open) -> None:
    page = opened()
    unfold(page)
    table = page.locator("table[data-sort]").filter(has_text="o<b>x").first
    button = table.get_by_role("button", name="class")
    button.focus()
    page.keyboard.press("Enter")
    assert classes_of(table) == ["cat", "dog", "o<b>x"]
    page.keyboard.press("Space")
    assert classes_of(table) == ["o<b>x", "dog", "cat"]


def test_the_first_tab_leads_to_a_visible_link_past_the_contents(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    until(page, "document.activeElement.getBoundingClientRect().y >= 0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_whatever_scrolls_can_be_reached_by_keyboard(seen: Open) -> None:
    page = seen(width=360)
    unfold(page)
    stuck = page.eval_on_selector_all(
        "main *:not(svg, svg *)",
        """nodes => nodes.filter(n => n.scrollWidth > n.clientWidth + 1
            && getComputedStyle(n).overflowX === "auto" && n.tabIndex < 0)
            .map(n => n.outerHTML.slice(0, 80))""",
    )
    assert stuck == []


def test_headings_are_in_order(seen: Open) -> None:
    page = seen()
    levels = page.eval_on_selector_all("h1, h2, h3, h4, h5, h6", "n => n.map(x => +x.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_pictures_and_drawings_have_names_and_tables_have_headers(seen: Open) -> None:
    page = seen()
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator(".canvas > svg:not([role='img'])").count() == 0
    assert (
        page.locator(".canvas > svg:not([aria-label]), .canvas > svg[aria-label='']").count() == 0
    )
    assert page.locator("th:not([scope])").count() == 0
    bare = page.eval_on_selector_all(
        "table", "n => n.filter(t => !t.caption || !t.tHead || !t.querySelector('tbody th')).length"
    )
    assert bare == 0
    assert page.locator("html[lang='en']").count() == 1
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1


def test_can_be_read_without_script(opened: Open) -> None:
    with_script, without = opened(), opened(java_script_enabled=False)
    text = without.locator("main").inner_text()
    assert without.get_by_role("button").count() == 0
    tools = "nodes => nodes.forEach(node => node.remove())"
    with_script.eval_on_selector_all("figcaption .tool, .block > .tool", tools)
    assert text.split() == with_script.locator("main").inner_text().split()
    without.locator("summary").first.click()
    assert without.locator("details[open]").count() == 1


def test_hostile_names_show_as_text_and_do_nothing(
    opened: Open, write: Any, tmp_path: Path
) -> None:
    names = ["<script>alert(1)</script>", "\"&'", "<img src=x onerror=alert(2)>"]
    labels = np.eye(3, dtype=np.int32)
    images = np.array(['"><script>alert(3)</script>.jpg', "'onload='alert(4)", "&lt;b&gt;.jpg"])
    write(
        '"><svg onload=alert(5)>',
        "partition",
        {"t_images.npy": images, "t_labels.npy": labels},
        details={"classes": names, "dataset": "<b>bold</b>"},
        parameters={"--x": "</script><script>alert(6)</script>"},
        warnings=["<iframe src=javascript:alert(7)>"],
    )
    write_report(folder=tmp_path)
    page = opened(tmp_path / "report.html")
    unfold(page)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.wait_for_timeout(200)
    assert dialogs == []
    assert page.messages == []
    assert page.locator("iframe, main script, main b").count() == 0
    text = page.locator("main").inner_text()
    for name in (*names, "<b>bold</b>", "<iframe src=javascript:alert(7)>"):
        assert name in text
    shown = page.locator("table[data-sort] tbody th").all_text_contents()
    assert shown == ['"><svg onload=alert(5)>', *names]  # the table of partitions, then of classes


def test_prints_without_the_contents(opened: Open) -> None:
    page = opened(width=718)  # A4 with Chromium's margins
    page.emulate_media(media="print")
    assert not page.get_by_role("navigation").is_visible()


def test_paper_shows_whole_tables(opened: Open) -> None:
    """What a table had to be scrolled for was not on it: two columns of the sizes of samples."""
    page = opened(width=718)
    page.emulate_media(media="print")
    beyond = """nodes => nodes.filter(n => n.scrollWidth > n.parentElement.clientWidth + 1)
        .map(n => [n.parentElement.ariaLabel, n.scrollWidth, n.parentElement.clientWidth])"""
    assert (
        page.eval_on_selector_all(":not(details *) > .scroll:not(details *) > table", beyond) == []
    )
    style = "nodes => nodes.map(n => getComputedStyle(n).overflow)"
    assert set(page.eval_on_selector_all(".scroll", style)) == {"visible"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_axe_finds_nothing(seen: Open, width: int, scheme: str) -> None:
    """axe-core: names for screen readers, contrast, structure; with everything unfolded."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = seen(width=width, color_scheme=scheme)
    unfold(page)
    found = axe.Axe().run(page).response["violations"]
    nodes = [(v["id"], node["html"][:120]) for v in found for node in v["nodes"][:3]]
    assert nodes == [], nodes


def test_the_summary_fits_on_one_screen(seen: Open) -> None:
    assert seen().locator("header.top").bounding_box()["height"] <= 900


def test_there_is_a_way_back_on_a_telephone(opened: Open) -> None:
    page = opened(width=390)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    link = page.get_by_role("navigation").get_by_role("link", name="Summary")
    box = link.bounding_box()
    assert 0 <= box["y"] < 60
    link.click()
    until(page, "window.scrollY < 10")


def test_a_drawing_is_saved_as_a_file_of_its_own(opened: Open, tmp_path: Path) -> None:
    """With its style, and with the photo that its tiles show, which stands elsewhere."""
    page = opened()
    for name in ("Distances of all pairs", "The first 8 permutations"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as SVG: {name}").first.click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "--accent" in (root.findtext("{http://www.w3.org/2000/svg}style") or "")
        alone = opened(path)
        assert alone.messages == []
        assert alone.evaluate("document.querySelectorAll('svg rect, svg image').length") > 0


def test_a_line_is_copied_as_it_stands(opened: Open) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    unfold(page)
    code = page.locator("#provenance .command code").first
    page.get_by_role("button", name="Copy: The line").first.click()
    until(page, "navigator.clipboard.readText().then(text => text !== '')")
    assert page.evaluate("navigator.clipboard.readText()") == code.text_content()


def test_a_photo_enlarges_and_closes_by_keyboard(opened: Open) -> None:
    page = opened()
    photo = page.locator(".gallery .enlarge img").first
    photo.click()
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    assert dialog.locator("img").bounding_box()["width"] > photo.bounding_box()["width"]
    assert dialog.locator("p").inner_text() == photo.get_attribute("alt")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
