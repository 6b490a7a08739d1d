"""The command `evaluate lowshot`: features and samples to the low-shot curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from sslprep import console, manifest
from sslprep.atomic import OutputSet
from sslprep.errors import ParameterError
from sslprep.evaluate import bootstrap, curve
from sslprep.evaluate.average_precision import TestLabels
from sslprep.evaluate.feature_file import Features, check_pair, open_features
from sslprep.evaluate.labels import (
    Targets,
    read_targets,
    read_test_targets,
    refuse_other_rows,
    top1_accuracy,
)
from sslprep.evaluate.products import Products
from sslprep.evaluate.protocols import (
    FIXED_COST,
    FOLDS,
    PROTOCOLS,
    SHARED_FOLDS,
    Name,
    Protocol,
)
from sslprep.evaluate.sample_machines import SampleAP, score_test, threads, try_costs
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
    """The curve, and where it was written."""

    title: str  #: what charts call it
    protocol: str
    published: tuple[curve.Point, ...]  #: a point for each k, as the protocol publishes it
    honest: tuple[curve.Point, ...]  #: the same, costs chosen without a look at the test set
    notes: tuple[str, ...]  #: sentences to be read with the figures
    written: tuple[Path, ...]  #: all files

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


def choose_published(found: Sequence[SampleAP]) -> int:
    """Choose the cost of a k as papers do: the best mean over samples of the **test** mAP."""
    return int(np.argmax(np.mean([ap.test.mean(axis=1) for ap in found], axis=0)))


def choose_honestly(found: SampleAP, costs: Sequence[float]) -> int:
    """Choose the cost of a sample by cross-validation inside it, else the fixed one."""
    if found.inside is not None:
        return int(np.argmax(found.inside.mean(axis=1)))
    return costs.index(FIXED_COST) if len(costs) > 1 else 0


def _notes(protocol: Protocol, k_values: Sequence[int], folds: int) -> list[str]:
    if len(protocol.costs) == 1:
        return [f"The protocol gives the cost: {protocol.costs[0]:g}. Nothing was chosen."]
    notes = [
        "mAP: the protocol chooses the cost of each k by the mAP on the TEST set, so it is higher "
        "than an unseen test set would give.",
        f"Honest mAP: each sample's cost chosen inside it, by {folds}-fold stratified "
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
    given = locals()
    rules = PROTOCOLS[protocol]
    if rules.lowshot is None:
        others = [name for name, other in PROTOCOLS.items() if other.lowshot is not None]
        raise ParameterError(
            f"protocol {protocol} has no low-shot curve", expected=" or ".join(others)
        )
    names = [curve.FILE, CSV_FILE, AP_FILE, *([SCORES_FILE] if scores else [])]
    old = [SCORES_FILE]  # of an earlier run, with another curve
    with OutputSet(
        output, names, manifests=[MANIFEST], overwrite=overwrite, also_replaces=old
    ) as out:
        inputs = manifest.Inputs()
        train = open_features(train_features, inputs)
        test = open_features(test_features, inputs)
        inputs.add_file(test_targets)
        full = None
        if train_targets is not None:
            inputs.add_file(train_targets)
            full = read_targets(train_targets, in_order=True)
            refuse_other_rows(full, train_targets, train)
        found = read_samples(
            samples,
            train,
            inputs,
            training=rules.lowshot,
            full=full,
            full_path=train_targets,
        )
        truth = read_test_targets(test_targets, test, found.columns)
        used = np.unique(np.concatenate([rows.rows for rows in found.rows.values()]))
        check_pair(train, test, used)
        made, published_scores = _measure(
            train, test, found, truth, protocol, title or train.title, seed
        )
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
            parameters=given,
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
        written=tuple(output / file.file for file in out.written),
    )


def _measure(
    train: Features,
    test: Features,
    samples: SampleSet,
    truth: Targets,
    protocol: Name,
    title: str,
    seed: int,
) -> tuple[curve.Curve, list[Floats]]:
    """Make all points of the curve; also return the test scores of the published ones."""
    rules = PROTOCOLS[protocol]
    costs, definition = rules.costs, rules.definition
    labels = TestLabels(truth.labels, ignored_is_negative=rules.ignored_in_test == "negative")
    counts = bootstrap.draw_counts(len(test.rows), seed)
    published, honest, scores, every = [], [], [], []
    steps = len(samples.k_values) * len(samples.numbers)
    with console.progress(steps, "samples") as advance, threads() as pool:
        products = Products(train.rows, test.rows, pool, keep=not truth.columns.ids)

        def point(k: int, found: list[SampleAP], places: list[int]) -> tuple[curve.Point, Floats]:
            pairs = list(zip(found, places, strict=True))
            of_each = [score_test(products, sample, place) for sample, place in pairs]
            made = curve.make_point(
                k,
                np.array([sample.test[place] for sample, place in pairs]),
                [costs[place] for place in places],
                bootstrap.interval(of_each, labels, counts, definition),
                [top1_accuracy(of_sample, truth) for of_sample in of_each],
            )
            return made, np.stack(of_each)

        for k in samples.k_values:
            found = []
            for number in samples.numbers:
                rows = samples.rows[k, number]
                measured = (rows, labels, costs, definition)
                found.append(try_costs(pool, products, *measured, validate=len(costs) > 1))
                advance(1)
            best = choose_published(found)
            made, of_point = point(k, found, [best] * len(found))
            published.append(replace(made, costs=[costs[best]]))
            scores.append(of_point)
            chosen = [choose_honestly(ap, costs) for ap in found]
            honest.append(made if {*chosen} == {best} else point(k, found, chosen)[0])
            every.append([ap.test for ap in found])
    ap = np.swapaxes(np.array(every), 0, 1)  # [sample][k][cost][class]
    made_curve = curve.Curve(
        title=title,
        protocol=protocol,
        average_precision=definition,
        classes=list(truth.columns.titles),
        costs=list(costs),
        k_values=samples.k_values,
        samples=samples.numbers,
        published=published,
        honest=honest,
        cost_map=ap.mean(axis=(0, 3)).tolist(),
        notes=_notes(rules, samples.k_values, SHARED_FOLDS if truth.columns.ids else FOLDS),
        ap=ap.tolist(),
    )
    return made_curve, scores
