import numpy as np
import pytest

from sslprep.color import gamut


def test_lab_of_known_colours() -> None:
    """The values that colour calculators give for sRGB primaries, white point D65."""
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    expected = [[80.11, 67.22], [-86.18, 83.18], [79.20, -107.86], [0, 0]]
    assert np.allclose(gamut.ab_of(rgb), expected, atol=0.02)


def test_faces_and_a_coarse_inside_hit_what_all_colours_hit() -> None:
    every = np.zeros((256, 256), np.bool_)
    green, blue = np.divmod(np.arange(65536), 256)
    rgb = np.stack([np.zeros(65536), green, blue], -1).astype(np.uint8)
    for red in range(256):
        rgb[:, 0] = red
        cell = np.floor(gamut.ab_of(rgb)).astype(np.intp) + 128
        every[cell[:, 0], cell[:, 1]] = True
    assert np.array_equal(gamut.unit_cells(), every)


def test_309_points_at_size_10() -> None:
    points = gamut.grid_points(10)
    assert points.shape == (309, 2)
    assert points.dtype == np.int64
    kept = set(map(tuple, points.tolist()))
    assert kept.isdisjoint({(40, 90), (100, -90), (100, -10), (100, 0)})
    assert {(0, 0), (90, 50), (-80, 80), (80, -110)} <= kept


@pytest.mark.parametrize(
    ("size", "bins"), [(1, 23082), (5, 1053), (7, 570), (15, 156), (20, 101), (64, 22), (255, 9)]
)
def test_number_of_points_of_other_sizes(size: int, bins: int) -> None:
    assert len(gamut.grid_points(size)) == bins


@pytest.mark.parametrize("size", [5, 10, 33])
def test_points_are_sorted_multiples(size: int) -> None:
    points = gamut.grid_points(size)
    assert not (points % size).any()
    assert sorted(points.tolist()) == points.tolist()
