"""The page as text: what it holds, how large it is, and that nothing is fetched."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sslprep import manifest
from sslprep.errors import ManifestError, MissingExtraError, OutputError, ParameterError
from sslprep.report import page as page_module
from sslprep.report.collect import collect
from sslprep.report.page import LARGEST_PAGE, compose, write_report

from .conftest import save_photo

VOID = {"meta", "link", "img", "br", "hr", "input", "wbr"}


class Checker(HTMLParser):
    """Checks that tags nest, collects ids and what attributes name."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        assert not [name for name in values if name.startswith("on")]
        if "id" in values:
            self.ids.append(values["id"])
        for name in ("href", "src", "xlink:href"):
            if values.get(name, "").startswith("#"):
                self.links.append(values[name][1:])
            elif name in values:
                self.sources.append(values[name])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.open
    return checker


def test_shows_every_kind_of_artefact(world_page: Path) -> None:
    text = world_page.read_text("utf-8")
    for heading in (
        *("Partitions", "Low-shot samples", "Jigsaw permutations", "Colour bins and priors"),
        *("Checkpoints", "Provenance", "Images per class", "Labels per image", "Photos of train"),
        *("Images of train with problems", "Overlap of samples", "Distances of all pairs"),
        *("Which tile stands where", "The first 8 permutations", "Gamut, bin size 20"),
        *("Prior (logarithm), bin size 20", "Rebalancing weights, bin size 20"),
        *("Colours of all pixels", "Blobs by stage", "First filters (conv1)", "The sets compared"),
    ):
        assert f">{heading}</h" in text, heading
    assert "k = 2" in text
    assert "before smoothing" in text
    assert "left out" not in text
    assert "cannot be shown. " not in text


def test_is_well_formed_with_unique_ids_and_links_that_lead_somewhere(world_page: Path) -> None:
    found = parse(world_page.read_text("utf-8"))
    assert len(found.ids) == len(set(found.ids))
    assert set(found.links) <= set(found.ids)


def test_is_valid_html(world_page: Path) -> None:
    """As the standard's own parser sees it: html5lib stops at the first thing it has to guess."""
    html5lib = pytest.importorskip("html5lib")
    html5lib.HTMLParser(strict=True).parse(world_page.read_text("utf-8"))


def test_names_nothing_outside_itself(world_page: Path) -> None:
    text = world_page.read_text("utf-8")
    assert {s.partition(",")[0].partition(":")[0] for s in parse(text).sources} == {"data"}
    names = re.findall(r"https?://[^\s\"']+|@import|url\(", text)
    assert set(names) <= {"http://www.w3.org/2000/svg"}  # the name of SVG, in the script


def test_equal_input_gives_equal_bytes(world: Path, world_page: Path, tmp_path: Path) -> None:
    copy = tmp_path / "page.html"
    write_report(folder=world, output=copy)
    assert copy.read_bytes() == world_page.read_bytes()


def test_stays_below_two_megabytes(world_page: Path) -> None:
    assert world_page.stat().st_size < LARGEST_PAGE


def test_leaves_the_least_important_out_when_there_is_no_room(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "LARGEST_PAGE", 150_000)
    text = compose(collect(world)).decode()
    assert len(text.encode()) < 150_000
    assert "is left out: the page would become too large" in text
    assert ">Blobs by stage</h4>" in text
    parse(text)


def test_writes_a_manifest_that_verifies(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "perms", tmp_path / "perms")
    result = write_report(folder=tmp_path)
    assert [path.name for path in result.written] == [
        "report.html",
        "report.html.manifest.json",
    ]
    assert manifest.verify(folder=tmp_path).ok


def test_a_second_report_does_not_report_on_the_first(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "perms", tmp_path / "perms")
    first = write_report(folder=tmp_path).written[0].read_bytes()
    second = write_report(folder=tmp_path, overwrite=True)
    assert second.written[0].read_bytes() == first
    assert second.artefacts == 2


def test_never_replaces_a_partition_of_the_same_name(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "places", tmp_path / "places")
    before = (tmp_path / "places" / "train.manifest.json").read_bytes()
    write_report(folder=tmp_path, output=tmp_path / "places" / "train.html", overwrite=True)
    assert (tmp_path / "places" / "train.manifest.json").read_bytes() == before


def test_refuses_to_replace_a_page_without_overwrite(world: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_report(folder=world, output=tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "mine"


@pytest.mark.parametrize("name", [".", "out/", "train_images.npy"])
def test_refuses_a_page_that_is_no_html(world: Path, tmp_path: Path, name: str) -> None:
    """`--output out/` made a file "out", and `--overwrite` put a page in the place of labels."""
    (tmp_path / "train_images.npy").write_bytes(b"mine")
    with pytest.raises(ParameterError, match=r"expected a name ending in \.html"):
        write_report(folder=world, output=tmp_path / name, overwrite=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such folder"):
        write_report(folder=tmp_path / "nothing")


def test_a_file_in_place_of_the_folder_is_called_that(world: Path) -> None:
    with pytest.raises(ManifestError, match="is a file, not a folder"):
        write_report(folder=next(world.glob("*/*.manifest.json")))


def test_refuses_a_folder_without_manifests_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no manifest"):
        write_report(folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_the_extra_when_jinja2_is_missing(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install jinja2"):
        write_report(folder=world)


def test_a_photo_that_is_gone_leaves_a_gap_that_says_so(write, page, tmp_path: Path) -> None:
    save_photo(tmp_path / "here.jpg", 1)
    images = np.array([str(tmp_path / "here.jpg"), "gone/away.jpg"])
    write("t", "partition", {"t_images.npy": images, "t_labels.npy": np.array([0, 0])})
    text = page()
    assert '<span class="gone">away.jpg: file not found</span>' in text
    assert "1 of 2 photos of t cannot be shown" in text
    assert text.count("<img ") == 1


def test_a_partition_without_labels_is_no_fault(write, page, tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg", 1)
    images = np.array([str(tmp_path / "a.jpg")] * 1234)
    write("t", "partition", {"t_images.npy": images}, counts={"images": 1234})
    text = page()
    assert "cannot be shown" not in text
    assert '<td class="number">1,234</td>' in text


def test_a_source_that_is_gone_is_named(write, page) -> None:
    inputs = [{"path": "models/alexnet.pkl", "bytes": 5, "sha256": "a"}]
    write("m", "checkpoint", inputs=inputs)
    assert "The source cannot be read. models/alexnet.pkl: file not found" in page()


def test_finds_photos_of_relative_paths_above_the_manifest(
    write, page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_photo(tmp_path.parent / "photos" / "a.jpg", 1)
    monkeypatch.chdir("/")
    write("t", "partition", {"t_images.npy": np.array(["photos/a.jpg"])})
    assert page().count("<img ") == 1


@pytest.mark.parametrize("root", ["there", "gone", "a\0b", 7])
def test_finds_photos_where_the_partition_says_they_start(
    write, page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: object
) -> None:
    """As data check and color generate do: from another folder none of them was found."""
    save_photo(tmp_path.parent / "elsewhere" / "there" / "p" / "a.jpg", 1)
    monkeypatch.chdir("/")
    if isinstance(root, str):
        root = str(tmp_path.parent / "elsewhere" / root)
    write("t", "partition", {"t_images.npy": np.array(["p/a.jpg"])}, details={"root": root})
    assert page().count("<img ") == (str(root).endswith("there"))


def test_finds_photos_far_above_the_manifest(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs lie some folders deep, as ssl-benchmark-output/voc07/low_shot/labels does."""
    save_photo(tmp_path / "photos" / "a.jpg", 1)
    monkeypatch.chdir("/")
    written = write("t", "partition", {"t_images.npy": np.array(["photos/a.jpg"])})
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    for path in (written, tmp_path / "t_images.npy"):
        path.rename(deep / path.name)
    result = write_report(folder=deep, output=tmp_path / "r.html")
    assert result.written[0].read_text("utf-8").count("<img ") == 1


def test_says_what_a_checked_conversion_proved_and_what_to_set(write, page) -> None:
    account = [
        {"blob": "res2_0_branch1_w", "became": "layer1.0", "action": "renamed", "reason": None},
        {"blob": "lr", "became": None, "action": "dropped", "reason": "bookkeeping"},
    ]
    details = {
        "account": account,
        "proof": {
            "largest_relative_difference_below": 0.0001,
            "stages": ["conv1", "res2"],
            "picture": "a <photo>",
        },
        "notes": ["conv1 takes RGB & more"],
        "settings": {"PIXEL_MEANS": [1.5, 2], "NESTED": {"a": False}},
    }
    write("model.pth", "checkpoint", {"model.pth": b"no checkpoint"}, details=details)
    text = page()
    assert "On a &lt;photo&gt;, the largest difference of each stage" in text
    assert "relative to the stage&#39;s largest value: below 0.0001." in text
    assert "The measured differences cannot be shown." in text
    assert "<li>conv1 takes RGB &amp; more</li>" in text
    assert "<code>1.5, 2</code>" in text
    assert "renamed res2_0_branch1_w → layer1.0\ndropped lr (bookkeeping)\n" in text
    assert "Dropped: 1 (bookkeeping)." in text
    assert "The written checkpoint cannot be read. model.pth" in text


def test_shows_the_measured_differences_of_each_stage(write, page) -> None:
    proof = {"largest_relative_difference_below": 0.0001, "stages": ["conv1", "res2"]}
    path = write("m.pth", "checkpoint", {"m.pth": b"x"}, details={"proof": proof})
    measured = {"largest_relative_difference": {"conv1": 3.9e-07, "res2": 1e-06}}
    path.with_name("m.pth.check.json").write_text(json.dumps(measured))
    text = page()
    assert "3.9e-07" in text
    assert "1.0e-06" in text
    assert "limit of --check: 0.0001" in text
    path.with_name("m.pth.check.json").write_text('{"largest_relative_difference": "<b>"}')
    assert "The measured differences cannot be shown." in page()


def test_lists_what_it_has_no_view_for(write, page) -> None:
    write("odd", "something-new", {"a.npy": np.arange(3)})
    text = page()
    assert "which has no view here" in text
    assert 'id="artefact-1-origin"' in text
    found = parse(text)
    assert set(found.links) <= set(found.ids)


@pytest.mark.parametrize("kind", ["partition", "full-map", "lowshot-curve", "features", "plot"])
def test_warnings_of_every_run_are_on_the_page(write, page, kind: str) -> None:
    """Those of `evaluate full` and of what has no view of its own were not."""
    write("a", kind, warnings=["two photos were grey"])
    assert page().count("two photos were grey") == 1


def test_shows_two_hundred_artefacts_and_counts_the_rest(write, page) -> None:
    for i in range(205):
        write(f"set{i:03}", "permutations", {f"p{i}.npy": np.eye(2, dtype=int) * [[0, 1], [1, 0]]})
    text = page()
    assert "5 more artefacts not shown" in text
    assert "205 artefacts, 205 files, " in text
    assert "; 200 artefacts are shown." in text
    assert "Every file of these is there" in text
    assert text.count("<article") == 200


def test_of_many_artefacts_some_of_every_kind_are_shown(write, page) -> None:
    """Those that came last by name were not there: of 330 not one partition."""
    for n in range(210):
        write(f"a{n:03}", "color-bins", counts={"bins": 5})
    for n in range(30):
        write(f"z{n:03}", "partition", counts={"images": 7})
    text = page()
    assert "210 images" in text
    assert "850 bins" in text
    assert "40 more artefacts not shown." in text


def test_a_manifest_that_cannot_be_read_is_not_called_whole(write, page, tmp_path: Path) -> None:
    write("set", "permutations", {"p.npy": np.array([[0, 1], [1, 0]])})
    assert "Every file is there, with the size" in page()
    (tmp_path / "broken.manifest.json").write_text("{")
    text = page()
    assert "Every file is there" not in text
    assert '<p class="health bad">1 manifest or folder cannot be read: see below.</p>' in text
    (tmp_path / "p.npy").write_bytes(b"")
    assert "1 file not as the manifests say: see the provenance. 1 manifest or folder" in page()


def test_without_a_readable_manifest_there_is_no_empty_table(page, tmp_path: Path) -> None:
    (tmp_path / "broken.manifest.json").write_text("{")
    text = page()
    assert "1 manifest or folder cannot be read: see below." in text
    assert "Provenance" not in text


def test_the_command_line_ends_with_the_page(world: Path, tmp_path: Path, run) -> None:
    done = run("report", world, "--output", tmp_path / "r.html")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "r.html") in done.stdout
    done = run("report", tmp_path / "nothing")
    assert done.returncode == 1
    assert "no such folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_stays_below_its_size_whatever_the_manifests_hold(write, page) -> None:
    """Lines, facts and notes count as well: 200 artefacts with long parameters and warnings."""
    long = "a long <parameter> " * 200
    for i in range(200):
        write(
            f"m{i:03}",
            "permutations",
            {f"p{i}.npy": np.array([[0, 1], [1, 0]])},
            parameters={f"p{j}": f"{i} {long}" for j in range(4)},
            warnings=[f"{i} {j} {long}" for j in range(20)],
            command="jigsaw generate",
        )
    text = page()  # asserts that it is below two million bytes
    assert text.count("<article") >= 10
    assert "more artefacts not shown" in text
