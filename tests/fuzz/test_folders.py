"""Image folders with names and things that nobody expects."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults import process
from tests.fuzz.guard import Place, examples, place

from sslprep import check_images, write_folders
from sslprep.errors import SslprepError
from sslprep.manifest import verify

ODD_NAMES = (
    *(b" ", b"  a", b"a ", b"a\nb", b"a\rb", b"a\tb", b"a,b", b'a"b', b"a'b", b"-a", b"--help"),
    *(b"a\\b", b"*", b"$HOME", b"%s", b"{0}", b"\x1b[31m", b"\x7f", b"con", b"a" * 250),
    *(b"a" * 255, "é".encode(), "e\u0301".encode(), "日本".encode(), "\u202eabc".encode()),
    *("😀".encode(), b"\xff\xfe", b"\xed\xa0\x80", b"..a", b"...", b".hidden", b"~", b"a b c"),
    *(b"<script>alert(1)</script>".replace(b"/", b""), b"0", b"01", b"1"),
)
NAMES = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.binary(min_size=1, max_size=20)
    .map(lambda name: name.translate(None, b"\0/"))
    .filter(lambda name: name not in (b"", b".", b"..")),
)
SUFFIXES = st.sampled_from([b".jpg", b".JPEG", b".png", b".txt", b"", b".jpg.part", b".JPG\n"])
KINDS = st.sampled_from(
    ["file", "file", "file", "folder", "link", "dangling", "loop", "up", "fifo", "device"]
)
THINGS = st.lists(st.tuples(NAMES, SUFFIXES, KINDS), min_size=1, max_size=6)


def make(folder: bytes, name: bytes, kind: str) -> None:
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        return
    if kind == "folder":
        os.mkdir(path)
    elif kind == "link":
        os.symlink(b"/etc/passwd", path)
    elif kind == "dangling":
        os.symlink(b"/nowhere", path)
    elif kind == "loop":
        os.symlink(name, path)
    elif kind == "up":
        os.symlink(b"..", path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device" and os.geteuid() == 0:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # zero
    else:
        Path(os.fsdecode(path)).write_bytes(b"x")


def fill(root: Path, classes: list[tuple[bytes, list[tuple[bytes, bytes, str]]]]) -> None:
    for split in (b"train", b"val"):
        for name, things in classes:
            folder = os.path.join(os.fsencode(root), split, name)
            os.makedirs(folder, exist_ok=True)
            make(folder, b"one.jpg", "file")
            for thing, suffix, kind in things:
                make(folder, thing[: 255 - len(suffix)] + suffix, kind)


def consistent(at: Place) -> None:
    for split in ("train", "val"):
        images = np.load(at.out / f"{split}_images.npy", allow_pickle=False)
        labels = np.load(at.out / f"{split}_labels.npy", allow_pickle=False)
        assert len(images) == len(labels)
        assert all(os.path.exists(path) for path in images.tolist())
    assert verify(folder=at.out).ok


@examples(120)
@given(st.lists(st.tuples(NAMES, THINGS), min_size=1, max_size=3))
def test_odd_names(classes: list[tuple[bytes, list[tuple[bytes, bytes, str]]]]) -> None:
    with place() as at:
        fill(at.inputs, classes)
        done = at.attempt(
            write_folders,
            data_source_dir=at.inputs,
            output_dir=at.out,
            generate_json=True,
            format=("npy", "jsonl", "csv", "txt"),
        )
        if not isinstance(done, SslprepError):
            consistent(at)


@examples(15)
@given(st.lists(st.tuples(NAMES, THINGS), min_size=1, max_size=2))
def test_check_of_odd_names(classes: list[tuple[bytes, list[tuple[bytes, bytes, str]]]]) -> None:
    with place() as at:
        fill(at.inputs, classes)
        made = at.folder / "made"
        try:
            write_folders(data_source_dir=at.inputs, output_dir=made)
        except SslprepError:
            return
        at.attempt(check_images, folder=made, output_dir=at.out, jobs=1)


@pytest.mark.parametrize("name", ["train", "val", "train/a"])
def test_a_folder_that_may_not_be_read_is_one_line(name: str) -> None:
    with place() as at:
        fill(at.inputs, [(b"a", []), (b"b", [])])
        (at.inputs / name).chmod(0)
        argv = ["-m", "sslprep", "data", "folders", "--data_source_dir", str(at.inputs)]
        done = process.run([*argv, "--output_dir", str(at.out)], prefix=process.without_override())
        (at.inputs / name).chmod(0o755)
        assert done.code == 1, done.stderr
        assert done.stderr.count("\n") == 1
        assert not at.out.exists()
