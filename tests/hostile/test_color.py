"""Bad inputs of the colour commands: none hangs, runs code, or takes the others' counts along."""

import contextlib
import io
import os
import pickle
import struct
import tarfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslprep.color.counting import Settings, count_chunk, read_file
from sslprep.color.decoding import UnreadableError, decode_image
from sslprep.color.histogram import color_histogram, load
from sslprep.color.images import Chunk, members
from sslprep.errors import ArrayError, ImagesError, OutputError, SslprepError

RAN: list[str] = []


class Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return RAN.append, ("ran",)


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.jpg"
    cv2.imwrite(str(path), np.full((9, 9, 3), 99, np.uint8))
    return str(path)


def reasons(paths: list[str], **options: object) -> list[str]:
    chunk = Chunk(number=0, names=tuple(paths))
    found = count_chunk(Settings(global_resize_img=8, **options), chunk)  # type: ignore[arg-type]
    return [entry.reason for entry in found.listed]


def test_a_pickled_list_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "list.npy", np.array([Attack()], object), allow_pickle=True)
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Attack()))
    RAN.clear()
    for name in ("list.npy", "plain.npy"):
        with pytest.raises(ArrayError, match=name):
            color_histogram(data_file=str(tmp_path / name), output_path=tmp_path / "out", jobs=1)
    assert RAN == []


def test_a_state_with_pickles_is_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(pickle.dumps(Attack()))
    RAN.clear()
    assert load(tmp_path / "s", "id", 1, give_up=False).total == 0
    assert RAN == []


@pytest.mark.parametrize("name", ["list.txt", "list.npy", "shard.tar", "list.manifest.json"])
def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path, good: str, name: str) -> None:
    (tmp_path / "list.txt").write_text(good)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    if name.endswith("json"):  # not of ours, for all that is known
        assert color_histogram(tmp_path / "list.txt", tmp_path / "out", jobs=1).images == 1
        return
    given = tmp_path / name
    with pytest.raises(SslprepError, match=rf"{name}.*(is no ordinary file|not a file)"):
        color_histogram(given, tmp_path / "out", jobs=1)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_a_state_that_is_no_file(tmp_path: Path, good: str, make: Callable[[Path], None]) -> None:
    (tmp_path / "list.txt").write_text(good)
    out, state = tmp_path / "out", tmp_path / "out" / ".ab_histogram_train_imagenet.resume.json"
    out.mkdir()
    make(state)
    if state.is_dir():
        with pytest.raises(OutputError, match=r"resume\.json: a folder has the name"):
            color_histogram(tmp_path / "list.txt", out, jobs=1)
        assert list(out.iterdir()) == [state]
    else:
        assert color_histogram(tmp_path / "list.txt", out, jobs=1).images == 1
        assert not state.exists()


def test_a_folder_where_the_state_is_written(tmp_path: Path, good: str) -> None:
    (tmp_path / "list.txt").write_text(good)
    part = tmp_path / "out" / ".ab_histogram_train_imagenet.resume.json.part"
    part.mkdir(parents=True)
    with pytest.raises(OutputError, match=r"resume\.json: cannot write: Is a directory"):
        color_histogram(tmp_path / "list.txt", tmp_path / "out", jobs=1)


def test_a_pipe_does_not_hang(tmp_path: Path, good: str) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    found: list[str] = []
    thread = threading.Thread(
        target=lambda: found.extend(reasons([str(tmp_path / "pipe.jpg"), good])), daemon=True
    )
    thread.start()
    thread.join(30)
    assert found == ["not a file"]


def test_devices_and_folders_are_no_images(good: str, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert reasons(["/dev/zero", str(tmp_path), good]) == ["not a file", "not a file"]
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "name", ["", "a\0b.jpg", "x" * 5000, "good.jpg/inside.jpg", "\udcff.jpg"], ids=repr
)
def test_impossible_names(name: str, tmp_path: Path, good: str) -> None:
    path = str(tmp_path / name) if name.startswith("good") else name
    assert len(reasons([path, good])) == 1


def test_a_file_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # sparse
    assert read_file(str(path)) == "larger than 1 GiB"


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(65535, 65535), (2**31 - 1, 1), (0, 0), (2**31, 2**31)])
def test_pictures_that_claim_impossible_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableError):
        decode_image(_png(*size))


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_raise_anything_else(seed: int) -> None:
    chance = np.random.default_rng(seed)
    picture = chance.integers(0, 256, (20, 30, 3), np.uint8)
    kind = [".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".png", ".gif"][seed % 8]
    data = np.frombuffer(cv2.imencode(kind, picture)[1].tobytes(), np.uint8).copy()
    places = chance.integers(0, len(data), 1 + seed % 9)
    data[places] = chance.integers(0, 256, len(places))
    try:
        found, _ = decode_image(data.tobytes(), shrink_to=8)
    except UnreadableError:
        return
    assert found.dtype == np.uint8
    assert found.shape[2] == 3


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_in_a_shard_end_the_walk_or_not(seed: int) -> None:
    chance = np.random.default_rng(seed)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=seed % 3) as shard:
        for number in range(6):
            info = tarfile.TarInfo("deep/" * 25 + f"{number}.jpg")
            info.size = 700
            shard.addfile(info, io.BytesIO(bytes(700)))
    data = np.frombuffer(file.getvalue(), np.uint8).copy()
    places = chance.integers(0, len(data) // 2, 30)
    data[places] = chance.integers(0, 256, len(places))
    with contextlib.suppress(tarfile.ReadError):
        assert len(list(members(io.BytesIO(data.tobytes())))) < 50


def _header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_a_member_that_claims_an_exabyte(tmp_path: Path, good: str) -> None:
    base256 = b"\x80" + (1 << 60).to_bytes(11, "big")
    (tmp_path / "s.tar").write_bytes(_header(b"a.jpg", base256) + b"x" * 5000)
    found = count_chunk(
        Settings(global_resize_img=8),
        Chunk(number=0, names=(str(tmp_path / "s.tar"),), span=(0, None)),
    )
    assert found.listed[0].reason == "larger than 1 GiB"
    assert found.listed[1].reason == "cannot read (Invalid argument)"  # what seek says to it


def test_a_member_of_two_gigabytes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(_header(b"a.jpg", b"20000000000\0") + b"x" * 5000)
    found = count_chunk(
        Settings(global_resize_img=8),
        Chunk(number=0, names=(str(tmp_path / "s.tar"),), span=(0, None)),
    )
    assert found.listed[0].reason == "larger than 1 GiB"
    assert found.listed[1].reason.startswith("damaged shard")


def test_a_negative_size_does_not_walk_backwards() -> None:
    base256 = b"\xff" * 11 + b"\x00"
    with pytest.raises(tarfile.ReadError):
        list(members(io.BytesIO(_header(b"a.jpg", base256) + bytes(2000))))


def test_a_long_name_of_a_terabyte_is_not_read() -> None:
    base256 = b"\x80" + (1 << 40).to_bytes(11, "big")
    with pytest.raises(tarfile.ReadError):
        list(members(io.BytesIO(_header(b"x", base256, b"L") + bytes(2000))))


def test_member_names_leave_no_trace_outside(tmp_path: Path, good: str) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as shard:
        for name in ("../../escape.jpg", "/abs/olute.jpg"):
            shard.add(good, name)
            shard.members[-1].name = name
    out = tmp_path / "deep" / "out"
    result = color_histogram(data_file=str(tmp_path / "s.tar"), output_path=out, jobs=1)
    assert result.images == 2
    assert {p.name for p in tmp_path.iterdir()} == {"good.jpg", "s.tar", "deep"}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["..", ".", "a\nb", "/etc/passwd", "a" * 300, "\u202e"])
def test_names_cannot_leave_the_folder(name: str, good: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(good)
    out = tmp_path / "out"
    try:
        color_histogram(
            data_file=str(tmp_path / "list.txt"), output_path=out, type=name, dataset=name, jobs=1
        )
    except SslprepError:
        assert not out.exists()
    assert {p.name for p in tmp_path.iterdir()} <= {"good.jpg", "list.txt", "out"}


def test_a_line_of_binary_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a.jpg\nb.jpg\n\0\0\0")
    with pytest.raises(ImagesError, match="line 3"):
        color_histogram(data_file=str(tmp_path / "list.txt"), output_path=tmp_path / "out", jobs=1)
