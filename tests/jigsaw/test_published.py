"""Names of sets: a paper can cite them, and anyone can make them again."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from sslprep.jigsaw import codes, greedy
from sslprep.jigsaw.distances import content_hash, measure
from sslprep.jigsaw.draws import Draws
from sslprep.jigsaw.generate import generate_permutations
from sslprep.jigsaw.stats import permutation_stats, recognise

DOCS = Path(__file__).parents[2] / "docs" / "jigsaw.md"
FIRST_OF_2019 = np.array([1, 3, 6, 4, 2, 0, 8, 5, 7], dtype=np.uint8)
CANONICAL = {
    100: "b3e7e80acaea504235eb2d2457aaccc4d2f8e4ed3993b94c9cd55487ced70dd7",
    701: "f89bc5c29535285feb55308204faf0e11989731063cc9968325a484557407271",
    1000: "680988ee42ab6a36740b7af06df6103f112d1a9dc3a79968116b093b5714e450",
    2000: "87a3700b53dbe0c589b34bac96a7abc638c3d77858826737aa80ae1a0d11f210",
    5000: "7c0bcec792a1a203331e09075d6a6c40848d0bf7fc22cbfcfbc23dbea80c02eb",
    10000: "0f5a04b912b9a1b2c6f99b77ec060be179c646b21522ddb1691e72c492e511e7",
}
"""Never to change: papers name these sets."""

OTHER_GRIDS = {
    (4, 24): "91e8d0a9f934102d",
    (5, 60): "a9261b32571ac0c9",
    (6, 120): "b494c018fc61c796",
    (7, 168): "a9b9cb2caf112886",
    (8, 336): "b1e6efb180a2dc5f",
    (10, 720): "9ff522b34b9748f4",
    (11, 1000): "6e359b5648327184",
    (12, 1000): "021c15d2544c5e53",
    (12, 2000): "75a6df1489d6e3e8",
    (12, 10000): "68466b6d1c13d15f",
    (13, 156): "c085abbef8adde22",
    (14, 1000): "72b3445b412b0870",
    (15, 1000): "bd5c8545b9648687",
    (16, 240): "c5528f06a48d518f",
    (16, 2000): "4edad9da5495e2b6",
    (20, 1000): "3f58fbf8057e9870",
    (24, 1000): "bc67f69f2c6a0530",
    (25, 600): "c182833f173c4e91",
    (25, 1000): "84c2f30c2ab1afa4",
    (25, 2000): "3062b30997ede1ba",
    (36, 1000): "f1eca3ef5ba3cb2e",
    (64, 1000): "b38d613f40804a9a",
}
"""Beginnings of content hashes by (M, N)."""


@pytest.mark.parametrize("n", CANONICAL)
def test_canonical_sets_are_forever_the_same(n):
    rows = codes.generate(n, 9, Draws(0))
    assert content_hash(rows) == CANONICAL[n]
    assert measure(rows).name == f"jigsaw-9-{n}-{CANONICAL[n][:8]}"
    assert f"jigsaw generate --n {n} --m 9" in recognise(rows)


@pytest.mark.parametrize(("m", "n"), OTHER_GRIDS)
def test_canonical_sets_of_other_grids_are_forever_the_same(m, n):
    assert content_hash(codes.generate(n, m, Draws(0))).startswith(OTHER_GRIDS[m, n])


def test_table_of_the_docs_names_them():
    found = dict(re.findall(r"^\| (\d+) \| `jigsaw-9-\d+-[0-9a-f]{8}` \| `(\w{64})`", *text()))
    assert {int(n): digest for n, digest in found.items()} == CANONICAL


def text():
    return DOCS.read_text(encoding="utf-8"), re.MULTILINE


def test_content_hash_is_what_the_docs_say():
    rows = codes.generate(100, 9, Draws(0))
    assert content_hash(rows) == hashlib.sha256(rows.astype("u1").tobytes()).hexdigest()
    assert content_hash(np.asfortranarray(rows)) == content_hash(rows)


def test_set_of_2019_comes_out_of_its_first_row_and_is_recognised(tmp_path):
    made = generate_permutations(
        tmp_path, method="max_avg", ties="reference", first=FIRST_OF_2019, n=100
    )
    assert made.content_sha256[:8] == "ccce8f5d"
    found = permutation_stats(made.written[0])
    assert found.recognised == "the set of 100 published with the benchmark of 2019"
    assert found.identity == 1
    counted_from_one = tmp_path / "one.npy"
    np.save(counted_from_one, np.load(made.written[0]).astype("i2") + 1)
    assert permutation_stats(counted_from_one).recognised == found.recognised
    assert f"recognised: {found.recognised}" in found.text()


@pytest.mark.parametrize(
    ("chooser", "method"),
    [
        (greedy.max_avg_in_floats, "max_avg --ties reference"),
        (greedy.max_min, "max_min"),
        (greedy.max_min_avg, "max_min_avg"),
    ],
)
def test_greedy_sets_are_known_by_how_they_begin(chooser, method):
    rows = chooser(60, FIRST_OF_2019)
    assert f"--method {method} --first 1,3,6" in recognise(rows)
    rows[20] = rows[20][::-1]
    assert recognise(rows) is None


def test_other_sets_are_not_recognised():
    square = greedy.max_min(9, FIRST_OF_2019)  # which every method begins with
    assert recognise(square) is None
    assert recognise(codes.generate(100, 9, Draws(1))) is None
    assert recognise(FIRST_OF_2019[None]) is None
    assert recognise(np.array([[0, 1], [0, 1], [1, 0]], dtype=np.uint8)) is None
