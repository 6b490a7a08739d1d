"""The command `evaluate full` against each protocol written out with scikit-learn."""

import doctest
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_score

from sslprep.errors import SslprepError
from sslprep.evaluate.average_precision import class_ap
from sslprep.evaluate.curve import FullMap, read
from sslprep.evaluate.full import evaluate_full
from sslprep.evaluate.protocols import PROTOCOLS
from sslprep.evaluate.svm import normalise
from sslprep.manifest import verify


def run(folder, output, **changed):
    files = {
        "train_features": folder / "train_features.npy",
        "train_targets": folder / "train_labels.npy",
        "test_features": folder / "test_features.npy",
        "test_targets": folder / "test_labels.npy",
    }
    return evaluate_full(**{**files, "output": output, **changed})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_equals_the_protocol_in_scikit_learn(voc_like, linear_svc, tmp_path, protocol):
    x, y = (normalise(np.load(voc_like / f"{n}_features.npy")) for n in ("train", "test"))
    labels, truth = (np.load(voc_like / f"{n}_labels.npy") for n in ("train", "test"))
    found = run(voc_like, tmp_path / "out", protocol=protocol).map
    costs = {
        "goyal2019": [10.0**n for n in range(-7, 3)] + [0.5**n for n in range(4, 20)],
        "openselfsup": [1, 10, 100] + [0.5**n for n in range(4, 20)],
        "vissl": [0.01, 0.1, 1, 2, 5, 10, 15, 20, 50, 100, 1000],
        "pcl": [0.5],
        "virtex": [0.01, 0.1, 1, 10],
    }[protocol]
    for n, name in enumerate(["cat", "dog", "emu", "owl"]):
        signs = np.where(labels[:, n] == 1, 1, -1)  # difficult images are negatives
        best, cost = -1.0, None
        for candidate in costs:
            inside = cross_val_score(
                linear_svc(C=candidate), x, signs, cv=3, scoring="average_precision"
            ).mean()
            if inside > best + 1e-9:
                best, cost = inside, candidate
        scores = linear_svc(C=cost).fit(x, signs).decision_function(y)
        tested = np.ones(len(y), bool) if protocol == "pcl" else truth[:, n] != -1
        if protocol == "virtex":
            expected = 100 * average_precision_score(truth[tested, n] == 1, scores[tested])
        else:
            expected = class_ap(scores[tested], (truth[tested, n] == 1).astype(int), "envelope")
        assert found.classes[n] == name
        assert found.costs[n] == pytest.approx(cost)
        assert found.ap[n] == pytest.approx(expected, abs=1e-3)
    assert found.mean_ap == pytest.approx(np.mean(found.ap))
    assert found.interval[0] < found.mean_ap < found.interval[1]


def test_writes_what_it_found(voc_like, tmp_path):
    result = run(voc_like, tmp_path / "out", protocol="virtex", scores=True, title="mine")
    assert read(tmp_path / "out" / "full_ap.json", FullMap) == result.map
    assert np.load(tmp_path / "out" / "full_scores.npy").shape == (80, 4)
    assert verify(tmp_path / "out").ok
    assert "mine, protocol virtex" in result.text()
    again = run(voc_like, tmp_path / "two", protocol="virtex", scores=True, title="mine")
    assert again.map == result.map
    for name in ("full_ap.json", "full_scores.npy", "full_ap.manifest.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    run(voc_like, tmp_path / "out", protocol="pcl", overwrite=True)
    assert not (tmp_path / "out" / "full_scores.npy").exists()  # of other figures


def test_top1_of_a_single_label_set(voc_like, tmp_path):
    for name in ("train", "test"):
        labels = np.load(voc_like / f"{name}_labels.npy")
        np.save(tmp_path / f"{name}.npy", np.where(labels[:, 3] == 1, 5, 2))
    found = run(
        voc_like,
        tmp_path / "out",
        train_targets=tmp_path / "train.npy",
        test_targets=tmp_path / "test.npy",
        protocol="pcl",
    ).map
    assert found.classes == ["2", "5"]
    assert found.top1 > 60


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_rows_and_labels_as_other_programs_write_them(voc_like, tmp_path, shape):
    """VISSL: features (images, channels, height, width), class ids (images,) or (images, 1)."""
    files = {}
    for name in ("train", "test"):
        labels = np.load(voc_like / f"{name}_labels.npy")
        features = np.load(voc_like / f"{name}_features.npy")
        np.save(tmp_path / f"{name}_maps.npy", features.reshape(len(features), -1, 5, 1))
        np.save(tmp_path / f"{name}.npy", np.where(labels[:, 3] == 1, 5, 0).reshape(shape))
        files |= {
            f"{name}_targets": tmp_path / f"{name}.npy",
            f"{name}_features": tmp_path / f"{name}_maps.npy",
        }
    made = run(voc_like, tmp_path / "out", protocol="pcl", **files).map
    assert made.classes == ["0", "5"]
    plain = {name: voc_like / f"{name}.npy" for name in ("train_features", "test_features")}
    assert run(voc_like, tmp_path / "plain", protocol="pcl", **files | plain).map.ap == made.ap


def refuse_same_features(folder, tmp_path):
    return {
        "test_features": folder / "train_features.npy",
        "test_targets": folder / "train_labels.npy",
    }


def refuse_shared_rows(folder, tmp_path):
    rows = np.load(folder / "test_features.npy")
    rows[7] = np.load(folder / "train_features.npy")[3]
    np.save(tmp_path / "shared.npy", rows)
    return {"test_features": tmp_path / "shared.npy"}


def refuse_other_rows(folder, tmp_path):
    np.save(tmp_path / "short.npy", np.load(folder / "train_features.npy")[:-1])
    return {"train_features": tmp_path / "short.npy"}


def refuse_nan(folder, tmp_path):
    rows = np.load(folder / "train_features.npy")
    rows[[4, 9], 2] = np.nan
    np.save(tmp_path / "nan.npy", rows)
    return {"train_features": tmp_path / "nan.npy"}


def refuse_huge(folder, tmp_path):
    rows = np.load(folder / "train_features.npy").astype(np.float64)
    rows[7] *= 1e200
    np.save(tmp_path / "huge.npy", rows)
    return {"train_features": tmp_path / "huge.npy"}


def refuse_zeros(folder, tmp_path):
    rows = np.load(folder / "test_features.npy")
    rows[11] = 0
    np.save(tmp_path / "zeros.npy", rows)
    return {"test_features": tmp_path / "zeros.npy"}


def refuse_dims(folder, tmp_path):
    np.save(tmp_path / "dims.npy", np.load(folder / "test_features.npy")[:, :-1])
    return {"test_features": tmp_path / "dims.npy"}


def refuse_no_positive(folder, tmp_path):
    labels = np.load(folder / "test_labels.npy")
    labels[:, 1] = np.minimum(labels[:, 1], 0)
    np.save(tmp_path / "none.npy", labels)
    return {"test_targets": tmp_path / "none.npy"}


def refuse_no_negative(folder, tmp_path):
    labels = np.load(folder / "test_labels.npy")
    labels[labels[:, 1] == 0, 1] = -1
    np.save(tmp_path / "all.npy", labels)
    return {"test_targets": tmp_path / "all.npy"}


def refuse_marks(folder, tmp_path):
    """VOC's own lists: -1 absent, 0 difficult; left out as ignored, all AP would be 100."""
    labels = np.load(folder / "test_labels.npy")
    np.save(tmp_path / "marks.npy", np.choose(labels + 1, [0, -1, 1]))
    return {"test_targets": tmp_path / "marks.npy"}


def refuse_fewer_classes(folder, tmp_path):
    np.save(tmp_path / "train.npy", np.load(folder / "train_labels.npy"))
    np.save(tmp_path / "three.npy", np.load(folder / "test_labels.npy")[:, :3])
    return {"train_targets": tmp_path / "train.npy", "test_targets": tmp_path / "three.npy"}


def refuse_short(folder, tmp_path):
    """Rows that the 1e-5 in the protocol's division would make all alike."""
    np.save(tmp_path / "tiny.npy", normalise(np.load(folder / "train_features.npy")) * 0.9e-5)
    return {"train_features": tmp_path / "tiny.npy"}


def refuse_another_order(folder, tmp_path):
    """Features in the order of a shuffled pass, as VISSL writes them, and its targets beside."""
    order = np.random.default_rng(0).permutation(140)
    for name in ("features", "labels"):
        saved = name.replace("labels", "targets")
        rows = np.load(folder / f"train_{name}.npy")[order]
        np.save(tmp_path / f"rank0_chunk0_train_heads_{saved}.npy", rows)
    return {"train_features": tmp_path / "rank0_chunk0_train_heads_features.npy"}


def refuse_another_order_of_ids(folder, tmp_path):
    ids = np.arange(140) % 4
    np.save(tmp_path / "ids.npy", ids)
    np.save(tmp_path / "test.npy", np.arange(80) % 4)
    np.save(tmp_path / "a_features.npy", np.load(folder / "train_features.npy"))
    np.save(tmp_path / "a_targets.npy", np.sort(ids)[:, None])
    return {
        "train_features": tmp_path / "a_features.npy",
        "train_targets": tmp_path / "ids.npy",
        "test_targets": tmp_path / "test.npy",
    }


def refuse_unknown_class(folder, tmp_path):
    """No machine is for it: its images would be negatives of all, and never right in top-1."""
    np.save(tmp_path / "train.npy", np.arange(140) % 4)
    np.save(tmp_path / "test.npy", np.arange(80) % 5)
    return {"train_targets": tmp_path / "train.npy", "test_targets": tmp_path / "test.npy"}


def refuse_other_names_of_ids(folder, tmp_path):
    """Folders of train and test, each numbered by itself: b, c, d are 0, 1, 2 like a, b, c."""
    for name, classes, count in (("train", "abc", 140), ("test", "bcd", 80)):
        (tmp_path / name).mkdir()
        records = [{"name": letter, "id": n} for n, letter in enumerate(classes)]
        (tmp_path / name / "classes.json").write_text(json.dumps(records))
        np.save(tmp_path / name / "labels.npy", np.arange(count) % 3)
    return {f"{name}_targets": tmp_path / name / "labels.npy" for name in ("train", "test")}


def refuse_two_positives(folder, tmp_path):
    labels = np.load(folder / "train_labels.npy")
    labels[:, 1] = np.arange(140) < 2
    np.save(tmp_path / "two.npy", labels)
    return {"train_targets": tmp_path / "two.npy"}


def refuse_all_positives(folder, tmp_path):
    labels = np.load(folder / "train_labels.npy")
    labels[:, 2] = 1
    np.save(tmp_path / "all.npy", labels)
    return {"train_targets": tmp_path / "all.npy"}


def refuse_other_classes(folder, tmp_path):
    np.save(tmp_path / "test_labels.npy", np.load(folder / "test_labels.npy"))
    classes = [{"name": name, "id": n} for n, name in enumerate(["dog", "cat", "emu", "owl"])]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    return {"test_targets": tmp_path / "test_labels.npy"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (refuse_same_features, "140 of 140 test rows are training rows too"),
        (refuse_shared_rows, "1 of 80 test rows are training rows too"),
        (refuse_other_rows, "has 139 rows, and .* labels of 140 images"),
        (refuse_nan, "2 of 140 rows hold NaN or infinity, or .*, the first is row 4"),
        (refuse_huge, "1 of 140 rows hold .* numbers whose squares are, the first is row 7"),
        (refuse_zeros, "1 of 80 rows hold nothing but zeros, the first is row 11"),
        (refuse_dims, "has 49 dims; expected the 50 of"),
        (refuse_no_positive, "has no positive of 1 of 4 classes: dog"),
        (refuse_no_negative, "has no negative of 1 of 4 classes: dog; expected .* every score"),
        (refuse_marks, "look like the marks of VOC's own lists"),
        (refuse_fewer_classes, "has 3 classes .*; expected the 4 of training$"),
        (refuse_short, "140 of 140 rows are shorter than the 1e-5 that is added"),
        (
            refuse_another_order,
            "heads_features.npy: was saved with other labels, or in another order",
        ),
        (
            refuse_another_order_of_ids,
            "a_features.npy: was saved with other labels, or in another order",
        ),
        (refuse_unknown_class, "test.npy: holds class id 4; expected the classes of training"),
        (
            refuse_other_names_of_ids,
            "labels.npy: class 0 is b, and in training a; expected one num",
        ),
        (refuse_two_positives, "has fewer than 3 positives of 1 classes: 1"),
        (refuse_all_positives, "has nothing but positives of 1 classes: 2; expected .* not of it"),
        (refuse_other_classes, r"has 4 classes \(dog, cat, emu, …\); expected the 4 of training"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_no_figure_is_made_of_what_cannot_give_one(voc_like, tmp_path, change, said):
    with pytest.raises(SslprepError, match=said) as error:
        run(voc_like, tmp_path / "out", **change(voc_like, tmp_path))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_parts_of_vissl_are_put_together_as_the_docs_show(voc_like, tmp_path):
    """Each process saves what it loaded, in its order; some images are loaded twice."""
    order = np.append(np.random.default_rng(0).permutation(140), [3, 77])
    for rank, inds in enumerate(np.array_split(order, 3)):
        rows = {
            "features": np.load(voc_like / "train_features.npy")[inds],
            "targets": np.load(voc_like / "train_labels.npy")[inds],
            "inds": inds,
        }
        for kind, part in rows.items():
            np.save(tmp_path / f"rank{rank}_chunk0_train_heads_{kind}.npy", part)
    own = {
        "train_features": tmp_path / "rank1_chunk0_train_heads_features.npy",
        "train_targets": tmp_path / "rank1_chunk0_train_heads_targets.npy",
    }
    with pytest.raises(SslprepError, match=r"rank1_chunk0.* is one of 3 parts, as VISSL writes"):
        run(voc_like, tmp_path / "out", **own)
    page = Path(__file__).parents[2] / "docs" / "evaluate.md"
    names = {"folder": tmp_path, "np": np}
    assert doctest.testfile(str(page), module_relative=False, globs=names) == (0, 2)
    for kind, name in {"features": "features", "targets": "labels"}.items():
        made = np.load(tmp_path / f"train_heads_{kind}.npy")
        assert np.array_equal(made, np.load(voc_like / f"train_{name}.npy"))


def test_labels_saved_with_features_may_be_the_same(voc_like, tmp_path):
    """Also where they number the classes otherwise, or are of other rows."""
    ids = {"train": np.arange(140) % 4, "test": np.arange(80) % 4}
    files = {}
    for name, of_images in ids.items():
        rows = np.load(voc_like / f"{name}_features.npy")
        files |= {
            f"{name}_features": tmp_path / f"{name}_features.npy",
            f"{name}_targets": tmp_path / f"{name}.npy",
        }
        np.save(files[f"{name}_features"], rows)
        np.save(files[f"{name}_targets"], of_images)
    plain = run(voc_like, tmp_path / "plain", protocol="pcl", **files).map
    for saved in (ids["train"] + 1, ids["train"][:-1], ids["train"].astype(float)):
        np.save(tmp_path / "train_targets.npy", saved)
        made = run(voc_like, tmp_path / "out", protocol="pcl", overwrite=True, **files).map
        assert made.ap == plain.ap
