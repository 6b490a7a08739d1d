"""The command `evaluate lowshot`: features and samples to the low-shot curve."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from sslprep import console, manifest
from sslprep.atomic import OutputSet
from sslprep.errors import ParameterError
from sslprep.evaluate import bootstrap, curve
from sslprep.evaluate.average_precision import TestLabels
from sslprep.evaluate.feature_file import Features, check_pair, open_features
from sslprep.evaluate.labels import Targets, read_targets, read_test_targets
from sslprep.evaluate.products import Products
from sslprep.evaluate.protocols import FIXED_COST, FOLDS, PROTOCOLS, Name, Protocol
from sslprep.evaluate.sample_machines import (
    SampleAP,
    TrainingRows,
    score_test,
    threads,
    try_costs,
)
from sslprep.evaluate.sample_rows import SampleSet, read_samples
from sslprep.evaluate.svm import Floats
from sslprep.parameters import NotNegative, command
from sslprep.results import result

AP_FILE = "lowshot_ap.npy"
CSV_FILE = "lowshot_curve.csv"
SCORES_FILE = "lowshot_scores.npy"
MANIFEST = "lowshot_curve.manifest.json"


@result
class LowshotResult:
    """The curve, and where it was written.

    Attributes:
        title: What charts call it.
        protocol: The protocol.
        published: A point for each k, as the protocol publishes it.
        honest: A point for each k, the cost chosen without a look at the test set.
        notes: Sentences to be read with the figures.
        written: All files.
    """

    title: str
    protocol: str
    published: tuple[curve.Point, ...]
    honest: tuple[curve.Point, ...]
    notes: tuple[str, ...]
    written: tuple[Path, ...]

    def text(self) -> str:
        """Show the curve as a table."""
        samples = len(self.published[0].samples)
        return "\n".join(
            [
                f"{self.title}, protocol {self.protocol}, {samples} samples, percent",
                "",
                curve.as_text(self.published, self.honest),
                "",
                *self.notes,
            ]
        )


class _Run:
    """All that the points of a curve are made from."""

    def __init__(
        self,
        train: Features,
        test: Features,
        samples: SampleSet,
        truth: Targets,
        protocol: Protocol,
        seed: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.pool = pool
        self.samples, self.truth, self.protocol = samples, truth, protocol
        self.test = TestLabels(
            truth.labels, ignored_is_negative=protocol.ignored_in_test == "negative"
        )
        self.products = Products(train.rows, test.rows, pool, keep=not truth.single)
        self.counts = bootstrap.draw_counts(len(test.rows), seed)

    def try_costs(self, rows: TrainingRows) -> SampleAP:
        """Measure a sample at every cost."""
        given = len(self.protocol.costs) == 1
        return try_costs(
            self.pool,
            self.products,
            rows,
            self.test,
            self.protocol.costs,
            self.protocol.definition,
            validate=not given,
        )

    def point(
        self, k: int, found: Sequence[SampleAP], costs: Sequence[float]
    ) -> tuple[curve.Point, Floats]:
        """Measure the samples of a k at chosen costs.

        Args:
            k: The k.
            found: Its samples.
            costs: One for all samples, or one for each.

        Returns:
            The point, and test scores (samples, classes, images).
        """
        places = [self.protocol.costs.index(cost) for cost in costs]
        of_each = places if len(places) == len(found) else places * len(found)
        scores = [
            score_test(self.products, sample, place)
            for sample, place in zip(found, of_each, strict=True)
        ]
        ap = [sample.test[place] for sample, place in zip(found, of_each, strict=True)]
        top1 = None
        if self.truth.single:
            right = self.truth.labels.argmax(axis=1)
            top1 = [100 * float((s.argmax(axis=0) == right).mean()) for s in scores]
        interval = bootstrap.interval(scores, self.test, self.counts, self.protocol.definition)
        return curve.make_point(k, np.array(ap), costs, interval, top1), np.stack(scores)


def choose_published(found: Sequence[SampleAP], costs: Sequence[float]) -> float:
    """Choose the cost of a k as papers do: the best mean over samples of the **test** mAP."""
    return costs[int(np.argmax(np.mean([ap.test.mean(axis=1) for ap in found], axis=0)))]


def choose_honestly(found: SampleAP, costs: Sequence[float]) -> float:
    """Choose the cost of a sample by cross-validation inside it, else the fixed one."""
    if found.inside is not None:
        return costs[int(np.argmax(found.inside.mean(axis=1)))]
    return costs[0] if len(costs) == 1 else FIXED_COST


def _notes(protocol: Protocol, k_values: Sequence[int]) -> list[str]:
    if len(protocol.costs) == 1:
        return [f"The protocol gives the cost: {protocol.costs[0]:g}. Nothing was chosen."]
    notes = [
        "mAP: the protocol chooses the cost of each k by the mAP on the TEST set, so it is higher "
        "than an unseen test set would give.",
        f"Honest mAP: each sample's cost chosen inside it, by {FOLDS}-fold stratified "
        "cross-validation (as many folds as k where k is smaller); the test set is not looked at.",
    ]
    if 1 in k_values:
        notes.append(f"k = 1 is too small for that: its honest cost is fixed at {FIXED_COST:g}.")
    return notes


@command()
def evaluate_lowshot(
    *,
    train_features: Path,
    samples: Path,
    test_features: Path,
    test_targets: Path,
    output: Path,
    protocol: Name = "goyal2019",
    train_targets: Path | None = None,
    title: str | None = None,
    scores: bool = False,
    seed: NotNegative = 0,
    overwrite: bool = False,
) -> LowshotResult:
    """Train SVMs on low-shot samples and measure the low-shot curve.

    For every sample, k, cost and class one linear SVM, and its average precision on the test
    set; then for each k the mean, spread and interval of mAP, as the protocol publishes it and,
    beside it, with the cost chosen without a look at the test set.

    Args:
        train_features: Features (.npy) of the images that the samples were drawn from.
        samples: Folder of the samples, from `lowshot voc` or `lowshot places` (or FAIR's own).
        test_features: Features (.npy) of the test images.
        test_targets: Their labels: .npy or JSON, as `evaluate scores` takes them.
        output: Folder for the curve; created if missing.
        protocol: goyal2019, openselfsup (mmselfsup's too), vissl or pcl.
        train_targets: Full labels of the training images; `pcl` needs them.
        title: What charts call this curve; by default the checkpoint and the layer.
        scores: Also write the test scores at the published costs.
        seed: Seed of the bootstrap over test images.
        overwrite: Replace an existing curve.

    Returns:
        The curve, and where it was written.

    Raises:
        ArrayError: Features, samples and targets do not fit each other, or rows are no features.
        DatasetError: No samples.
        ParameterError: Train and test are the same, or the protocol has no low-shot curve.
        OutputError: A curve is there already, or cannot be written.
    """
    rules = PROTOCOLS[protocol]
    if rules.lowshot is None:
        others = [name for name, other in PROTOCOLS.items() if other.lowshot is not None]
        raise ParameterError(
            f"protocol {protocol} has no low-shot curve", expected=" or ".join(others)
        )
    names = [curve.FILE, CSV_FILE, AP_FILE, *([SCORES_FILE] if scores else [])]
    with OutputSet(output, names, manifests=[MANIFEST], overwrite=overwrite) as out:
        inputs = manifest.Inputs()
        train = open_features(train_features, inputs)
        test = open_features(test_features, inputs)
        inputs.add_file(test_targets)
        full = None
        if train_targets is not None:
            inputs.add_file(train_targets)
            full = read_targets(train_targets)
        found = read_samples(samples, train, inputs, training=rules.lowshot, full=full)
        truth = read_test_targets(test_targets, test_features, len(test.rows), found.columns)
        used = np.unique(np.concatenate([rows.rows for rows in found.rows.values()]))
        check_pair(train, test, used)
        with threads() as pool:
            run = _Run(train, test, found, truth, rules, seed, pool)
            made, published_scores = _measure(run, protocol, title or train.title)
        out.save_json(curve.FILE, made)
        out.save_bytes(CSV_FILE, curve.as_csv(made))
        out.save_array(AP_FILE, np.array(made.ap))
        if scores:
            out.save_array(SCORES_FILE, np.stack(published_scores, axis=1).swapaxes(2, 3))
        manifest.write(
            out,
            MANIFEST,
            kind=curve.KIND,
            command="evaluate lowshot",
            parameters={
                "train_features": train_features,
                "samples": samples,
                "test_features": test_features,
                "test_targets": test_targets,
                "train_targets": train_targets,
                "protocol": protocol,
                "title": title,
                "scores": scores,
                "seed": seed,
            },
            inputs=inputs.records(),
            seed=seed,
            generator=bootstrap.GENERATOR,
            counts={
                "samples": len(made.samples),
                "classes": len(made.classes),
                "test_images": len(test.rows),
                "machines": int(np.array(made.ap).size),
                "resamples": bootstrap.resamples(len(test.rows)),
            },
            details={
                "title": made.title,
                "k_values": made.k_values,
                "mean_ap": [point.mean for point in made.published],
                "honest_mean_ap": [point.mean for point in made.honest],
                "notes": made.notes,
            },
        )
        out.commit()
    return LowshotResult(
        title=made.title,
        protocol=protocol,
        published=tuple(made.published),
        honest=tuple(made.honest),
        notes=tuple(made.notes),
        written=tuple(output / record.file for record in out.written),
    )


def _measure(run: _Run, protocol: Name, title: str) -> tuple[curve.Curve, list[Floats]]:
    """Make all points of the curve; also return the test scores of the published ones."""
    samples, costs = run.samples, run.protocol.costs
    published, honest, scores, every = [], [], [], []
    steps = len(samples.k_values) * len(samples.numbers)
    with console.progress(steps, "samples") as advance:
        for k in samples.k_values:
            found = []
            for number in samples.numbers:
                found.append(run.try_costs(samples.rows[k, number]))
                advance(1)
            point, of_point = run.point(k, found, [choose_published(found, costs)])
            published.append(point)
            scores.append(of_point)
            chosen = [choose_honestly(ap, costs) for ap in found]
            same = set(chosen) == set(point.costs)  # then so is everything else
            other = replace(point, costs=chosen) if same else run.point(k, found, chosen)[0]
            honest.append(other)
            every.append([ap.test for ap in found])
    ap = np.swapaxes(np.array(every), 0, 1)  # [sample][k][cost][class]
    made = curve.Curve(
        title=title,
        protocol=protocol,
        average_precision=run.protocol.definition,
        classes=list(run.truth.classes),
        costs=list(costs),
        k_values=samples.k_values,
        samples=samples.numbers,
        published=published,
        honest=honest,
        cost_map=ap.mean(axis=(0, 3)).tolist(),
        notes=_notes(run.protocol, samples.k_values),
        ap=ap.tolist(),
    )
    return made, scores
