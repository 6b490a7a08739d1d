"""`lowshot places`: image and label lists."""

import json
import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sslprep import manifest
from sslprep.errors import NotEnoughError, ParameterError, SslprepError
from sslprep.lowshot import sample_files
from sslprep.lowshot.labels import classes_of
from sslprep.lowshot.sample_files import SamplesWritten
from sslprep.lowshot.singlelabel import draw_singlelabel_samples

CLASSES = 5


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A partition of 100 images with shuffled classes 0 … 4."""
    folder = tmp_path / "places"
    folder.mkdir()
    labels = np.random.default_rng(1).permutation(np.arange(100) % CLASSES)
    np.save(folder / "train_labels.npy", labels)
    np.save(folder / "train_images.npy", [f"/p/{n}/{i:03d}.jpg" for i, n in enumerate(labels)])
    return folder


def draw(folder: Path, out: Path, **options: object) -> SamplesWritten:
    sizes = {} if "fraction" in options else {"k_values": (1, 2, 4)}
    return draw_singlelabel_samples(
        images=folder / "train_images.npy",
        targets=folder / "train_labels.npy",
        output=out,
        **{**sizes, "num_samples": 2, **options},  # type: ignore[arg-type]
    )


def test_names_dtypes_and_order(places: Path, tmp_path: Path) -> None:
    result = draw(places, tmp_path / "out")
    manifests = {f"train_k{k}.manifest.json" for k in (1, 2, 4)}
    assert {path.name for path in result.written} == manifests | {
        name
        for s in (1, 2)
        for k in (1, 2, 4)
        for name in (
            f"train_images_sample{s}_k{k}.npy",
            f"train_labels_sample{s}_k{k}.npy",
            f"train_sample{s}_k{k}_index.json",
        )
    }
    images = np.load(tmp_path / "out" / "train_images_sample1_k4.npy")
    labels = np.load(tmp_path / "out" / "train_labels_sample1_k4.npy")
    assert images.dtype.kind == "U"
    assert labels.dtype == np.int64
    assert labels.tolist() == [n for n in range(CLASSES) for _ in range(4)]
    assert [int(image.split("/")[2]) for image in images] == labels.tolist()
    assert len(set(images)) == len(images)


def test_the_names_do_not_depend_on_those_of_the_input(places: Path, tmp_path: Path) -> None:
    (places / "train_images.npy").rename(places / "val_images.npy")
    (places / "train_labels.npy").rename(places / "val.npy")
    draw_singlelabel_samples(
        images=places / "val_images.npy",
        targets=places / "val.npy",
        output=tmp_path / "out",
        k_values=(1,),
    )
    assert (tmp_path / "out" / "train_images_sample5_k1.npy").is_file()


@pytest.mark.parametrize(
    "labels",
    [[0, 0, 1, 3], [3, 1, 0, 0, 1], [65_536, 5, 0, 65_535], [65_537, 5, 65_536], [2**62, 0], [4]],
    ids=["sorted", "mixed", "17 bits", "above 16 bits", "huge", "one"],
)
def test_groups_are_those_of_a_plain_loop(labels: list[int]) -> None:
    classes = classes_of(np.array(labels))
    ids = sorted(set(labels))
    assert classes.ids == ids
    assert [rows.tolist() for rows in classes.positives] == [
        [row for row, label in enumerate(labels) if label == id_] for id_ in ids
    ]


def test_class_ids_may_have_gaps(places: Path, tmp_path: Path) -> None:
    labels = np.load(places / "train_labels.npy")
    draw(places, tmp_path / "a")
    np.save(places / "train_labels.npy", labels * 1000)
    draw(places, tmp_path / "b")
    found = np.load(tmp_path / "b" / "train_labels_sample1_k2.npy")
    assert found.tolist() == [n for n in range(0, 5000, 1000) for _ in range(2)]


def test_index_files_hold_rows_and_images(places: Path, tmp_path: Path) -> None:
    draw(places, tmp_path / "out")
    index = json.loads((tmp_path / "out" / "train_sample2_k4_index.json").read_text())
    images, labels = np.load(places / "train_images.npy"), np.load(places / "train_labels.npy")
    rows = [row for c in index["classes"] for row in c["positives"]]
    drawn = np.load(tmp_path / "out" / "train_images_sample2_k4.npy").tolist()
    assert images[rows].tolist() == drawn
    assert [index["images"][str(row)] for row in rows] == drawn
    for c in index["classes"]:
        assert (labels[c["positives"]] == c["id"]).all()
        assert c["positives"] == sorted(c["positives"])
        assert "negatives" not in c


def test_fractions_of_each_class(places: Path, tmp_path: Path) -> None:
    result = draw(places, tmp_path / "out", fraction=(0.1, 0.01))
    assert result.sizes == (0.01, 0.1)
    labels = np.load(tmp_path / "out" / "train_labels_sample1_fraction0.1.npy")
    assert np.bincount(labels).tolist() == [2] * CLASSES
    labels = np.load(tmp_path / "out" / "train_labels_sample1_fraction0.01.npy")
    assert np.bincount(labels).tolist() == [1] * CLASSES
    assert (tmp_path / "out" / "train_images_sample2_fraction0.01.npy").is_file()
    index = json.loads((tmp_path / "out" / "train_sample1_fraction0.1_index.json").read_text())
    assert index["fraction"] == 0.1
    assert "k" not in index
    record = manifest.read(tmp_path / "out" / "train_fraction0.1.manifest.json")
    assert (record.parameters["fraction"], record.parameters["balanced"]) == ([0.1], False)
    assert "k_values" not in record.parameters


def test_fractions_nest_like_k(places: Path, tmp_path: Path) -> None:
    draw(places, tmp_path / "out", fraction=(0.1, 0.5, 1.0), nested=True)
    sets = [
        set(np.load(tmp_path / "out" / f"train_images_sample1_fraction{f}.npy").tolist())
        for f in (0.1, 0.5, 1.0)
    ]
    assert sets[0] < sets[1] < sets[2]
    assert len(sets[2]) == 100


def make_uneven(folder: Path) -> None:
    """Classes 0 … 4 with 5, 15, 20, 25 and 35 images."""
    labels = np.repeat(np.arange(CLASSES), [5, 15, 20, 25, 35])
    np.save(folder / "train_labels.npy", labels)
    np.save(folder / "train_images.npy", [f"{n}/{i:03d}.jpg" for i, n in enumerate(labels)])


def test_balanced_fractions_have_the_same_number_of_every_class(
    places: Path, tmp_path: Path
) -> None:
    make_uneven(places)
    draw(places, tmp_path / "out", fraction=(0.13, 0.05), balanced=True, num_samples=9)
    more = set()
    for sample in range(1, 10):
        labels = np.load(tmp_path / "out" / f"train_labels_sample{sample}_balanced0.13.npy")
        counts = np.bincount(labels)
        assert len(labels) == 13
        assert sorted(counts) == [2, 2, 3, 3, 3]
        more.add(tuple(np.flatnonzero(counts == 3)))
    assert len(more) > 1  # which classes have one more is drawn as well
    labels = np.load(tmp_path / "out" / "train_labels_sample1_balanced0.05.npy")
    assert np.bincount(labels).tolist() == [1] * CLASSES
    index = json.loads((tmp_path / "out" / "train_sample1_balanced0.13_index.json").read_text())
    assert (index["fraction"], index["balanced"]) == (0.13, True)
    record = manifest.read(tmp_path / "out" / "train_balanced0.13.manifest.json")
    assert (record.parameters["fraction"], record.parameters["balanced"]) == ([0.13], True)


def test_balanced_fractions_nest(places: Path, tmp_path: Path) -> None:
    make_uneven(places)
    shares = (0.05, 0.07, 0.13, 0.14, 0.2)
    draw(places, tmp_path / "out", fraction=shares, balanced=True, nested=True)
    sets = [
        set(np.load(tmp_path / "out" / f"train_images_sample1_balanced{f}.npy").tolist())
        for f in shares
    ]
    assert all(small < large for small, large in pairwise(sets))


def test_a_balanced_fraction_that_some_class_cannot_serve(places: Path, tmp_path: Path) -> None:
    make_uneven(places)
    with pytest.raises(NotEnoughError, match=r"class 0 has 5 images; balanced0\.3 needs 6"):
        draw(places, tmp_path / "out", fraction=(0.1, 0.3), balanced=True)
    result = draw(
        places, tmp_path / "out", fraction=(0.1, 0.3), balanced=True, skip_impossible=True
    )
    assert (result.sizes, result.skipped) == ((0.1,), (0.3,))
    assert "LEFT OUT: fraction = 0.3" in result.text()


def test_one_column_of_class_ids_is_taken(places: Path, tmp_path: Path) -> None:
    draw(places, tmp_path / "a")
    np.save(places / "train_labels.npy", np.load(places / "train_labels.npy")[:, None])
    draw(places, tmp_path / "b")
    name = "train_images_sample1_k4.npy"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_k_and_fraction_exclude_each_other(places: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="--k-values and --fraction exclude each other"):
        draw(places, tmp_path / "out", k_values=(1,), fraction=(0.1,))


def test_the_published_k_are_the_default(places: Path, tmp_path: Path) -> None:
    result = draw(places, tmp_path / "out", k_values=None, skip_impossible=True)
    assert result.sizes == (1, 2, 4, 8, 16)
    assert result.skipped == (32, 64, 96)


def test_too_large_k_names_the_class_by_its_name(places: Path, tmp_path: Path) -> None:
    classes = [{"name": f"room {n}", "id": n} for n in range(CLASSES)]
    (places / "classes.json").write_text(json.dumps(classes))
    with pytest.raises(NotEnoughError, match=r"class 3 \(room 3\) has 20 images; k=21 needs 21"):
        draw(places, tmp_path / "out", k_values=(20, 21))
    assert not (tmp_path / "out").exists()


def test_a_class_without_images_is_told(
    places: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes = [{"name": f"room {n}", "id": n} for n in range(CLASSES + 1)]
    (places / "classes.json").write_text(json.dumps(classes))
    result = draw(places, tmp_path / "out")
    text = "1 of 6 classes have no image and are in no sample: room 5"
    assert result.warnings[0].endswith(text)
    assert any(text in r.message and r.levelno == logging.WARNING for r in caplog.records)


def test_another_lab_with_equal_labels_gets_the_same_rows(places: Path, tmp_path: Path) -> None:
    draw(places, tmp_path / "a")
    images = np.load(places / "train_images.npy")
    np.save(places / "train_images.npy", np.char.add("/elsewhere", images))
    draw(places, tmp_path / "b")
    for name in ("train_images_sample1_k4.npy", "train_images_sample2_k1.npy"):
        here, there = np.load(tmp_path / "a" / name), np.load(tmp_path / "b" / name)
        assert np.char.add("/elsewhere", here).tolist() == there.tolist()


def test_a_list_that_changes_between_two_samples_stops_the_run(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is read row by row: half of the samples would be of another one."""
    drawn = 0

    def change_then_draw(*arguments: object) -> object:
        nonlocal drawn
        drawn += 1
        if drawn == 4:
            other = np.load(places / "train_images.npy")
            np.save(places / "train_images.npy", np.char.replace(other, "/p/", "/q/"))
        return draw_sample(*arguments)  # type: ignore[arg-type]

    draw_sample = sample_files.draw_sample
    monkeypatch.setattr(sample_files, "draw_sample", change_then_draw)
    with pytest.raises(SslprepError, match="changed while it was being read"):
        draw(places, tmp_path / "out")
    assert not (tmp_path / "out").exists()
