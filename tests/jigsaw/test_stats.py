import xml.etree.ElementTree as ET

import numpy as np
import pytest

from sslprep import manifest
from sslprep.errors import OutputError, ParameterError
from sslprep.jigsaw.distances import counts_table, measure
from sslprep.jigsaw.plot import drawing
from sslprep.jigsaw.stats import stats

ROWS = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [0, 1, 3, 2], [0, 1, 2, 3]])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "set.npy"
    np.save(path, ROWS)
    return path


def test_shows_distances_bounds_and_duplicates(file):
    found = stats(file=file)
    assert (found.n, found.m, found.counts_from) == (4, 4, 0)
    assert (found.minimum, found.duplicates, found.minimum_bound) == (0, 1, 4)
    assert found.histogram == (1, 0, 3, 0, 2)
    assert found.mean_exact == "7/3"
    assert found.counts == ((3, 1, 0, 0), (1, 3, 0, 0), (0, 0, 2, 2), (0, 0, 2, 2))
    assert found.written == ()


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i4", ">i8", "u8"])
@pytest.mark.parametrize("base", [0, 1])
def test_counts_from_zero_or_one_in_any_integer_dtype(tmp_path, file, dtype, base):
    path = tmp_path / "other.npy"
    np.save(path, (ROWS + base).astype(dtype))
    found, expected = stats(file=path), stats(file=file)
    assert found.counts_from == base
    assert (found.histogram, found.counts) == (expected.histogram, expected.counts)


def test_fortran_order_is_read_as_rows(tmp_path, file):
    path = tmp_path / "f.npy"
    np.save(path, np.asfortranarray(ROWS))
    assert stats(file=path).histogram == stats(file=file).histogram


def test_text_names_what_a_person_asks(file):
    text = stats(file=file).text()
    assert "4 permutations of 4 tiles, counted from 0, 1 duplicates" in text
    assert "minimum distance 0, bound 4: two permutations of 4 tiles differ" in text
    assert "mean distance 2.3333 = 7/3" in text


def test_single_permutation_has_no_distances(tmp_path):
    path = tmp_path / "one.npy"
    np.save(path, ROWS[:1])
    found = stats(file=path, plot=tmp_path / "one.svg")
    assert (found.minimum, found.mean, found.mean_exact) == (None, None, None)
    assert "1 permutation of 4 tiles" in found.text()


def test_plot_is_written_with_a_manifest_and_not_over_another(tmp_path, file):
    plot = tmp_path / "plots" / "set.svg"
    found = stats(file=file, plot=plot)
    assert [p.name for p in found.written] == ["set.svg", "set.svg.manifest.json"]
    assert manifest.verify(folder=plot.parent).ok
    with pytest.raises(OutputError, match="--overwrite"):
        stats(file=file, plot=plot)
    before = plot.read_bytes()
    stats(file=file, plot=plot, overwrite=True)
    assert plot.read_bytes() == before


def test_plot_must_be_svg(tmp_path, file):
    with pytest.raises(ParameterError, match=r"ends in \.svg"):
        stats(file=file, plot=tmp_path / "set.png")


def test_drawing_is_xml_with_a_bar_per_distance_and_a_cell_per_count():
    rows = ROWS.astype(np.uint8)
    svg = drawing(measure(rows), counts_table(rows), 'a <b> & "c" \x00')
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    rects = root.findall(f"{space}rect")
    assert sum(r.get("class") == "bar" for r in rects) == 5
    assert sum(r.get("class") == "cell" for r in rects) == 16
    assert root.find(f"{space}title").text == 'a <b> & "c" �'
    texts = [t.text for t in root.findall(f"{space}text")]
    assert "minimum at most 4" in texts
    assert "mean at most 4.0000" in texts
