"""The command `evaluate scores`: both kinds of file, matched by name."""

import json

import numpy as np
import pytest

from sslprep.errors import SslprepError
from sslprep.evaluate.scores import evaluate_scores


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(-1, 2, (30, 3))
    labels[:3] = 1
    values = random.integers(0, 6, (30, 3)) / 3
    images, classes = [f"{n:03d}" for n in range(30)], ["cat", "dog", "owl"]

    def write(name, array):
        np.save(tmp_path / f"{name}.npy", array)
        rows = {
            i: dict(zip(classes, r, strict=True))
            for i, r in zip(images, array.tolist(), strict=True)
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))

    write("targets", labels)
    write("predictions", values)
    return tmp_path


def test_both_kinds_of_file_give_the_same(files):
    from_json = evaluate_scores(files / "predictions.json", files / "targets.json")
    from_npy = evaluate_scores(files / "predictions.npy", files / "targets.npy")
    mixed = evaluate_scores(files / "predictions.npy", files / "targets.json")
    assert from_json.mean_ap == from_npy.mean_ap == mixed.mean_ap
    assert from_json.ap["step"]["dog"] == from_npy.ap["step"]["1"]
    assert "mean" in from_json.text()


def test_images_are_matched_by_name_not_by_place(files):
    rows = json.loads((files / "predictions.json").read_text())
    backwards = {image: rows[image] for image in reversed(rows)}
    (files / "backwards.json").write_text(json.dumps(backwards))
    straight = evaluate_scores(files / "predictions.json", files / "targets.json")
    assert evaluate_scores(files / "backwards.json", files / "targets.json") == straight


def test_class_ids_are_targets_too(tmp_path):
    np.save(tmp_path / "ids.npy", np.array([7, 3, 7]))
    np.save(tmp_path / "scores.npy", np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4]]))
    assert evaluate_scores(tmp_path / "scores.npy", tmp_path / "ids.npy").ap["envelope"] == {
        "3": 100,
        "7": 100,
    }


def remove_image(rows):
    del rows["004"]


def remove_class(rows):
    del rows["004"]["dog"]


def add_image(rows):
    rows["030"] = rows["004"]


def add_class(rows):
    rows["004"]["emu"] = 1


def not_a_number(rows):
    rows["004"]["dog"] = float("1e999")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (remove_image, "lacks 1 images ('004'"),
        (remove_class, "image '004': lacks 1 classes ('dog'"),
        (add_image, "has 1 other images ('030'…); expected the 30 of "),
        (add_class, "image '004': has 1 other classes ('emu'…)"),
        (not_a_number, ""),
    ],
)
def test_what_does_not_fit_is_named(files, change, said):
    rows = json.loads((files / "predictions.json").read_text())
    change(rows)
    (files / "bad.json").write_text(json.dumps(rows))
    with pytest.raises(SslprepError) as error:
        evaluate_scores(files / "bad.json", files / "targets.json")
    assert said in str(error.value)


@pytest.mark.parametrize("more", ['"004": {}, "004": {', '"004": {"cat": 1, '])
def test_predictions_that_name_anything_twice_are_refused(files, more):
    """The last was taken, as every parser does."""
    text = (files / "predictions.json").read_text()
    (files / "bad.json").write_text(text.replace('"004": {', more))
    with pytest.raises(SslprepError, match=r"bad.json: names '(004|cat)' twice; expected each key"):
        evaluate_scores(files / "bad.json", files / "targets.json")


@pytest.mark.parametrize("shape", [(29, 3), (30, 4), (30, 2)])
def test_rows_and_columns_must_be_as_many(files, shape):
    np.save(files / "short.npy", np.zeros(shape))
    with pytest.raises(SslprepError, match=r"has shape \(.*\); expected \(30, 3\)"):
        evaluate_scores(files / "short.npy", files / "targets.npy")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_with_its_place(files, bad):
    values = np.zeros((30, 3))
    values[2, 1] = bad
    np.save(files / "nan.npy", values)
    with pytest.raises(SslprepError, match="1 scores are no numbers, the first of 002, class dog"):
        evaluate_scores(files / "nan.npy", files / "targets.json")


@pytest.mark.parametrize("axis", ["images", "classes"])
def test_an_array_beside_unsorted_json_is_refused(files, axis):
    rows = json.loads((files / "targets.json").read_text())
    turned = dict(reversed(rows.items()))
    if axis == "classes":
        turned = {i: dict(reversed(row.items())) for i, row in rows.items()}
    (files / "other.json").write_text(json.dumps(turned))
    with pytest.raises(SslprepError, match="is not sorted"):
        evaluate_scores(files / "predictions.npy", files / "other.json")


@pytest.mark.parametrize(("label", "what"), [(1, "positive"), (0, "negative")])
def test_a_class_without_positives_or_negatives_is_named(files, label, what):
    labels = np.full((30, 3), 1 - label)
    labels[0, :2] = label
    np.save(files / "alike.npy", labels)
    with pytest.raises(SslprepError, match=f"no {what} of 1 of 3 classes: 2"):
        evaluate_scores(files / "predictions.npy", files / "alike.npy")


@pytest.mark.parametrize("suffix", ["npy", "json"])
def test_marks_of_voc_are_refused(files, suffix):
    """Its lists have -1 for absent; left out as ignored, every average precision was 100."""
    marks = {
        i: {c: 2 * v - 1 for c, v in (("a", n < 5), ("b", n > 25))}
        for n, i in enumerate("0123456789abcdefghijklmnopqrst")
    }
    (files / "marks.json").write_text(json.dumps(marks))
    np.save(files / "marks.npy", [list(row.values()) for row in marks.values()])
    np.save(files / "scores.npy", np.random.default_rng(0).random((30, 2)))
    with pytest.raises(SslprepError, match="marks of VOC's own lists"):
        evaluate_scores(files / "scores.npy", files / f"marks.{suffix}")


def test_classes_of_one_name_are_told_apart(files):
    """ImageNet has two cranes and two maillots."""
    classes = [{"name": name, "id": n} for n, name in enumerate(["crane", "owl", "crane"])]
    (files / "classes.json").write_text(json.dumps(classes))
    found = evaluate_scores(files / "predictions.npy", files / "targets.npy")
    assert list(found.ap["step"]) == ["crane (0)", "owl", "crane (2)"]
    assert found.mean_ap["step"] == np.mean(list(found.ap["step"].values()))
