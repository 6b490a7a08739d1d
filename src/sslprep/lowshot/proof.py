"""What must be true of a sample, each claim checked on arrays; a broken one is a sentence."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.lowshot.shots import Shot

Pair = tuple[str, int]

_SHOWN = 5


def matrix_counts(matrix: NDArray[np.int8], k: int) -> list[str]:
    """Check that every class has exactly k positives and (classes - 1)·k negatives.

    Args:
        matrix: (rows, classes) sample of 1, 0 and -1.
        k: What the file's name says.

    Example:
        >>> matrix_counts(np.array([[1, 0], [0, 1], [-1, 1]], np.int8), 1)
        ['class 1 has 2 positives; expected 1']
    """
    others = matrix.shape[1] - 1
    texts = []
    for what, value, wanted in (("positives", 1, k), ("negatives", 0, others * k)):
        counts = np.count_nonzero(matrix == value, axis=0)
        texts += [
            f"class {label} has {counts[label]} {what}; expected {wanted}"
            for label in np.flatnonzero(counts != wanted)
        ]
    return _shorten(texts)


def matrix_subset(matrix: NDArray[np.int8], full: NDArray[np.int8]) -> list[str]:
    """Check that every label of a sample is the label of the full targets, or -1.

    Example:
        >>> matrix_subset(np.array([[1, -1]], np.int8), np.array([[0, 1]], np.int8))
        ['row 0, class 0 is 1, and 0 in the full targets']
    """
    if matrix.shape != full.shape:
        return [f"has shape {matrix.shape}, and the full targets {full.shape}"]
    wrong = np.argwhere((matrix != -1) & (matrix != full))
    return _shorten(
        [
            f"row {row}, class {label} is {matrix[row, label]}, and {full[row, label]} in the "
            "full targets"
            for row, label in wrong
        ]
    )


def list_counts(labels: NDArray[np.int64], shot: Shot, classes: Mapping[int, int]) -> list[str]:
    """Check that a list holds exactly k images (or the fraction) of every class.

    Args:
        labels: Class id of each image of the sample.
        shot: What the file's name says.
        classes: Every class id, and how many images the full targets have of it; 0: unknown.
    """
    found = Counter(labels.tolist())
    texts = [f"holds class {label}, which is none" for label in sorted(found.keys() - classes)]
    for label, total in sorted(classes.items()):
        if not shot.k and not total:
            continue  # a fraction of what is not known
        wanted = shot.count(total)
        if found[label] != wanted:
            texts.append(f"class {label} has {found[label]} images; expected {wanted}")
    return _shorten(texts)


def repeated_images(images: Sequence[str]) -> list[str]:
    """Check that no image is in a list twice."""
    twice = [name for name, count in Counter(images).items() if count > 1]
    return _shorten([f"holds {name} more than once" for name in twice])


def list_subset(pairs: Sequence[Pair], full: Mapping[Pair, int]) -> list[str]:
    """Check that every (image, label) is one of the full lists', and not more often than there.

    Args:
        pairs: The sample.
        full: How often the full lists hold each of its pairs.
    """
    texts = []
    for (image, label), count in Counter(pairs).items():
        has = full.get((image, label), 0)
        if not has:
            texts.append(f"{image} is not an image of class {label} in the full targets")
        elif count > has:
            texts.append(f"holds {image} {count} times, and the full targets {has} times")
    return _shorten(texts)


def count_pairs(
    images: NDArray[np.str_], labels: NDArray[np.int64], wanted: set[str], *, chunk: int = 65536
) -> Counter[Pair]:
    """Count the (image, label) pairs of the full lists whose image is in some sample."""
    counts: Counter[Pair] = Counter()
    for start in range(0, len(images), chunk):
        part = zip(
            images[start : start + chunk].tolist(),
            labels[start : start + chunk].tolist(),
            strict=True,
        )
        counts.update([pair for pair in part if pair[0] in wanted])
    return counts


def fingerprint(*parts: Any) -> str:
    """Hash what a sample holds, so that equal samples are found without keeping them."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else repr(part).encode())
    return digest.hexdigest()


def _shorten(texts: list[str]) -> list[str]:
    if len(texts) <= _SHOWN:
        return texts
    return [*texts[:_SHOWN], f"and {len(texts) - _SHOWN} more like this"]
