"""Say what a plain `.npy` array is, from its shape, type and values: labels, permutations, bins.

What is measured of permutations and labels is measured by the packages that make them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.jigsaw.distances import MAX_TILES, counts_table, mean_distance, measure
from sslprep.partition.write import images_per_class

_BLOCK = 1 << 20
_MAX_CLASSES = 1 << 20
_MAX_COMPARED = 20_000


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


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the array in blocks of whole rows of about a million elements."""
    if array.ndim == 0:
        yield array.reshape(1)
        return
    row = max(1, array.size // max(1, array.shape[0]))
    step = max(1, _BLOCK // row)
    for start in range(0, array.shape[0], step):
        yield np.asarray(array[start : start + step])


def _strings(array: NDArray[Any]) -> tuple[str, dict[str, object]]:
    facts: dict[str, object] = {"count": array.size}
    if array.size:
        facts["longest"] = max(int(np.strings.str_len(block).max()) for block in _blocks(array))
        flat = array.reshape(-1)
        facts["first"], facts["last"] = _text(flat[0]), _text(flat[-1])
    return ("list of images" if array.ndim == 1 else "strings"), facts


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _permutations(array: NDArray[Any]) -> dict[str, object] | None:
    """Return facts when every row is a permutation of 0…M-1 or 1…M."""
    count, length = array.shape
    if not 2 <= length <= MAX_TILES:
        return None
    base = int(array[0].min())
    if base not in (0, 1):
        return None
    order = np.arange(base, base + length)
    if any((np.sort(block, axis=1) != order).any() for block in _blocks(array)):
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
    counted = [images_per_class(block.astype(np.int32), ()) for block in _blocks(array)]
    positives = sum(present for present, _ in counted)
    ignored = sum(ignored for _, ignored in counted)
    return {
        "images": array.shape[0],
        "classes": array.shape[1],
        "positives of a class": _span(np.asarray(positives)),
        "negatives of a class": _span(np.asarray(array.shape[0] - positives - ignored)),
        "ignored": int(np.asarray(ignored).sum()),
    }


def _span(counts: NDArray[np.int64]) -> str:
    if not counts.size:
        return "none"
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
    if array.dtype.kind not in "iufb":
        return {}
    count = bad = 0
    low, high, total = math.inf, -math.inf, 0.0
    for block in _blocks(array):
        good = block[np.isfinite(block)] if array.dtype.kind == "f" else block.reshape(-1)
        bad += block.size - good.size
        if good.size:
            low, high = min(low, good.min().item()), max(high, good.max().item())
            total += float(good.sum(dtype=np.float64))
            count += good.size
    facts: dict[str, object] = {}
    if count:
        facts.update(smallest=low, largest=high, mean=total / count)
    if bad:
        facts["NaN or infinite"] = bad
    return facts
