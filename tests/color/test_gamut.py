import hashlib

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from sslprep.color import gamut

PUBLISHED = "2a39983ed60d5b52b717842d56d5f766982289e6d5a609582155f437cecc1045"
"""SHA-256 of the list of 313 points as int64 [313, 2], from OpenCV's samples/dnn/colorization.cpp
(`hull_pts`, the same numbers as Zhang et al.'s pts_in_hull.npy)."""
ROWS = (5, 8, 10, 12, 14, 15, 16, 16, 17, 18, 18, 18, 19, 20, 19, 20, 20, 19, 19, 10)
"""How many of them have a = -90, -80 … 100."""


def test_lab_of_known_colours() -> None:
    """The values that colour calculators give for sRGB primaries, white point D65."""
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    expected = [[80.11, 67.22], [-86.18, 83.18], [79.20, -107.86], [0, 0]]
    assert np.allclose(gamut.ab_of(rgb), expected, atol=0.02)


def test_the_rule_gives_the_313_points_that_were_published_without_one() -> None:
    points = gamut.grid_points(10)
    assert points.dtype == np.int64
    a, rows = np.unique(points[:, 0], return_counts=True)
    assert a.tolist() == list(range(-90, 101, 10))
    assert tuple(rows.tolist()) == ROWS
    assert hashlib.sha256(points.tobytes()).hexdigest() == PUBLISHED


@pytest.mark.parametrize(
    ("size", "bins"), [(5, 1083), (7, 584), (8, 460), (12, 228), (15, 159), (20, 101), (32, 49)]
)
def test_number_of_points_of_other_sizes(size: int, bins: int) -> None:
    assert len(gamut.grid_points(size)) == bins


@pytest.mark.parametrize("size", [1, 5, 10, 33, 64, 128, 255])
def test_points_are_sorted_multiples(size: int) -> None:
    points = gamut.grid_points(size)
    assert not (points % size).any()
    assert sorted(points.tolist()) == points.tolist()
    assert len(np.unique(points, axis=0)) == len(points)


def test_every_srgb_colour_lies_in_the_hull_and_in_a_cell_with_four_corners() -> None:
    corners = gamut.gamut_hull()
    edges = np.roll(corners, -1, axis=0) - corners
    outward = np.stack([edges[:, 1], -edges[:, 0]])
    limits = (corners * outward.T).sum(1)
    kept = set(map(tuple, gamut.grid_points(10).tolist()))
    green, blue = np.divmod(np.arange(65536), 256)
    rgb = np.stack([np.zeros(65536), green, blue], -1).astype(np.uint8)
    for red in range(0, 256, 15):
        rgb[:, 0] = red
        ab = gamut.ab_of(rgb)
        farthest = ab[ConvexHull(ab).vertices]  # in any direction one of these is
        assert (farthest @ outward - limits).max() < 1e-6
        cells = set(map(tuple, (np.floor(ab / 10).astype(int) * 10).tolist()))
        for a, b in ((0, 0), (0, 10), (10, 0), (10, 10)):
            assert {(x + a, y + b) for x, y in cells} <= kept


def test_the_hull_of_the_cubes_edges_is_that_of_its_faces() -> None:
    """Corner for corner, as Qhull finds it among all 393,216 colours of the six faces."""
    first, second = (part.ravel() for part in np.meshgrid(np.arange(256), np.arange(256)))
    faces = []
    for axis in range(3):
        for end in (0, 255):
            columns = [first, second]
            columns.insert(axis, np.full_like(first, end))
            faces.append(np.stack(columns, -1))
    ab = gamut.ab_of(np.concatenate(faces).astype(np.uint8))
    expected = ab[ConvexHull(ab).vertices]
    start = int(expected[:, 0].argmin())
    assert np.array_equal(gamut.gamut_hull(), np.roll(expected, -start, axis=0))
