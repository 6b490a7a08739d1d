import hashlib
import json
import math
from fractions import Fraction

import numpy as np
import pytest

from sslprep import manifest
from sslprep.errors import OutputError, ParameterError, PermutationError
from sslprep.jigsaw.bounds import largest_mean
from sslprep.jigsaw.distances import measure
from sslprep.jigsaw.generate import generate_permutations

METHODS = ("code", "max_min", "max_avg", "max_min_avg")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 30])
def test_file_holds_distinct_permutations_and_a_manifest_that_verifies(tmp_path, method, n):
    made = generate_permutations(tmp_path, n=n, method=method)
    name = f"hamming_perms_{n}_patches_9_{method}"
    assert [p.name for p in made.written] == [f"{name}.npy", f"{name}.manifest.json"]
    rows = np.load(made.written[0])
    assert (rows.dtype, rows.shape) == (np.int64, (n, 9))
    assert (np.sort(rows, axis=1) == np.arange(9)).all()
    assert len(np.unique(rows, axis=0)) == n
    assert manifest.verify(folder=tmp_path).ok
    assert made.text().endswith(str(made.written[1]))


def test_manifest_says_what_a_report_needs(tmp_path):
    made = generate_permutations(tmp_path, n=100)
    record = json.loads(made.written[1].read_bytes())
    found = measure(np.load(made.written[0]).astype(np.uint8))
    assert record["kind"] == "permutations"
    assert record["parameters"] == {
        "n": 100, "m": 9, "method": "code", "min_distance": None, "first": None,
        "without_identity": False, "seed": 0,
    }  # fmt: skip
    details = record["details"]
    assert details["code"] == "PGL(2,8)"
    assert details["minimum"] == made.minimum == 7
    assert Fraction(details["mean"]["exact"]) == found.mean_exact == largest_mean(100, 9)
    assert details["mean"]["value"] == made.mean == 8.08
    assert details["name"] == made.name == f"jigsaw-9-100-{made.content_sha256[:8]}"
    assert details["content_sha256"] == made.content_sha256
    assert details["identity"] is None
    assert details["histogram"] == list(found.histogram)
    assert details["bounds"]["minimum"]["value"] == 7
    assert "9!/7!" in details["bounds"]["minimum"]["reason"]
    assert details["bounds"]["mean"]["exact"] == "202/25"
    assert "tile" in details["convention"]


def test_single_permutation_has_no_distances(tmp_path):
    made = generate_permutations(tmp_path, n=1, min_distance=5)
    assert (made.minimum, made.mean, made.minimum_bound, made.mean_bound) == (None,) * 4


@pytest.mark.parametrize("method", METHODS)
def test_same_arguments_give_the_same_bytes_and_seeds_differ(tmp_path, method):
    def digests(folder, seed):
        made = generate_permutations(tmp_path / folder, n=50, method=method, seed=seed)
        return [hashlib.sha256(p.read_bytes()).hexdigest() for p in made.written]

    assert digests("a", 0) == digests("b", 0)
    assert digests("a2", 0)[0] != digests("c", 1)[0]


@pytest.mark.parametrize("method", METHODS)
def test_first_is_the_first_row(tmp_path, method):
    first = (3, 1, 4, 0, 5, 8, 2, 6, 7)
    made = generate_permutations(tmp_path, n=20, method=method, first=first)
    assert tuple(np.load(made.written[0])[0]) == first


@pytest.mark.parametrize("ties", ["reference", "lexicographic", "random"])
def test_max_avg_reaches_the_largest_mean_whatever_the_ties(tmp_path, ties):
    made = generate_permutations(tmp_path, n=64, method="max_avg", ties=ties)
    assert made.mean_exact == largest_mean(64, 9)
    assert json.loads(made.written[1].read_bytes())["parameters"]["ties"] == ties


@pytest.mark.parametrize("ties", ["lexicographic", "random"])
def test_max_avg_serves_grids_of_four_by_four(tmp_path, ties):
    made = generate_permutations(tmp_path, n=40, m=16, method="max_avg", ties=ties)
    assert np.load(made.written[0]).shape == (40, 16)
    assert made.mean_exact == largest_mean(40, 16)


def test_text_says_when_a_code_is_better(tmp_path):
    greedy = generate_permutations(tmp_path, n=100, method="max_avg").text()
    assert "--method code has minimum distance 7 at this size" in greedy
    assert "--method code" not in generate_permutations(tmp_path, n=100).text()


def test_greedy_sets_only_grow_with_n(tmp_path):
    for method in METHODS[1:]:
        short, long = (
            np.load(generate_permutations(tmp_path, n=n, method=method).written[0])
            for n in (20, 40)
        )
        assert np.array_equal(short, long[:20])


def test_max_min_avg_is_at_least_as_far_apart_as_max_avg(tmp_path):
    one = generate_permutations(tmp_path, n=200, m=8, method="max_min_avg")
    two = generate_permutations(tmp_path, n=200, m=8, method="max_avg")
    assert one.minimum > two.minimum


def test_whole_symmetric_group_can_be_asked_for(tmp_path):
    for m in (2, 3, 4):
        for method in METHODS:
            made = generate_permutations(tmp_path, n=math.factorial(m), m=m, method=method)
            assert made.minimum == 2


def test_existing_output_is_replaced_only_when_asked(tmp_path):
    made = generate_permutations(tmp_path, n=10, seed=1)
    before = made.written[0].read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        generate_permutations(tmp_path, n=10, seed=2)
    assert made.written[0].read_bytes() == before
    generate_permutations(tmp_path, n=10, seed=2, overwrite=True)
    assert made.written[0].read_bytes() != before


def test_set_below_min_distance_is_refused_and_nothing_is_written(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(PermutationError, match="--method code, which has 7") as error:
        generate_permutations(out, n=100, method="max_avg", min_distance=6)
    assert "the set by max_avg has minimum distance" in str(error.value)
    assert not out.exists()
    assert generate_permutations(out, n=100, min_distance=7).minimum == 7


@pytest.mark.parametrize("method", METHODS)
def test_identity_is_first_where_asked_for(tmp_path, method):
    made = generate_permutations(tmp_path, n=20, method=method, first="identity")
    rows = np.load(made.written[0])
    assert rows[0].tolist() == list(range(9))
    assert made.identity == 0
    assert "row 0 shuffles nothing" in made.text()
    assert np.array_equal(
        rows,
        np.load(
            generate_permutations(tmp_path / "b", n=20, method=method, first=range(9)).written[0]
        ),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [12, 23])
def test_identity_is_left_out_where_asked_for_and_distances_stay(tmp_path, method, n):
    found = set()
    for seed in range(8):
        free = generate_permutations(tmp_path / f"a{seed}", n=n, m=4, method=method, seed=seed)
        made = generate_permutations(
            tmp_path / f"b{seed}", n=n, m=4, method=method, seed=seed, without_identity=True
        )
        assert made.identity is None
        assert not (np.load(made.written[0]) == np.arange(4)).all(axis=1).any()
        assert made.histogram == free.histogram
        assert (made.name == free.name) == (free.identity is None)
        found.add(free.identity)
    assert len(found) > 1  # some sets had it


def test_identity_cannot_be_left_out_of_all_or_of_a_set_that_begins_with_it(tmp_path):
    with pytest.raises(ParameterError, match=r"N = 24 is all of M!"):
        generate_permutations(tmp_path / "x", n=24, m=4, without_identity=True)
    with pytest.raises(ParameterError, match=r"N = 6 is all of M!"):
        generate_permutations(tmp_path / "x", n=6, m=3, first=(1, 2, 0), without_identity=True)
    with pytest.raises(ParameterError, match="--first identity"):
        generate_permutations(tmp_path / "x", n=4, m=4, first="identity", without_identity=True)
    with pytest.raises(PermutationError, match="shuffles nothing"):
        generate_permutations(tmp_path / "x", n=4, m=4, first=(0, 1, 2, 3), without_identity=True)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("grid", "m"), [("3x4", 12), ("4X5", 20), ("2×5", 10), ("1x2", 2)])
def test_grid_stands_for_its_tiles(tmp_path, grid, m):
    made = generate_permutations(tmp_path, n=2, grid=grid)
    assert made.m == m
    assert f"patches_{m}_code" in made.written[0].name
    assert generate_permutations(tmp_path / "again", n=2, grid=grid, m=m).name == made.name


def test_three_by_four_has_a_set_of_two_thousand(tmp_path):
    made = generate_permutations(tmp_path, n=2000, grid="3x4")
    assert (made.minimum, made.mean_exact) == (8, largest_mean(2000, 12))


def test_command_line_takes_the_documents_flags(run, tmp_path):
    done = run("jigsaw", "generate", "--output", tmp_path, "--N", "4", "--M", "3",
               "--method", "max_avg", "--ties", "reference", "--first", "1,0,2",
               "--min_distance", "2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = np.load(tmp_path / "hamming_perms_4_patches_3_max_avg.npy")
    assert rows.tolist() == [[1, 0, 2], [0, 2, 1], [2, 1, 0], [0, 1, 2]]


def test_command_line_shows_one_line_for_bad_input(run, tmp_path):
    done = run("jigsaw", "generate", "--output", tmp_path / "x", "--n", "25", "--m", "4")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "there are only 24 permutations of 4 tiles" in done.stderr
    assert not (tmp_path / "x").exists()
