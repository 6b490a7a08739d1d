"""The command `evaluate full`: SVMs on the whole training set, their costs by cross-validation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from sslprep import console, manifest
from sslprep.atomic import OutputSet
from sslprep.errors import ArrayError, ManifestError
from sslprep.evaluate import bootstrap
from sslprep.evaluate.average_precision import TestLabels
from sslprep.evaluate.feature_file import check_pair, open_features
from sslprep.evaluate.folds import stratified_folds
from sslprep.evaluate.labels import Columns, Labels, read_targets, read_test_targets
from sslprep.evaluate.products import Products
from sslprep.evaluate.protocols import FOLDS, PROTOCOLS, Name, Protocol
from sslprep.evaluate.sample_machines import groups, threads, train_classes
from sslprep.evaluate.svm import Floats
from sslprep.input_files import read_json
from sslprep.parameters import NotNegative, command
from sslprep.results import result, table

KIND = "full-map"
SCHEMA = 1
FILE, SCORES_FILE, MANIFEST = "full_ap.json", "full_scores.npy", "full_ap.manifest.json"
_MOST_ROWS = 30_000
_TOGETHER = 5
"""Classes of one thread, trained side by side, with three folds each."""


class FullMap(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in `full_ap.json`; average precision in percent.

    Attributes:
        title: What a chart calls it.
        protocol: Name of the protocol.
        average_precision: Definition of average precision.
        classes: Names of the classes.
        costs: Cost of each class.
        ap: AP of each class.
        mean_ap: Their mean.
        interval: 95 % bootstrap interval of the mean over test images.
        top1: Top-1 accuracy (percent) where every image is of one class.
    """

    kind: str = KIND
    schema: int = SCHEMA
    title: str
    protocol: str
    average_precision: str
    classes: list[str]
    costs: list[float]
    ap: list[float]
    mean_ap: float
    interval: tuple[float, float]
    top1: float | None = None


def read(path: Path) -> FullMap:
    """Read a `full_ap.json`.

    Raises:
        ManifestError: It is none, or one of a newer version.
    """
    found: FullMap = read_json(path, FullMap, ManifestError)
    if found.kind != KIND or found.schema > SCHEMA:
        raise ManifestError(
            f"is {found.kind!r}, schema {found.schema}",
            where=path,
            expected=f"a {KIND} of schema {SCHEMA}",
        )
    return found


@result
class FullResult:
    """Average precision on the whole training set, and where it was written.

    Attributes:
        map: The figures.
        written: All files.
    """

    map: FullMap
    written: tuple[Path, ...]

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
    pool: ThreadPoolExecutor, gram: Floats, labels: Labels, protocol: Protocol
) -> tuple[Floats, list[float]]:
    """Train each class on all rows at the cost that cross-validation chooses for it.

    Args:
        pool: Where to compute.
        gram: Products of all training rows.
        labels: (rows, classes); what is not 1 is a negative.
        protocol: Its costs; a single one is given and nothing is chosen.

    Returns:
        Coefficients (classes, rows), and the cost of each class.
    """

    def work(of: range) -> list[tuple[Floats, float]]:
        part = labels[:, of.start : of.stop] == 1
        held = None
        if len(protocol.costs) > 1:
            held = np.stack([stratified_folds(column, FOLDS) for column in part.T])
        coefficients, inside = train_classes(gram, part.astype(np.int8), protocol.costs, held)
        best = np.zeros(len(of), int) if inside is None else inside.argmax(axis=0)  # the first
        return [(coefficients[at][n], protocol.costs[at]) for n, at in enumerate(best)]

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
    rules = PROTOCOLS[protocol]
    names = [FILE, *([SCORES_FILE] if scores else [])]
    with OutputSet(output, names, manifests=[MANIFEST], overwrite=overwrite) as out:
        inputs = manifest.Inputs()
        train = open_features(train_features, inputs)
        test = open_features(test_features, inputs)
        inputs.add_file(train_targets)
        inputs.add_file(test_targets)
        given = read_targets(train_targets, in_order=True)
        _check_training(given.labels, given.classes, train_targets, len(train.rows), train_features)
        columns = Columns(
            count=len(given.classes), names=given.classes if given.named else (), ids=given.ids
        )
        truth = read_test_targets(test_targets, test_features, len(test.rows), columns)
        check_pair(train, test)
        rows = np.arange(len(train.rows))
        with threads() as pool:
            products = Products(train.rows, test.rows, pool, keep=False)
            coefficients, costs = _train(pool, products.gram(rows), given.labels, rules)
            found = products.scorer(rows)(coefficients)
        of_test = TestLabels(truth.labels, ignored_is_negative=rules.ignored_in_test == "negative")
        ap = [of_test.ap(column, n, rules.definition) for n, column in enumerate(found)]
        right = truth.labels.argmax(axis=1)
        counts = bootstrap.draw_counts(len(test.rows), seed)
        made = FullMap(
            title=title or train.title,
            protocol=protocol,
            average_precision=rules.definition,
            classes=list(truth.classes),
            costs=costs,
            ap=ap,
            mean_ap=float(np.mean(ap)),
            interval=bootstrap.interval([found], of_test, counts, rules.definition),
            top1=100 * float((found.argmax(axis=0) == right).mean()) if truth.single else None,
        )
        out.save_json(FILE, made)
        if scores:
            out.save_array(SCORES_FILE, found.T)
        manifest.write(
            out,
            MANIFEST,
            kind=KIND,
            command="evaluate full",
            parameters={
                "train_features": train_features,
                "train_targets": train_targets,
                "test_features": test_features,
                "test_targets": test_targets,
                "protocol": protocol,
                "title": title,
                "scores": scores,
                "seed": seed,
            },
            inputs=inputs.records(),
            seed=seed,
            generator=bootstrap.GENERATOR,
            counts={"classes": len(ap), "train": len(train.rows), "test": len(test.rows)},
            details={"title": made.title, "mean_ap": made.mean_ap},
        )
        out.commit()
    return FullResult(map=made, written=tuple(output / record.file for record in out.written))


def _check_training(
    labels: Labels, classes: tuple[str, ...], path: Path, rows: int, features: Path
) -> None:
    """Refuse training labels that do not fit the features, or too few or too many of them."""
    if len(labels) != rows:
        raise ArrayError(
            f"has {rows:,} rows, and {path} labels of {len(labels):,} images",
            where=features,
            expected="features and labels of the same images",
        )
    if rows > _MOST_ROWS:
        raise ArrayError(
            f"has {rows:,} rows, whose products take {12 * rows**2 / 1e9:,.0f} GB",
            where=features,
            expected=f"at most {_MOST_ROWS:,}",
            remedy="Draw samples of them (lowshot) and use evaluate lowshot.",
        )
    few = [classes[n] for n in np.flatnonzero((labels == 1).sum(axis=0) < FOLDS)]
    if few:
        raise ArrayError(
            f"has fewer than {FOLDS} positives of {len(few)} classes: {', '.join(few[:8])}",
            where=path,
            expected=f"{FOLDS} of every class, one for each fold",
        )
