"""Say what a plain `.npy` array is, from its shape, type and values: labels, permutations, bins.

What is measured of permutations and labels is measured by the packages that make them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.distances import MAX_TILES, counts_table, mean_distance, measure
from sslprep.partition.write import images_per_class

_MAX_CLASSES = 1 << 20
_MAX_COMPARED = 20_000
_BLOCK = 1 << 20


def describe_array(array: NDArray[Any]) -> tuple[str, dict[str, object]]:
    """Return what any plain array is in a few words, and facts about it.

    Example:
        >>> describe_array(np.array([[0, 1, 2], [2, 1, 0]]))[0]
        'permutation set'
        >>> describe_array(np.array([[1, -1], [0, 1]], np.int32))[0]
        'label matrix (1 present, 0 absent, -1 ignored)'
    """
    if array.dtype.kind in "US":
        return _strings(array)
    if array.size == 0:
        return "empty array", {}
    if array.dtype.kind in "iu":
        if array.ndim == 2 and (found := _permutations(array)) is not None:
            return "permutation set", found
        low, high = int(array.min()), int(array.max())
        if array.ndim == 2 and low >= -1 and high <= 1:
            return "label matrix (1 present, 0 absent, -1 ignored)", _matrix(array)
        if array.shape == (256, 256) and low >= 0:
            pixels, present = int(array.sum(dtype=np.uint64)), int((array > 0).sum())
            return "histogram of a and b", {"pixels": pixels, "colours present": present}
        if array.ndim == 1 and low >= 0 and high < _MAX_CLASSES:
            return "class ids, one an image", _class_ids(array)
    if array.dtype.kind == "f":
        if array.ndim == 2 and array.shape[1] == 2 and array.shape[0] <= _MAX_CLASSES:
            return "points in a plane (colour bins: a, b)", _points(array)
        few = array.ndim == 1 and array.size <= _MAX_CLASSES and array.min() >= 0
        if few and math.isclose(float(array.sum()), 1.0, abs_tol=1e-4):
            return "probabilities (priors)", _probabilities(array)
    return "array", _numbers(array)


def _strings(array: NDArray[Any]) -> tuple[str, dict[str, object]]:
    facts: dict[str, object] = {"count": array.size}
    if array.size:
        ends = (array.flat[0], array.flat[-1])
        first, last = (v.decode("latin1") if isinstance(v, bytes) else str(v) for v in ends)
        facts |= {"longest": int(np.strings.str_len(array).max()), "first": first, "last": last}
    return ("list of images" if array.ndim == 1 else "strings"), facts


def _permutations(array: NDArray[Any]) -> dict[str, object] | None:
    """Return facts when every row is a permutation of 0…M-1 or 1…M."""
    count, length = array.shape
    if not 2 <= length <= MAX_TILES:
        return None
    order = np.sort(array[0])
    base = int(order[0])
    if base not in (0, 1) or (order != np.arange(base, base + length)).any():
        return None  # as of labels, of which no sorted copy is made then
    if (np.sort(array, axis=1) != order).any():
        return None
    facts: dict[str, object] = {"permutations": count, "tiles": length, "first tile": base}
    rows = (np.asarray(array) - base).astype(np.uint8)
    mean = mean_distance(counts_table(rows))
    smallest = measure(rows).minimum if count <= _MAX_COMPARED else None
    if mean is not None:
        facts["mean distance"] = round(float(mean), 4)
    if smallest is not None:
        facts["smallest distance"] = smallest
    return facts


def _matrix(array: NDArray[Any]) -> dict[str, object]:
    present, ignored = images_per_class(array, ())
    return {
        "images": array.shape[0],
        "classes": array.shape[1],
        "positives of a class": _span(present),
        "negatives of a class": _span(array.shape[0] - present - ignored),
        "ignored": int(ignored.sum()),
    }


def _span(counts: NDArray[np.int64]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _class_ids(array: NDArray[Any]) -> dict[str, object]:
    ids, counts = np.unique(array, return_counts=True)
    return {
        "images": array.size,
        "classes": len(ids),
        "largest id": int(ids[-1]),
        "images of a class": _span(counts),
    }


def _points(array: NDArray[Any]) -> dict[str, object]:
    low, high = array.min(axis=0), array.max(axis=0)
    facts: dict[str, object] = {
        "points": array.shape[0],
        "first axis": f"{low[0]:g} to {high[0]:g}",
        "second axis": f"{low[1]:g} to {high[1]:g}",
    }
    steps = np.diff(np.unique(array))
    if steps.size:
        facts["spacing"] = f"{steps.min():g}"
    return facts


def _probabilities(array: NDArray[Any]) -> dict[str, object]:
    present = array[array > 0].astype(np.float64)
    return {
        "count": array.size,
        "sum": float(array.sum()),
        "smallest": float(array.min()),
        "largest": float(array.max()),
        "entropy in bits": round(float(-(present * np.log2(present)).sum()), 4),
    }


def _numbers(array: NDArray[Any]) -> dict[str, object]:
    flat = array.ravel(order="K")  # a view; of a mapped array one block at a time is in memory
    lows, highs, total, count = [], [], 0.0, 0
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        finite = block[np.isfinite(block)]
        if finite.size:
            lows.append(finite.min())
            highs.append(finite.max())
            with np.errstate(over="ignore"):
                total += float(finite.sum(dtype=np.float64))
            count += finite.size
    facts: dict[str, object] = {}
    if count:
        facts = {"smallest": min(lows).item(), "largest": max(highs).item(), "mean": total / count}
    if count < array.size:
        facts["NaN or infinite"] = array.size - count
    return facts
