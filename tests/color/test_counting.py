import os
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sslprep.color import counting
from sslprep.color.counting import GROUPS, Settings, count_chunk, read_file
from sslprep.color.decoding import UnreadableError, decode_image
from sslprep.color.images import Chunk


def _lab(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB)


def _counted(path: str, side: int = 256) -> NDArray[np.int64]:
    lab = _lab(cv2.resize(cv2.imread(path), (side, side)))
    table = np.zeros((256, 256), np.int64)
    np.add.at(table, (lab[..., 1].ravel(), lab[..., 2].ravel()), 1)
    return table


def _tables(settings: Settings, paths: list[str], number: int = 0) -> NDArray[np.int64]:
    found = count_chunk(settings, Chunk(number=number, names=tuple(paths)))
    tables = np.zeros((GROUPS if settings.sample else 1) * 65536, np.int64)
    tables[found.cells] = found.pixels
    return tables.reshape(-1, 256, 256)


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
    some = photos[:19]  # at the largest side more than 2^24 pixels
    expected = sum(_counted(path, side) for path in some)
    assert np.array_equal(_tables(Settings(global_resize_img=side), some)[0], expected)


def test_pixels_of_one_colour_are_exact_however_many(tmp_path: Path) -> None:
    path = str(tmp_path / "grey.png")
    cv2.imwrite(path, np.full((1, 1, 3), 77, np.uint8))
    table = _tables(Settings(global_resize_img=255), [path] * 401)[0]
    assert table.max() == table.sum() == 401 * 255**2  # an odd number above 2^24: no float32


def test_a_sample_is_drawn_by_seed_and_place_alone(photos: list[str]) -> None:
    all_ = _tables(Settings(global_resize_img=16), photos)[0]
    one = _tables(Settings(global_resize_img=16, sample=0.3, seed=1), photos)
    assert one.shape == (GROUPS, 256, 256)
    assert np.array_equal(one, _tables(Settings(global_resize_img=16, sample=0.3, seed=1), photos))
    assert not np.array_equal(
        one, _tables(Settings(global_resize_img=16, sample=0.3, seed=2), photos)
    )
    assert not np.array_equal(
        one, _tables(Settings(global_resize_img=16, sample=0.3, seed=1), photos, 1)
    )
    assert 0.15 * all_.sum() < one.sum() < 0.45 * all_.sum()
    assert (one.sum(0) <= all_).all()
    assert (one.sum((1, 2)) > 0).sum() > GROUPS / 3


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


def test_a_file_that_comes_in_parts_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(range(200)))
    read = os.read
    monkeypatch.setattr(os, "read", lambda handle, size: read(handle, 10))
    assert read_file(str(path)) == bytes(range(200))


def test_a_file_that_cannot_be_read_says_why() -> None:
    assert read_file("x" * 300) == "cannot read (File name too long)"
    assert read_file("a\0b") == "cannot read (ValueError: embedded null byte)"


def test_an_image_that_memory_does_not_hold_is_listed(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Big(bytes):
        def __add__(self, _: object) -> bytes:
            raise MemoryError

    def full(path: str) -> object:
        raise MemoryError

    with pytest.raises(UnreadableError, match=r"^decode failed .not enough memory.$"):
        decode_image(Big(b"\xff\xd8\xff and more"))
    monkeypatch.setattr(counting, "open_file", full)
    assert read_file(photos[0]) == "cannot read (MemoryError)"


def test_a_local_shard_that_cannot_be_read_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    name = "x" * 300 + ".tar"
    for shard, number in ((name, 0), (f"file:///{name}", 3)):
        found = count_chunk(Settings(), Chunk(number=0, names=(shard,), span=(0, None)))
        assert found.listed[0].reason == "cannot read (File name too long)"
        assert len(waits) == number


def test_a_member_that_is_no_photo_by_its_size_is_not_read(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for path in photos[:3]:
            shard.add(path, Path(path).name)
    sizes = sorted(os.path.getsize(path) for path in photos[:3])
    monkeypatch.setattr(counting, "MAX_FILE_BYTES", sizes[1])
    chunk = Chunk(number=0, names=(str(tmp_path / "a.tar"),), span=(0, None))
    listed = count_chunk(Settings(), chunk).listed
    assert [entry.reason for entry in listed] == ["larger than 1 GiB"]
    listed = count_chunk(Settings(), Chunk(number=0, names=tuple(photos[:3]))).listed
    assert [entry.reason for entry in listed] == ["larger than 1 GiB"]


@pytest.mark.parametrize(("every", "told"), [(10.0, [10, 20]), (0.0, [*range(30)])])
def test_a_worker_tells_its_place_now_and_then(
    photos: list[str], monkeypatch: pytest.MonkeyPatch, every: float, told: list[int]
) -> None:
    now, places = [0.0], list[int]()
    monkeypatch.setattr(counting, "working_on", places.append)
    monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: now[0]))
    real = counting.read_file

    def read(path: str) -> bytes | str:
        now[0] += 1
        return real(path)

    monkeypatch.setattr(counting, "read_file", read)
    count_chunk(Settings(global_resize_img=8), Chunk(number=0, names=tuple(photos[:30])), every)
    assert places == told
