"""Running again into a folder that holds samples."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from sslprep.lowshot.singlelabel import draw_singlelabel_samples
from sslprep.lowshot.verify import verify_samples
from sslprep.lowshot.writing import SamplesWritten


@pytest.fixture
def places(tmp_path: Path) -> Path:
    np.save(tmp_path / "train_labels.npy", np.arange(60) % 3)
    np.save(tmp_path / "train_images.npy", [f"{i}.jpg" for i in range(60)])
    return tmp_path


def draw(places: Path, out: str, *k_values: int, **options: object) -> SamplesWritten:
    return draw_singlelabel_samples(
        images_data_file=places / "train_images.npy",
        targets_data_file=places / "train_labels.npy",
        output_path=places / out,
        **{"k_values": k_values or None, "num_samples": 2, "overwrite": True, **options},  # type: ignore[arg-type]
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_adding_a_k_gives_the_folder_of_one_run(places: Path) -> None:
    draw(places, "once", 1, 2, 8)
    draw(places, "twice", 2)
    result = draw(places, "twice", 8, 1)
    assert result.sizes == (1, 2, 8)
    assert content(places / "twice") == content(places / "once")


def test_another_seed_takes_the_place_of_the_whole_set(places: Path) -> None:
    draw(places, "new", 1, seed=1)
    draw(places, "out", 1, 4)
    (places / "out" / "notes.txt").write_text("mine")
    result = draw(places, "out", 1, seed=1)
    assert any("6 files of an earlier draw are removed" in text for text in result.warnings)
    found = content(places / "out")
    assert found.pop("notes.txt") == b"mine"
    assert found == content(places / "new")


def test_changed_labels_are_another_draw(places: Path) -> None:
    draw(places, "out", 1, 4)
    np.save(places / "train_labels.npy", np.arange(60) % 3 + 1)
    assert draw(places, "out", 1).sizes == (1,)
    assert not (places / "out" / "train_images_sample1_k4.npy").exists()


def test_fewer_samples_leave_none_of_the_old_behind(places: Path) -> None:
    draw(places, "out", 1, num_samples=4)
    draw(places, "out", 1, num_samples=2)
    assert not (places / "out" / "train_images_sample4_k1.npy").exists()
    assert verify_samples(folder=places / "out").ok


def test_fractions_and_k_live_side_by_side(places: Path) -> None:
    draw(places, "out", 1)
    result = draw(places, "out", fraction=(0.1,))
    assert result.warnings == ()
    assert {p.name for p in (places / "out").glob("*.manifest.json")} == {
        "train_lowshot.manifest.json",
        "train_lowshot_fractions.manifest.json",
    }
    verified = verify_samples(folder=places / "out")
    assert verified.ok
    assert len(verified.samples) == 4
    assert all(sample.redrawn for sample in verified.samples)


def test_samples_of_2019_beside_ours_are_told_and_kept(
    places: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (places / "out").mkdir()
    np.save(places / "out" / "train_images_sample1_k64.npy", ["a.jpg"])
    np.save(places / "out" / "train_labels_sample1_k64.npy", [0])
    result = draw(places, "out", 1)
    text = "train_images_sample1_k64.npy and 1 more of another run stay beside this one's"
    assert text in result.warnings[0]
    assert any(text in r.message and r.levelno == logging.WARNING for r in caplog.records)
    assert (places / "out" / "train_images_sample1_k64.npy").exists()
    assert text not in (places / "out" / "train_lowshot.manifest.json").read_text()


def test_a_manifest_from_elsewhere_cannot_have_other_files_removed(places: Path) -> None:
    draw(places, "out", 1)
    path = places / "out" / "train_lowshot.manifest.json"
    record = json.loads(path.read_text())
    record["seed"] = 5
    for name in ("notes.txt", "../train_labels.npy", "../x_sample1_k1.npy"):
        record["outputs"].append({"file": name, "bytes": 1, "sha256": "0"})
        (places / "out" / name).touch()
    path.write_text(json.dumps(record))
    draw(places, "out", 1, seed=2)
    assert (places / "out" / "notes.txt").exists()
    assert (places / "x_sample1_k1.npy").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1, "kind": "partition"}', "[[[["])
def test_a_broken_manifest_is_replaced(text: str, places: Path) -> None:
    (places / "out").mkdir()
    (places / "out" / "train_lowshot.manifest.json").write_text(text)
    draw(places, "out", 1)
    draw(places, "clean", 1)
    assert content(places / "out") == content(places / "clean")


@pytest.mark.parametrize("value", ["x", [0], ["a"], [1, 1], None, [10**9], [True], [[1]]])
def test_sizes_of_a_manifest_are_not_trusted(value: object, places: Path) -> None:
    draw(places, "out", 1)
    path = places / "out" / "train_lowshot.manifest.json"
    record = json.loads(path.read_text())
    record["details"]["k_values"] = value
    path.write_text(json.dumps(record))
    assert draw(places, "out", 2).sizes == (2,)
