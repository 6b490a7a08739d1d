"""Find the proofs behind the linear-programming bounds: writes certificates.json beside this file.

    python tests/jigsaw/make_certificates.py     # needs scipy; a few seconds

A certificate for (M, d) gives a whole number a ≥ 0 to irreducible characters χ of S_M other than
the trivial one (by partition of M), such that f = Σ a·χ is at most -w < 0 on every class of
permutations that move d points or more. For a set C with minimum distance d, Σ χ(x⁻¹y) over all
pairs x, y of C is at least 0 for each χ, so

    0 ≤ Σ f(x⁻¹y) ≤ |C|·f(1) - |C|(|C| - 1)·w,   hence   |C| ≤ 1 + f(1) / w.

This is weak duality; `test_bounds.py` checks each certificate in integers, without this program.
"""

import json
import math
from functools import cache
from pathlib import Path

from sslprep.jigsaw.bounds import _BY_LINEAR_PROGRAMMING

FILE = Path(__file__).with_name("certificates.json")


def partitions(n, largest=None):
    if n == 0:
        yield ()
    for part in range(min(n, largest or n), 0, -1):
        for rest in partitions(n - part, part):
            yield (part, *rest)


@cache
def character(shape, cycles):
    """Character of S_n by the rule of Murnaghan and Nakayama, on beta numbers."""
    if not cycles:
        return 1
    beta = [part + len(shape) - 1 - i for i, part in enumerate(shape)]
    total = 0
    for b in beta:
        moved = b - cycles[0]
        if moved >= 0 and moved not in beta:
            height = sum(moved < x < b for x in beta)
            fresh = sorted({*beta} - {b} | {moved}, reverse=True)
            rest = tuple(x - (len(shape) - 1 - i) for i, x in enumerate(fresh))
            total += (-1) ** height * character(rest, cycles[1:])
    return total


def bound_of(m, distance, weights):
    """Return the bound that weights prove, in integers; None if they prove none."""
    shapes = {tuple(map(int, text.split())): a for text, a in weights.items()}
    if (m,) in shapes or min(shapes.values()) < 0 or any(sum(s) != m for s in shapes):
        return None
    far = [c for c in partitions(m) if m - c.count(1) >= distance]
    worst = max(sum(a * character(s, c) for s, a in shapes.items()) for c in far)
    at_one = sum(a * character(s, (1,) * m) for s, a in shapes.items())
    return 1 + at_one // -worst if worst < 0 else None


def find(m, distance, size):
    """Solve the program in floating point and round until the bound holds in integers."""
    import numpy as np
    from scipy.optimize import linprog

    shapes = [s for s in partitions(m) if s != (m,)]
    degrees = {s: character(s, (1,) * m) for s in shapes}
    far = [c for c in partitions(m) if m - c.count(1) >= distance]
    table = [[character(s, c) / degrees[s] for s in shapes] for c in far]
    answer = linprog(np.ones(len(shapes)), A_ub=np.array(table), b_ub=-np.ones(len(far)))
    assert answer.success
    for digits in range(1, 16):
        weights = {
            " ".join(map(str, s)): round(y * max(degrees.values()) * 10**digits / degrees[s])
            for s, y in zip(shapes, answer.x, strict=True)
        }
        weights = {s: a for s, a in weights.items() if a > 0}
        if bound_of(m, distance, weights) == size:
            common = math.gcd(*weights.values())
            return {s: a // common for s, a in weights.items()}
    raise ValueError(f"no certificate of {size} for M = {m}, distance {distance}")


if __name__ == "__main__":
    found = {f"{m} {d}": find(m, d, size) for (m, d), size in _BY_LINEAR_PROGRAMMING.items()}
    FILE.write_text(json.dumps(found, indent=1) + "\n")
