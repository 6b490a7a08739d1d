"""The demo: nothing of the reader's is touched, its labels are true, its commands exist."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslprep.cli import COMMANDS
from sslprep.data.coco import write_coco
from sslprep.data.voc import write_voc
from sslprep.demo import build, pictures, walk
from sslprep.errors import MissingExtraError, OutputError
from sslprep.partition import read_partition

ROOT = Path(__file__).parents[1]


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="no demo made"):
        walk.run_demo(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_an_earlier_demo_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / walk.MARK).touch()
    for name in walk.MADE:
        (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    (tmp_path / "datasets" / "old").touch()
    with pytest.raises(OutputError, match="--overwrite"):
        walk.run_demo(tmp_path)
    assert (tmp_path / "datasets" / "old").exists()
    walk._prepare(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [walk.MARK]


def test_what_the_reader_made_in_the_folder_since_stays(tmp_path: Path) -> None:
    """The demo's own last lines tell to write into `out` there; --overwrite took it away."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "demo")
    for name in (walk.MARK, "report.html", "mine.npy"):
        (tmp_path / "demo" / name).touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    (tmp_path / "demo" / "datasets").symlink_to(tmp_path / "mine")
    walk._prepare(tmp_path / "link", overwrite=True)
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {walk.MARK, "mine.npy"}
    assert (tmp_path / "mine" / "x").exists()


def test_todays_part_and_what_to_try_next_use_commands_that_exist() -> None:
    for command in (*(step.command for step in walk.TODAY), *walk.NEXT):
        program, *words = shlex.split(command)
        assert program == "sslprep"
        assert " ".join(words[:2]) in COMMANDS or words[0] in COMMANDS


COLOURS = {
    name: (40 * (i % 6) + 20, 40 * (i // 6) + 20, 30) for i, name in enumerate(build.VOC_CLASSES)
} | {"motorcycle": (250, 0, 120), "cup": (0, 120, 250)}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw every class in a colour of its own, so that one can see what an image shows."""

    def picture_of(name: str, photos: object, rng: object, size: tuple[int, int]) -> Image.Image:
        return Image.new("RGB", size, COLOURS[name])

    monkeypatch.setattr(pictures, "picture_of", picture_of)
    monkeypatch.setattr(pictures, "ground", lambda rng, size: Image.new("RGB", size))


def shown(path: str) -> set[str]:
    """Return the classes whose colours fill a part of an image."""
    pixels = np.asarray(Image.open(path).convert("RGB"), int).reshape(-1, 3)
    near = {n: (np.abs(pixels - c).max(axis=1) < 8).mean() for n, c in COLOURS.items()}
    return {name for name, share in near.items() if share > 0.01}


def test_a_voc_image_shows_what_it_is_labelled_with(plain: None, tmp_path: Path) -> None:
    build.build_voc(
        tmp_path / "VOC", {}, splits={"train": 60, "val": 20, "test": 20}, seed=1, crlf=True
    )
    write_voc(tmp_path / "VOC", tmp_path / "out")
    images, labels, classes = read_partition(tmp_path / "out", "train")
    names = [record.name for record in classes]
    for image, row in zip(images.tolist(), labels, strict=True):
        assert shown(image) == {names[i] for i in np.flatnonzero(row != 0)}, image


def test_a_coco_image_shows_what_it_is_labelled_with(plain: None, tmp_path: Path) -> None:
    build.build_coco(tmp_path / "coco", {}, train=30, val=9, seed=1)
    pictures_of = {s: tmp_path / "coco" / f"coco_{s}2014" for s in ("train", "val")}
    write_coco(
        tmp_path / "coco" / "annotations",
        tmp_path / "out",
        train_imgs_path=pictures_of["train"],
        val_imgs_path=pictures_of["val"],
    )
    images, labels, classes = read_partition(tmp_path / "out", "train")
    names = [record.name for record in classes]
    for image, row in zip(images.tolist(), labels, strict=True):
        assert shown(image) == {names[i] for i in np.flatnonzero(row == 1)}, image


def test_photographs_show_what_they_are_taken_for() -> None:
    """One class for each photograph; whoever adds one, look at it."""
    photos = pictures.load_photos()
    assert set(photos) == {
        *("person", "cat", "cup", "motorcycle", "horse"),
        *("motorbike", "n02123045", "n07920052"),
    }
    for every in photos.values():
        for photo, (left, top, right, bottom) in every:
            assert 0 <= left < right <= photo.width
            assert 0 <= top < bottom <= photo.height


def test_a_placard_is_drawn_for_every_other_class() -> None:
    photos = pictures.load_photos()
    rng = np.random.default_rng(0)
    for name in (*build.VOC_CLASSES, *build.PLACES, *build.IMAGENET_SYNSETS.values()):
        assert pictures.picture_of(name, photos, rng, (64, 96)).size == (64, 96)


def test_what_is_missing_is_said_in_one_line_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With scikit-image alone it ran for six commands, and failed at the colours."""
    monkeypatch.setitem(walk.NEEDS, "no_such_module", "its-package")
    monkeypatch.setitem(walk.NEEDS, "nor_this_one", "its-other")
    with pytest.raises(MissingExtraError, match="pip install its-package its-other"):
        walk.run_demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_what_the_walk_needs_is_what_the_extra_brings() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = declared["optional-dependencies"]
    brought = {re.split("[>=]", need)[0] for need in extras["demo"]}
    brought = brought - {"sslprep[color,report,torch]"} | {
        re.split("[>=]", need)[0] for name in ("color", "report", "torch") for need in extras[name]
    }
    assert set(walk.NEEDS.values()) == brought


def test_a_file_in_the_place_of_the_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write: Not a directory\. Choose another"):
        walk.run_demo(tmp_path / "file")


def test_of_a_commands_output_the_first_or_the_last_lines_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    np.save(folder / "p.npy", np.array([np.arange(4), np.arange(4)[::-1]]))
    shown = {
        lines: walk._run(walk.Step("t", "sslprep jigsaw stats p.npy", "w", lines=lines), folder)
        for lines in (2, -1)
    }
    assert shown[2][0].startswith("p.npy: 2 permutations of 4 tiles")
    assert [len(lines) for lines in shown.values()] == [2, 1]
    assert shown[-1] == ["each tile at each position: 0 to 1 times"]
