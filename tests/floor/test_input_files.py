"""What a wrong input file is called, and where in a JSON file the wrong value stands."""

import gzip
import os
import zipfile
from pathlib import Path

import msgspec
import pytest

from sslprep.errors import AnnotationError, ArrayError
from sslprep.input_files import (
    decode_json,
    read_json,
    read_text,
    reading,
    value_at,
    what_it_is,
)
from sslprep.npy import read_array


class Item(msgspec.Struct):
    id: int
    size: float = 0


class File(msgspec.Struct):
    items: list[Item]


def zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")
    return path.read_bytes()


@pytest.mark.parametrize(
    "read",
    [lambda p: read_json(p, File, AnnotationError), lambda p: read_text(p, AnnotationError)],
    ids=["json", "text"],
)
@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\n <!doctype HTML>\n<p>quota", "a web page"),
        (b"\xef\xbb\xbf<html lang=en>", "a web page"),
        (gzip.compress(b"{}", mtime=0), "a gzip file"),
        (None, "a zip file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a git-LFS pointer"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16 text"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16 text"),
    ],
)  # fmt: skip
def test_other_files_are_named(tmp_path: Path, read, data: bytes | None, name: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x"
    path.write_bytes(zipped(tmp_path / "z") if data is None else data)
    with pytest.raises(AnnotationError, match=f"x: is {name}.*; expected "):
        read(path)


def test_ordinary_files_are_not_mistaken() -> None:
    for start in (b"1 2\n", b"{", b"[", b"htmlish", b"P", b"MATLAB"):
        assert what_it_is(start) is None


def test_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b'\xef\xbb\xbf{"items": []}')
    assert read_json(path, File, AnnotationError).items == []
    assert read_text(path, AnnotationError) == '{"items": []}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"items": [{"id": 1}, {"id": "7"}]}',
         '$.items[1].id: got "7"; expected a whole number. Write the number without quotes.'),
        ('{"items": [{"id": 1.5}]}', "$.items[0].id: got 1.5; expected a whole number"),
        ('{"items": [{"id": 1, "size": null}]}', "$.items[0].size: got null; expected a number"),
        ('{"items": {"a": 1}}', '$.items: got {"a": 1}; expected a list'),
        ('[1]', "[1]; expected an object {…}"),
        ('{"items": [{}]}', '$.items[0]: has no "id"'),
        ('{"items": [', "ends in the middle, after 11 bytes"),
        ("xyz", "not JSON at 'xyz', byte 0, line 1"),
        ("\n xyz", "byte 2, line 2"),
        ('{\n"items": nil}', "not JSON at 'ems\": nil}', byte 15, line 2"),
        ("", "is empty"),
        ('{"items": ' + "[" * 200_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_place_and_value_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(AnnotationError) as caught:
        decode_json(text.encode(), dict if "nested" in message else File, AnnotationError, path)
    shown = str(caught.value)
    assert shown.startswith(str(path))
    assert message in shown
    assert "`" not in shown


def test_a_value_of_more_than_60_characters_is_shortened_to_58() -> None:
    assert value_at(b'{"images": [{}, {"id": "7"}]}', "$.images[1].id") == '"7"'
    assert value_at(b'{"a": %s}' % (b"7" * 60), "$.a") == "7" * 60
    assert value_at(b'{"a": %s}' % (b"7" * 61), "$.a") == "7" * 57 + "…"


def test_text_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\nb\xff")
    with pytest.raises(AnnotationError, match="line 2: holds the byte 0xff; expected text"):
        read_text(tmp_path / "x", AnnotationError)
    (tmp_path / "x").write_bytes(b'{\n"a": "b\xe9"}')
    with pytest.raises(AnnotationError, match="line 2: holds the byte 0xe9; expected text in"):
        read_json(tmp_path / "x", dict[str, str], AnnotationError)


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    for read in (lambda p: read_json(p, File, ArrayError), lambda p: read_text(p, ArrayError)):
        with pytest.raises(ArrayError, match="is a folder; expected a file in it"):
            read(tmp_path)
    with pytest.raises(ArrayError, match="is a folder; expected a file in it"):
        read_array(tmp_path)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such file"), reading(tmp_path, AnnotationError):
        (tmp_path / "none").read_bytes()


@pytest.mark.parametrize("name", ["pipe", "device"])
def test_what_may_never_end_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for read in (read_text, lambda path, kind: read_json(path, dict, kind)):
        with pytest.raises(AnnotationError, match=f"{name}: is no ordinary file"):
            read(tmp_path / name, AnnotationError)
    with pytest.raises(ArrayError, match=f"{name}: is no ordinary file"):
        read_array(tmp_path / name)
