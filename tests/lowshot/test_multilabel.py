"""`lowshot voc`: target matrices, index files, JSON."""

import json
import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ArrayError, NotEnoughError, OutputError, ParameterError
from sslprep.lowshot.multilabel import draw_multilabel_samples

NAMES = ("car", "cat", "cow", "dog")
Matrix = NDArray[np.int32]


def make_labels(rows: int = 200, classes: int = 4) -> Matrix:
    random = np.random.default_rng(5)
    return random.choice(np.array([1, 0, -1], np.int32), (rows, classes), p=[0.3, 0.6, 0.1])


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "train_targets.npy"
    path.parent.mkdir()
    np.save(path, make_labels())
    return path


def as_json(path: Path, labels: Matrix) -> Path:
    images = {
        f"{i:06d}": dict(zip(NAMES, row, strict=True)) for i, row in enumerate(labels.tolist())
    }
    path.write_text(json.dumps(images))
    return path


def draw(targets: Path, out: Path, **options: object) -> dict[str, bytes]:
    options = {"k_values": (1, 2, 4), "num_samples": 2, **options}
    draw_multilabel_samples(targets=targets, output=out, **options)  # type: ignore[arg-type]
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_names_dtype_and_shape(targets: Path, tmp_path: Path) -> None:
    files = draw(targets, tmp_path / "out")
    assert set(files) == {f"train_targets_k{k}.manifest.json" for k in (1, 2, 4)} | {
        f"train_targets_sample{s}_k{k}{end}"
        for s in (1, 2)
        for k in (1, 2, 4)
        for end in (".npy", "_index.json")
    }
    sample = np.load(tmp_path / "out" / "train_targets_sample2_k4.npy")
    assert sample.dtype == np.int32
    assert sample.shape == (200, 4)


def test_every_class_has_k_positives_and_its_negatives_of_the_full_targets(
    targets: Path, tmp_path: Path
) -> None:
    draw(targets, tmp_path / "out")
    full = np.load(targets)
    for k in (1, 2, 4):
        sample = np.load(tmp_path / "out" / f"train_targets_sample1_k{k}.npy")
        assert (sample == 1).sum(axis=0).tolist() == [k] * 4
        assert (sample == 0).sum(axis=0).tolist() == [3 * k] * 4
        assert (sample[sample != -1] == full[sample != -1]).all()


def test_the_published_defaults(targets: Path, tmp_path: Path) -> None:
    np.save(targets, make_labels(2000))
    result = draw_multilabel_samples(targets=targets, output=tmp_path / "out")
    assert result.sizes == (1, 2, 4, 8, 16, 32, 64, 96)
    assert result.samples == 5
    assert len(result.written) == 8 * (5 * 2 + 1)
    assert result.text().startswith(
        "5 samples each of k = 1, 2, 4, 8, 16, 32, 64, 96, seed 0, from 2,000 rows of 4 classes"
    )


def test_the_stem_ends_at_the_first_dot(targets: Path, tmp_path: Path) -> None:
    dotted = targets.rename(targets.with_name("res5.layer.npy"))
    assert "res5_sample1_k1.npy" in draw(dotted, tmp_path / "out")


def test_equal_labels_in_another_file_give_the_same_rows(targets: Path, tmp_path: Path) -> None:
    """The 2019 scripts drew anew for every layer of a network."""
    other = targets.with_name("res5_targets.npy")
    np.save(other, np.asfortranarray(np.load(targets).astype(">i8")))
    first = draw(targets, tmp_path / "out")
    second = draw(other, tmp_path / "out2")
    for name, data in first.items():
        if name.endswith(".npy"):
            assert second[name.replace("train", "res5")] == data


def test_json_targets_give_json_samples_of_the_same_draw(targets: Path, tmp_path: Path) -> None:
    source = as_json(targets.with_suffix(".json"), np.load(targets))
    files = draw(source, tmp_path / "json")
    arrays = draw(targets, tmp_path / "npy")
    for name in arrays:
        if name.endswith(".npy"):
            assert files[name] == arrays[name]
            own_form = json.loads(files[name.replace(".npy", ".json")])
            assert list(own_form) == [f"{i:06d}" for i in range(200)]
            matrix = [[row[c] for c in NAMES] for row in own_form.values()]
            assert np.array_equal(matrix, np.load(tmp_path / "json" / name))


def test_json_is_read_by_key_whatever_its_order(targets: Path, tmp_path: Path) -> None:
    """Rows are the sorted ids, as in `train_images.npy` and the 2019 scripts."""
    labels = np.load(targets)
    source = as_json(targets.with_suffix(".json"), labels)
    images = [*json.loads(source.read_text()).items()]
    random = np.random.default_rng(1)
    mixed = {
        id_: dict([*row.items()][i] for i in random.permutation(4))
        for id_, row in (images[i] for i in random.permutation(len(images)))
    }
    shuffled = targets.with_name("s.json")
    shuffled.write_text(json.dumps(mixed))
    files = draw(shuffled, tmp_path / "s")
    arrays = draw(targets, tmp_path / "npy")
    for name in arrays:
        if name.endswith(".npy"):
            assert files[name.replace("train_targets", "s")] == arrays[name]
    index = json.loads(files["s_sample1_k4_index.json"])
    assert [c["name"] for c in index["classes"]] == list(NAMES)
    for column, of_class in enumerate(index["classes"]):
        for row in of_class["positives"]:
            assert labels[row, column] == 1
            assert mixed[index["images"][str(row)]][NAMES[column]] == 1


def test_an_image_list_that_contradicts_json_is_refused(targets: Path, tmp_path: Path) -> None:
    source = as_json(targets.with_suffix(".json"), np.load(targets))
    paths = [f"/VOC/JPEGImages/{i:06d}.jpg" for i in range(200)]
    np.save(tmp_path / "images.npy", paths)
    files = draw(source, tmp_path / "good", images=tmp_path / "images.npy")
    index = json.loads(files["train_targets_sample1_k1_index.json"])
    assert all(paths[int(row)] == image for row, image in index["images"].items())
    np.save(tmp_path / "images.npy", [*paths[:3], paths[4], paths[3], *paths[5:]])
    with pytest.raises(
        ArrayError, match=r"row 3 is .*000004\.jpg, and the sorted ids of .* 000003"
    ):
        draw(source, tmp_path / "bad", images=tmp_path / "images.npy")
    assert not (tmp_path / "bad").exists()


def test_marks_of_voc_itself_are_recognised(tmp_path: Path) -> None:
    """-1 absent, 0 difficult: the numbers are those of a VOC class list."""
    marks = np.full((300, 4), -1)
    marks[::9] = 1
    marks[::100] = 0
    np.save(tmp_path / "t.npy", marks)
    with pytest.raises(ArrayError, match=r"VOC's own lists .*numpy.choose\(marks \+ 1"):
        draw(tmp_path / "t.npy", tmp_path / "out")
    cured = np.choose(marks + 1, [0, -1, 1])
    assert (cured == -1).sum() == (marks == 0).sum()
    np.save(tmp_path / "t.npy", cured)
    assert draw(tmp_path / "t.npy", tmp_path / "out")


def test_targets_that_ignore_most_are_no_marks_of_voc(tmp_path: Path) -> None:
    """A sample is such a target itself: a few 1, more 0, and -1 everywhere else."""
    sample = np.full((300, 4), -1)
    sample[:20], sample[20:60] = 1, 0
    np.save(tmp_path / "t.npy", sample)
    assert draw(tmp_path / "t.npy", tmp_path / "out")


def test_index_files_hold_what_rebuilds_the_sample(targets: Path, tmp_path: Path) -> None:
    source = as_json(targets.with_suffix(".json"), np.load(targets))
    files = draw(source, tmp_path / "out", seed=3)
    index = json.loads(files["train_targets_sample2_k4_index.json"])
    rebuilt = np.full((index["rows"], len(index["classes"])), -1, np.int32)
    for column, of_class in enumerate(index["classes"]):
        assert of_class["id"] == column
        assert of_class["name"] == NAMES[column]
        assert of_class["positives"] == sorted(of_class["positives"])
        rebuilt[of_class["positives"], column] = 1
        rebuilt[of_class["negatives"], column] = 0
    assert np.array_equal(rebuilt, np.load(tmp_path / "out" / "train_targets_sample2_k4.npy"))
    used = np.flatnonzero((rebuilt != -1).any(axis=1))
    assert index["images"] == {str(row): f"{row:06d}" for row in used}
    assert (index["k"], index["sample"], index["seed"], index["nested"]) == (4, 2, 3, False)
    assert index["files"] == ["train_targets_sample2_k4.npy", "train_targets_sample2_k4.json"]
    assert index["generator"].startswith("Philox4x64-10, key (seed, sample)")


def test_a_partition_of_the_data_commands_names_its_images_and_classes(tmp_path: Path) -> None:
    np.save(tmp_path / "train_labels.npy", make_labels())
    np.save(tmp_path / "train_images.npy", [f"/voc/{i}.jpg" for i in range(200)])
    classes = [{"name": name, "id": 7 * n} for n, name in enumerate(NAMES)]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    files = draw(tmp_path / "train_labels.npy", tmp_path / "out")
    index = json.loads(files["train_labels_sample1_k1_index.json"])
    assert [c["name"] for c in index["classes"]] == list(NAMES)
    assert [c["id"] for c in index["classes"]] == [0, 1, 2, 3]
    assert all(image == f"/voc/{row}.jpg" for row, image in index["images"].items())
    record = manifest.read(tmp_path / "out" / "train_labels_k1.manifest.json")
    assert [Path(entry.path).name for entry in record.inputs] == [
        "train_labels.npy",
        "train_images.npy",
        "classes.json",
    ]


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '[{"name": "x", "id": 0}]'])
def test_names_that_do_not_fit_are_left_out_with_a_warning(
    text: str, targets: Path, tmp_path: Path
) -> None:
    (targets.parent / "classes.json").write_text(text)
    result = draw_multilabel_samples(
        targets=targets, output=tmp_path / "out", k_values=(1,), num_samples=1
    )
    assert len(result.warnings) == 1
    assert result.warnings[0].endswith("classes stay without names")


def test_an_image_list_beside_that_does_not_fit_is_not_used(tmp_path: Path) -> None:
    np.save(tmp_path / "train_labels.npy", make_labels())
    np.save(tmp_path / "train_images.npy", ["a.jpg"])
    result = draw_multilabel_samples(
        targets=tmp_path / "train_labels.npy",
        output=tmp_path / "out",
        k_values=(1,),
    )
    assert "holds 1 images" in result.warnings[0]
    with pytest.raises(ArrayError, match="holds 1 images"):
        draw_multilabel_samples(
            targets=tmp_path / "train_labels.npy",
            images=tmp_path / "train_images.npy",
            output=tmp_path / "out2",
        )


def test_too_large_k_is_found_before_anything_is_written(targets: Path, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughError, match="largest k that works for every class is"):
        draw(targets, tmp_path / "out", k_values=(1, 100))
    assert not (tmp_path / "out").exists()


def test_more_samples_than_anybody_needs_are_refused_at_once(targets: Path, tmp_path: Path) -> None:
    """A run of 10^11 went on naming its files until memory was full."""
    with pytest.raises(ParameterError, match=r"^800,000,000,000 samples asked for; expected at"):
        draw(targets, tmp_path / "out", k_values=range(1, 9), num_samples=10**11)
    assert not (tmp_path / "out").exists()


def test_skip_impossible_writes_the_rest_and_says_so(
    targets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = draw_multilabel_samples(
        targets=targets,
        output=tmp_path / "out",
        k_values=(1, 1000, 100),
        skip_impossible=True,
    )
    assert result.sizes == (1,)
    assert result.skipped == (100, 1000)
    assert "LEFT OUT: k = 100, 1000" in result.text()
    record = manifest.read(result.manifests[0])
    assert record.parameters["k_values"] == [1]
    assert record.details["largest_k"] < 100
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert warned == list(result.warnings)


def test_nested_samples_hold_the_smaller_ones(targets: Path, tmp_path: Path) -> None:
    draw(targets, tmp_path / "nested", nested=True)
    draw(targets, tmp_path / "free")

    def holds(folder: str) -> bool:
        load = [np.load(tmp_path / folder / f"train_targets_sample1_k{k}.npy") for k in (1, 2, 4)]
        return all(
            (large[small != -1] == small[small != -1]).all() for small, large in pairwise(load)
        )

    assert holds("nested")
    assert not holds("free")


def test_a_second_run_gives_the_same_bytes_manifest_included(targets: Path, tmp_path: Path) -> None:
    first = draw(targets, tmp_path / "a")
    assert draw(targets, tmp_path / "b") == first
    assert draw(targets, tmp_path / "c", seed=1) != first


def test_existing_samples_are_not_replaced_unasked(targets: Path, tmp_path: Path) -> None:
    first = draw(targets, tmp_path / "out")
    with pytest.raises(OutputError, match="--overwrite"):
        draw(targets, tmp_path / "out", seed=1)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == first


def test_the_manifest_says_what_a_report_needs(targets: Path, tmp_path: Path) -> None:
    draw(targets, tmp_path / "out", seed=9)
    record = manifest.read(tmp_path / "out" / "train_targets_k2.manifest.json")
    assert (record.kind, record.command, record.seed) == ("lowshot", "lowshot voc", 9)
    assert record.counts == {"rows": 200, "classes": 4, "samples": 2}
    assert record.labels == {"1": "present", "0": "absent", "-1": "ignore"}
    assert record.details["multi_label"] is True
    assert (record.details["stem"], record.details["k"]) == ("train_targets", 2)
    assert record.details["sets"] == [
        {
            "k": 2,
            "sample": sample,
            "files": [f"train_targets_sample{sample}_k2.npy"],
            "index": f"train_targets_sample{sample}_k2_index.json",
        }
        for sample in (1, 2)
    ]
    full = np.load(targets)
    assert [c["positives"] for c in record.details["classes"]] == (full == 1).sum(axis=0).tolist()
    assert [c["negatives"] for c in record.details["classes"]] == (full == 0).sum(axis=0).tolist()


def test_one_class_alone_has_no_negatives(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.ones((3, 1), np.int8))
    draw(tmp_path / "t.npy", tmp_path / "out", k_values=(3,))
    assert np.load(tmp_path / "out" / "t_sample1_k3.npy").tolist() == [[1], [1], [1]]
