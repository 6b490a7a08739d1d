"""`.npy` files, written and read with a check."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

from sslprep import npy
from sslprep.errors import ArrayError
from sslprep.npy import read_array, write_array


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12)[::-2],
        np.zeros((0, 20), np.int32),
        np.array(7),
        np.array(["ä", "日本"]),
        np.ones((2, 2), ">i4"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_back_and_numpy_reads_them(tmp_path: Path, array: np.ndarray) -> None:
    with open(tmp_path / "a.npy", "wb") as file:
        write_array(file, array)
    for again in (read_array(tmp_path / "a.npy"), np.load(tmp_path / "a.npy", allow_pickle=False)):
        assert again.dtype == array.dtype
        assert np.array_equal(again, array)
    assert np.array_equal(read_array(tmp_path / "a.npy", mmap=True), array)


def damaged(tmp_path: Path, change: object) -> Path:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100))
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:-1], "truncated or damaged"),
        (lambda b: b + b"x", "truncated or damaged"),
        (lambda b: b"", "is empty"),
        (lambda b: b"hello", r"not a readable .npy .* numpy.save\(path, array\)"),
        (lambda b: b[:20], "not a readable .npy"),
        (lambda b: b.replace(b"(100,)", b"(-99,)"), "impossible shape"),
        (lambda b: b.replace(b"(100,)", b"(-1, )"), "impossible shape"),
        (lambda b: b.replace(b"(100,), }      ", b"(10**9**9,), }"), "not a readable .npy"),
        (lambda b: b.replace(b"(100,), }     ", b"(9999999999,)}"), "truncated or damaged"),
        (lambda b: b.replace(b"'<i8'", b"'|O8'"), "Python objects|not a readable"),
        (lambda b: b.replace(b"'<i8'", b"'<U0'"), "impossible shape"),
        (lambda b: b.replace(b"(100,), }" + b" " * 8, b"(0, 10**20), }   "), "not a readable"),
        (lambda b: b.replace(b"(100,), }" + b" " * 17, b"(0, 99999999999999999999), }"), "imposs"),
        (lambda b: b[:6] + b"\x02\0\xff\xff\xff\x7f" + b[10:], "expected 2147483647 bytes"),
        (lambda b: b[:6] + b"\x01\x1b" + b[8:], "unknown version"),
        (lambda b: b.replace(b"'<i8'", b"()   "), "not a readable"),
    ],
)
def test_a_damaged_array_is_one_line(tmp_path: Path, change: object, message: str) -> None:
    with pytest.raises(ArrayError, match=message):
        read_array(damaged(tmp_path, change))


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04", "a zip file, as numpy.savez and torch.save write"),
        (b"\x80\x04\x95", "a pickle"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"MATLAB 5.0 MAT-file", "of MATLAB"),
    ],
)
def test_an_array_in_another_format_is_named(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "features.npy").write_bytes(start)
    with pytest.raises(ArrayError, match=f"is {what}; .* by numpy.save") as error:
        read_array(tmp_path / "features.npy")
    assert "magic" not in str(error.value)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"<!DOCTYPE html><title>Quota", "a web page, .*; expected a file .* numpy.save. Download"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-LFS pointer, .* Run git lfs pull"),
        (b"\x1f\x8b\x08", "a gzip file; expected a file written by numpy.save. Unpack it first"),
    ],
)
def test_what_no_reader_takes_is_named_as_everywhere(
    tmp_path: Path, start: bytes, what: str
) -> None:
    (tmp_path / "features.npy").write_bytes(start)
    with pytest.raises(ArrayError, match=f"is {what}"):
        read_array(tmp_path / "features.npy")


def test_object_arrays_are_never_unpickled(tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(tmp_path / "ran"), "w"))

    np.save(tmp_path / "a.npy", np.array([Canary()], dtype=object), allow_pickle=True)
    with pytest.raises(ArrayError, match="never unpickles"):
        read_array(tmp_path / "a.npy")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("code", "fine"),
    [
        *((0xD7FF, True), (0xE000, True), (0x10FFFF, True), (0xDC80, True), (0xDCFF, True)),
        *((0xD800, False), (0xDC7F, False), (0xDD00, False), (0xDFFF, False)),
        *((0x110000, False), (2**32 - 1, False)),
    ],
)
def test_strings_of_impossible_characters_are_refused(
    tmp_path: Path, code: int, fine: bool, order: str, mmap: bool
) -> None:
    codes = np.array([65, code, 0, 66, 67, 0], f"{order}u4")
    np.save(tmp_path / "a.npy", codes.view(f"{order}U3"))
    if fine:
        array = read_array(tmp_path / "a.npy", mmap=mmap)
        assert array.tolist() == ["A" + chr(code), "BC"]
    else:
        with pytest.raises(ArrayError, match=f"impossible character {code:#x}"):
            read_array(tmp_path / "a.npy", mmap=mmap)


def test_strings_are_looked_through_to_their_end(tmp_path: Path) -> None:
    codes = np.full((npy._BLOCK + 2, 1), ord("A"), np.uint32)
    codes[-1] = 0xD800
    np.save(tmp_path / "a.npy", codes.view("U1"))
    with pytest.raises(ArrayError, match="impossible character 0xd800"):
        read_array(tmp_path / "a.npy")


def test_expectations_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ArrayError, match=r"got shape \(3,\); expected an array with 2 axes"):
        read_array(tmp_path / "a.npy", ndim=2)
    with pytest.raises(ArrayError, match="got dtype float64; expected an array of integers"):
        read_array(tmp_path / "a.npy", kinds="iu")
    with pytest.raises(ArrayError, match="no such file"):
        read_array(tmp_path / "b.npy")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    array = np.arange(6).reshape(2, 3)
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version)
    assert np.array_equal(read_array(tmp_path / "a.npy"), array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mmap", [False, True])
def test_mapped_or_read(tmp_path: Path, order: str, mmap: bool) -> None:
    array = np.arange(6).reshape(2, 3).copy(order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_array(tmp_path / "a.npy", mmap=mmap)
    assert np.array_equal(found, array)
    assert isinstance(found, np.memmap) is mmap


@pytest.mark.parametrize(("axes", "readable"), [(32, True), (33, False)])
def test_at_most_32_axes(tmp_path: Path, axes: int, readable: bool) -> None:
    with open(tmp_path / "a.npy", "wb") as file:
        header = {"descr": "<i8", "fortran_order": False, "shape": (1,) * axes}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(8))
    if readable:
        assert read_array(tmp_path / "a.npy").ndim == axes
    else:
        with pytest.raises(ArrayError, match="impossible shape"):
            read_array(tmp_path / "a.npy")


def test_words_for_axes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1, 1, 1)))
    with pytest.raises(ArrayError, match=r"expected an array with 1 axis$"):
        read_array(tmp_path / "a.npy", ndim=1)
    with pytest.raises(ArrayError, match=r"expected an array with 1 axis or 2 axes$"):
        read_array(tmp_path / "a.npy", ndim=(1, 2))


def test_the_first_impossible_character_is_named(tmp_path: Path) -> None:
    codes = np.array([0x61, 0x110000, 0xD800, 0xDC80], np.uint32)
    np.save(tmp_path / "a.npy", codes.view("<U4"))
    with pytest.raises(ArrayError, match="impossible character 0x110000"):
        read_array(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([0x61, 0xDC80, 0xDCFF], np.uint32).view("<U3"))
    assert read_array(tmp_path / "b.npy")[0] == "a\udc80\udcff"


def test_an_array_of_objects_is_never_written(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as file, pytest.raises(ValueError, match="object arrays"):
        write_array(file, np.array([None]))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_disk_says_why() -> None:
    with (
        open("/dev/full", "wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        write_array(file, np.zeros(1000))


def test_arrays_without_a_byte_are_written() -> None:
    for array in (np.zeros((0, 3), np.int32), np.array(7), np.zeros(2, "<U0")):
        ours, numpys = io.BytesIO(), io.BytesIO()
        write_array(ours, array)
        np.save(numpys, array)
        assert ours.getvalue() == numpys.getvalue()
