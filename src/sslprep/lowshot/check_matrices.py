"""Check multi-label samples, and find what they hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import SslprepError
from sslprep.lowshot import multilabel, proof
from sslprep.lowshot.checked import Checked, SampleProof, index_problems, read_index, unreadable
from sslprep.lowshot.found import FoundSample
from sslprep.lowshot.full import Full
from sslprep.lowshot.targets import read_label_matrix


def check_matrix(sample: FoundSample, full: Full | None) -> Checked:
    """Check one target matrix: counts, its JSON and index files, the full targets, the draw."""
    if "targets" not in sample.files and "json" not in sample.files:
        return unreadable(sample, f"{sample.main}: the sample of this index file is missing")
    try:
        read = read_label_matrix(sample.main)
        twin = None
        if {"targets", "json"} <= sample.files.keys():
            twin = read_label_matrix(sample.folder / sample.files["json"])
        listed = read_index(sample)
    except SslprepError as error:
        return unreadable(sample, str(error))
    matrix = read.labels
    problems = proof.matrix_counts(matrix, sample.shot.k)
    if twin is not None and not np.array_equal(twin.labels, matrix):
        problems.append(f"{sample.files['json']} holds other labels")
    positives = [np.flatnonzero(column == 1).tolist() for column in matrix.T]
    negatives = [np.flatnonzero(column == 0).tolist() for column in matrix.T]
    problems += index_problems(sample, listed, positives, negatives)
    subset = redrawn = None
    only_one = False
    if full is not None and full.matrix is not None:
        wrong = proof.matrix_subset(matrix, full.matrix.labels)
        named = (twin or read).images
        if named and full.matrix.images and named != full.matrix.images:
            wrong.append(f"names other images than {full.path}, or in another order")
        subset = not wrong
        problems += wrong
        if subset:
            only_one = not np.any((matrix == -1) & (full.matrix.labels != -1))
            redrawn = _redraws(sample, full, matrix)
        if redrawn is False:
            problems.append("is not what the manifest's seed draws")
    return Checked(
        found=sample,
        content=proof.fingerprint(matrix.shape, matrix.tobytes()),
        only_one=only_one,
        proof=SampleProof(
            file=sample.main,
            size=sample.shot.name,
            sample=sample.sample,
            classes=matrix.shape[1],
            positives=int(np.count_nonzero(matrix == 1)),
            negatives=int(np.count_nonzero(matrix == 0)),
            subset=subset,
            redrawn=redrawn,
            problems=tuple(f"{sample.main}: {text}" for text in problems),
        ),
    )


def _redraws(sample: FoundSample, full: Full, matrix: NDArray[np.int8]) -> bool | None:
    """Draw the sample again by the manifest's seed and compare."""
    rows = full.candidates
    if full.draws is None or rows is None or not sample.listed:
        return None
    if not rows.population.allows(sample.shot):
        return False
    positives, negatives = multilabel.draw_rows(rows, full.draws, sample.shot, sample.sample)
    shape = (len(matrix), len(positives))
    again = multilabel.sample_matrix(shape, positives, negatives)
    return np.array_equal(again, matrix)
