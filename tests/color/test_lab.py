import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sslprep.color.lab import Counter


def _lab(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB)


def _counted(path: str, side: int = 256) -> NDArray[np.int64]:
    lab = _lab(cv2.resize(cv2.imread(path), (side, side)))
    table = np.zeros((256, 256), np.int64)
    np.add.at(table, (lab[..., 1].ravel(), lab[..., 2].ravel()), 1)
    return table


def test_opencv_converts_a_pixel_alike_wherever_it_stands(photos: list[str]) -> None:
    pictures = [cv2.resize(cv2.imread(path), (61, 61)) for path in photos[:8]]
    stacked = _lab(np.concatenate(pictures)).reshape(-1, 3)
    alone = [_lab(picture).reshape(-1, 3) for picture in pictures]
    assert np.array_equal(stacked, np.concatenate(alone))
    one_row = np.concatenate(pictures).reshape(1, -1, 3)
    assert np.array_equal(stacked, _lab(one_row)[0])
    single = [_lab(pixel[None, None])[0, 0] for pixel in pictures[0].reshape(-1, 3)[:500]]
    assert np.array_equal(single, stacked[:500])


@pytest.mark.parametrize("side", [256, 1, 37, 300, 1100])
def test_counts_are_those_of_each_picture(photos: list[str], side: int) -> None:
    some = photos[:19]  # more than two batches
    counter = Counter(side=side)
    for path in some:
        counter.add(cv2.imread(path))
    assert np.array_equal(counter.table(), sum(_counted(path, side) for path in some))


def test_the_largest_batch_of_one_colour_is_exact() -> None:
    for side in (4096, 256):
        counter = Counter(side=side)
        for _ in range(8 if side == 256 else 1):
            counter.add(np.full((1, 1, 3), 77, np.uint8))
        table = counter.table()
        assert table.max() == table.sum() == (side**2 if side == 4096 else 8 * side**2)


def test_a_table_may_be_asked_for_twice(photos: list[str]) -> None:
    counter = Counter(side=256)
    counter.add(cv2.imread(photos[0]))
    first = counter.table()
    counter.add(cv2.imread(photos[0]))
    assert np.array_equal(2 * first, counter.table())
    assert first.sum() == 256 * 256


def test_opencv_reaches_no_colour_beyond_the_bounds_of_the_docs() -> None:
    lowest, highest = np.full(3, 255), np.zeros(3, int)
    plane = np.empty((256, 256, 3), np.uint8)
    plane[..., 0], plane[..., 1] = np.arange(256), np.arange(256)[:, None]
    for red in range(256):
        plane[..., 2] = red
        lab = _lab(plane).reshape(-1, 3)
        lowest, highest = np.minimum(lowest, lab.min(0)), np.maximum(highest, lab.max(0))
    assert (lowest[1:] - 128).tolist() == [-86, -108]
    assert (highest[1:] - 128).tolist() == [98, 95]
