"""The command `evaluate scores`: average precision of any predictions, by every definition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import AnnotationError, ArrayError
from sslprep.evaluate.average_precision import Definition, class_ap
from sslprep.evaluate.labels import Targets, read_targets, refuse_empty_classes
from sslprep.input_files import decode_json, reading
from sslprep.npy import read_array
from sslprep.parameters import command
from sslprep.partition import loads_once
from sslprep.results import result, table

Column = Literal["envelope", "eleven", "step", "envelope_difficult_negative"]
COLUMNS: dict[Column, tuple[Definition, bool]] = {
    "envelope": ("envelope", False),
    "eleven": ("eleven", False),
    "step": ("step", False),
    "envelope_difficult_negative": ("envelope", True),
}
"""What is shown: a definition, and whether ignored images count as negatives."""


def read_predictions(path: Path, targets_path: Path, targets: Targets) -> NDArray[np.float64]:
    """Read predictions as (images, classes), rows and columns those of the targets.

    They are JSON `{image: {class: score}}`, matched to the targets by name, or `.npy` (images,
    classes). Another shape, or scores that are no numbers, are an ArrayError, images or classes
    that are not those of the targets an AnnotationError.
    """
    if path.suffix.lower() == ".json":
        scores = _read_json(path, targets_path, targets)
    else:
        scores = read_array(path, ndim=2, kinds="fiu").astype(np.float64)
        if scores.shape != targets.labels.shape:
            raise ArrayError(
                f"has shape {scores.shape}",
                where=path,
                expected=f"{targets.labels.shape}, a row and column for each of {targets_path}",
            )
    bad = ~np.isfinite(scores)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        image = targets.images[row] if targets.images else f"row {row}"
        raise ArrayError(
            f"{np.count_nonzero(bad):,} scores are no numbers, the first of {image}, class "
            f"{targets.columns.titles[column]}: {scores[row, column]}",
            where=path,
            expected="finite scores",
        )
    return scores


def _read_json(path: Path, targets_path: Path, targets: Targets) -> NDArray[np.float64]:
    if targets.images is None:
        raise AnnotationError(
            f"names its images, and {targets_path} does not",
            where=path,
            expected="two JSON files, or two .npy files",
        )
    with reading(path, AnnotationError):
        data = path.read_bytes()
    found: dict[str, dict[str, float]] = decode_json(
        data, dict[str, dict[str, float]], AnnotationError, path
    )
    loads_once(data, path)
    _compare(path, "images", found.keys(), targets.images, targets_path)
    classes = targets.columns.titles
    for image in targets.images:
        if found[image].keys() != set(classes):
            place = f"{path}, image {image!r}"
            _compare(place, "classes", found[image].keys(), classes, targets_path)
    return np.array([[found[i][c] for c in classes] for i in targets.images], np.float64)


def _compare(
    where: Path | str, what: str, found: Any, wanted: Sequence[str], targets_path: Path
) -> None:
    """Refuse names that are missing or that the targets don't have."""
    missing = sorted(set(wanted) - set(found))
    extra = sorted(set(found) - set(wanted))
    if missing or extra:
        parts = [f"lacks {len(missing):,} {what} ({missing[0]!r}…)"] if missing else []
        parts += [f"has {len(extra):,} other {what} ({extra[0]!r}…)"] if extra else []
        raise AnnotationError(
            " and ".join(parts), where=where, expected=f"the {len(wanted):,} of {targets_path}"
        )


@result
class Scores:
    """Average precision in percent, by every definition."""

    images: int  #: their number
    mean_ap: dict[Column, float]  #: mean over the classes, for each definition
    ap: dict[Column, dict[str, float]]  #: for each definition, of each class

    def text(self) -> str:
        """Lay out a row for each class, and their mean."""
        rows = [
            [name, *(f"{self.ap[column][name]:.4f}" for column in COLUMNS)]
            for name in self.ap["envelope"]
        ]
        rows.append(["mean", *(f"{self.mean_ap[column]:.4f}" for column in COLUMNS)])
        head = ["class", "envelope", "eleven", "step", "envelope, difficult negative"]
        return table(head, rows)


@command()
def evaluate_scores(predictions: Path, targets: Path) -> Scores:
    """Measure average precision of predictions, by each definition in use.

    `envelope` (VOC2010 and later, the usual "VOC07 mAP" of papers), `eleven` (VOC2007's eleven
    points), `step` (scikit-learn's), and `envelope` with difficult images counted as negatives.

    Args:
        predictions: Scores, higher is surer: JSON {image: {class: score}} or .npy (images,
            classes).
        targets: What is true: JSON {image: {class: label}} or .npy (images, classes) of 1
            present, 0 absent, -1 ignore; or .npy (images,) of class ids.

    Returns:
        Average precision of each class and its mean, in percent.

    Raises:
        ArrayError: Arrays that do not fit each other, or scores that are no numbers.
        AnnotationError: JSON files that do not fit each other.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "scores.npy", np.array([[0.9], [0.8], [0.7]]))
        >>> np.save(folder / "labels.npy", np.array([[1], [0], [1]]))
        >>> evaluate_scores(folder / "scores.npy", folder / "labels.npy").mean_ap["envelope"]
        83.33333333333333
    """
    true = read_targets(targets, in_order=predictions.suffix.lower() != ".json")
    given = read_predictions(predictions, targets, true)
    refuse_empty_classes(true, targets)
    ap: dict[Column, dict[str, float]] = {
        column: {
            name: class_ap(given[:, n], true.labels[:, n], definition, ignored_is_negative=ignored)
            for n, name in enumerate(true.columns.titles)
        }
        for column, (definition, ignored) in COLUMNS.items()
    }
    return Scores(
        images=len(given),
        mean_ap={column: float(np.mean(list(of.values()))) for column, of in ap.items()},
        ap=ap,
    )
