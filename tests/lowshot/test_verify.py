"""`lowshot verify`: proves good samples, finds every kind of bad one."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep.errors import ArrayError, DatasetError
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.lowshot.singlelabel import draw_singlelabel_samples
from sslprep.lowshot.verify import LowshotVerified, verify_samples

Change = Callable[[Any], Any]


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Targets of 300 images and 4 classes, and their samples in `out`."""
    labels = np.random.default_rng(0).choice([1, 0, -1], (300, 4), p=[0.3, 0.6, 0.1])
    np.save(tmp_path / "t.npy", labels.astype(np.int32))
    draw_multilabel_samples(
        targets=tmp_path / "t.npy",
        output=tmp_path / "out",
        k_values=(1, 4),
        num_samples=3,
    )
    return tmp_path


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A partition of 100 images in 5 classes, and its samples in `out`."""
    labels = np.random.default_rng(1).permutation(np.arange(100) % 5)
    np.save(tmp_path / "train_labels.npy", labels)
    np.save(tmp_path / "train_images.npy", [f"{n}/{i:03d}.jpg" for i, n in enumerate(labels)])
    draw_singlelabel_samples(
        images=tmp_path / "train_images.npy",
        targets=tmp_path / "train_labels.npy",
        output=tmp_path / "out",
        k_values=(1, 4),
        num_samples=3,
    )
    return tmp_path


def change(path: Path, function: Change) -> None:
    np.save(path, function(np.load(path)))


def make_foreign(folder: Path) -> Path:
    """Leave just the data files, as another program would have written them."""
    for path in folder.iterdir():
        if path.suffix == ".json":
            path.unlink()
    return folder


def problems(result: LowshotVerified) -> str:
    assert result.ok == (not result.problems)
    return "\n".join(result.problems)


@pytest.mark.parametrize("kind", ["voc", "places"])
def test_good_samples_are_proven_in_full(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    result = verify_samples(folder / "out")
    assert result.ok
    assert result.unproven == ()
    assert [(s.size, s.sample) for s in result.samples] == [
        (k, s) for k in ("k1", "k4") for s in (1, 2, 3)
    ]
    assert all(sample.subset and sample.redrawn for sample in result.samples)
    assert result.text().endswith("6 samples, nothing wrong")


@pytest.mark.parametrize(("kind", "targets"), [("voc", "t.npy"), ("places", "train_labels.npy")])
def test_foreign_samples_are_proven_against_given_targets(
    kind: str, targets: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    make_foreign(folder / "out")
    bare = verify_samples(folder)  # the folder above: samples are found below it
    assert bare.ok
    assert [sample.subset for sample in bare.samples] == [None] * 6
    assert "pass --targets" in bare.unproven[0]
    full = verify_samples(folder / "out", targets=folder / targets)
    assert full.ok
    assert full.unproven == ()
    assert [sample.subset for sample in full.samples] == [True] * 6
    assert [sample.redrawn for sample in full.samples] == [None] * 6


def one_more(value: int) -> Change:
    def edit(matrix: Any) -> Any:
        matrix[np.flatnonzero(matrix[:, 2] == -1)[0], 2] = value
        return matrix

    return edit


def swap_label(matrix: Any) -> Any:
    """Keeps the counts of class 0, but one positive is now another row."""
    row = np.flatnonzero(matrix[:, 0] == 1)[0]
    other = np.flatnonzero(matrix[:, 0] == 0)[0]
    matrix[[row, other], 0] = matrix[[other, row], 0]
    return matrix


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (one_more(1), "t_sample2_k4.npy: class 2 has 5 positives; expected 4"),
        (one_more(0), "t_sample2_k4.npy: class 2 has 13 negatives; expected 12"),
        (swap_label, "class 0 is 1, and 0 in the full targets"),
        (lambda m: m[:-1], "has shape (299, 4), and the full targets (300, 4)"),
        (lambda m: m * 2, "expected 1 (present), 0 (absent) or -1 (ignore)"),
        (lambda m: m.astype(float), "the labels are float64; expected integers"),
        (lambda m: m.ravel(), "expected label matrix (images, classes)"),
    ],
)
@pytest.mark.parametrize("foreign", [False, True])
def test_a_wrong_matrix_is_found(edit: Change, text: str, foreign: bool, voc: Path) -> None:
    change(voc / "out" / "t_sample2_k4.npy", edit)
    if foreign:
        make_foreign(voc / "out")
    result = verify_samples(voc / "out", targets=voc / "t.npy")
    assert not result.ok
    assert text in problems(result)
    assert "problems" in result.text()


def rename_image(images: Any) -> Any:
    images[0] = "0/xxx.jpg"
    return images


def repeat_image(images: Any) -> Any:
    images[1] = images[0]
    return images


@pytest.mark.parametrize(
    ("file", "edit", "text"),
    [
        ("labels", lambda x: x[::-1], "is not an image of class"),
        ("labels", lambda x: np.where(x == 4, 3, x), "class 4 has 0 images; expected 4"),
        ("labels", lambda x: x - 1, "holds class -1, which is none"),
        ("labels", lambda x: x[:-1], "holds 20 images, and train_labels_sample2_k4.npy 19 labels"),
        ("labels", lambda x: x.astype(float), "got dtype float64"),
        ("images", rename_image, "0/xxx.jpg is not an image of class 0 in the full targets"),
        ("images", repeat_image, "holds 0/016.jpg 2 times"),
        ("images", lambda x: np.arange(len(x)), "got dtype int64"),
    ],
)
@pytest.mark.parametrize("foreign", [False, True])
def test_a_wrong_list_is_found(
    file: str, edit: Change, text: str, foreign: bool, places: Path
) -> None:
    change(places / "out" / f"train_{file}_sample2_k4.npy", edit)
    if foreign:
        make_foreign(places / "out")
    result = verify_samples(places / "out", targets=places / "train_labels.npy")
    assert text in problems(result)


def test_an_image_twice_is_found_without_the_full_list(places: Path) -> None:
    make_foreign(places / "out")
    change(places / "out" / "train_images_sample2_k4.npy", repeat_image)
    result = verify_samples(places / "out", images=places / "train_images.npy")
    assert "0/016.jpg 2 times" in problems(result)


@pytest.mark.parametrize("file", ["images", "labels"])
def test_half_a_sample_is_found(file: str, places: Path) -> None:
    make_foreign(places / "out")
    (places / "out" / f"train_{file}_sample1_k1.npy").unlink()
    assert f"the {file} of this sample are missing" in problems(verify_samples(places / "out"))


@pytest.mark.parametrize(("kind", "name"), [("voc", "t"), ("places", "train_labels")])
def test_a_missing_file_of_the_manifest_is_found(
    kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    (folder / "out" / f"{name}_sample3_k1.npy").unlink()
    assert f"{name}_sample3_k1.npy: no such file" in problems(verify_samples(folder / "out"))


def test_a_sample_of_another_seed_is_found(voc: Path) -> None:
    """Right in all counts and labels, but not what the manifest says was drawn."""
    draw_multilabel_samples(targets=voc / "t.npy", output=voc / "b", k_values=(4,), seed=1)
    for end in (".npy", "_index.json"):
        shutil.copy(voc / "b" / f"t_sample1_k4{end}", voc / "out")
    text = problems(verify_samples(voc / "out"))
    assert "is not what the manifest's seed draws" in text
    assert "t_sample1_k4.npy: has SHA-256" in text


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("voc", ["t_sample{}_k4.npy"]),
        ("places", ["train_images_sample{}_k4.npy", "train_labels_sample{}_k4.npy"]),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_equal_samples_are_found(
    kind: str, files: list[str], given: bool, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    make_foreign(folder / "out")
    for file in files:
        shutil.copy(folder / "out" / file.format(1), folder / "out" / file.format(3))
    targets = folder / ("t.npy" if kind == "voc" else "train_labels.npy") if given else None
    text = problems(verify_samples(folder / "out", targets=targets))
    assert f"{files[-1].format(1)} and {files[-1].format(3)} are equal" in text
    assert ("would show" in text) != given


def test_samples_that_cannot_differ_may_be_equal(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.tile([[1, 0], [0, 1]], (3, 1)))
    draw_multilabel_samples(targets=tmp_path / "t.npy", output=tmp_path / "out", k_values=(3,))
    make_foreign(tmp_path / "out")
    assert not verify_samples(tmp_path / "out").ok
    assert verify_samples(tmp_path / "out", targets=tmp_path / "t.npy").ok


def test_samples_of_all_positives_differ_in_their_negatives(tmp_path: Path) -> None:
    labels = np.zeros((20, 2), np.int32)
    labels[[0, 1], 0] = labels[[2, 3], 1] = 1
    np.save(tmp_path / "t.npy", labels)
    draw_multilabel_samples(tmp_path / "t.npy", tmp_path / "out", k_values=(2,), num_samples=2)
    shutil.copy(tmp_path / "out" / "t_sample1_k2.npy", tmp_path / "out" / "t_sample2_k2.npy")
    make_foreign(tmp_path / "out")
    text = problems(verify_samples(tmp_path / "out", targets=tmp_path / "t.npy"))
    assert "t_sample1_k2.npy and t_sample2_k2.npy are equal" in text


def test_samples_equal_by_chance_are_right_when_their_seed_says_so(tmp_path: Path) -> None:
    """One of two images of each of two classes: four samples there are, and eight are drawn."""
    np.save(tmp_path / "train_labels.npy", [0, 1, 0, 1])
    np.save(tmp_path / "train_images.npy", ["a", "b", "c", "d"])
    draw_singlelabel_samples(
        images=tmp_path / "train_images.npy",
        targets=tmp_path / "train_labels.npy",
        output=tmp_path / "out",
        k_values=(1,),
        num_samples=8,
    )
    assert verify_samples(tmp_path / "out").ok
    make_foreign(tmp_path / "out")
    assert not verify_samples(folder=tmp_path / "out", targets=tmp_path / "train_labels.npy").ok


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        ({"sample": 2}, "is of another sample"),
        ({"k": 2}, "is of another sample"),
        ({"seed": 1}, "names another seed than the manifest"),
        ({"nested": True}, "names another seed than the manifest"),
        ({"kind": "x"}, "expected a lowshot-index of schema 1"),
        ({"schema": 9}, "expected a lowshot-index of schema 1"),
        ({"classes": []}, "lists other "),
        ({"classes": 3}, "expected a list"),
    ],
)
@pytest.mark.parametrize(("kind", "stem"), [("voc", "t"), ("places", "train")])
def test_a_wrong_index_file_is_found(
    kind: str, stem: str, edit: dict[str, object], text: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    path = folder / "out" / f"{stem}_sample1_k4_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **edit}))
    assert text in problems(verify_samples(folder / "out"))


@pytest.mark.parametrize("row", [5, -1, 10**6, 10**19])
def test_an_index_with_other_rows_is_found(row: int, places: Path) -> None:
    path = places / "out" / "train_sample1_k1_index.json"
    index = json.loads(path.read_text())
    old = index["classes"][0]["positives"][0]
    row = row if row != old else row + 5
    index["classes"][0]["positives"] = [row]
    index["images"][str(row)] = index["images"].pop(str(old))
    path.write_text(json.dumps(index))
    assert "train_sample1_k1_index.json lists rows" in problems(verify_samples(places / "out"))


def test_a_json_sample_that_differs_from_its_array_is_found(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (40, 2)).tolist()
    rows = {str(i): dict(zip("ab", row, strict=True)) for i, row in enumerate(labels)}
    (tmp_path / "t.json").write_text(json.dumps(rows))
    draw_multilabel_samples(targets=tmp_path / "t.json", output=tmp_path / "out", k_values=(2,))
    assert verify_samples(tmp_path / "out").ok
    shutil.copy(tmp_path / "out" / "t_sample1_k2.json", tmp_path / "out" / "t_sample2_k2.json")
    assert "t_sample2_k2.json holds other labels" in problems(verify_samples(tmp_path / "out"))


def test_json_samples_alone_are_samples_too(tmp_path: Path) -> None:
    rows = {"x": {"a": 1, "b": 0}, "y": {"a": 0, "b": 1}, "z": {"a": -1, "b": -1}}
    (tmp_path / "t_sample1_k1.json").write_text(json.dumps(rows))
    (tmp_path / "t.json").write_text(json.dumps({**rows, "z": {"a": 1, "b": 0}}))
    result = verify_samples(tmp_path, targets=tmp_path / "t.json")
    assert result.ok
    assert [sample.subset for sample in result.samples] == [True]
    moved = {"w": rows["x"], "y": rows["y"], "z": rows["z"]}
    (tmp_path / "t_sample1_k1.json").write_text(json.dumps(moved))
    result = verify_samples(tmp_path, targets=tmp_path / "t.json")
    assert "names other images than" in problems(result)


def test_changed_or_missing_targets_are_said_not_guessed(voc: Path) -> None:
    change(voc / "t.npy", lambda labels: 1 - labels.clip(0))
    result = verify_samples(voc / "out")
    assert result.ok
    assert "t.npy, the full targets, has changed since" in result.unproven[0]
    (voc / "t.npy").unlink()
    assert "is not here; pass --targets" in verify_samples(voc / "out").unproven[0]


def test_a_moved_folder_is_still_proven_with_given_targets(voc: Path) -> None:
    moved = (voc / "t.npy").rename(voc / "moved.npy")
    result = verify_samples(voc / "out", targets=moved)
    assert result.ok
    assert all(sample.subset and sample.redrawn for sample in result.samples)


def test_what_another_generator_drew_is_not_drawn_again(voc: Path) -> None:
    """A later version may draw otherwise; its samples are not wrong for that."""
    path = voc / "out" / "t_k4.manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "generator": "MT19937"}))
    change(voc / "out" / "t_sample1_k1.npy", lambda labels: labels)
    result = verify_samples(voc / "out")
    assert result.ok
    assert {s.redrawn for s in result.samples if s.size == "k4"} == {None}
    assert "t_sample1_k4.npy: how it was drawn: its manifest's draw is not known" in "\n".join(
        result.unproven
    )


def test_samples_that_no_manifest_lists_are_said(voc: Path) -> None:
    shutil.copy(voc / "out" / "t_sample1_k4.npy", voc / "out" / "t_sample4_k4.npy")
    result = verify_samples(voc / "out")
    assert "t_sample4_k4.npy: how it was drawn" in result.unproven[-1]
    assert "t_sample1_k4.npy and t_sample4_k4.npy are equal" in problems(result)


@pytest.mark.parametrize("kind", ["voc", "places"])
def test_an_unlisted_sample_is_not_held_against_the_seed(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    if kind == "voc":
        draw_multilabel_samples(
            targets=folder / "t.npy", output=folder / "b", k_values=(4,), seed=1
        )
    else:
        draw_singlelabel_samples(
            images=folder / "train_images.npy",
            targets=folder / "train_labels.npy",
            output=folder / "b",
            k_values=(4,),
            seed=1,
        )
    for path in (folder / "b").glob("*_sample1_k4.npy"):
        shutil.copy(path, folder / "out" / path.name.replace("sample1", "sample9"))
    result = verify_samples(folder / "out")
    assert result.ok
    assert [s.redrawn for s in result.samples if s.sample == 9] == [None]


@pytest.mark.parametrize("seed", [-3, 1 << 65])
def test_a_manifest_that_cannot_tell_the_draw_is_said(seed: int, voc: Path) -> None:
    manifest = next((voc / "out").glob("*.manifest.json"))
    manifest.write_text(manifest.read_text().replace('"seed": 0', f'"seed": {seed}'))
    found = verify_samples(voc / "out")
    assert any("its manifest's draw is not known" in text for text in found.unproven)


def test_a_manifest_without_its_samples_is_found(voc: Path) -> None:
    for path in (voc / "out").glob("t_sample*"):
        path.unlink()
    assert "none of its samples is here" in problems(verify_samples(voc / "out"))


def test_both_kinds_in_one_folder(voc: Path, places: Path) -> None:
    assert voc == places
    result = verify_samples(voc, targets=voc / "t.npy")
    assert result.ok
    assert len(result.samples) == 12
    assert all(sample.subset for sample in result.samples)


@pytest.mark.parametrize(("kind", "wrong"), [("voc", "list.npy"), ("places", "matrix.npy")])
def test_targets_of_the_wrong_kind_are_refused(
    kind: str, wrong: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    np.save(folder / "list.npy", [0, 1])
    np.save(folder / "matrix.npy", [[0, 1]])
    with pytest.raises(ArrayError, match="does not fit the samples"):
        verify_samples(folder / "out", targets=folder / wrong)
    with pytest.raises(ArrayError, match="no such file"):
        verify_samples(folder / "out", targets=folder / "none.npy")


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no low-shot samples"):
        verify_samples(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        verify_samples(tmp_path / "none")


def test_fractions_are_proven_with_the_full_targets(places: Path) -> None:
    draw_singlelabel_samples(
        images=places / "train_images.npy",
        targets=places / "train_labels.npy",
        output=places / "f",
        fraction=(0.25,),
        num_samples=2,
    )
    result = verify_samples(places / "f")
    assert result.ok
    assert all(sample.redrawn for sample in result.samples)
    make_foreign(places / "f")
    for kind in ("images", "labels"):
        change(places / "f" / f"train_{kind}_sample2_fraction0.25.npy", lambda x: x[1:])
    result = verify_samples(places / "f", targets=places / "train_labels.npy")
    assert "class 0 has 4 images; expected 5" in problems(result)


def test_balanced_fractions_are_proven(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(4), [5, 9, 12, 20])
    np.save(tmp_path / "train_labels.npy", labels)
    np.save(tmp_path / "train_images.npy", [f"{n}/{i:03d}.jpg" for i, n in enumerate(labels)])
    draw_singlelabel_samples(
        tmp_path / "train_images.npy",
        tmp_path / "train_labels.npy",
        tmp_path / "out",
        fraction=(0.2,),
        balanced=True,
        num_samples=2,
    )
    result = verify_samples(tmp_path / "out")
    assert result.ok
    assert all(sample.redrawn for sample in result.samples)
    assert [sample.positives for sample in result.samples] == [9, 9]
    make_foreign(tmp_path / "out")
    for kind in ("images", "labels"):
        change(tmp_path / "out" / f"train_{kind}_sample2_balanced0.2.npy", lambda x: x[2:])
    text = problems(verify_samples(tmp_path / "out", targets=tmp_path / "train_labels.npy"))
    assert "class 0 has 0 images; expected 2 or 3" in text


@pytest.fixture
def simclr(tmp_path: Path) -> Path:
    """A partition of 30 images in 3 classes, as `data folders` writes it."""
    images = [f"/d/train/n0{n}/n0{n}_{i}.JPEG" for n in (4, 5, 9) for i in range(10)]
    np.save(tmp_path / "train_images.npy", images)
    np.save(tmp_path / "train_labels.npy", np.repeat(np.arange(3), 10))
    return tmp_path


def put_list(folder: Path, name: str, *lines: str) -> Path:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder / name


def test_a_list_of_others_is_proven(simclr: Path) -> None:
    path = put_list(simclr, "1percent.txt", "n04_3.JPEG", "n09_1.JPEG", "n05_0.JPEG", "n04_2.JPEG")
    bare = verify_samples(path)
    assert bare.ok
    assert [(s.classes, s.positives, s.subset) for s in bare.samples] == [(3, 4, None)]
    assert "pass --targets" in bare.unproven[0]
    full = verify_samples(path, targets=simclr / "train_labels.npy")
    assert full.ok
    assert full.unproven == ()
    assert full.samples[0].subset
    assert "1percent.txt" in full.text()


@pytest.mark.parametrize(
    ("name", "lines", "text"),
    [
        ("2imgs_class.txt", ["n04_1.JPEG", "n04_2.JPEG", "n05_1.JPEG"], "has 1 images; expected 2"),
        ("a.txt", ["n04_1.JPEG", "n05_1.JPEG", "n04_1.JPEG"], "holds n04_1.JPEG 2 times"),
        ("a.txt", ["n04_1.JPEG", "n04_77.JPEG"], "n04_77.JPEG is not an image of class 0"),
        ("a.txt", ["n04_1.JPEG 7", "n05_1.JPEG 7"], "n05_1.JPEG is not an image of class 0"),
    ],
)
def test_a_wrong_list_of_others_is_found(
    name: str, lines: list[str], text: str, simclr: Path
) -> None:
    path = put_list(simclr, name, *lines)
    assert text in problems(verify_samples(path, targets=simclr / "train_labels.npy"))


def test_a_name_that_the_full_list_has_twice_may_be_drawn_twice(tmp_path: Path) -> None:
    np.save(tmp_path / "train_labels.npy", [0, 0, 1, 1])
    np.save(tmp_path / "train_images.npy", ["a.jpg", "a.jpg", "b.jpg", "c.jpg"])
    lists = (tmp_path / "train_images.npy", tmp_path / "train_labels.npy")
    draw_singlelabel_samples(*lists, tmp_path / "out", k_values=(2,), num_samples=1)
    assert verify_samples(tmp_path / "out").ok
    make_foreign(tmp_path / "out")
    change(tmp_path / "out" / "train_images_sample1_k2.npy", lambda x: x[[0, 1, 2, 2]])
    text = problems(verify_samples(tmp_path / "out", targets=lists[1]))
    assert "holds b.jpg 2 times" in text
    assert "a.jpg" not in text


def test_one_file_of_a_sample_is_no_list(voc: Path) -> None:
    with pytest.raises(DatasetError, match="npy: is one file; expected a folder, or a list"):
        verify_samples(voc / "out" / "t_sample1_k1.npy")


def test_a_list_that_is_none_is_a_problem(tmp_path: Path) -> None:
    text = problems(verify_samples(put_list(tmp_path, "a.txt", "to whom it may concern")))
    assert "a.txt, line 1: got 'to whom it may concern'" in text


def test_a_folder_that_cannot_be_read_is_refused(
    voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong sample in it would not be seen. Root may read all: so the refusal is staged."""
    (voc / "out" / "b").mkdir()
    change(voc / "out" / "t_sample2_k4.npy", one_more(1))
    (voc / "out" / "t_sample2_k4.npy").rename(voc / "out" / "b" / "t_sample2_k4.npy")
    scandir = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match="b: cannot read: Permission denied"):
        verify_samples(voc / "out")


def test_problems_come_in_one_order(voc: Path) -> None:
    for n in (3, 1, 2):
        (voc / "out" / f"x{n}_k9.manifest.json").write_bytes(
            (voc / "out" / "t_k4.manifest.json").read_bytes().replace(b"t_sample", b"u_sample")
        )
    first = verify_samples(voc / "out").problems
    none = [text for text in first if "none of its samples" in text]
    assert none == sorted(none)
    assert len(none) == 3
    assert verify_samples(voc / "out").problems == first


def test_published_pairs_of_array_and_json_are_compared_by_key(tmp_path: Path) -> None:
    """JSON written by Python 2 has its keys in no order, the array has them sorted."""
    labels = np.where(np.random.default_rng(0).random((40, 3)) < 0.4, 1, 0)
    draw = np.full((40, 3), -1, np.int32)
    for column in range(3):
        draw[np.flatnonzero(labels[:, column] == 1)[:2], column] = 1
        draw[np.flatnonzero(labels[:, column] == 0)[:4], column] = 0
    np.save(tmp_path / "t.npy", labels)
    np.save(tmp_path / "t_sample1_k2.npy", draw)
    rows = {
        f"{i:06d}": dict(zip("cab", r[[2, 0, 1]].tolist(), strict=True)) for i, r in enumerate(draw)
    }
    shuffled = dict(sorted(rows.items(), key=lambda item: item[0][::-1]))
    (tmp_path / "t_sample1_k2.json").write_text(json.dumps(shuffled))
    assert verify_samples(tmp_path, targets=tmp_path / "t.npy").ok
    shuffled["000007"] = dict(shuffled["000007"], a=1 - abs(shuffled["000007"]["a"]))
    (tmp_path / "t_sample1_k2.json").write_text(json.dumps(shuffled))
    assert "holds other labels" in problems(verify_samples(tmp_path, targets=tmp_path / "t.npy"))


def test_an_image_list_beside_json_targets_names_the_same_rows(tmp_path: Path) -> None:
    rows = {f"{i:06d}": {"a": i % 2, "b": 1 - i % 2} for i in range(20)}
    (tmp_path / "t.json").write_text(json.dumps(dict(reversed(rows.items()))))
    np.save(tmp_path / "i.npy", [f"JPEGImages/{key}.jpg" for key in rows])
    draw_multilabel_samples(
        tmp_path / "t.json", tmp_path / "out", images=tmp_path / "i.npy", k_values=(2,)
    )
    result = verify_samples(tmp_path / "out")
    assert result.ok
    path = tmp_path / "out" / "t_sample1_k2_index.json"
    index = json.loads(path.read_text())
    row = next(iter(index["images"]))
    index["images"][row] = "JPEGImages/999999.jpg"
    path.write_text(json.dumps(index))
    assert "lists rows of other images" in problems(verify_samples(tmp_path / "out"))
