import xml.etree.ElementTree as ET
from fractions import Fraction

import numpy as np
import pytest

from sslprep import manifest
from sslprep.errors import OutputError, ParameterError, PermutationError
from sslprep.jigsaw.distances import counts_table, measure
from sslprep.jigsaw.stats import drawing, permutation_stats

ROWS = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [0, 1, 3, 2], [0, 1, 2, 3]])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "set.npy"
    np.save(path, ROWS)
    return path


def test_shows_distances_bounds_and_duplicates(file):
    found = permutation_stats(file)
    assert (found.n, found.m, found.counts_from) == (4, 4, 0)
    assert (found.minimum, found.duplicates, found.minimum_bound.value) == (0, 1, 4)
    assert found.histogram == (1, 0, 3, 0, 2)
    assert found.mean_exact == Fraction(7, 3)
    assert found.counts == ((3, 1, 0, 0), (1, 3, 0, 0), (0, 0, 2, 2), (0, 0, 2, 2))
    assert found.written == ()


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i4", ">i8", "u8"])
@pytest.mark.parametrize("base", [0, 1])
def test_counts_from_zero_or_one_in_any_integer_dtype(tmp_path, file, dtype, base):
    path = tmp_path / "other.npy"
    np.save(path, (ROWS + base).astype(dtype))
    found, expected = permutation_stats(path), permutation_stats(file)
    assert found.counts_from == base
    assert (found.histogram, found.counts) == (expected.histogram, expected.counts)


def test_fortran_order_is_read_as_rows(tmp_path, file):
    path = tmp_path / "f.npy"
    np.save(path, np.asfortranarray(ROWS))
    assert permutation_stats(path).histogram == permutation_stats(file).histogram


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("n", [1, 5, 300])
def test_a_file_of_columns_is_named(tmp_path, n, base):
    random = np.random.default_rng(0)
    rows = np.stack([random.permutation(9) for _ in range(n)]) + base
    np.save(tmp_path / "turned.npy", rows.T)
    with pytest.raises(PermutationError, match="Its columns are permutations: save the transposed"):
        permutation_stats(tmp_path / "turned.npy")
    rows[-1, 0] = rows[-1, 1]
    np.save(tmp_path / "turned.npy", rows.T)
    with pytest.raises(PermutationError) as error:
        permutation_stats(tmp_path / "turned.npy")
    assert error.value.remedy is None


def test_text_names_what_a_person_asks(file):
    text = permutation_stats(file).text()
    assert "4 permutations of 4 tiles, counted from 0, 1 duplicates" in text
    assert "minimum distance 0 (no set of this size has more than 4)" in text
    assert "the bound: two permutations of 4 tiles differ in at most 4 places" in text


def test_single_permutation_has_no_distances(tmp_path):
    path = tmp_path / "one.npy"
    np.save(path, ROWS[:1])
    found = permutation_stats(path, plot=tmp_path / "one.svg")
    assert (found.minimum, found.mean, found.minimum_bound) == (None, None, None)
    assert "1 permutation of 4 tiles" in found.text()


def test_plot_is_written_with_a_manifest_and_not_over_another(tmp_path, file):
    plot = tmp_path / "plots" / "set.svg"
    found = permutation_stats(file, plot=plot)
    assert [p.name for p in found.written] == ["set.svg", "set.svg.manifest.json"]
    assert manifest.verify(folder=plot.parent).ok
    with pytest.raises(OutputError, match="--overwrite"):
        permutation_stats(file, plot=plot)
    before = plot.read_bytes()
    permutation_stats(file, plot=plot, overwrite=True)
    assert plot.read_bytes() == before


def test_plot_must_be_svg(tmp_path, file):
    with pytest.raises(ParameterError, match=r"ends in \.svg"):
        permutation_stats(file, plot=tmp_path / "set.png")


def test_drawing_shows_every_distance_both_bounds_and_every_count():
    rows = ROWS.astype(np.uint8)
    svg = drawing(measure(rows), counts_table(rows), 'a <b> & "c" \x00')
    root = ET.fromstring(svg)
    text = " ".join(root.itertext())
    assert 'a <b> & "c"' in text
    assert "\x00" not in text
    for fact in ("minimum distance 0", "mean 2.3333", "distance: 4", "distance: 4.0000"):
        assert fact in text
    assert "6 pairs; by distance: 0: 1, 2: 3, 4: 2." in text
    assert (
        sum(
            "at position" in (title.text or "")
            for title in root.iter("{http://www.w3.org/2000/svg}title")
        )
        == 16
    )
