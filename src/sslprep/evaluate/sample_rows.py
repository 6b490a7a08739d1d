"""Which rows of the features the samples of `lowshot` train on, and with which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ArrayError, DatasetError, ParameterError
from sslprep.evaluate.feature_file import Features
from sslprep.evaluate.labels import Columns, Targets, one_hot
from sslprep.evaluate.sample_machines import TrainingRows
from sslprep.lowshot.labels import read_label_matrix
from sslprep.lowshot.sample_files import SampleFiles, find_samples, read_index
from sslprep.npy import read_array


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleSet:
    """The samples of a folder.

    Attributes:
        k_values: The k, ascending.
        numbers: Numbers of the samples.
        rows: What each trains on, by (k, number).
        columns: The classes, as far as the files tell them.
    """

    k_values: list[int]
    numbers: list[int]
    rows: dict[tuple[int, int], TrainingRows]
    columns: Columns


def read_samples(
    folder: Path,
    features: Features,
    inputs: manifest.Inputs,
    *,
    training: Literal["own", "pooled"],
    full: Targets | None,
) -> SampleSet:
    """Read all samples of a folder.

    Args:
        folder: Where `lowshot` (or FAIR's scripts) wrote them.
        features: Features of the images that they were drawn from.
        inputs: Where their files are noted.
        training: The protocol's rows; see `protocols.Protocol.lowshot`.
        full: The full targets, which `pooled` needs.

    Raises:
        DatasetError: No samples, samples of two sets, or some that are missing.
        ArrayError: They do not fit the features.
    """
    found = find_samples(folder)
    sets = [f"{place / stem}" for place, stem in sorted({(s.folder, s.stem) for s in found})]
    if len(sets) != 1:
        several = f"holds samples of {len(sets)} sets: {', '.join(sets)}"
        raise DatasetError(
            several if sets else "holds no low-shot samples",
            where=folder,
            expected="the samples of one set, named like train_targets_sample1_k4.npy",
        )
    whole = [sample for sample in found if sample.size.k]
    if not whole:
        raise DatasetError("holds samples by fractions", where=folder, expected="samples by k")
    k_values = sorted({sample.size.k for sample in whole})
    numbers = sorted({sample.sample for sample in whole})
    by_place = {(sample.size.k, sample.sample): sample for sample in whole}
    if missing := [(k, n) for k in k_values for n in numbers if (k, n) not in by_place]:
        raise DatasetError(
            f"lacks sample {missing[0][1]} of k = {missing[0][0]}",
            where=folder,
            expected=f"samples {', '.join(map(str, numbers))} of every k",
        )
    for sample in whole:
        for name in sample.files.values():
            inputs.add_file(sample.folder / name)
    columns = _columns(whole[0])
    rows = {}
    for place, sample in by_place.items():
        if not sample.multi_label:
            rows[place] = _from_list(sample, features, columns.ids)
        elif training == "own":
            rows[place] = _from_matrix(sample, features)
        else:
            rows[place] = _pooled(_from_matrix(sample, features), full)
    return SampleSet(k_values=k_values, numbers=numbers, rows=rows, columns=columns)


def _columns(sample: SampleFiles) -> Columns:
    """Return the classes, their names from the index file where there is one."""
    listed = []
    if "index" in sample.files:
        listed = read_index(sample.folder / sample.files["index"]).classes
    names = tuple(c.name for c in listed if c.name is not None)
    if not sample.multi_label:
        ids = tuple(c.id for c in listed)
        return Columns(count=len(ids), names=names if len(names) == len(ids) else (), ids=ids)
    matrix = read_label_matrix(sample.main)
    count = matrix.labels.shape[1]
    return Columns(count=count, names=names if len(names) == count else matrix.classes)


def _from_matrix(sample: SampleFiles, features: Features) -> TrainingRows:
    labels = read_label_matrix(sample.main).labels
    if len(labels) != len(features.rows):
        raise ArrayError(
            f"has {len(features.rows):,} rows, and {sample.main} {len(labels):,}",
            where=features.path,
            expected="features of the images that the samples were drawn from, in their order",
        )
    rows = np.flatnonzero((labels != -1).any(axis=1))
    return TrainingRows(k=sample.size.k, rows=rows, labels=labels[rows])


def _pooled(own: TrainingRows, full: Targets | None) -> TrainingRows:
    """Take the positives of all classes together, with all the labels that they have."""
    if full is None:
        raise ParameterError(
            "this protocol trains on all labels of the drawn images",
            expected="--train-targets, the full labels of the training set",
        )
    rows = own.rows[(own.labels == 1).any(axis=1)]
    labels = (full.labels[rows] == 1).astype(np.int8)
    return TrainingRows(k=own.k, rows=rows, labels=labels)


def _from_list(sample: SampleFiles, features: Features, ids: Sequence[int]) -> TrainingRows:
    if "index" not in sample.files:
        raise DatasetError("has no index file beside it", where=sample.main)
    index = read_index(sample.folder / sample.files["index"])
    drawn = [(row, c.id) for c in index.classes for row in c.positives]
    rows = np.array([row for row, _ in drawn], np.intp)
    labels = one_hot(np.array([label for _, label in drawn]), ids)
    if index.rows != len(features.rows):
        rows = _rows_by_name(sample, features, index.rows)
    return TrainingRows(k=sample.size.k, rows=rows, labels=labels)


def _rows_by_name(sample: SampleFiles, features: Features, full: int) -> NDArray[np.intp]:
    """Find the drawn images in the list that the features were made of, where that is a part."""
    problem = f"has {len(features.rows):,} rows, and {sample.main} was drawn from {full:,}"
    if features.image_list is None or "images" not in sample.files:
        raise ArrayError(
            problem, where=features.path, expected="features of the images it was drawn from"
        )
    listed = read_array(features.image_list, ndim=1, kinds="U").tolist()
    place = {name: row for row, name in enumerate(listed)}
    drawn = read_array(sample.folder / sample.files["images"], ndim=1, kinds="U").tolist()
    if missing := [name for name in drawn if name not in place]:
        raise ArrayError(
            f"{problem}; {len(missing):,} of its images, such as {missing[0]!r}, are not among "
            f"those of {features.image_list}",
            where=features.path,
        )
    return np.array([place[name] for name in drawn], np.intp)
