"""Photos for the tests of colour, cut from those that scikit-image ships, and the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from numpy.typing import NDArray

DATA = Path(skimage.__file__).parent / "data"
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg")


def _make_photos(folder: Path, count: int) -> list[str]:
    rng = np.random.default_rng(5)
    pictures = [cv2.imread(str(DATA / name)) for name in PHOTOS]
    paths = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        top, left = (int(rng.integers(0, n - 120)) for n in picture.shape[:2])
        path = folder / f"{number:04d}.jpg"
        cv2.imwrite(str(path), picture[top : top + 90, left : left + 120])
        paths.append(str(path))
    return paths


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Paths of 100 small JPEG photos, all different: four chunks."""
    return _make_photos(tmp_path_factory.mktemp("photos"), 100)


@pytest.fixture
def photo_list(photos: list[str], tmp_path: Path) -> Path:
    """A `.npy` list of the photos."""
    path = tmp_path / "train_images.npy"
    np.save(path, np.array(photos))
    return path


Oracle = Callable[[Sequence[str], int], tuple[NDArray[np.int64], NDArray[np.float64]]]


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """The plain loop of 2019 as the specification words it: floats and histogram2d per image."""

    def bins_and_priors(
        paths: Sequence[str], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        edges = np.arange(-128, 128, size)
        total = np.zeros((len(edges) - 1, len(edges) - 1))
        for path in paths:
            picture = cv2.imread(path)
            lab = cv2.cvtColor(cv2.resize(picture, (256, 256)), cv2.COLOR_BGR2LAB)
            a = lab[:, :, 1].astype(np.float64).ravel() - 128
            b = lab[:, :, 2].astype(np.float64).ravel() - 128
            total += np.histogram2d(a, b, bins=[edges, edges])[0]
        rows, columns = np.nonzero(total)
        points = np.stack([edges[rows], edges[columns]], axis=1).astype(np.int64)
        return points, total[rows, columns] / total.sum()

    return bins_and_priors
