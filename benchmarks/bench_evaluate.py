"""The low-shot curve against the plain loop with scikit-learn.

    python benchmarks/bench_evaluate.py            VOC2007 and Places-205 at full size
    python benchmarks/bench_evaluate.py --quick    a few hundred images

VOC07: 8 k × 5 samples × 20 classes × 26 costs = 20,800 SVMs on 5,011 × 8,192 features, tested on
4,952 images; Places: k = 1 … 16, 205 classes, 2,048 numbers, 20,500 test images. The features are
drawn: sparse, not negative, with the classes in them. Ours measures the published and the honest
curve and both intervals. The plain loop calls LinearSVC once for each sample, class and cost, as
the 2019 tools did, and nothing else; at full size it takes hours, so it is compared with on one
sample of one k. `evaluate scores` measures predictions of VOC2007's test set by four definitions,
its plain loop by scikit-learn's alone. Growth is in `bench_growth.py`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from measure import HEADER, command, compare, row, run
from sslprep.demo.build import build_checkpoints
from sslprep.evaluate.average_precision import class_ap
from sslprep.evaluate.features import write_features
from sslprep.evaluate.full import evaluate_full
from sslprep.evaluate.lowshot import evaluate_lowshot
from sslprep.evaluate.protocols import PROTOCOLS
from sslprep.evaluate.scores import evaluate_scores
from sslprep.evaluate.svm import normalise
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.lowshot.singlelabel import draw_singlelabel_samples

SHARES = (5, 5, 7, 4, 5, 4, 14, 7, 9, 3, 4, 8, 6, 5, 40, 5, 2, 5, 5, 5)
"""About how many of a hundred images of VOC2007 hold each class."""


def make(folder: str, train: int, test: int, dims: int, classes: int, k_values: list[int]) -> None:
    """Write drawn features, labels and samples; 20 classes make a multi-label set."""
    random = np.random.default_rng(0)
    images = train + test
    hidden = random.normal(size=(images, 300)) / np.arange(1, 301) ** 0.6
    places = random.normal(size=(classes, 300)) / np.arange(1, 301) ** 0.6
    several = classes == len(SHARES)
    if several:
        labels = (random.random((images, classes)) < np.array(SHARES) / 100).astype(np.int32)
        for column in labels.T:
            column[random.choice(train, max(k_values) + 4, replace=False)] = 1
        hidden += labels @ places
    else:
        labels = np.arange(images) % classes
        hidden += places[labels]
    mixing = random.standard_normal((300, dims), np.float32)
    for name, part in (("train", slice(0, train)), ("test", slice(train, images))):
        rows = hidden[part].astype(np.float32) @ mixing
        rows += random.standard_normal(rows.shape, np.float32) * 0.5 * rows.std()
        np.save(f"{folder}/{name}_features.npy", np.maximum(rows - 0.3 * rows.std(), 0))
        np.save(f"{folder}/{name}_labels.npy", labels[part])
        np.save(f"{folder}/{name}_images.npy", [f"{name}/{n}.jpg" for n in range(len(rows))])
    place = Path(folder)
    targets, samples = place / "train_labels.npy", place / "samples"
    if several:
        draw_multilabel_samples(targets, samples, k_values=tuple(k_values))
        draw_multilabel_samples(
            targets, place / "one", k_values=(k_values[-1] // 6,), num_samples=1
        )
    else:
        draw_singlelabel_samples(
            place / "train_images.npy", targets, samples, k_values=tuple(k_values)
        )


def ours(folder: str, samples: str, output: str) -> None:
    place = Path(folder)
    evaluate_lowshot(
        train_features=place / "train_features.npy",
        samples=place / samples,
        test_features=place / "test_features.npy",
        test_targets=place / "test_labels.npy",
        output=Path(output),
        overwrite=True,
    )


def plain(folder: str, samples: str) -> None:
    from sklearn.svm import LinearSVC

    train, test = (normalise(np.load(f"{folder}/{n}_features.npy")) for n in ("train", "test"))
    truth = np.load(f"{folder}/test_labels.npy")
    for path in sorted(Path(folder, samples).glob("*_k*.npy")):
        targets = np.load(path)
        for n in range(targets.shape[1]):
            rows = targets[:, n] != -1
            signs = np.where(targets[rows, n] == 1, 1, -1)
            for cost in PROTOCOLS["goyal2019"].costs:
                machine = LinearSVC(
                    dual=True, C=cost, class_weight={1: 2, -1: 1}, tol=1e-4, max_iter=2000
                )
                scores = machine.fit(train[rows], signs).decision_function(test)
                class_ap(scores, truth[:, n], "envelope")


def full(folder: str, output: str) -> None:
    place = Path(folder)
    evaluate_full(
        train_features=place / "train_features.npy",
        train_targets=place / "train_labels.npy",
        test_features=place / "test_features.npy",
        test_targets=place / "test_labels.npy",
        output=Path(output),
        overwrite=True,
    )


def make_predictions(folder: str) -> None:
    """Write predictions that are right more often than not."""
    truth = np.load(f"{folder}/test_labels.npy")
    np.save(f"{folder}/scores.npy", truth + np.random.default_rng(0).normal(size=truth.shape))


def scores(folder: str) -> None:
    evaluate_scores(Path(folder, "scores.npy"), Path(folder, "test_labels.npy"))


def plain_scores(folder: str) -> None:
    from sklearn.metrics import average_precision_score

    found, truth = (np.load(f"{folder}/{name}.npy") for name in ("scores", "test_labels"))
    for n in range(truth.shape[1]):
        kept = truth[:, n] != -1
        average_precision_score(truth[kept, n], found[kept, n])


def make_pictures(folder: str, count: int) -> None:
    """Write a ResNet-50 and pictures of VOC's size."""
    import cv2

    random = np.random.default_rng(0)
    names = [f"{folder}/{n}.jpg" for n in range(count)]
    for name in names:
        small = random.integers(0, 256, (10, 8, 3), np.uint8)
        cv2.imwrite(name, cv2.resize(small, (500, 375)))
    np.save(f"{folder}/test_images.npy", names)
    build_checkpoints(Path(folder, "models"), width=64)


def features(folder: str, output: str) -> None:
    place = Path(folder)
    checkpoint = place / "models" / "supervised_model.pkl"
    write_features(place / "test_images.npy", checkpoint, Path(output), jobs=1, overwrite=True)


def bench_curve(name: str, sizes: tuple[int, ...], k_values: list[int]) -> None:
    """Measure the whole curve, and of VOC07 what one can wait for the plain loop to do too."""
    with tempfile.TemporaryDirectory() as folder:
        run(command(make, folder, *sizes, k_values))
        out = Path(folder, "out")
        whole = run(command(ours, folder, "samples", out))
        print(row(f"{name}, the curve to k = {k_values[-1]}", "sslprep", whole), flush=True)
        if name == "VOC07":
            whole = run(command(full, folder, out))
            print(row(f"{name}, all of trainval", "sslprep", whole), flush=True)
            run(command(make_predictions, folder))
            ours_and_plain(
                "average precision of predictions",
                {"sslprep": command(scores, folder), "plain": command(plain_scores, folder)},
                3,
            )
            ours_and_plain(
                f"{name}, one sample of k = {k_values[-1] // 6}",
                {
                    "sslprep": command(ours, folder, "one", out),
                    "plain": command(plain, folder, "one"),
                },
                1,
            )


def ours_and_plain(task: str, cases: dict[str, list[str]], repeat: int) -> None:
    medians = compare(cases, repeat)
    for program, measured in medians.items():
        base = None if program == "plain" else medians["plain"]
        print(row(task, program, measured, base), flush=True)


def bench_features(pictures: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(command(make_pictures, folder, pictures))
        whole = run(command(features, folder, Path(folder, "out")))
        task = f"features of {pictures} pictures, ResNet-50, 4 layers"
        print(row(task, "sslprep", whole), flush=True)


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    print(HEADER)
    if quick:
        bench_curve("VOC07", (600, 500, 512, 20), [1, 12])
        bench_features(16)
        bench_curve("Places", (400, 410, 128, 41), [1, 4])
    else:
        bench_curve("VOC07", (5011, 4952, 8192, 20), [1, 2, 4, 8, 16, 32, 64, 96])
        bench_features(256)
        bench_curve("Places", (6150, 20_500, 2048, 205), [1, 2, 4, 8, 16])


if __name__ == "__main__":
    main()
