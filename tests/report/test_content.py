"""What the page says is so: strokes, bars, sentences and photos are those of the files."""

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sslprep.drawing.gamut import gamut
from sslprep.jigsaw.distances import Distances, measure
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.report import checkpoints, colors, lowshot, partitions, permutations, pictures
from sslprep.report.blocks import Photo, Table
from sslprep.report.collect import collect
from sslprep.report.lowshot import Sample
from sslprep.report.permutations import verdict


def sample(number: int, rows: list[int], k: int = 2) -> Sample:
    positives = {0: np.array(rows, np.int64)}
    return Sample(
        size=f"k = {k}", k=k, number=number, positives=positives, names={0: "cat"}, rows=100
    )


def test_each_sample_has_its_own_strokes() -> None:
    places = {0: np.arange(10)}
    figure = lowshot._strokes("k = 2", [sample(1, [0, 1]), sample(2, [8, 9])], places)
    root = ElementTree.fromstring(figure.drawings[0].__html__())
    cells = [node for node in root.iter("rect") if node.get("class") == "track"]
    strokes = [node.get("d") or "" for node in root.iter("path")]
    assert len(cells) == len(strokes) == 2
    for cell, path, wanted in zip(cells, strokes, ([0.5, 1.5], [8.5, 9.5]), strict=True):
        left, wide = float(cell.get("x") or 0), float(cell.get("width") or 0)
        xs = [float(x) for x in re.findall(r"M([\d.]+)", path)]
        assert [(x - left - 1) / (wide - 2) * 10 for x in xs] == pytest.approx(wanted, abs=0.2)


def test_overlap_is_measured_and_expected_over_the_rows_of_each_class() -> None:
    pair = [sample(1, [0, 1]), sample(2, [1, 2])]
    table, measured = lowshot._overlaps({"k = 2": pair}, {0: np.arange(10)})
    assert [cell.text for cell in table.rows[0]] == [
        *("k = 2", "2", "1", "50.0 %", "50–50 %", "20.0 %")
    ]
    assert measured == [(2, 0.5, 0.5, 0.5, 0.2)]


def test_classes_and_expected_overlap_are_those_of_the_labels(write: Any, tmp_path: Path) -> None:
    """Class 0 has 3 images (3 more are to be ignored), class 1 has 2: (4/3 + 4/2) / 4 in common."""
    labels = np.array([[1, 1, 1, -1, -1, -1, 0, 0], [0, 0, 1, 1, -1, 0, 0, 0]], np.int32).T
    np.save(tmp_path / "train_labels.npy", labels)
    content = (tmp_path / "train_labels.npy").read_bytes()
    output = {
        "file": "train_labels.npy",
        "bytes": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    write("train", "partition", outputs=[output])
    draw_multilabel_samples(tmp_path / "train_labels.npy", tmp_path / "low", k_values=(1, 2))
    found = lowshot.section(collect(tmp_path))
    assert found is not None
    [table] = (b for b in found.cards[0].blocks if isinstance(b, Table))
    texts = [[cell.text for cell in row] for row in table.rows]
    assert [[row[0], row[1], row[2], row[5]] for row in texts] == [
        ["k = 1", "5", "2", "41.7 %"],
        ["k = 2", "5", "2", "83.3 %"],
    ]


def test_single_labels_have_the_overlap_of_their_classes(world: Path) -> None:
    """Eight images of each class: of k, k / 8 are expected in common."""
    found = lowshot.section(collect(world / "places"))
    assert found is not None
    [table] = (b for b in found.cards[0].blocks if isinstance(b, Table))
    texts = [[cell.text for cell in row] for row in table.rows]
    assert [[row[0], row[2], row[5]] for row in texts] == [
        ["k = 1", "3", "12.5 %"],
        ["k = 4", "3", "50.0 %"],
    ]


def test_the_photo_of_a_sample_is_its_first(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def photo_of(text: str, *_: Any, **__: Any) -> Photo:
        asked.append(text)
        return Photo(picture=None, alt="")

    monkeypatch.setattr(lowshot, "photo_of", photo_of)
    shutil.copytree(world / "places", tmp_path / "places")
    for path in (tmp_path / "places" / "low_shot").glob("*_k1*"):
        path.unlink()
    assert lowshot.section(collect(tmp_path)) is not None
    first, second = (
        np.load(world / "places" / "low_shot" / f"train_images_sample{s}_k4.npy") for s in (1, 2)
    )
    wanted = zip(first[::4], second[::4], strict=True)  # four images of each class
    assert asked == [str(image) for pair in wanted for image in pair]


def test_samples_that_are_not_drawn_are_counted(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.eye(3, dtype=int).repeat(9, axis=0))
    draw_multilabel_samples(tmp_path / "t.npy", tmp_path / "out", k_values=(1, 2), num_samples=10)
    found = lowshot.section(collect(tmp_path / "out"))
    assert found is not None
    assert found.sum == "20 samples"
    assert found.points == ["t: 20 samples, k = 1 to k = 2"]
    assert found.cards[0].notes == ["4 more samples not drawn here."]


def test_one_permutation_has_no_distance(write: Any, tmp_path: Path) -> None:
    write("one", "permutations", {"p.npy": np.arange(9)[None]})
    found = permutations.section(collect(tmp_path))
    assert found is not None
    assert found.points == ["1 × 9 tiles"]


@pytest.mark.parametrize("tiles", [9, 16])
def test_a_large_set_has_its_own_numbers_or_none(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiles: int
) -> None:
    """Those of every third row stood there as if they were the set's, its size too."""
    monkeypatch.setattr(permutations, "MOST_MEASURED", 10)
    monkeypatch.setattr(permutations, "_MOST_SORTED", 120 << 9)
    rows = np.stack([np.roll(np.arange(tiles), i % tiles) for i in range(120)])
    rows[7] = rows[7][::-1]
    write("large", "permutations", {"p.npy": rows})
    write("small", "permutations", {"q.npy": rows[:2]})
    found = permutations.section(collect(tmp_path))
    assert found is not None
    assert found.sum == "122 permutations"
    [table] = found.blocks
    assert isinstance(table, Table)
    texts = [cell.text for cell in table.rows[0]]
    assert texts[0] == f"large: 120 of {tiles} tiles"
    if tiles == 9:
        whole = measure(rows.astype(np.uint8))
        assert texts[1:4:2] == [str(whole.minimum), f"{whole.mean:.4f}"]
        assert "smallest distance" in found.cards[0].facts
    else:
        assert texts[1:] == ["–"] * 4
        assert found.cards[0].facts == {"permutations": "120", "tiles": "16"}
        assert "jigsaw stats" in found.cards[0].notes[0]


def test_many_partitions_of_one_folder_are_named_by_it(write: Any, tmp_path: Path) -> None:
    for n in range(30):
        write(f"part{n:02}", "partition", counts={"images": 2})
    found = partitions.section(collect(tmp_path))
    assert found is not None
    folder = tmp_path.name
    assert [card.title for card in found.cards] == [folder]
    names = "part00 2, part01 2, part02 2, part03 2, part04 2, part05 2"
    assert found.points == [f"{folder}: {names} and 24 more"]


def test_bars_are_as_long_as_their_counts_on_one_scale(write: Any, tmp_path: Path) -> None:
    for name, counts in (("train", [40, 10]), ("val", [20, 5])):
        details = {"classes": ["cat", "dog"], "images_per_class": counts}
        write(name, "partition", details=details, counts={"images": sum(counts)})
    found = partitions.section(collect(tmp_path))
    assert found is not None
    [card] = found.cards
    [table] = [block for block in card.folded if block.title == "Every class"]
    cat, dog = table.rows  # type: ignore[attr-defined]
    assert [cell.text for cell in cat if cell.text] == ["cat", "40", "20"]
    assert [cell.bar for cell in cat if cell.bar] == [100, 50]
    # 40 is not more than eight times 5: the chart is no logarithmic one.
    chart = next(block for block in found.cards[0].blocks if block.title == "Images per class")
    assert "images" in {node.text for node in chart.drawings[0].root.iter("text")}
    assert [cell.bar for cell in dog if cell.bar] == [25, 12.5]
    overview = found.blocks[0]
    assert [row[3].text for row in overview.rows] == ["4 ×", "4 ×"]  # type: ignore[attr-defined]


def test_partitions_of_unlike_width_share_a_card(write: Any, tmp_path: Path) -> None:
    """The page ended in a traceback: the third class of the second was looked up in the first."""
    for name, labels in (("a", [[1, -1]]), ("b", [[0, 1, 1], [0, -1, 1]])):
        write(name, "partition", {f"{name}_labels.npy": np.array(labels)})
    found = partitions.section(collect(tmp_path))
    assert found is not None
    [card] = found.cards
    [table] = (block for block in card.folded if isinstance(block, Table))
    texts = [[cell.text for cell in row if cell.text] for row in table.rows]
    assert texts == [
        ["class 0", "1", "0", "0", "0"],
        ["class 1", "0", "1", "1", "1"],
        ["class 2", "0", "0", "2", "0"],
    ]
    [every] = found.blocks
    assert isinstance(every, Table)
    assert [[cell.text for cell in row] for row in every.rows] == [
        ["a", "1", "2", "∞: 1 class empty", "1.00", "50 %", "–"],
        ["b", "2", "3", "∞: 1 class empty", "1.50", "16.7 %", "–"],
    ]


def test_a_check_of_another_list_is_told_from_one_of_this(world: Path, tmp_path: Path) -> None:
    note = "data check read another image list than this; run it again."
    shutil.copytree(world / "voc07", tmp_path / "voc07")
    for changed in (False, True):
        if changed:
            path = tmp_path / "voc07" / "train.check.json"
            path.write_text(
                re.sub('"images_sha256": "..', '"images_sha256": "xx', path.read_text())
            )
        found = partitions.section(collect(tmp_path))
        assert found is not None
        [card] = found.cards
        assert (note in card.notes) is changed
        assert "data check found 1 image of train with problems." in card.notes


def test_an_image_with_two_problems_is_one_image(write: Any, tmp_path: Path) -> None:
    write("t", "partition", {"t_images.npy": np.array(["a.png", "b.png"])})
    finding = {"row": 1, "image": "b.png", "detail": ""}
    findings = [{**finding, "problem": problem} for problem in ("suffix", "mode")]
    content = {"images": 2, "images_sha256": "t_images.npy" * 2, "findings": findings}
    (tmp_path / "t.check.json").write_text(json.dumps(content))
    found = partitions.section(collect(tmp_path))
    assert found is not None
    assert "data check found 1 image of t with problems." in found.cards[0].notes
    [every] = found.blocks
    assert isinstance(every, Table)
    assert every.rows[0][-1].text == "1 with problems"


def test_tiles_are_drawn_on_the_photo_whose_tiles_differ_most(write: Any, tmp_path: Path) -> None:
    for number, spread in enumerate((10, 120, 60)):
        picture = np.kron(np.arange(9).reshape(3, 3) * spread // 8, np.ones((32, 32))) + 50
        Image.fromarray(np.stack([picture.astype(np.uint8)] * 3, -1)).save(
            tmp_path / f"{number}.png"
        )
    images = np.array([str(tmp_path / f"{number}.png") for number in range(3)])
    write("t", "partition", {"t_images.npy": images})
    write("p", "permutations", {"p.npy": np.array([np.arange(9), np.arange(9)[::-1]])})
    found = permutations.section(collect(tmp_path))
    assert found is not None
    mosaic = next(block for block in found.cards[0].blocks if block.css == "mosaic")
    [uri] = (node.get("href") or "" for node in mosaic.drawings[0].root.iter("image"))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert float(pixels[140:180, 140:180].mean()) == pytest.approx(170, abs=3)


def test_each_tile_lies_where_the_permutation_puts_it(write: Any, tmp_path: Path) -> None:
    """Entry i of a row is the tile, counted row by row, that is put at position i."""
    row = [5, 0, 7, 1, 8, 3, 2, 6, 4]
    write("p", "permutations", {"p.npy": np.array([row, row[::-1]])})
    found = permutations.section(collect(tmp_path))
    assert found is not None
    mosaic = next(block for block in found.cards[0].blocks if block.css == "mosaic")
    windows = list(mosaic.drawings[1].root.iter("svg"))[1:]
    side = 96 / 3

    def number(x: str, y: str) -> int:
        return round((float(y) - 0.75) / side) * 3 + round((float(x) - 0.75) / side)

    placed = {
        number(w.get("x"), w.get("y")): number(*w.get("viewBox").split()[:2]) for w in windows
    }
    assert [placed[position] for position in range(9)] == row
    assert mosaic.drawings[1].root.findall("text")[0].text == "507183264"


@pytest.mark.parametrize("even", [True, False])
def test_an_uneven_set_shows_where_its_tiles_stand(write: Any, tmp_path: Path, even: bool) -> None:
    rows = [np.roll(np.arange(4), n if even else 0) for n in range(4)]
    write("p", "permutations", {"p.npy": np.array(rows)})
    found = permutations.section(collect(tmp_path))
    assert found is not None
    titles = [block.title for block in found.cards[0].blocks]
    assert ("Which tile stands where" in titles) is not even


@pytest.mark.parametrize("second", [["cat", "dog"], ["dog", "cat"]])
def test_unlike_classes_of_one_folder_are_said(
    write: Any, tmp_path: Path, second: list[str]
) -> None:
    for name, classes in (("a", ["cat", "dog"]), ("b", second)):
        labels = {f"{name}_labels.npy": np.array([0, 1])}
        write(name, "partition", labels, details={"classes": classes})
    found = partitions.section(collect(tmp_path))
    assert found is not None
    said = any("unlike classes" in note for note in found.cards[0].notes)
    assert said is (second == ["dog", "cat"])


def test_sampled_blocks_are_whole_and_end_with_the_list() -> None:
    labels = np.zeros((1000, 4), np.int32)
    labels[-1] = 1
    found = partitions.tally(labels, 4, most=640)
    assert found.rows == 64 * (640 // 64 // 4)
    assert found.present.tolist() == [1, 1, 1, 1]


def distances(minimum: int, mean: float, least: int, most: float) -> Distances:
    found = measure(np.array([[0, 1, 2], [1, 2, 0]], np.uint8))
    bound = replace(found.minimum_bound, value=least)  # type: ignore[type-var]
    return replace(found, minimum=minimum, mean=mean, minimum_bound=bound, mean_bound=most)


@pytest.mark.parametrize(
    ("minimum", "mean", "says", "not_says"),
    [
        (5, 8, "The smallest distance, 5, and the mean, 8.0000, reach their bounds.", "more than"),
        (2, 8, "no set of this size can have more than 5. The mean is 8.0000, its bound.", "reach"),
        (5, 7, "the most that a set of this size can have. The mean is 7.0000; its bound", "reach"),
        (2, 7, "The mean is 7.0000; its bound is 8.0000.", "the most that"),
    ],
)
def test_sentences_on_bounds_are_true(minimum: int, mean: int, says: str, not_says: str) -> None:
    text = verdict(distances(minimum, mean, 5, 8))
    assert says in text
    assert not_says not in text


def test_a_set_of_the_command_has_the_numbers_of_the_command() -> None:
    square = np.array([[0, 1, 2], [0, 2, 1], [1, 2, 0]], np.uint8)
    found = measure(square)
    assert str(found.minimum) in verdict(found)
    assert f"{float(found.mean or 0):.4f}" in verdict(found)


def test_corners_of_bins_are_drawn_as_corners(write: Any, page: Callable[[], str]) -> None:
    points = np.array([[-20, 0], [0, 0], [0, 20]])
    details = {"points_are": "left edges", "grid": "fair"}
    write("b", "color-bins", {"pts_in_hull_x.npy": points}, details=details)
    text = page()
    assert gamut(points, 20, corners=True, label="bin size 20").__html__() in text
    assert gamut(points, 20, label="bin size 20").__html__() not in text


def test_a_checked_model_has_a_dot_for_each_stage_left_of_the_limit(
    write: Any, page: Callable[[], str]
) -> None:
    proof = {"largest_relative_difference_below": 0.0001, "stages": ["conv1", "res2"]}
    path = write("m.pth", "checkpoint", {"m.pth": b"x"}, details={"proof": proof})
    measured = {"largest_relative_difference": {"conv1": 1e-06, "res2": 1e-05}}
    path.with_name("m.pth.check.json").write_text(json.dumps(measured))
    [svg] = [s for s in re.findall(r"<svg.*?</svg>", page(), re.DOTALL) if "Largest relative" in s]
    root = ElementTree.fromstring(svg)
    dots = [float(node.get("cx") or 0) for node in root.iter("circle")]
    [limit] = {
        float(n.get("x1") or 0)
        for n in root.iter("line")
        if n.get("class") == "mark1" and n.get("x1") == n.get("x2")
    }
    assert sorted(dots) == pytest.approx([limit - 2 * (limit - max(dots)), max(dots)], abs=0.05)


@pytest.mark.parametrize("priors", [[0.5, 0.6, -0.1], [0.5, 0.5], [0.5, np.inf, 0.1]])
def test_priors_that_are_none_are_not_drawn(
    write: Any, tmp_path: Path, priors: list[float]
) -> None:
    points = np.array([[0, 0], [10, 0], [0, 10]])
    write("b", "color-bins", {"pts_in_hull_a.npy": points, "priors_a.npy": np.array(priors)})
    found = colors.section(collect(tmp_path))
    assert found is not None
    [card] = found.cards
    assert [block.title for block in card.blocks] == ["Gamut, bin size 10"]
    assert card.notes == [
        "priors_a.npy does not hold one number of 0 or more for each of the 3 bins."
    ]


def test_a_histogram_of_one_colour_is_drawn_large_enough_to_read(
    write: Any, tmp_path: Path
) -> None:
    """Of grey photos it was a speck, with the names of the axes cut."""
    table = np.zeros((256, 256), np.int64)
    table[128 + 3, 128 + 4] = 7
    table[128, 128 + 10] = 3
    table[128 + 10, 128 + 1] = 10
    files = {"ab_histogram_train_x.npy": table, "ab_histogram_train_x_groups.npy": table[None]}
    write("h", "color-histogram", files)  # the groups are what --sample adds
    found = colors.section(collect(tmp_path))
    assert found is not None
    assert found.cards[0].notes == []
    plane, grey = found.cards[0].blocks
    assert plane.drawings[0].height > 120
    # a from 0 to 10 to the right, b from 1 to 10 upwards; nothing else has a pixel.
    [uri] = (node.get("href") or "" for node in plane.drawings[0].root.iter("image"))
    alpha = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))[..., 3]
    assert alpha.shape == (10, 11)
    assert np.argwhere(alpha).tolist() == [[0, 0], [6, 3], [9, 10]]
    # (3, 4) is 5 away, (0, 10) is 10 and (10, 1) a little more: half are within 10.
    assert "50 % of the pixels are within 10 of grey" in grey.caption


def test_a_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    """Ten times faster for a photo of 24 megapixels, as long as twice the size is left."""
    Image.new("RGB", (2000, 1500), (10, 200, 30)).save(tmp_path / "p.jpg")
    assert pictures.open_photo(tmp_path / "p.jpg", 100).size == (500, 375)
    thumbnail = pictures.thumbnail(tmp_path / "p.jpg", 100)
    assert (thumbnail.width, thumbnail.height) == (100, 75)


def test_filters_of_one_model_are_shown_once_and_then_folded(world: Path, tmp_path: Path) -> None:
    """Two conversions of a model: the second has its filters under "More"."""
    for name in ("a", "b"):
        shutil.copytree(world / "models", tmp_path / name)
    found = checkpoints.section(collect(tmp_path))
    assert found is not None
    places = [
        [block.title for block in blocks].count("First filters (conv1)")
        for card in found.cards
        for blocks in (card.blocks, card.folded)
    ]
    assert sum(places) == 4
    assert sum(places[::2]) < 4
    assert places[-4:] == [0, 1, 0, 1]


def test_every_checkpoint_is_opened_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real = checkpoints.open_checkpoint

    def counting(path: Path) -> Any:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(checkpoints, "open_checkpoint", counting)
    checkpoints.section(collect(world))
    assert len(opened) == len(set(opened)) == 3  # a source of two models, and the two


def test_filters_are_shown_in_their_colours() -> None:
    filters = np.zeros((1, 3, 1, 1), np.float32)
    filters[0, 0] = 1
    import base64
    import io

    picture = checkpoints.draw_filters(filters)
    assert picture is not None
    data = base64.b64decode(picture.uri.partition(",")[2])
    assert Image.open(io.BytesIO(data)).convert("RGB").getpixel((1, 1)) == (255, 128, 128)
