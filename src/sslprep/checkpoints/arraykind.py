"""Say what a plain `.npy` array is, from its shape, type and values: labels, permutations, bins.

Everything is read in blocks through a memory map, so the size of the array does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20
_MAX_CLASSES = 1 << 20
_MAX_COMPARED = 3000


def describe_array(array: NDArray[Any]) -> tuple[str, dict[str, object]]:
    """Return what an array is in a few words, and facts about it.

    Args:
        array: Any plain array.

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
        low, high = _range(array)
        if array.ndim == 2 and low >= -1 and high <= 1:
            return "label matrix (1 present, 0 absent, -1 ignored)", _matrix(array)
        if array.shape == (256, 256) and low >= 0:
            return "histogram of a and b", _histogram(array)
        if array.ndim == 1 and low >= 0 and high < _MAX_CLASSES:
            return "class ids, one an image", _class_ids(array, high)
    if array.dtype.kind == "f":
        if array.ndim == 2 and array.shape[1] == 2 and array.shape[0] <= _MAX_CLASSES:
            return "points in a plane (colour bins: a, b)", _points(array)
        if array.ndim == 1 and array.size <= _MAX_CLASSES and _sums_to_one(array):
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


def _range(array: NDArray[Any]) -> tuple[int, int]:
    pairs = [(block.min(), block.max()) for block in _blocks(array)]
    return int(min(low for low, _ in pairs)), int(max(high for _, high in pairs))


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
    if length < 2:
        return None
    base = int(array[0].min())
    if base not in (0, 1):
        return None
    order = np.arange(base, base + length)
    if any((np.sort(block, axis=1) != order).any() for block in _blocks(array)):
        return None
    facts: dict[str, object] = {"permutations": count, "tiles": length, "first tile": base}
    if count > 1:
        tables = [np.bincount(array[:, i] - base, minlength=length) for i in range(length)]
        agreeing = sum(int((table * (table - 1) // 2).sum()) for table in tables)
        facts["mean distance"] = round(length - agreeing / math.comb(count, 2), 4)
        if count <= _MAX_COMPARED:
            facts["smallest distance"] = _smallest_distance(array)
    return facts


def _smallest_distance(array: NDArray[Any]) -> int:
    columns = array.astype(np.uint8 if array.shape[1] < 255 else array.dtype).T.copy()
    smallest = int(array.shape[1])
    for i in range(array.shape[0] - 1):
        agreements = np.zeros(array.shape[0] - 1 - i, np.int32)
        for column in columns:
            agreements += column[i + 1 :] == column[i]
        smallest = min(smallest, int(array.shape[1]) - int(agreements.max()))
    return smallest


def _matrix(array: NDArray[Any]) -> dict[str, object]:
    positives = np.zeros(array.shape[1], np.int64)
    negatives = np.zeros(array.shape[1], np.int64)
    for block in _blocks(array):
        positives += (block == 1).sum(axis=0)
        negatives += (block == 0).sum(axis=0)
    return {
        "images": array.shape[0],
        "classes": array.shape[1],
        "positives of a class": _span(positives),
        "negatives of a class": _span(negatives),
        "ignored": int(array.size - positives.sum() - negatives.sum()),
    }


def _span(counts: NDArray[np.int64]) -> str:
    if not counts.size:
        return "none"
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _class_ids(array: NDArray[Any], high: int) -> dict[str, object]:
    counts = np.zeros(high + 1, np.int64)
    for block in _blocks(array):
        counts += np.bincount(block.astype(np.int64), minlength=high + 1)
    return {
        "images": array.size,
        "classes": int((counts > 0).sum()),
        "largest id": high,
        "images of a class": _span(counts[counts > 0]),
    }


def _histogram(array: NDArray[Any]) -> dict[str, object]:
    return {"pixels": int(array.sum(dtype=np.uint64)), "colours present": int((array > 0).sum())}


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


def _sums_to_one(array: NDArray[Any]) -> bool:
    return bool(array.min() >= 0) and math.isclose(float(array.sum()), 1.0, abs_tol=1e-4)


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
