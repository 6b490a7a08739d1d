import io
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sslprep.color import decoding
from sslprep.color.decoding import (
    UnreadableError,
    is_complete,
    reduction,
)
from sslprep.color.decoding import decode_image as decode_with_end
from sslprep.errors import MissingExtraError


def decode_image(data: bytes, fast_side: int | None = None) -> np.ndarray:
    return decode_with_end(data, shrink_to=fast_side)[0]


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _rotated(photo: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x112] = 6
    return _saved(photo, "JPEG", exif=exif)


def _sixteen_bits(photo: Image.Image, suffix: str) -> bytes:
    deep = np.asarray(photo).astype(np.uint16) * 251 + 7
    return bytes(cv2.imencode(suffix, deep)[1])


FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "progressive jpeg": lambda p: _saved(p, "JPEG", progressive=True),
    "jpeg 4:4:4": lambda p: _saved(p, "JPEG", subsampling=0),
    "grey jpeg": lambda p: _saved(p.convert("L"), "JPEG"),
    "cmyk jpeg": lambda p: _saved(p.convert("CMYK"), "JPEG"),
    "rotated jpeg": _rotated,
    "jpeg without end": lambda p: _saved(p, "JPEG")[:-2],
    "jpeg with half an end": lambda p: _saved(p, "JPEG")[:-1],
    "jpeg with an appendix": lambda p: _saved(p, "JPEG") + b"\0" * 100,
    "png": lambda p: _saved(p, "PNG"),
    "png with alpha": lambda p: _saved(p.convert("RGBA"), "PNG"),
    "grey png with alpha": lambda p: _saved(p.convert("LA"), "PNG"),
    "palette png": lambda p: _saved(p.convert("P"), "PNG"),
    "one-bit png": lambda p: _saved(p.convert("1"), "PNG"),
    "16-bit png": lambda p: _sixteen_bits(p, ".png"),
    "16-bit tiff": lambda p: _sixteen_bits(p, ".tiff"),
    "tiff": lambda p: _saved(p, "TIFF"),
    "gif": lambda p: _saved(p.convert("P"), "GIF"),
    "webp": lambda p: _saved(p, "WEBP"),
    "bmp": lambda p: _saved(p, "BMP"),
    "ppm": lambda p: _saved(p, "PPM"),
    "jpeg 2000": lambda p: _saved(p, "JPEG2000"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_decodes_as_imread_reads_in_colour(photos: list[str], tmp_path: Path, kind: str) -> None:
    data = FORMATS[kind](Image.open(photos[2]))
    path = tmp_path / "image"
    path.write_bytes(data)
    expected = cv2.imread(str(path))
    assert expected.dtype == np.uint8
    assert np.array_equal(decode_image(data), expected)


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_a_jpeg_cut_anywhere_decodes_as_from_a_file(
    photos: list[str], tmp_path: Path, progressive: bool
) -> None:
    whole = _saved(Image.open(photos[2]), "JPEG", progressive=progressive)
    path = tmp_path / "image.jpg"
    decoded = 0
    for length in range(2, len(whole), len(whole) // 150):
        path.write_bytes(whole[:length])
        expected = cv2.imread(str(path))
        try:
            found = decode_image(whole[:length])
        except UnreadableError:
            assert expected is None
        else:
            decoded += 1
            assert np.array_equal(found, expected)
    assert decoded > 50


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>404</html>", r"not an image \(a web page"),
        (b"one two three", "decode failed$"),
        (b"\x89PNG\r\n\x1a\nand no more", "decode failed"),
        (b"\xff\xd8\xff\xe0", "decode failed"),
        (b"GIF89a", "decode failed"),
    ],
    ids=["empty", "web page", "text", "png", "jpeg", "gif"],
)
def test_says_why_not(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=f"^{reason}"):
        decode_image(data)


def test_opencv_says_nothing_of_files_that_it_cannot_name() -> None:
    text = "from sslprep.color.decoding import *\ntry: decode_image(b'BM' + bytes(99))\n"
    text += "except UnreadableError as error: print(error)\n"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("decode failed\n", "")


def test_an_opencv_that_cannot_be_loaded_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is installed, but needs a library that the machine does not have."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv2")
    with pytest.raises(MissingExtraError, match=r"need OpenCV .libGL.so.1: cannot open.\. Install"):
        decoding.opencv.__wrapped__()


def test_a_picture_of_more_pixels_than_opencv_allows_is_refused() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    with pytest.raises(UnreadableError, match=r"decode failed .*PIXELS"):
        decode_image(bomb + chunk(b"IEND", b""))


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [
        (0, 0, 1),
        (319, 9999, 1),
        (320, 500, 2),
        (375, 500, 2),
        (333, 500, 2),
        (1023, 1024, 2),
        (1024, 2000, 4),
        (9000, 4000, 8),
    ],
)
def test_fast_decoding_goes_a_little_below_the_side_by_halves_alone(
    photos: list[str], height: int, width: int, factor: int
) -> None:
    photo = Path(photos[0]).read_bytes()
    assert reduction(_of_size(photo, height, width), 256) == factor
    assert factor == 1 or min(height, width) / factor >= (160 if factor == 2 else 256)


def test_fast_decoding_shrinks_large_jpegs_alone(photos: list[str]) -> None:
    large = cv2.resize(cv2.imread(photos[0]), (700, 600))
    jpeg = bytes(cv2.imencode(".jpg", large)[1])
    png = bytes(cv2.imencode(".png", large)[1])
    assert decode_image(jpeg, fast_side=256).shape == (300, 350, 3)
    assert decode_image(jpeg, fast_side=481).shape == (600, 700, 3)
    assert decode_image(png, fast_side=256).shape == (600, 700, 3)
    decoded = decode_image(_with_table_first(jpeg), fast_side=256)
    assert np.array_equal(decoded, decode_image(jpeg, fast_side=256))


def _of_size(jpeg: bytes, height: int, width: int) -> bytes:
    """Let the frame header claim another size."""
    at = re.search(rb"\xff[\xc0\xc2]\x00\x11\x08", jpeg).end()  # type: ignore[union-attr]
    return jpeg[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 4 :]


def _with_table_first(jpeg: bytes) -> bytes:
    """Move the first Huffman table, whose code lies among those of frame headers, to the front."""
    begin = jpeg.index(b"\xff\xc4")
    end = begin + 2 + int.from_bytes(jpeg[begin + 2 : begin + 4], "big")
    return jpeg[:2] + jpeg[begin:end] + jpeg[2:begin] + jpeg[end:]


@pytest.fixture(params=[False, True], ids=["baseline", "progressive"])
def photo(request: pytest.FixtureRequest, photos: list[str]) -> bytes:
    exif = Image.Exif()
    exif[0x10E] = "a picture"
    options = {"progressive": request.param, "exif": exif, "comment": b"\xff"}
    return _saved(Image.open(photos[0]), "JPEG", **options)


class TestEndMarker:
    @pytest.mark.parametrize("appendix", [b"", b"\0" * 600, b"maker's \xff\x00 bytes", b"\xff"])
    def test_bytes_after_the_end_do_not_matter(self, photo: bytes, appendix: bytes) -> None:
        assert is_complete(photo + appendix)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_a_file_cut_anywhere_is_not_complete(self, photo: bytes, share: float) -> None:
        assert not is_complete(photo[: int(len(photo) * share)])
        assert not is_complete(photo[:-1])
        assert not is_complete(photo[:-2])

    def test_one_within_a_thumbnail_is_not_the_end(self, photo: bytes) -> None:
        thumbnail = b"Exif\0\0" + photo[:200] + b"\xff\xd9"
        segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
        with_thumbnail = photo[:2] + segment + photo[2:]
        assert is_complete(with_thumbnail)
        assert not is_complete(with_thumbnail[:-100])


def test_the_shorter_side_counts_wherever_the_header_stands(photo: bytes) -> None:
    assert reduction(photo, 30) == 2  # 90 × 120
    assert reduction(photo[:30], 30) == 1
    for height, width in ((1024, 3000), (3000, 1024)):
        data = _of_size(photo, height, width)
        assert reduction(data, 256) == reduction(_with_table_first(data), 256) == 4
