"""Running again into a folder that holds samples."""

import json
from pathlib import Path

import numpy as np
import pytest

from sslprep.lowshot.sample_files import SamplesWritten
from sslprep.lowshot.singlelabel import draw_singlelabel_samples
from sslprep.lowshot.verify import verify_samples


@pytest.fixture
def places(tmp_path: Path) -> Path:
    np.save(tmp_path / "train_labels.npy", np.arange(60) % 3)
    np.save(tmp_path / "train_images.npy", [f"{i}.jpg" for i in range(60)])
    return tmp_path


def draw(places: Path, out: str, *k_values: int, **options: object) -> SamplesWritten:
    return draw_singlelabel_samples(
        images=places / "train_images.npy",
        targets=places / "train_labels.npy",
        output=places / out,
        **{"k_values": k_values or None, "num_samples": 2, "overwrite": True, **options},  # type: ignore[arg-type]
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_adding_a_k_touches_nothing_else(places: Path) -> None:
    draw(places, "once", 1, 2, 8)
    draw(places, "twice", 2)
    before = {p.name: p.stat().st_mtime_ns for p in (places / "twice").iterdir()}
    result = draw(places, "twice", 8, 1, overwrite=False)
    assert result.sizes == (1, 8)
    assert content(places / "twice") == content(places / "once")
    assert all((places / "twice" / n).stat().st_mtime_ns == t for n, t in before.items())


def test_another_number_of_samples_deletes_no_other_k(places: Path) -> None:
    """The 2019 script, run for k = 8 with two samples, kept what it had made before."""
    draw(places, "out", 1, 2, 4, num_samples=5)
    before = content(places / "out")
    draw(places, "out", 8, num_samples=2)
    now = content(places / "out")
    assert before.items() <= now.items()
    assert {"train_labels_sample2_k8.npy", "train_k8.manifest.json"} <= now.keys()
    assert verify_samples(places / "out").ok


def test_overwriting_replaces_the_k_named_and_nothing_else(places: Path) -> None:
    draw(places, "out", 1, 4)
    (places / "out" / "notes.txt").write_text("mine")
    before = content(places / "out")
    draw(places, "new", 1, seed=1)
    draw(places, "out", 1, seed=1)
    assert content(places / "out") == before | content(places / "new")
    assert verify_samples(places / "out").ok


def test_fewer_samples_leave_none_of_the_old_behind(
    places: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw(places, "out", 1, num_samples=4)
    draw(places, "out", 2, num_samples=4)
    draw(places, "out", 1, num_samples=2)
    assert not (places / "out" / "train_images_sample4_k1.npy").exists()
    assert (places / "out" / "train_images_sample4_k2.npy").exists()
    assert "6 more files of the sizes replaced are removed" in caplog.text
    assert verify_samples(places / "out").ok


def test_fractions_and_k_live_side_by_side(places: Path) -> None:
    draw(places, "out", 1)
    draw(places, "out", fraction=(0.1,))
    draw(places, "out", fraction=(0.1,), balanced=True)
    assert {p.name for p in (places / "out").glob("*.manifest.json")} == {
        "train_k1.manifest.json",
        "train_fraction0.1.manifest.json",
        "train_balanced0.1.manifest.json",
    }
    verified = verify_samples(places / "out")
    assert verified.ok
    assert len(verified.samples) == 6
    assert all(sample.redrawn for sample in verified.samples)


def test_samples_of_2019_beside_ours_are_kept(places: Path) -> None:
    (places / "out").mkdir()
    np.save(places / "out" / "train_images_sample9_k1.npy", ["a.jpg"])
    np.save(places / "out" / "train_labels_sample9_k1.npy", [0])
    draw(places, "out", 1)
    assert (places / "out" / "train_images_sample9_k1.npy").exists()


def test_an_impossible_k_leaves_an_older_set_of_it_whole(places: Path) -> None:
    draw(places, "out", 20)
    before = content(places / "out")
    np.save(places / "train_labels.npy", np.arange(60) % 6)
    draw(places, "out", 1, 20, skip_impossible=True)
    assert before.items() <= content(places / "out").items()


def test_a_manifest_from_elsewhere_cannot_have_other_files_removed(places: Path) -> None:
    draw(places, "out", 1)
    path = places / "out" / "train_k1.manifest.json"
    record = json.loads(path.read_text())
    others = ("notes.txt", "../x_sample1_k1.npy", "x_sample1_k1.npy", "train_labels_sample1_k2.npy")
    for name in others:
        record["outputs"].append({"file": name, "bytes": 1, "sha256": "0"})
        (places / "out" / name).touch()
    path.write_text(json.dumps(record))
    draw(places, "out", 1, seed=2)
    assert all((places / "out" / name).exists() for name in others)


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1, "kind": "partition"}', "[[[["])
def test_a_broken_manifest_is_replaced(text: str, places: Path) -> None:
    (places / "out").mkdir()
    (places / "out" / "train_k1.manifest.json").write_text(text)
    draw(places, "out", 1)
    draw(places, "clean", 1)
    assert content(places / "out") == content(places / "clean")
