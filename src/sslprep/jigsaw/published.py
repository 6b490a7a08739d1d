"""Names of permutation sets, so that a paper can say which one it used."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from sslprep.jigsaw import codes, greedy
from sslprep.jigsaw.distances import Permutations
from sslprep.jigsaw.draws import Draws

PUBLISHED = {
    "ccce8f5d3afd9f6637b622591cb1b10e09efd3613c5c67608a501982b54d9706": (
        "the set of 100 published with the benchmark of 2019"
    ),
}
"""Sets of others, by content hash."""

_COMPARED = 30
"""First rows by which a greedy set is recognised: three Latin squares and more."""


def content_hash(permutations: Permutations) -> str:
    """Return the SHA-256 of a set: of its rows, counted from 0, one byte an entry.

    The same for every dtype and for files that count from 1.

    Example:
        >>> content_hash(np.array([[0, 1, 2], [1, 2, 0]], dtype=np.uint8))[:8]
        'a3cef909'
    """
    return hashlib.sha256(np.ascontiguousarray(permutations).tobytes()).hexdigest()


def set_name(permutations: Permutations) -> str:
    """Return the name for a paper: tiles, size, and the beginning of the content hash.

    Example:
        >>> set_name(np.array([[0, 1, 2], [1, 2, 0]], dtype=np.uint8))
        'jigsaw-3-2-a3cef909'
    """
    n, m = permutations.shape
    return f"jigsaw-{m}-{n}-{content_hash(permutations)[:8]}"


def recognise(permutations: Permutations) -> str | None:
    """Say which known set this is, or by which greedy method it begins; None for any other.

    Example:
        >>> recognise(codes.generate(100, 9, Draws(0)))
        'the canonical set of `jigsaw generate --n 100 --m 9`'
    """
    n, m = permutations.shape
    if (known := PUBLISHED.get(content_hash(permutations))) is not None:
        return known
    code = codes.best(n, m)
    if code is not None and np.array_equal(codes.generate(n, m, Draws(0)), permutations):
        return f"the canonical set of `jigsaw generate --n {n} --m {m}`"
    if m > 9 or not m < n <= math.factorial(m):
        return None
    begin = permutations[:_COMPARED]
    for chooser, flags in (
        (greedy.max_avg_in_floats, "max_avg --ties reference"),
        (greedy.max_min, "max_min"),
        (greedy.max_min_avg, "max_min_avg"),
    ):
        if np.array_equal(chooser(len(begin), begin[0]), begin):
            first = ",".join(map(str, begin[0]))
            return f"its first {len(begin)} rows are those of --method {flags} --first {first}"
    return None
