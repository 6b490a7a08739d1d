import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sslprep.color import jpeg


@pytest.fixture(params=[False, True], ids=["baseline", "progressive"])
def photo(request: pytest.FixtureRequest, photos: list[str]) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x10E] = "a picture"
    Image.open(photos[0]).save(file, "JPEG", progressive=request.param, exif=exif, comment=b"\xff")
    return file.getvalue()


def test_a_whole_file_is_complete(photo: bytes) -> None:
    assert jpeg.is_complete(photo)


@pytest.mark.parametrize("appendix", [b"\0" * 600, b"maker's own \xff\x00 bytes", b"\xff"])
def test_bytes_after_the_end_do_not_matter(photo: bytes, appendix: bytes) -> None:
    assert jpeg.is_complete(photo + appendix)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_cut_anywhere_is_not_complete(photo: bytes, share: float) -> None:
    assert not jpeg.is_complete(photo[: int(len(photo) * share)])
    assert not jpeg.is_complete(photo[:-1])
    assert not jpeg.is_complete(photo[:-2])


def test_an_end_marker_within_a_thumbnail_is_not_the_end(photo: bytes) -> None:
    thumbnail = b"Exif\0\0" + photo[:200] + b"\xff\xd9"
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = photo[:2] + segment + photo[2:]
    assert jpeg.is_complete(with_thumbnail)
    assert not jpeg.is_complete(with_thumbnail[:-100])


def test_size_is_height_and_width(photo: bytes) -> None:
    assert jpeg.size(photo) == (90, 120)
    assert jpeg.size(photo[:30]) is None


def test_size_agrees_with_opencv_whatever_the_segments(tmp_path: Path) -> None:
    for height, width in ((1, 1), (7, 300), (1000, 3)):
        data = cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes()
        assert jpeg.size(data) == (height, width)
