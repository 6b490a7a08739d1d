from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sslprep.color.lab import CELLS, Counter, ab_keys, key_of_colour


def _counted(path: str, side: int = 256) -> NDArray[np.int64]:
    lab = cv2.cvtColor(cv2.resize(cv2.imread(path), (side, side)), cv2.COLOR_BGR2LAB)
    table = np.zeros((256, 256), np.int64)
    np.add.at(table, (lab[..., 1].ravel(), lab[..., 2].ravel()), 1)
    return table


def test_the_table_of_colours_is_opencvs_conversion_of_every_colour() -> None:
    lookup = key_of_colour().reshape(256, 256, 256)
    green, blue, red = (np.ascontiguousarray(x, np.uint8) for x in np.ogrid[:256, :256, :256])
    # Rows of another shape than those that filled the table, so that SIMD tails differ.
    for low in range(0, 256, 37):
        some = np.arange(low, min(low + 37, 256), dtype=np.uint8)
        b, g, r = np.broadcast_arrays(blue, green, some.reshape(1, 1, -1))
        keys = ab_keys(np.stack([b, g, r], -1).reshape(256, -1, 3)).reshape(b.shape)
        assert np.array_equal(keys, lookup[some].transpose(1, 2, 0))
    assert red.shape == (1, 1, 256)


def test_opencv_converts_a_pixel_alike_wherever_it_stands(photos: list[str]) -> None:
    pictures = [cv2.resize(cv2.imread(path), (61, 61)) for path in photos[:8]]
    stacked = ab_keys(np.concatenate(pictures))
    assert np.array_equal(stacked, np.concatenate([ab_keys(picture) for picture in pictures]))
    one_row = np.concatenate(pictures).reshape(1, -1, 3)
    assert np.array_equal(stacked, ab_keys(one_row))
    single = [ab_keys(pixel[None, None]) for pixel in pictures[0].reshape(-1, 3)[:500]]
    assert np.array_equal(np.concatenate(single), stacked[:500])


@pytest.mark.parametrize("by_table", [False, True], ids=["converted", "by table"])
@pytest.mark.parametrize("side", [256, 1, 37, 300, 1100])
def test_counts_are_those_of_each_picture(photos: list[str], side: int, by_table: bool) -> None:
    some = photos[:11]  # more than a batch
    counter = Counter(side=side, by_table=by_table)
    for path in some:
        counter.add(cv2.imread(path))
    assert np.array_equal(counter.table(), sum(_counted(path, side) for path in some))


def test_a_table_may_be_asked_for_twice(photos: list[str]) -> None:
    counter = Counter(side=256)
    counter.add(cv2.imread(photos[0]))
    first = counter.table()
    counter.add(cv2.imread(photos[0]))
    assert np.array_equal(2 * first, counter.table())
    assert first.sum() == CELLS


def test_opencv_reaches_no_colour_beyond_the_bounds_of_the_docs(tmp_path: Path) -> None:
    a, b = np.divmod(np.unique(key_of_colour()).astype(int), 256)
    assert (a.min() - 128, a.max() - 128) == (-86, 98)
    assert (b.min() - 128, b.max() - 128) == (-108, 95)
