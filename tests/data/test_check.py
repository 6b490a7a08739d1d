"""Reading every image of a partition."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslprep import manifest
from sslprep.data.folders import write_folders
from sslprep.errors import WorkersLostError
from sslprep.partition.check import check_images, inspect_image

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
PICTURE = Image.fromarray(NOISE)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "bmp", "tif", "webp", "ppm"])
def test_good_image_has_no_problem(tmp_path: Path, suffix: str) -> None:
    PICTURE.save(tmp_path / f"a.{suffix}")
    assert inspect_image(tmp_path / f"a.{suffix}") == []


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp", "ppm"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_finds_cut_images(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"a.{suffix}"
    PICTURE.save(path)
    os.truncate(path, int(path.stat().st_size * part))
    assert inspect_image(path)[0][0] in ("truncated", "unreadable")
    if suffix in ("jpg", "png", "bmp"):
        assert inspect_image(path)[0][0] == "truncated"


def test_finds_progressive_jpeg_cut(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.jpg", progressive=True)
    os.truncate(tmp_path / "a.jpg", (tmp_path / "a.jpg").stat().st_size // 2)
    assert inspect_image(tmp_path / "a.jpg")[0][0] == "truncated"


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "jpg"), ("CMYK", "jpg"), ("RGBA", "png"), ("P", "png"), ("1", "bmp")]
)
def test_notes_other_modes(tmp_path: Path, mode: str, suffix: str) -> None:
    PICTURE.convert(mode).save(tmp_path / f"a.{suffix}")
    assert inspect_image(tmp_path / f"a.{suffix}") == [("mode", mode)]


def test_notes_a_wrong_suffix(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.JPEG", format="PNG")  # ImageNet has one
    assert inspect_image(tmp_path / "a.JPEG") == [("suffix", "a PNG file")]


def test_formats_that_hold_another_are_that_other(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[PICTURE])
    PICTURE.save(tmp_path / "a.bmp", format="DIB")
    for path in tmp_path.iterdir():
        assert inspect_image(path) == []


def test_never_starts_a_program_for_an_image(tmp_path: Path) -> None:
    """PostScript named .jpg: Pillow would hand it to Ghostscript."""
    PICTURE.save(tmp_path / "a.jpg", format="EPS")
    assert inspect_image(tmp_path / "a.jpg") == [("unreadable", "not an image")]


def test_survives_everything_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for path in tmp_path.iterdir():
        assert inspect_image(path)[0][0] == "unreadable", path.name
    assert inspect_image(tmp_path / "text.jpg" / "x.jpg")[0][0] == "missing"


@pytest.fixture
def made(tree: Callable[..., Path], tmp_path: Path) -> Path:
    source = tree("train/a/0.jpg", "train/a/1.jpg", "train/a/2.jpg", "train/b/3.jpg")
    PICTURE.save(source / "train" / "a" / "0.jpg")
    PICTURE.convert("L").save(source / "train" / "a" / "1.jpg")
    write_folders(
        data_source_dir=source,
        output_dir=tmp_path / "out",
        partitions=("train",),
        relative_to=source,
    )
    (source / "train" / "b" / "3.jpg").unlink()
    return tmp_path / "out"


@pytest.mark.parametrize("jobs", [1, 2])
def test_reports_and_changes_nothing(made: Path, jobs: int) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    result = check_images(folder=made, jobs=jobs)
    assert not result.ok
    assert [(f.row, f.image, f.problem) for f in result.findings] == [
        (1, "train/a/1.jpg", "mode"),
        (2, "train/a/2.jpg", "unreadable"),
        (3, "train/b/3.jpg", "missing"),
    ]
    report = json.loads((made / "train.check.json").read_text())
    assert report["counts"] == {
        "missing": 1,
        "unreadable": 1,
        "truncated": 0,
        "extraneous": 0,
        "suffix": 0,
        "mode": 1,
    }
    assert report["findings"][2] == {
        "row": 3,
        "image": "train/b/3.jpg",
        "problem": "missing",
        "detail": "no such file",
    }
    assert "train/b/3.jpg" in result.text()
    after = {path.name: path.read_bytes() for path in made.iterdir()}
    assert after.pop("train.check.json")
    assert after == before


def test_gray_images_are_no_failure(made: Path, tmp_path: Path) -> None:
    for name in ("a/2.jpg", "b/3.jpg"):
        PICTURE.save(tmp_path / "set" / "train" / name)
    result = check_images(folder=made, jobs=1)
    assert result.ok
    assert result.counts["mode"] == 1


def test_can_be_run_again_without_a_flag(made: Path, tmp_path: Path) -> None:
    check_images(folder=made, jobs=1)
    PICTURE.save(tmp_path / "set" / "train" / "a" / "2.jpg")
    check_images(folder=made, jobs=1)
    assert json.loads((made / "train.check.json").read_text())["counts"]["unreadable"] == 0
    check_images(folder=made, jobs=1, output_dir=tmp_path / "reports")


def test_report_goes_when_the_partition_is_made_anew(made: Path, tmp_path: Path) -> None:
    check_images(folder=made, jobs=1)
    write_folders(
        data_source_dir=tmp_path / "set",
        output_dir=made,
        partitions=("train",),
        overwrite=True,
    )
    assert not (made / "train.check.json").exists()
    assert manifest.verify(folder=made).ok


POISON = """
import os, signal, time
from sslprep.partition import check
real = check.inspect_image
def inspect_image(path):
    if path.name == "slow.png":
        time.sleep(0.3)
    elif path.name in ("SIGKILL.png", "SIGSTOP.png"):
        os.kill(os.getpid(), signal.Signals[path.stem])
    return real(path)
check.inspect_image = inspect_image
"""


class TestImagesThatEndTheirWorker:
    @pytest.fixture(autouse=True)
    def poison(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    def partition(self, tmp_path: Path, names: list[str]) -> Path:
        (tmp_path / "set").mkdir()
        PICTURE.save(tmp_path / "whole.png")
        for at, name in enumerate(names):
            (tmp_path / "set" / str(at)).mkdir()
            os.link(tmp_path / "whole.png", tmp_path / "set" / str(at) / name)
        write_folders(tmp_path / "set", tmp_path / "out", unlabelled=True)
        return tmp_path / "out"

    @pytest.mark.parametrize("signal", ["SIGKILL", "SIGSTOP"])
    def test_it_is_named_and_the_others_are_read(self, tmp_path: Path, signal: str) -> None:
        out = self.partition(tmp_path, ["a.png", f"{signal}.png", "b.jpg"])
        result = check_images(out, jobs=2, worker_timeout=1.5)
        assert result.images == 3
        bad, note = result.findings
        assert (bad.row, bad.problem, note.row, note.problem) == (1, "unreadable", 2, "suffix")
        assert bad.image.endswith(f"1/{signal}.png")
        assert bad.detail.startswith("its worker was lost: it")

    def test_many_slow_ones_are_read(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        out = self.partition(tmp_path, ["slow.png"] * 7)
        assert check_images(out, jobs=2, worker_timeout=1.5).ok
        assert "lost" not in caplog.text

    def test_where_all_are_lost_no_image_is_to_blame(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sslprep.partition.check._MOST_LOST", 2)
        out = self.partition(tmp_path, ["SIGKILL.png"] * 9)
        with pytest.raises(WorkersLostError, match=r"workers were lost .*SIGKILL.*--jobs"):
            check_images(out, jobs=2)
        assert not (out / "train.check.json").exists()
