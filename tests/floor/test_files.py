"""Atomic output sets and checked reads."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslprep.errors import ArrayError, OutputError
from sslprep.files import OutputSet, read_array, sha256_of, write_strings

M = "set.manifest.json"


def write(folder: Path, text: bytes = b"x", *, overwrite: bool = False) -> None:
    with OutputSet(folder, ["a", "b"], manifests=[M], overwrite=overwrite) as out:
        out.save_bytes("a", text)
        out.save_bytes("b", text)
        out.save_json(M, {"text": text.decode()})
        out.commit()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_commit_leaves_just_the_final_names(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "out")
    assert names(tmp_path / "deep" / "out") == ["a", "b", M]


def test_written_names_size_and_hash(tmp_path: Path) -> None:
    with OutputSet(tmp_path, ["a"], manifests=[M]) as out:
        out.save_bytes("a", b"hello")
        out.save_json(M, {})
        out.commit()
    assert out.written[0].bytes == 5
    assert out.written[0].sha256 == sha256_of(tmp_path / "a")


def test_an_error_before_commit_leaves_nothing_not_even_the_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with OutputSet(tmp_path / "new" / "er", ["a"], manifests=[M]) as out:
            out.save_bytes("a", b"x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(tmp_path) == []


def test_an_existing_output_is_refused_before_any_work(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(OutputError, match=r"exists already and 2 more.*--overwrite"):
        write(tmp_path, b"new")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_overwrite_replaces(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a", "b", M]


def test_obsolete_names_go_with_the_commit(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("x")
    with OutputSet(
        tmp_path, ["a"], manifests=[M], overwrite=True, also_replaces=["old.csv", "a"]
    ) as out:
        out.save_bytes("a", b"x")
        assert (tmp_path / "old.csv").exists()
        out.commit()
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["../a", "/etc/a", "x/y", "", "..", "a\0b"])
def test_a_name_with_a_folder_in_it_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="plain file name"):
        OutputSet(tmp_path, [name], manifests=[M])
    assert names(tmp_path) == []


def test_two_writers_at_once_one_gets_an_error(tmp_path: Path) -> None:
    with OutputSet(tmp_path, ["a"], manifests=[M]) as first:
        first.save_bytes("a", b"first")
        with pytest.raises(OutputError, match="another sslprep run"):
            OutputSet(tmp_path, ["a"], manifests=[M])
        first.commit()
    assert (tmp_path / "a").read_bytes() == b"first"


def test_a_set_with_another_lock_is_not_held_up(tmp_path: Path) -> None:
    with (
        OutputSet(tmp_path, ["a"], manifests=[M]) as first,
        OutputSet(tmp_path, ["b"], manifests=["b.manifest.json"]) as second,
    ):
        for out, name in ((first, "a"), (second, "b")):
            out.save_bytes(name, b"x")
            out.commit()
    assert names(tmp_path) == ["a", "b"]


def test_a_killed_run_leaves_no_final_name_and_a_restart_succeeds(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from sslprep.files import OutputSet
out = OutputSet(Path({str(tmp_path)!r}), ["a"], manifests=["{M}"])
out.save_bytes("a", b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(tmp_path)
    assert all(name.startswith(".") for name in names(tmp_path))
    write(tmp_path)
    assert names(tmp_path) == ["a", "b", M]


def test_a_kill_within_the_renames_can_be_restarted_without_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    rename = os.replace

    def dying_replace(source: Path, target: Path) -> None:
        if done:
            raise KeyboardInterrupt  # stands for the kill: nothing after it may run
        done.append(rename(source, target))

    monkeypatch.setattr(os, "replace", dying_replace)
    monkeypatch.setattr(OutputSet, "close", lambda self: self._lock.close())
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, b"old")
    monkeypatch.undo()
    assert (tmp_path / "a").exists()
    assert not (tmp_path / M).exists()
    write(tmp_path, b"new")
    assert names(tmp_path) == ["a", "b", M]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_interrupt_during_commit_waits_for_the_renames(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from sslprep.files import OutputSet
real = os.replace
def replace(a, b):
    os.kill(os.getpid(), signal.SIGINT)
    real(a, b)
os.replace = replace
with OutputSet(Path({str(tmp_path)!r}), ["a", "b"], manifests=["{M}"]) as out:
    for name in ("a", "b"):
        out.save_bytes(name, b"x")
    out.save_json("{M}", {{}})
    out.commit()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"KeyboardInterrupt" in done.stderr
    assert names(tmp_path) == ["a", "b", M]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Choose a folder that you may write to"):
        write(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "file")


@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))),
    st.integers(1, 5),
)
def test_streamed_strings_equal_numpys(strings: list[str], chunk: int) -> None:
    width = max(map(len, strings), default=0)
    ours, theirs = io.BytesIO(), io.BytesIO()
    write_strings(ours, strings, count=len(strings), width=width, chunk=chunk)
    np.save(theirs, np.array(strings, dtype=f"<U{max(1, width)}"))
    assert ours.getvalue() == theirs.getvalue()


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
    with OutputSet(tmp_path, ["a.npy"], manifests=[M]) as out:
        out.save_array("a.npy", array)
        out.commit()
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
        (lambda b: b"", "not a readable .npy"),
        (lambda b: b"hello", "not a readable .npy"),
        (lambda b: b[:20], "not a readable .npy"),
        (lambda b: b.replace(b"(100,)", b"(-99,)"), "impossible shape"),
        (lambda b: b.replace(b"(100,), }      ", b"(10**9**9,), }"), "not a readable .npy"),
        (lambda b: b.replace(b"(100,), }     ", b"(9999999999,)}"), "truncated or damaged"),
        (lambda b: b.replace(b"'<i8'", b"'|O8'"), "Python objects|not a readable"),
        (lambda b: b.replace(b"'<i8'", b"'<U0'"), "impossible shape"),
        (lambda b: b.replace(b"(100,), }" + b" " * 8, b"(0, 10**20), }   "), "not a readable"),
        (lambda b: b.replace(b"(100,), }" + b" " * 17, b"(0, 99999999999999999999), }"), "imposs"),
        (lambda b: b[:6] + b"\x02\0\xff\xff\xff\x7f" + b[10:], "a header of 2147483647 bytes"),
        (lambda b: b[:6] + b"\x01\x1b" + b[8:], "unknown version"),
        (lambda b: b.replace(b"'<i8'", b"()   "), "not a readable"),
    ],
)
def test_a_damaged_array_is_one_line(tmp_path: Path, change: object, message: str) -> None:
    with pytest.raises(ArrayError, match=message):
        read_array(damaged(tmp_path, change))


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
        *((0xD800, False), (0xDFFF, False), (0x110000, False), (2**32 - 1, False)),
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


def test_expectations_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ArrayError, match=r"got shape \(3,\); expected an array with 2 axes"):
        read_array(tmp_path / "a.npy", ndim=2)
    with pytest.raises(ArrayError, match="got dtype float64; expected an array of integers"):
        read_array(tmp_path / "a.npy", kinds="iu")
    with pytest.raises(ArrayError, match="no such file"):
        read_array(tmp_path / "b.npy")


def test_the_lock_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from sslprep.files import OutputSet
out = OutputSet(Path({str(tmp_path)!r}), ["a"], manifests=["{M}"])
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="another sslprep run"):
            write(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            write(tmp_path)
            break
        except OutputError:
            time.sleep(0.05)
    assert names(tmp_path) == ["a", "b", M]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["b", M, "old.csv"])
def test_a_folder_in_an_outputs_place_is_refused_before_any_work(
    tmp_path: Path, name: str, overwrite: bool
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="a folder has the name of an output"):
        OutputSet(
            tmp_path, ["a", "b"], manifests=[M], overwrite=overwrite, also_replaces=["old.csv"]
        )
    assert names(tmp_path) == sorted(["a", name])
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_commit_that_cannot_begin_leaves_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").endswith(".commit"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [".a.part", f".{M}.commit"])
def test_a_link_under_a_working_name_is_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(elsewhere)
    write(tmp_path / "out")
    assert elsewhere.read_bytes() == b"precious"
    assert names(tmp_path / "out") == ["a", "b", M]


def test_a_link_in_the_locks_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / f".{M}.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_journal_of_nonsense_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / f".{M}.commit").write_bytes(b'["\xff"]')
    write(tmp_path)
    assert names(tmp_path) == ["a", "b", M]


def test_ctrl_c_while_cleaning_up_waits_for_the_end(tmp_path: Path) -> None:
    def impatient(path: Path, missing_ok: bool = False) -> None:
        signal.raise_signal(signal.SIGINT)
        unlink(path, missing_ok=missing_ok)

    unlink = Path.unlink
    out = OutputSet(tmp_path / "new", ["a"], manifests=[M])
    out.save_bytes("a", b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", impatient)
        with pytest.raises(KeyboardInterrupt):
            out.close()
    assert names(tmp_path) == []


def test_the_loser_of_two_writers_leaves_the_winners_files(tmp_path: Path) -> None:
    with OutputSet(tmp_path, ["a"], manifests=[M]) as first:
        first.save_bytes("a", b"first")
        with pytest.raises(OutputError, match="another sslprep run"):
            OutputSet(tmp_path, ["a"], manifests=[M])
        assert first.part("a").exists()
