"""The command `evaluate lowshot` against each protocol written out with scikit-learn."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from sslprep.errors import SslprepError
from sslprep.evaluate import curve
from sslprep.evaluate.average_precision import class_ap
from sslprep.evaluate.lowshot import evaluate_lowshot
from sslprep.evaluate.protocols import PROTOCOLS
from sslprep.evaluate.svm import normalise
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.lowshot.singlelabel import draw_singlelabel_samples
from sslprep.manifest import verify

K, NUMBERS = [1, 2, 6], [1, 2]


@pytest.fixture(scope="module")
def samples(voc_like, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    draw_multilabel_samples(
        voc_like / "train_labels.npy", folder, k_values=tuple(K), num_samples=len(NUMBERS)
    )
    return folder


def run(folder, drawn, output, **changed):
    files = {
        "train_features": folder / "train_features.npy",
        "samples": drawn,
        "test_features": folder / "test_features.npy",
        "test_targets": folder / "test_labels.npy",
    }
    return evaluate_lowshot(**{**files, "output": output, **changed})


@pytest.mark.parametrize("protocol", [n for n, p in PROTOCOLS.items() if p.lowshot])
def test_equals_the_protocol_in_scikit_learn(voc_like, samples, linear_svc, tmp_path, protocol):
    x, y = (normalise(np.load(voc_like / f"{n}_features.npy")) for n in ("train", "test"))
    full, truth = (np.load(voc_like / f"{n}_labels.npy") for n in ("train", "test"))
    targets = {"train_targets": voc_like / "train_labels.npy"}
    run(voc_like, samples, tmp_path / "out", protocol=protocol, **targets)
    made = curve.read(tmp_path / "out" / curve.FILE, curve.Curve)
    costs = PROTOCOLS[protocol].costs
    ap = np.array(made.ap)
    assert ap.shape == (2, 3, len(costs), 4)
    assert np.array_equal(ap, np.load(tmp_path / "out" / "lowshot_ap.npy"))
    for place, k in enumerate(K):
        expected, honest = np.empty((2, len(costs), 4)), []
        for number in NUMBERS:
            drawn = np.load(samples / f"train_labels_sample{number}_k{k}.npy")
            inside = np.empty((len(costs), 4))
            for n in range(4):
                rows, signs = np.flatnonzero(drawn[:, n] != -1), drawn[:, n]
                if protocol == "pcl":  # the drawn images of all classes, with all their labels
                    rows, signs = np.flatnonzero((drawn == 1).any(axis=1)), full[:, n]
                signs = np.where(signs[rows] == 1, 1, -1)
                tested = np.ones(len(y), bool) if protocol == "pcl" else truth[:, n] != -1
                positive = (truth[tested, n] == 1).astype(int)
                for c, cost in enumerate(costs):
                    scores = linear_svc(C=cost).fit(x[rows], signs).decision_function(y[tested])
                    expected[number - 1, c, n] = class_ap(scores, positive, "envelope")
                    if k > 1 and len(costs) > 1:
                        machine, folds = linear_svc(C=cost), min(3, k)
                        inside[c, n] = cross_val_score(
                            machine, x[rows], signs, cv=folds, scoring="average_precision"
                        ).mean()
            if len(costs) == 1:
                honest.append(0)
            elif k == 1:
                honest.append(costs.index(1.0))
            else:
                honest.append(int(np.argmax(inside.mean(axis=1).round(9))))
        assert np.abs(ap[:, place] - expected).max() < 1e-3
        best = int(np.argmax(expected.mean(axis=(0, 2)).round(9)))
        point = made.published[place]
        assert point.k == k
        assert point.costs == [pytest.approx(costs[best])]
        of_sample = expected[:, best].mean(axis=1)
        assert point.samples == pytest.approx(of_sample.tolist(), abs=1e-3)
        assert point.mean == pytest.approx(of_sample.mean(), abs=1e-3)
        assert point.std == pytest.approx(of_sample.std(), abs=1e-3)
        assert (point.min, point.max) == pytest.approx((min(of_sample), max(of_sample)), abs=1e-3)
        assert made.cost_map[place] == pytest.approx(expected.mean(axis=(0, 2)).tolist(), abs=1e-3)
        other = made.honest[place]
        assert other.costs == pytest.approx([costs[h] for h in honest])
        assert other.samples == pytest.approx(
            [expected[s, h].mean() for s, h in enumerate(honest)], abs=1e-3
        )


def test_writes_the_curve_as_json_csv_and_array(voc_like, samples, tmp_path):
    result = run(voc_like, samples, tmp_path / "a", scores=True, title="mine", protocol="vissl")
    run(voc_like, samples, tmp_path / "b", scores=True, title="mine", protocol="vissl")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [
        "lowshot_ap.npy",
        "lowshot_curve.csv",
        "lowshot_curve.json",
        "lowshot_curve.manifest.json",
        "lowshot_scores.npy",
    ]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert verify(tmp_path / "a").ok
    with open(tmp_path / "a" / "lowshot_curve.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["k"]) for row in rows] == K
    for prefix, points in (("", result.published), ("honest_", result.honest)):
        for row, point in zip(rows, points, strict=True):
            figures = (point.mean, point.std, point.min, point.max, *point.interval)
            names = ("mean", "std", "min", "max", "interval_low", "interval_high")
            assert tuple(float(row[prefix + name]) for name in names) == figures
    assert np.load(tmp_path / "a" / "lowshot_scores.npy").shape == (2, 3, 80, 4)
    made = curve.read(tmp_path / "a" / curve.FILE, curve.Curve)
    assert made.classes == ["cat", "dog", "emu", "owl"]
    text = result.text()
    assert "chooses the cost of each k by the mAP on the TEST set" in text
    assert "k = 1 is too small for that: its honest cost is fixed at 1" in text
    assert f"{result.published[1].mean:.2f} ± {result.published[1].std:.2f}" in text


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A single-label set with class ids that are no column numbers."""
    folder = tmp_path_factory.mktemp("places")
    random = np.random.default_rng(2)
    ids = np.array([3, 5, 9])[np.arange(120) % 3]
    hidden = random.normal(size=(120, 6)) + 1.5 * random.normal(size=(10, 6))[ids]
    rows = np.maximum(hidden @ random.normal(size=(6, 30)), 0).astype(np.float32)
    np.save(folder / "train_images.npy", [f"{n}.jpg" for n in range(80)])
    np.save(folder / "train_labels.npy", ids[:80])
    np.save(folder / "train_features.npy", rows[:80])
    np.save(folder / "test_labels.npy", ids[80:])
    np.save(folder / "test_features.npy", rows[80:])
    draw_singlelabel_samples(
        folder / "train_images.npy",
        folder / "train_labels.npy",
        folder / "samples",
        k_values=(1, 4),
        num_samples=2,
    )
    return folder


def test_single_label_samples_are_one_against_the_rest(places, linear_svc, tmp_path):
    run(places, places / "samples", tmp_path / "out", protocol="vissl", scores=True)
    made = curve.read(tmp_path / "out" / curve.FILE, curve.Curve)
    scores = np.load(tmp_path / "out" / "lowshot_scores.npy")
    x, y = (normalise(np.load(places / f"{n}_features.npy")) for n in ("train", "test"))
    names = np.load(places / "train_images.npy").tolist()
    truth = np.load(places / "test_labels.npy")
    right = []
    for number in (1, 2):
        drawn = np.load(places / "samples" / f"train_images_sample{number}_k4.npy").tolist()
        labels = np.load(places / "samples" / f"train_labels_sample{number}_k4.npy")
        rows = [names.index(name) for name in drawn]
        machines = [
            linear_svc(C=made.published[1].costs[0]).fit(x[rows], np.where(labels == n, 1, -1))
            for n in (3, 5, 9)
        ]
        expected = np.stack([machine.decision_function(y) for machine in machines], axis=1)
        assert np.abs(scores[number - 1, 1] - expected).max() <= 1e-4 * np.abs(expected).max()
        right.append(100 * np.mean(np.array([3, 5, 9])[expected.argmax(axis=1)] == truth))
    assert made.published[1].top1 == pytest.approx(np.mean(right))
    assert made.classes == ["3", "5", "9"]


def write_record(folder, name, listed, root=None):
    """Write the manifest that `evaluate features` would have written beside features."""
    digest = hashlib.sha256(listed.read_bytes()).hexdigest()
    record = {
        "schema": 1,
        "sslprep": "0",
        "kind": "features",
        "command": "evaluate features",
        "parameters": {"root": root},
        "inputs": [{"path": str(listed), "bytes": listed.stat().st_size, "sha256": digest}],
        "outputs": [{"file": f"{name}_features.npy", "bytes": 1, "sha256": "x"}],
        "details": {"files": {f"{name}_features.npy": {"checkpoint": "net", "layer": "res5"}}},
    }
    (folder / f"{name}.manifest.json").write_text(json.dumps(record))


def test_features_of_the_drawn_images_alone_are_matched_by_name(places, tmp_path):
    whole = run(places, places / "samples", tmp_path / "whole", protocol="pcl")
    names, rows = (np.load(places / f"train_{n}.npy") for n in ("images", "features"))
    drawn = [np.load(p) for p in sorted((places / "samples").glob("train_images_*.npy"))]
    some = np.flatnonzero(np.isin(names, np.concatenate(drawn)))[::-1]
    assert len(some) < len(names)
    np.save(tmp_path / "some_images.npy", names[some])
    np.save(tmp_path / "train_features.npy", rows[some])
    with pytest.raises(
        SslprepError, match=r"rows; which of them .*sample1_k1.npy holds is not known"
    ):
        run(
            places,
            places / "samples",
            tmp_path / "a",
            train_features=tmp_path / "train_features.npy",
        )
    write_record(tmp_path, "train", tmp_path / "some_images.npy")
    part = run(
        places,
        places / "samples",
        tmp_path / "part",
        protocol="pcl",
        train_features=tmp_path / "train_features.npy",
    )
    assert part.title == "net res5"
    for one, other in zip(whole.published, part.published, strict=True):
        assert one.ap == pytest.approx(other.ap)
    one_sample = places / "samples" / "train_images_sample1_k1.npy"
    np.save(tmp_path / "train_features.npy", rows[: len(np.load(one_sample))])
    write_record(tmp_path, "train", one_sample)
    with pytest.raises(
        SslprepError, match=r"are not in the list .* one list that holds the images"
    ):
        run(
            places,
            places / "samples",
            tmp_path / "b",
            train_features=tmp_path / "train_features.npy",
        )


def test_lists_of_the_2019_scripts_have_no_index_files(places, tmp_path):
    """Their images are found by name in the list that the features were made of."""
    for path in (places / "samples").glob("*_k*.npy"):
        (tmp_path / "old").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "old")
    shutil.copy(places / "train_features.npy", tmp_path)
    features = {"train_features": tmp_path / "train_features.npy", "protocol": "vissl"}
    with pytest.raises(SslprepError, match=r"which of them .*_sample1_k1.npy holds is not known"):
        run(places, tmp_path / "old", tmp_path / "a", **features)
    write_record(tmp_path, "train", places / "train_images.npy")
    old = run(places, tmp_path / "old", tmp_path / "a", **features)
    ours = run(places, places / "samples", tmp_path / "b", **features)
    assert ours.published == old.published
    np.save(tmp_path / "old" / "train_labels_sample2_k1.npy", [3, 5, 7])
    with pytest.raises(SslprepError, match=r"_sample2_k1.npy: .*: class id 7 is in one of"):
        run(places, tmp_path / "old", tmp_path / "c", **features)


def test_a_class_without_test_images_is_named(places, tmp_path):
    truth = np.load(places / "test_labels.npy")
    np.save(tmp_path / "test_labels.npy", np.where(truth == 5, 3, truth))
    targets = {"protocol": "pcl", "test_targets": tmp_path / "test_labels.npy"}
    with pytest.raises(SslprepError, match="has no positive of 1 of 3 classes: 5; expected at lea"):
        run(places, places / "samples", tmp_path / "out", **targets)


def edit_index(change):
    def edit(place):
        path = place / "train_sample1_k1_index.json"
        index = json.loads(path.read_text())
        change(index["classes"], index["images"])
        path.write_text(json.dumps(index))

    return edit


@edit_index
def row_of_no_image(classes, images):
    classes[0]["positives"] = [9999]


@edit_index
def row_from_the_end(classes, images):
    classes[0]["positives"] = [-1]


@edit_index
def row_of_another_class(classes, images):
    classes[0]["positives"] = classes[1]["positives"]


@edit_index
def row_that_cannot_be(classes, images):
    images["9999"] = images.pop(str(classes[0]["positives"][0]))
    classes[0]["positives"] = [9999]


def other_labels(place):
    path = place / "train_labels_sample1_k1.npy"
    np.save(path, np.load(path)[::-1])


@pytest.mark.parametrize(
    "edit",
    [row_of_no_image, row_from_the_end, row_of_another_class, row_that_cannot_be, other_labels],
)
def test_an_index_that_lists_other_images_is_refused(places, tmp_path, edit):
    shutil.copytree(places / "samples", tmp_path / "samples")
    edit(tmp_path / "samples")
    with pytest.raises(SslprepError, match="its index file lists other images"):
        run(places, tmp_path / "samples", tmp_path / "out", protocol="pcl")


def test_samples_of_the_2019_scripts_have_no_index_files(voc_like, samples, tmp_path):
    (tmp_path / "old").mkdir()
    for path in samples.glob("*_k*.npy"):
        (tmp_path / "old" / path.name).write_bytes(path.read_bytes())
    ours = run(voc_like, samples, tmp_path / "a", protocol="vissl")
    old = run(voc_like, tmp_path / "old", tmp_path / "b", protocol="vissl")
    assert ours.published == old.published


def test_json_targets_give_the_same(voc_like, samples, tmp_path):
    labels = np.load(voc_like / "test_labels.npy").tolist()
    names = ["cat", "dog", "emu", "owl"]
    rows = {f"{n:03d}": dict(zip(names, row, strict=True)) for n, row in enumerate(labels)}
    (tmp_path / "test.json").write_text(json.dumps(rows))
    ours = run(voc_like, samples, tmp_path / "a", protocol="vissl")
    same = run(
        voc_like, samples, tmp_path / "b", protocol="vissl", test_targets=tmp_path / "test.json"
    )
    assert ours.published == same.published


def other_rows(folder, tmp_path):
    np.save(tmp_path / "short.npy", np.load(folder / "train_features.npy")[:-1])
    return {"train_features": tmp_path / "short.npy"}


def same_set(folder, tmp_path):
    return {
        "test_features": folder / "train_features.npy",
        "test_targets": folder / "train_labels.npy",
    }


def no_samples(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    return {"samples": tmp_path / "empty"}


def copied(drawn, tmp_path):
    (tmp_path / "own").mkdir()
    for path in drawn.glob("*_k*.npy"):
        (tmp_path / "own" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "own"


def no_positive(folder, tmp_path, drawn):
    place = copied(drawn, tmp_path)
    labels = np.load(place / "train_labels_sample2_k6.npy")
    labels[:, 1] = np.minimum(labels[:, 1], 0)
    np.save(place / "train_labels_sample2_k6.npy", labels)
    return {"samples": place}


def fewer_classes(folder, tmp_path, drawn):
    place = copied(drawn, tmp_path)
    labels = np.load(place / "train_labels_sample2_k6.npy")
    np.save(place / "train_labels_sample2_k6.npy", labels[:, :3])
    return {"samples": place}


def lost_sample(folder, tmp_path, drawn):
    place = copied(drawn, tmp_path)
    (place / "train_labels_sample2_k6.npy").unlink()
    return {"samples": place}


def fractions(folder, tmp_path):
    np.save(tmp_path / "images.npy", [f"{n}.jpg" for n in range(140)])
    np.save(tmp_path / "ids.npy", np.arange(140) % 4)
    lists = (tmp_path / "images.npy", tmp_path / "ids.npy")
    draw_singlelabel_samples(*lists, tmp_path / "shares", fraction=(0.5,), num_samples=1)
    return {"samples": tmp_path / "shares"}


def other_full_labels(folder, tmp_path):
    np.save(tmp_path / "full.npy", np.load(folder / "train_labels.npy")[:9])
    return {"protocol": "pcl", "train_targets": tmp_path / "full.npy"}


def contradicted_full_labels(folder, tmp_path):
    """The samples are of another target set; `pcl` would take the full labels of their rows."""
    np.save(tmp_path / "full.npy", np.load(folder / "train_labels.npy")[::-1])
    return {"protocol": "pcl", "train_targets": tmp_path / "full.npy"}


def nothing_but_positives(folder, tmp_path):
    """Every image is an owl: of the drawn images of all classes none is a negative of it."""
    for name in ("train", "test"):
        labels = np.load(folder / f"{name}_labels.npy")
        labels[:, 3] = 1
        labels[:9, 3] = 0
        labels[:9, :3] = 0
        np.save(tmp_path / f"{name}.npy", labels)
    drawn = tmp_path / "drawn"
    draw_multilabel_samples(tmp_path / "train.npy", drawn, k_values=(1,), num_samples=1)
    full = {"train_targets": tmp_path / "train.npy", "test_targets": tmp_path / "test.npy"}
    return {"protocol": "pcl", "samples": drawn, **full}


def one_sample(folder, tmp_path, drawn):
    return {"samples": drawn / "train_labels_sample2_k6.npy"}


def no_curve(folder, tmp_path):
    return {"protocol": "virtex"}


def no_full_labels(folder, tmp_path):
    return {"protocol": "pcl"}


def class_ids(folder, tmp_path):
    np.save(tmp_path / "ids.npy", np.arange(80) % 4)
    return {"test_targets": tmp_path / "ids.npy"}


def another_order(folder, tmp_path):
    """The samples are of the list's order; the features, and what lies beside, of another."""
    order = np.random.default_rng(0).permutation(140)
    for name in ("features", "labels"):
        saved = name.replace("labels", "targets")
        np.save(tmp_path / f"pool5_{saved}.npy", np.load(folder / f"train_{name}.npy")[order])
    return {"train_features": tmp_path / "pool5_features.npy"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_order, "another order, than .*_sample1_k1.npy holds; .* drawn from it"),
        (other_rows, r"has 139 rows, and .*_sample1_k1.npy shape \(140, 4\); expected features of"),
        (no_positive, "holds 0 positives and 24 negatives of class 1; expected 6 positives"),
        (fewer_classes, r"_sample2_k6.npy shape \(140, 3\); .* the same 4 classes"),
        (lost_sample, "lacks sample 2 of k = 6; expected samples 1, 2 of every k"),
        (fractions, "holds samples by fractions alone; .* measured by `evaluate full`"),
        (other_full_labels, "has 140 rows, and .* labels of 9 images"),
        (contradicted_full_labels, "_sample1_k1.npy: holds labels that .*full.npy contradicts"),
        (nothing_but_positives, "train_sample1_k1.npy: holds 4 positives and 0 negatives of class"),
        (one_sample, "_sample2_k6.npy: is a file; expected the folder of the samples"),
        (same_set, "test rows are training rows too"),
        (no_samples, "holds no low-shot samples"),
        (no_curve, "protocol virtex has no low-shot curve; expected goyal2019 or"),
        (no_full_labels, "expected --train-targets"),
        (class_ids, "has one class for each image; expected a column for each class"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_gives_no_curve_is_refused(voc_like, samples, tmp_path, change, said):
    needed = (samples,) * (len(signature(change).parameters) == 3)
    with pytest.raises(SslprepError, match=said):
        run(voc_like, samples, tmp_path / "out", **change(voc_like, tmp_path, *needed))
    assert not (tmp_path / "out").exists()


def test_scores_of_an_earlier_run_do_not_stay_beside_another_curve(voc_like, samples, tmp_path):
    run(voc_like, samples, tmp_path, protocol="vissl", scores=True)
    assert (tmp_path / "lowshot_scores.npy").exists()
    run(voc_like, samples, tmp_path, protocol="vissl", overwrite=True)
    assert not (tmp_path / "lowshot_scores.npy").exists()
    assert verify(tmp_path).ok


def test_features_of_one_list_are_refused_by_their_manifests(voc_like, samples, tmp_path):
    np.save(tmp_path / "images.npy", ["a.jpg"])
    for name in ("train", "test"):
        rows = np.load(voc_like / f"{name}_features.npy")
        np.save(tmp_path / f"{name}_features.npy", rows)
        write_record(tmp_path, name, tmp_path / "images.npy")
    features = {f"{n}_features": tmp_path / f"{n}_features.npy" for n in ("train", "test")}
    with pytest.raises(SslprepError, match="both are features of the same list of images"):
        run(voc_like, samples, tmp_path / "out", **features)
    for name in ("train", "test"):  # two folders of images of the same names
        write_record(tmp_path, name, tmp_path / "images.npy", root=f"/cifar/{name}")
    run(voc_like, samples, tmp_path / "out", protocol="vissl", **features)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"layer": "res3"},
            "test_features.npy: is of layer res3; expected res5, as .*train_f",
        ),
        ({"pooling": "global"}, "is of pooling global; expected goyal, as"),
        ({"branch": "momentum"}, "is of branch momentum; expected None, as"),
        ({"checkpoint": "2" * 64}, "checkpoint with SHA-256 2+; expected 1+, as"),
        ({}, None),
    ],
    ids=["layer", "pooling", "branch", "checkpoint", "nothing"],
)
def test_features_of_two_networks_give_no_curve(listed, change, said):
    """Layers and checkpoints have the same dims: res2 and res4, two epochs of one run."""
    for name in ("train", "test"):
        path = listed / f"{name}.manifest.json"
        record = json.loads(path.read_text())
        made = {"layer": "res5", "pooling": "goyal", "branch": None, "checkpoint": "1" * 64}
        made |= change if name == "test" else {}
        record["inputs"].append({"path": "net.pth", "sha256": made.pop("checkpoint")})
        record["details"]["files"][f"{name}_features.npy"]["layer"] = made.pop("layer")
        record["parameters"] |= made
        path.write_text(json.dumps(record))
    if said is None:
        assert run(listed, listed / "drawn", listed / "out", protocol="vissl").title == "net res5"
    else:
        with pytest.raises(SslprepError, match=said):
            run(listed, listed / "drawn", listed / "out", protocol="vissl")


def test_names_are_compared_where_they_start_from_one_root(listed):
    names = np.load(listed / "test_images.npy").astype("U20")
    names[5:9] = np.load(listed / "train_images.npy")[5:9]
    np.save(listed / "test_images.npy", names)
    for root in ("/cifar/test", None):
        write_record(listed, "test", listed / "test_images.npy", root=root)
        if root is None:
            with pytest.raises(SslprepError, match="4 of 80 test images are training images too"):
                run(listed, listed / "drawn", listed / "out2", protocol="vissl")
        else:
            run(listed, listed / "drawn", listed / "out", protocol="vissl")


@pytest.fixture
def listed(voc_like, tmp_path):
    """Features of lists of images, as `evaluate features` leaves them, with labels and samples."""
    for name in ("train", "test"):
        shutil.copy(voc_like / f"{name}_features.npy", tmp_path)
        shutil.copy(voc_like / f"{name}_labels.npy", tmp_path)
        count = len(np.load(tmp_path / f"{name}_labels.npy"))
        np.save(tmp_path / f"{name}_images.npy", [f"jpg/{name}_{n:03}.jpg" for n in range(count)])
        write_record(tmp_path, name, tmp_path / f"{name}_images.npy")
    draw_multilabel_samples(tmp_path / "train_labels.npy", tmp_path / "drawn", k_values=(1, 2))
    return tmp_path


def another_list(folder, kind):
    """Make labels of other images, with features of the same shape."""
    (folder / "other").mkdir()
    labels = np.load(folder / f"{kind}_labels.npy")[::-1]
    np.save(folder / "other" / f"{kind}_labels.npy", labels)
    names = [f"{2 * n}.jpg" for n in range(len(labels))]
    np.save(folder / "other" / f"{kind}_images.npy", names)
    return folder / "other" / f"{kind}_labels.npy"


def test_samples_of_other_images_are_refused_by_their_names(listed):
    run(listed, listed / "drawn", listed / "out")
    draw_multilabel_samples(another_list(listed, "train"), listed / "wrong", k_values=(1, 2))
    with pytest.raises(
        SslprepError, match=r"row \d+ is of jpg/train_\d+.jpg, and in .*k1.npy of \d"
    ):
        run(listed, listed / "wrong", listed / "out2")
    assert not (listed / "out2").exists()


def test_the_list_is_found_from_another_folder_too(listed, monkeypatch):
    """Manifests name it as the command did, from the folder where that ran."""
    monkeypatch.chdir(listed)
    write_record(listed, "train", Path("train_images.npy"))
    draw_multilabel_samples(another_list(listed, "train"), listed / "wrong", k_values=(1, 2))
    monkeypatch.chdir("/")
    with pytest.raises(
        SslprepError, match=r"row \d+ is of jpg/train_\d+.jpg, and in .*k1.npy of \d"
    ):
        run(listed, listed / "wrong", listed / "out")


def test_labels_beside_the_list_of_another_number_say_nothing(listed):
    labels = another_list(listed, "train")
    (labels.parent / "train_images.npy").unlink()
    draw_multilabel_samples(labels, listed / "samples", k_values=(1, 2))
    np.save(listed / "train_labels.npy", np.load(labels)[:3])
    run(listed, listed / "samples", listed / "out")


def test_a_list_that_changed_since_is_not_believed(listed):
    """It is not what the features were made of any more, so it says nothing of their rows."""
    names = np.load(listed / "train_images.npy")
    np.save(listed / "train_images.npy", names[::-1])
    run(listed, listed / "drawn", listed / "out")
    write_record(listed, "train", listed / "train_images.npy")
    with pytest.raises(
        SslprepError, match=r"row \d+ is of jpg/train_\d+.jpg, and in .*k1.npy of jpg"
    ):
        run(listed, listed / "drawn", listed / "out2")


@pytest.mark.parametrize("place", ["a\0b", "a" * 5000, "/", ""])
def test_a_list_that_cannot_be_is_not_looked_for(listed, place):
    record = json.loads((listed / "train.manifest.json").read_text())
    record["inputs"][0]["path"] = place
    (listed / "train.manifest.json").write_text(json.dumps(record))
    run(listed, listed / "drawn", listed / "out")


def test_samples_without_names_are_compared_with_the_labels_beside_the_list(listed):
    """Those of the 2019 scripts have no index. Other labels can be meant, if they are named."""
    labels = another_list(listed, "train")
    (labels.parent / "train_images.npy").unlink()
    draw_multilabel_samples(labels, listed / "wrong", k_values=(1, 2))
    with pytest.raises(SslprepError, match=r"that .*train_labels.npy contradicts.*name them: --tr"):
        run(listed, listed / "wrong", listed / "out")
    run(listed, listed / "wrong", listed / "out", train_targets=labels)


def test_single_label_samples_of_other_images_are_refused_by_their_names(places, tmp_path):
    for name in ("train_features", "test_features", "test_labels"):
        shutil.copy(places / f"{name}.npy", tmp_path)
    np.save(tmp_path / "train_images.npy", [f"{n + 1}.png" for n in range(80)])
    write_record(tmp_path, "train", tmp_path / "train_images.npy")
    with pytest.raises(SslprepError, match=r"row \d+ is of \d+.png, and in .*k1.npy of "):
        run(tmp_path, places / "samples", tmp_path / "out", protocol="pcl")


@pytest.mark.parametrize("form", ["npy", "json"])
def test_test_labels_of_other_images_are_refused_by_their_names(listed, form):
    wrong = another_list(listed, "test")
    if form == "json":
        rows = np.load(wrong).tolist()
        named = {f"{n + 1:03}": dict(zip("abcd", row, strict=True)) for n, row in enumerate(rows)}
        wrong = wrong.with_suffix(".json")
        wrong.write_text(json.dumps(named))
    with pytest.raises(SslprepError, match=r"row \d is of jpg/test_00\d.jpg, and in .*other"):
        run(listed, listed / "drawn", listed / "out", test_targets=wrong)


def test_the_number_of_threads_changes_no_byte(tmp_path):
    """Of BLAS's threads and of ours."""
    random = np.random.default_rng(0)
    ids = np.arange(1100) % 5
    rows = random.normal(size=(1100, 300)) + 2 * random.normal(size=(5, 300))[ids]
    for name, part in {"train": slice(0, 700), "test": slice(700, 1100)}.items():
        np.save(tmp_path / f"{name}_images.npy", [f"{n}.jpg" for n in range(1100)[part]])
        np.save(tmp_path / f"{name}_features.npy", rows[part].astype(np.float32))
        np.save(tmp_path / f"{name}_single.npy", ids[part])
        np.save(tmp_path / f"{name}_multi.npy", np.eye(5, dtype=np.int32)[ids[part]])
    for kind, draw in (("single", draw_singlelabel_samples), ("multi", draw_multilabel_samples)):
        targets = {"images": tmp_path / "train_images.npy"} if kind == "single" else {}
        draw(
            **targets,
            targets=tmp_path / f"train_{kind}.npy",
            output=tmp_path / kind,
            k_values=(2, 130),
            num_samples=1,
        )
        outputs = []
        for threads in "12":
            out = tmp_path / f"{kind}{threads}"
            files = {
                "samples": tmp_path / kind,
                "train_features": tmp_path / "train_features.npy",
                "test_features": tmp_path / "test_features.npy",
                "test_targets": tmp_path / f"test_{kind}.npy",
                "output": out,
            }
            words = [word for n, v in files.items() for word in (f"--{n}", str(v))]
            argv = [sys.executable, "-m", "sslprep", "evaluate", "lowshot", *words]
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "OPENBLAS_NUM_THREADS": threads,
            }
            subprocess.run([*argv, "--protocol", "vissl"], env=environment, check=True)
            outputs.append({p.name: p.read_bytes() for p in out.iterdir()})
        assert outputs[0] == outputs[1]
