"""The command `evaluate full`: SVMs on the whole training set, their costs by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sslprep import console, manifest
from sslprep.atomic import OutputSet
from sslprep.errors import ArrayError
from sslprep.evaluate import bootstrap
from sslprep.evaluate.average_precision import TestLabels
from sslprep.evaluate.curve import FULL_FILE, FULL_KIND, FullMap
from sslprep.evaluate.feature_file import Features, check_pair, open_features
from sslprep.evaluate.folds import stratified_folds
from sslprep.evaluate.labels import (
    Labels,
    Targets,
    read_targets,
    read_test_targets,
    refuse_other_rows,
    top1_accuracy,
)
from sslprep.evaluate.products import Products
from sslprep.evaluate.protocols import FOLDS, PROTOCOLS, Name
from sslprep.evaluate.sample_machines import groups, threads, train_classes
from sslprep.evaluate.svm import Floats
from sslprep.parameters import NotNegative, command
from sslprep.results import result, table

SCORES_FILE, MANIFEST = "full_scores.npy", "full_ap.manifest.json"
_MOST_ROWS = 30_000
_TOGETHER = 5
"""Classes of one thread, trained side by side, with three folds each."""


@result
class FullResult:
    """Average precision on the whole training set, and where it was written."""

    map: FullMap  #: the figures
    written: tuple[Path, ...]  #: all files

    def text(self) -> str:
        """Show a row for each class, and their mean."""
        found = self.map
        rows = [
            [name, f"{ap:.2f}", f"{cost:g}"]
            for name, ap, cost in zip(found.classes, found.ap, found.costs, strict=True)
        ]
        low, high = found.interval
        rows.append(["mean", f"{found.mean_ap:.2f}", ""])
        lines = [
            f"{found.title}, protocol {found.protocol}, percent",
            "",
            table(["class", "AP", "cost"], rows),
            "",
            f"mAP {found.mean_ap:.2f}, 95 % interval over test images {low:.2f}–{high:.2f}",
        ]
        if found.top1 is not None:
            lines.append(f"top-1 {found.top1:.2f}")
        return "\n".join(lines)


def _train(
    pool: ThreadPoolExecutor, gram: Floats, labels: Labels, costs: Sequence[float]
) -> tuple[Floats, list[float]]:
    """Train each class on all rows at the cost that cross-validation chooses for it.

    Returns coefficients (classes, rows), and the cost of each class. Of `labels` (rows, classes)
    what is not 1 is a negative; a single cost is given and nothing is chosen.
    """

    def work(of: range) -> list[tuple[Floats, float]]:
        part = labels[:, of.start : of.stop] == 1
        held = None
        if len(costs) > 1:
            held = np.stack([stratified_folds(column, FOLDS) for column in part.T])
        coefficients, inside = train_classes(gram, part.astype(np.int8), costs, held)
        best = np.zeros(len(of), int) if inside is None else inside.argmax(axis=0)  # the first
        return [(coefficients[at][n], costs[at]) for n, at in enumerate(best)]

    found: list[tuple[Floats, float]] = []
    with console.progress(labels.shape[1], "classes") as advance:
        for part in pool.map(work, groups(labels.shape[1], _TOGETHER)):
            found += part
            advance(len(part))
    return np.stack([c for c, _ in found]), [cost for _, cost in found]


@command()
def evaluate_full(
    *,
    train_features: Path,
    train_targets: Path,
    test_features: Path,
    test_targets: Path,
    output: Path,
    protocol: Name = "goyal2019",
    title: str | None = None,
    scores: bool = False,
    seed: NotNegative = 0,
    overwrite: bool = False,
) -> FullResult:
    """Train SVMs on the whole training set and measure average precision of each class.

    The cost of each class is chosen by cross-validation (three folds, stratified, not shuffled,
    mean of the step-wise average precision), unless the protocol gives it.

    Args:
        train_features: Features (.npy) of the training images.
        train_targets: Their labels: .npy or JSON, as `evaluate scores` takes them.
        test_features: Features (.npy) of the test images.
        test_targets: Their labels.
        output: Folder for the figures; created if missing.
        protocol: goyal2019, openselfsup (mmselfsup's too), vissl, pcl or virtex.
        title: What charts call this; by default the checkpoint and the layer.
        scores: Also write the test scores.
        seed: Seed of the bootstrap over test images.
        overwrite: Replace existing figures.

    Returns:
        The figures, and where they were written.

    Raises:
        ArrayError: Features and targets do not fit each other, or rows are no features.
        ParameterError: Train and test are the same.
        OutputError: Figures are there already, or cannot be written.
    """
    given = locals()
    rules = PROTOCOLS[protocol]
    names = [FULL_FILE, *([SCORES_FILE] if scores else [])]
    old = [SCORES_FILE]  # of an earlier run, with other figures
    with OutputSet(
        output, names, manifests=[MANIFEST], overwrite=overwrite, also_replaces=old
    ) as out:
        inputs = manifest.Inputs()
        train = open_features(train_features, inputs)
        test = open_features(test_features, inputs)
        inputs.add_file(train_targets)
        inputs.add_file(test_targets)
        labels = read_targets(train_targets, in_order=True)
        _check_training(labels, train_targets, train)
        truth = read_test_targets(test_targets, test, labels.columns)
        check_pair(train, test)
        rows = np.arange(len(train.rows))
        with threads() as pool:
            products = Products(train.rows, test.rows, pool, keep=False)
            coefficients, costs = _train(pool, products.gram(rows), labels.labels, rules.costs)
            found = products.scorer(rows)(coefficients)
        of_test = TestLabels(truth.labels, ignored_is_negative=rules.ignored_in_test == "negative")
        ap = [of_test.ap(column, n, rules.definition) for n, column in enumerate(found)]
        counts = bootstrap.draw_counts(len(test.rows), seed)
        made = FullMap(
            title=title or train.title,
            protocol=protocol,
            average_precision=rules.definition,
            classes=list(truth.columns.titles),
            costs=costs,
            ap=ap,
            mean_ap=float(np.mean(ap)),
            interval=bootstrap.interval([found], of_test, counts, rules.definition),
            top1=top1_accuracy(found, truth),
        )
        out.save_json(FULL_FILE, made)
        if scores:
            out.save_array(SCORES_FILE, found.T)
        manifest.write(
            out,
            MANIFEST,
            kind=FULL_KIND,
            command="evaluate full",
            parameters=given,
            inputs=inputs.records(),
            seed=seed,
            generator=bootstrap.GENERATOR,
            counts={"classes": len(ap), "train": len(train.rows), "test": len(test.rows)},
            details={"title": made.title, "mean_ap": made.mean_ap},
        )
        out.commit()
    return FullResult(map=made, written=tuple(output / record.file for record in out.written))


def _check_training(targets: Targets, path: Path, features: Features) -> None:
    """Refuse training labels that do not fit the features, or too few or too many of them."""
    refuse_other_rows(targets, path, features)
    if (rows := len(features.rows)) > _MOST_ROWS:
        raise ArrayError(
            f"has {rows:,} rows, whose products take {12 * rows**2 / 1e9:,.0f} GB",
            where=features.path,
            expected=f"at most {_MOST_ROWS:,}",
            remedy="Draw samples of them (lowshot) and use evaluate lowshot.",
        )
    positives = (targets.labels == 1).sum(axis=0)
    for bad, has, expected in (
        (positives < FOLDS, f"fewer than {FOLDS} positives", f"{FOLDS}, one for each fold"),
        (positives == rows, "nothing but positives", "images that are not of it"),
    ):
        if names := [targets.columns.titles[n] for n in np.flatnonzero(bad)]:
            raise ArrayError(
                f"has {has} of {len(names)} classes: {', '.join(names[:8])}",
                where=path,
                expected=f"of every class {expected}",
            )
