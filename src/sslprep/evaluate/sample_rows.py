"""Which rows of the features the samples of `lowshot` train on, and with which labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ArrayError, DatasetError, ParameterError
from sslprep.evaluate.feature_file import Features
from sslprep.evaluate.labels import (
    Columns,
    Targets,
    contradict,
    labels_beside,
    one_hot,
    refuse_other_images,
    refuse_other_order,
    saved_targets,
)
from sslprep.evaluate.sample_machines import TrainingRows
from sslprep.lowshot.labels import ImageList, read_label_matrix
from sslprep.lowshot.sample_files import SampleFiles, find_samples, read_index, read_sample


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleSet:
    """The samples of a folder."""

    k_values: list[int]  #: ascending
    numbers: list[int]  #: of the samples
    rows: dict[tuple[int, int], TrainingRows]  #: what each trains on, by (k, number)
    columns: Columns  #: the classes, as far as the files tell them


def read_samples(
    folder: Path,
    features: Features,
    inputs: manifest.Inputs,
    *,
    training: Literal["own", "pooled"],
    full: Targets | None,
    full_path: Path | None,
) -> SampleSet:
    """Read all samples of a folder.

    No samples, samples of two sets, or some that are missing are a DatasetError, samples that do
    not fit the features an ArrayError.

    Args:
        folder: Where `lowshot` (or FAIR's scripts) wrote them.
        features: Features of the images that they were drawn from.
        inputs: Where their files are noted.
        training: The protocol's rows; see `protocols.Protocol.lowshot`.
        full: The full targets, which `pooled` needs.
        full_path: Their file.
    """
    by_place, k_values, numbers = _find_set(folder)
    for sample in by_place.values():
        for name in sample.files.values():
            inputs.add_file(sample.folder / name)
    columns = _columns(next(iter(by_place.values())))
    rows, saved = {}, saved_targets(features)
    known = (full, full_path) if full is not None else labels_beside(features)
    for place, sample in by_place.items():
        if sample.multi_label:
            rows[place] = _from_matrix(sample, features, columns)
            refuse_other_images(features, _names(sample), sample.main)
        else:
            rows[place] = _from_list(sample, features, columns.ids)
        _refuse_few(rows[place], sample, columns)
        drawn = Targets(rows[place].labels, columns)
        refuse_other_order(drawn, sample.main, features, saved, rows[place].rows)
        if known is not None and contradict(drawn, known[0], rows[place].rows):
            hint = "If other labels of these images are meant, name them: --train-targets."
            raise DatasetError(
                f"holds labels that {known[1]} contradicts",
                where=sample.main,
                expected="samples of these targets",
                remedy=hint if full is None else None,
            )
        if sample.multi_label and training == "pooled":
            rows[place] = _pooled(rows[place], full)
            _refuse_few(rows[place], sample, columns)
    return SampleSet(k_values=k_values, numbers=numbers, rows=rows, columns=columns)


def _find_set(folder: Path) -> tuple[dict[tuple[int, int], SampleFiles], list[int], list[int]]:
    """Find the samples of a folder: those of one set by (k, number), all k, and all numbers."""
    if folder.is_file():
        raise DatasetError("is a file", where=folder, expected="the folder of the samples")
    found = find_samples(folder)
    sets = [f"{place / stem}" for place, stem in sorted({(s.folder, s.stem) for s in found})]
    if len(sets) != 1:
        several = f"holds samples of {len(sets)} sets: {', '.join(sets)}"
        raise DatasetError(
            several if sets else "holds no low-shot samples",
            where=folder,
            expected="the samples of one set, named like train_targets_sample1_k4.npy",
        )
    by_place = {(sample.size.k, sample.sample): sample for sample in found if sample.size.k}
    if not by_place:
        raise DatasetError(
            "holds samples by fractions alone",
            where=folder,
            expected="samples by k, the images of each class",
            remedy="Draw them with --k-values. A fraction is measured by `evaluate full` on the "
            "features and labels of its images.",
        )
    k_values, numbers = (sorted(set(part)) for part in zip(*by_place, strict=True))
    if missing := [(k, n) for k in k_values for n in numbers if (k, n) not in by_place]:
        raise DatasetError(
            f"lacks sample {missing[0][1]} of k = {missing[0][0]}",
            where=folder,
            expected=f"samples {', '.join(map(str, numbers))} of every k",
        )
    return by_place, k_values, numbers


def _columns(sample: SampleFiles) -> Columns:
    """Return the classes, their names from the index file where there is one."""
    indexed = "index" in sample.files
    listed = read_index(sample.folder / sample.files["index"]).classes if indexed else []
    names = tuple(c.name for c in listed if c.name is not None)
    if sample.multi_label:
        matrix = read_label_matrix(sample.main)
        count = matrix.labels.shape[1]
        return Columns(count, names if len(names) == count else matrix.classes)
    ids = tuple(c.id for c in listed) or tuple(sorted(set(_list_of(sample)[1])))
    return Columns(len(ids), names if len(names) == len(ids) else (), ids)


def _names(sample: SampleFiles) -> Iterable[tuple[int, str]]:
    """Return rows of a label matrix and the images that files beside it name there."""
    files = {kind: sample.folder / name for kind, name in sample.files.items()}
    if "index" in files:
        return (read_index(files["index"]).images or {}).items()
    return enumerate(read_label_matrix(files["json"]).images or () if "json" in files else ())


def _list_of(sample: SampleFiles) -> tuple[list[str], list[int]]:
    """Return the images and class ids of a sample that is no label matrix."""
    held = cast(ImageList, read_sample(sample))
    return held.images, cast(list[int], held.classes)


def _from_matrix(sample: SampleFiles, features: Features, columns: Columns) -> TrainingRows:
    labels = read_label_matrix(sample.main).labels
    if labels.shape != (len(features.rows), columns.count):
        raise ArrayError(
            f"has {len(features.rows):,} rows, and {sample.main} shape {labels.shape}",
            where=features.path,
            expected="features of the images that the samples were drawn from, in their order, "
            f"and samples of the same {columns.count} classes",
        )
    rows = np.flatnonzero((labels != -1).any(axis=1))
    return TrainingRows(sample.size.k, rows, labels[rows])


def _refuse_few(rows: TrainingRows, sample: SampleFiles, columns: Columns) -> None:
    """Refuse a sample of which a class cannot be trained."""
    positives, negatives = ((rows.labels == value).sum(axis=0) for value in (1, 0))
    for n in np.flatnonzero((positives < rows.k) | (negatives == 0))[:1]:
        raise DatasetError(
            f"holds {positives[n]} positives and {negatives[n]} negatives of class "
            f"{columns.titles[n]}",
            where=sample.main,
            expected=f"{rows.k} positives of every class, as its name says, and negatives",
        )


def _pooled(own: TrainingRows, full: Targets | None) -> TrainingRows:
    """Take the positives of all classes together, with all the labels that they have."""
    if full is None:
        raise ParameterError(
            "this protocol trains on all labels of the drawn images",
            expected="--train-targets, the full labels of the training set",
        )
    rows = own.rows[(own.labels == 1).any(axis=1)]
    return TrainingRows(own.k, rows, (full.labels[rows] == 1).astype(np.int8))


def _from_list(sample: SampleFiles, features: Features, ids: Sequence[int]) -> TrainingRows:
    names, classes = held = _list_of(sample)
    if other := set(classes) ^ set(ids):
        raise DatasetError(
            f"has other classes than the first sample: class id {min(other)} is in one of them",
            where=sample.main,
            expected=f"the same {len(ids)} classes in all samples",
        )
    labels = one_hot(np.array(classes), ids)
    if "index" not in sample.files:  # those of the 2019 scripts
        return TrainingRows(sample.size.k, _rows_by_name(sample, features, names), labels)
    index = read_index(sample.folder / sample.files["index"])
    drawn = [(row, c.id) for c in index.classes for row in c.positives]
    images = [(index.images or {}).get(row, "") for row, _ in drawn]
    possible = all(0 <= row < index.rows for row, _ in drawn)
    if not possible or held != (images, [label for _, label in drawn]):
        raise DatasetError(
            "its index file lists other images",
            where=sample.main,
            expected="what the run wrote",
            remedy="Draw the samples again; lowshot verify says what else is wrong.",
        )
    rows = np.array([row for row, _ in drawn], np.intp)
    if index.rows != len(features.rows):
        rows = _rows_by_name(sample, features, images)
    else:
        refuse_other_images(features, (index.images or {}).items(), sample.main)
    return TrainingRows(sample.size.k, rows, labels)


def _rows_by_name(
    sample: SampleFiles, features: Features, drawn: Sequence[str]
) -> NDArray[np.intp]:
    """Find the drawn images in the list that the features were made of."""
    place = features.row_of_image
    if place is None:
        raise ArrayError(
            f"has {len(features.rows):,} rows; which of them {sample.main} holds is not known",
            where=features.path,
            expected="features of all images that it was drawn from, or by `evaluate features` of "
            "a list that is still there",
        )
    if missing := [name for name in drawn if name not in place]:
        raise ArrayError(
            f"has {len(features.rows):,} rows, and {len(missing):,} of the images of "
            f"{sample.main}, such as {missing[0]!r}, are not in the list that it was made of",
            where=features.path,
            remedy="Make features of one list that holds the images of all samples "
            "(docs/evaluate.md shows how).",
        )
    return np.array([place[name] for name in drawn], np.intp)
