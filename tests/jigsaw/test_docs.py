"""Every number in docs/jigsaw.md, made again."""

import re
from pathlib import Path

import numpy as np
import pytest

from sslprep.jigsaw import codes, greedy
from sslprep.jigsaw.bounds import largest_minimum, largest_size
from sslprep.jigsaw.codes import codes_for
from sslprep.jigsaw.distances import measure
from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.generate import choose, generate_permutations
from sslprep.jigsaw.stats import permutation_stats

TEXT = (Path(__file__).parents[2] / "docs" / "jigsaw.md").read_text(encoding="utf-8")
GRIDS = {4: "2 × 2", 6: "2 × 3", 8: "2 × 4", 9: "3 × 3", 10: "2 × 5", 12: "3 × 4", 14: "2 × 7",
         15: "3 × 5", 16: "4 × 4", 18: "3 × 6", 20: "4 × 5", 24: "4 × 6", 25: "5 × 5",
         36: "6 × 6"}  # fmt: skip
SHOWN = (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 25, 36)


def code_rows(m):
    """One line per code: the sizes for which it is proven optimal, and why."""
    for i, code in enumerate(codes_for(m)):
        before = codes_for(m)[i - 1].size if i else 1
        start = 2 if code.distance == m else largest_size(m, code.distance + 1) + 1
        start = max(start, before + 1)
        proven, why = "open", f"at most {largest_minimum(code.size, m).value}"
        if start <= code.size:
            proven = f"{start}…{code.size}" if start < code.size else str(start)
            reason = largest_minimum(start, m).reason
            found = re.search(r"\((.*): (.*)\)$", reason)
            why = "no more than M" if found is None else found[1]
            if found is not None and "sphere" in found[2]:
                why += ", spheres"
        tiles = f"{m} ({GRIDS[m]})" if m in GRIDS else str(m)
        yield f"| {tiles} | {code.size} | {code.distance} | {code.name} | {proven} | {why} |"


@pytest.mark.parametrize("m", SHOWN)
def test_table_of_codes(m):
    for line in code_rows(m):
        assert line in TEXT


def quality(rows):
    found = measure(rows)
    twos = f" ({found.histogram[2]})" if found.minimum == 2 else ""
    return f"{found.minimum}, {found.mean:.4f}{twos}"


@pytest.mark.parametrize("n", [100, 701, 2000])
def test_table_of_methods(n):
    cells = [
        quality(choose(n, 9, "max_min_avg", Draws(0))),
        quality(choose(n, 9, "max_min", Draws(0))),
        quality(choose(n, 9, "max_avg", Draws(0))),
        quality(choose(n, 9, "max_avg", Draws(0), ties="reference")),
    ]
    assert f"{best_cells(n)} | {' | '.join(cells)} |" in TEXT


def best_cells(n):
    found = measure(codes.generate(n, 9, Draws(0)))
    bound = f"{found.minimum_bound.value}, {found.mean_bound:.4f}"
    return f"| {n} | {bound} | **{quality(codes.generate(n, 9, Draws(0)))}**"


@pytest.mark.parametrize("n", [5000, 10000])
def test_table_of_methods_for_large_sets(n):
    assert best_cells(n) in TEXT


def test_console_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in ({"n": 2000}, {"n": 2000, "grid": "3x4"}):
        assert generate_permutations(Path("perms"), **options).text() in TEXT
    first = (1, 3, 6, 4, 2, 0, 8, 5, 7)
    made = generate_permutations(
        Path("perms"), n=100, method="max_avg", ties="reference", first=first
    )
    made.written[0].rename("published.npy")
    shown = permutation_stats(Path("published.npy")).text().splitlines()[:7]
    assert "\n".join(shown) in TEXT


def test_limits_of_nine_tiles():
    for distance, size in ((6, 1962), (5, 7128), (4, 32989)):
        assert largest_size(9, distance) == size
        assert f"{size:,} members at distance {distance}" in TEXT


def test_sizes_of_the_listing():
    table = greedy.Listing(9)
    heads, tails = table.shape
    sets = table.set_of_head.max() + 1
    assert (heads, tails, sets) == (3024, 120, 126)
    for number in (len(table), heads, sets, tails):
        assert f"{number:,}" in TEXT


def test_content_hash_as_shown():
    rows = codes.generate(100, 9, Draws(0))
    assert 'hashlib.sha256(rows.astype("uint8").tobytes()).hexdigest()' in TEXT
    assert rows.dtype == np.uint8
