"""Bad input to the jigsaw commands: one line that helps, nothing written, nothing run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep.errors import SslprepError
from sslprep.jigsaw.generate import generate_permutations
from sslprep.jigsaw.stats import permutation_stats


class Bomb:
    """Unpickling this leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("BOOM",)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(call: Callable[[], object]) -> str:
    """Return the error's one line; nothing may have been written or unpickled."""
    with pytest.raises(SslprepError) as error:
        call()
    assert not Path("out").exists()
    assert not Path("BOOM").exists()
    text = str(error.value)
    assert "\n" not in text
    return text


PARAMETERS = {
    "n = 0": ({"n": 0}, "--n is 0; expected a whole number, 1 or more"),
    "n negative": ({"n": -5}, "--n is -5; expected a whole number, 1 or more"),
    "n beyond any task": ({"n": 10**30}, f"--n is {10**30}; expected a whole number"),
    "m = 1": ({"n": 1, "m": 1}, "--m is 1; expected a whole number, 2 or more and at most 255"),
    "m negative": ({"n": 1, "m": -9}, "--m is -9; expected a whole number, 2 or more"),
    "m = 256": ({"m": 256, "method": "max_avg"}, "--m is 256; expected a whole number"),
    "grid without x": ({"grid": "9"}, "--grid is 9; expected rows x columns, such as 3x4"),
    "grid of one tile": ({"grid": "1x1"}, "--grid is 1x1; expected rows x columns"),
    "grid too large": ({"grid": "16x16"}, "--grid is 16x16; expected rows x columns"),
    "grid of other digits": ({"grid": "³x4"}, "--grid is ³x4; expected rows x columns"),
    "grid against m": (
        {"grid": "3x4", "m": 9},
        "--grid 3x4 has 12 tiles, --m is 9; expected one of the two, or both alike",
    ),
    "more than there are": (
        {"n": 25, "m": 4},
        "there are only 24 permutations of 4 tiles, N = 25 asked for. "
        "Ask for fewer permutations, or cut the image into more tiles.",
    ),
    "negative seed": ({"seed": -1}, "--seed is -1; expected a whole number, 0 or more"),
    "code for a grid without": (
        {"m": 10, "n": 2000},
        "the codes for 10 tiles end at N = 1440, got N = 2000. "
        "Use --method max_min_avg, max_min or max_avg, which works at this size.",
    ),
    "code beyond its size": (
        {"m": 16, "n": 50_000},
        "the codes for 16 tiles end at N = 40320, got N = 50000. "
        "Use --method max_avg, which works at this size.",
    ),
    "max_min of 16 tiles": (
        {"m": 16, "method": "max_min"},
        "max_min compares all M! candidates, too many for M = 16 tiles; expected M at most 10. "
        "Use --method max_avg, which works for any M, or --method code.",
    ),
    "max_min_avg of 35 tiles": (
        {"m": 35, "method": "max_min_avg"},
        "max_min_avg compares all M! candidates, too many for M = 35 tiles; expected M at most 10. "
        "Use --method max_avg, which works for any M.",
    ),
    "reference ties of 16 tiles": (
        {"m": 16, "method": "max_avg", "ties": "reference"},
        "--ties reference adds up rounding errors of all M! candidates, too many for M = 16; "
        "expected M at most 10. Use --ties random or --ties lexicographic.",
    ),
    "first counts from 1": (
        {"first": tuple(range(1, 10))},
        "the first permutation 1,2,3,4,5,6,7,8,9 is none of 0…8; expected each of 0…8 once. "
        "It counts from 1; subtract 1 from each entry.",
    ),
    "first too short": ({"first": (0, 1)}, "the first permutation 0,1 is none of 0…8"),
    "first repeats": (
        {"first": (0, 0, 2, 3, 4, 5, 6, 7, 8), "method": "max_min"},
        "the first permutation 0,0,2,3,4,5,6,7,8 is none of 0…8; expected each of 0…8 once",
    ),
    "first empty": ({"first": ()}, "--first is ()"),
    "first of words": ({"first": ("identity", 1)}, "the first permutation identity,1 is none of"),
    "first beyond a byte": ({"first": (256, *range(1, 9))}, "the first permutation 256,"),
    "min_distance that no set has": (
        {"n": 2000, "min_distance": 6},
        "no 2000 permutations of 9 tiles have minimum distance 6; expected at most 5: at most "
        "1962 permutations of 9 tiles are pairwise 6 apart (linear programming bound: "
        "Tarnanen 1999). Lower --min-distance, or ask for fewer permutations.",
    ),
    "min_distance beyond m": (
        {"n": 1, "min_distance": 10},
        "--min-distance is 10; expected 0 to M",
    ),
    "min_distance negative": (
        {"min_distance": -1},
        "--min-distance is -1; expected a whole number, 0 or more",
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_impossible_requests_say_what_would_work(name: str) -> None:
    options, text = PARAMETERS[name]
    assert refused(lambda: generate_permutations(Path("out"), **options)).startswith(text)


def test_output_folder_that_is_a_file() -> None:
    Path("out2").write_text("")
    with pytest.raises(SslprepError, match="out2"):
        generate_permutations(Path("out2"), n=9)
    assert Path("out2").read_text() == ""


GOOD = np.array([[0, 1, 2], [2, 0, 1]])
ARRAYS = {
    "value twice": ([[0, 1, 2], [0, 0, 2]], "row 1: 0 0 2; expected each of 0…2 once"),
    "bases mixed": ([[0, 1, 2], [1, 2, 3]], "row 1: 1 2 3; expected each of 0…2 once"),
    "counts from 2": ([[2, 3, 4]], "row 0: 2 3 4; expected each of 0…2 once"),
    "negative": ([[0, -1, 1]], "row 0: 0 -1 1"),
    "equal modulo 256": ([[0, 257, 2]], "row 0: 0 257 2"),
    "largest unsigned": (
        np.array([[0, 1, 2**64 - 1]], np.uint64),
        "row 0: 0 1 1844674407370955161",
    ),
    "many bad rows": (np.zeros((9, 3), int), "row 4: 0 0 0 and 4 more"),
    "one column": ([[0], [0]], "has shape (2, 1); expected (N, M), N ≥ 1 and 2 ≤ M ≤ 255"),
    "no rows": (np.zeros((0, 9), int), "has shape (0, 9)"),
    "no columns": (np.zeros((9, 0), int), "has shape (9, 0)"),
    "too many columns": (np.arange(256)[None], "has shape (1, 256)"),
    "flat": (np.arange(9), "got shape (9,)"),
    "three axes": (GOOD[None], "got shape (1, 2, 3)"),
    "floats": (GOOD.astype(float), "got dtype float64"),
    "booleans": (np.eye(2, dtype=bool), "got dtype bool"),
    "strings": (GOOD.astype("U1"), "got dtype <U1"),
    "complex": (GOOD.astype(complex), "got dtype complex128"),
    "records": (np.zeros(3, dtype=[("a", "i8")]), "got dtype"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_files_that_hold_no_permutations_say_where(name: str) -> None:
    rows, text = ARRAYS[name]
    np.save("set.npy", rows)
    line = refused(lambda: permutation_stats(Path("set.npy"), plot=Path("out/set.svg")))
    assert line.startswith("set.npy: ")
    assert text in line


def test_object_array_is_never_unpickled() -> None:
    np.save("set.npy", np.array([[Bomb()] * 3], dtype=object), allow_pickle=True)
    assert "Python objects" in refused(lambda: permutation_stats(Path("set.npy")))


def test_truncated_file() -> None:
    np.save("set.npy", GOOD)
    data = Path("set.npy").read_bytes()
    for length in (0, 5, 20, len(data) - 1):
        Path("set.npy").write_bytes(data[:length])
        refused(lambda: permutation_stats(Path("set.npy")))


def test_header_that_promises_more_than_the_file_holds() -> None:
    np.save("set.npy", GOOD)
    data = Path("set.npy").read_bytes()
    Path("set.npy").write_bytes(data.replace(b"(2, 3), }         ", b"(2000000000, 3), }"))
    assert "truncated" in refused(lambda: permutation_stats(Path("set.npy")))


def test_missing_file_and_folder_in_its_place() -> None:
    assert "no such file" in refused(lambda: permutation_stats(Path("none.npy")))
    Path("folder.npy").mkdir()
    assert "folder.npy" in refused(lambda: permutation_stats(Path("folder.npy")))


def test_plot_does_not_leave_the_drawing_to_a_file_name() -> None:
    """A name with markup in it is shown as text."""
    np.save("<script>.npy", GOOD)
    found = permutation_stats(Path("<script>.npy"), plot=Path("plot.svg"))
    assert "<script>" not in found.written[0].read_text()
