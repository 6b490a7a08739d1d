"""Atomic output sets."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sslprep import interrupts
from sslprep.atomic import OutputSet
from sslprep.errors import OutputError
from sslprep.input_files import sha256_of

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


@pytest.mark.parametrize("size", [1, 1000, 262_144, 262_145, 700_000])
def test_what_is_hashed_is_what_is_in_the_file(tmp_path: Path, size: int) -> None:
    pieces = [bytes([at]) * (size if at % 2 else 3) for at in range(7)]
    with OutputSet(tmp_path, ["a", "b"], manifests=[M]) as out:
        with out.create("a") as file:
            for piece in pieces:
                file.write(piece)
        with out.create("b") as file:  # as zip writers do: back, and on
            file.write(b"".join(pieces))
            file.seek(1)
            file.write(b"length")
            file.seek(0, 2)
            file.write(b"end")
        out.save_json(M, {})
        out.commit()
    assert (tmp_path / "a").read_bytes() == b"".join(pieces)
    for record in out.written:
        path = tmp_path / record.file
        assert (record.bytes, record.sha256) == (path.stat().st_size, sha256_of(path))


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
    with pytest.raises(OutputError, match=r"/a: the output exists already and 2 more.*--overwrite"):
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
        assert first.part("a").exists()  # the loser leaves the winner's files
        first.commit()
    assert (tmp_path / "a").read_bytes() == b"first"


def test_of_several_manifests_the_first_is_the_lock(tmp_path: Path) -> None:
    with (
        OutputSet(tmp_path, ["a"], manifests=[M, "b.manifest.json"]),
        pytest.raises(OutputError, match="another sslprep run"),
    ):
        OutputSet(tmp_path, ["c"], manifests=[M])


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
from sslprep import interrupts
from sslprep.atomic import OutputSet
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Choose a folder that you may write to"):
        write(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "file")


def test_the_lock_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from sslprep import interrupts
from sslprep.atomic import OutputSet
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


@pytest.mark.parametrize("name", [".a.part", f".{M}.a.replaced"])
def test_a_link_under_a_working_name_is_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(elsewhere)
    write(tmp_path / "out")
    assert elsewhere.read_bytes() == b"precious"
    assert names(tmp_path / "out") == ["a", "b", M]


def test_a_link_that_leads_nowhere_is_an_existing_output(tmp_path: Path) -> None:
    (tmp_path / "a.npy").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match=r"a\.npy: the output exists already"):
        OutputSet(tmp_path, ["a.npy"], manifests=[M])
    assert (tmp_path / "a.npy").is_symlink()


def test_a_link_to_a_folder_is_replaced_and_the_folder_kept(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.npy").symlink_to(tmp_path / "folder")
    with OutputSet(tmp_path, ["a.npy"], manifests=[M], overwrite=True) as out:
        out.save_bytes("a.npy", b"new")
        out.commit()
    assert (tmp_path / "a.npy").read_bytes() == b"new"
    assert (tmp_path / "folder").is_dir()


def test_a_handler_that_c_code_installed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python reads it as none, and could not put it back."""
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda _: None)
        with interrupts.held():
            patch.undo()
            assert signal.getsignal(signal.SIGINT) is before


def test_a_link_in_the_locks_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / f".{M}.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


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


def killed_in_commit(folder: Path, renames: int) -> None:
    """Write anew over an old set in a process of its own, killed before its n-th rename."""
    code = f"""
import os, signal
from pathlib import Path
from sslprep import interrupts
from sslprep.atomic import OutputSet
left, real = {renames}, os.replace
def replace(a, b):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    real(a, b)
os.replace = replace
with OutputSet(Path({str(folder)!r}), ["a", "b"], manifests=["{M}"], overwrite=True) as out:
    for name in ("a", "b", "{M}"):
        out.save_bytes(name, b"new")
    out.commit()
"""
    subprocess.run([sys.executable, "-c", code], check=False)


@pytest.mark.parametrize("renames", range(7))
def test_a_kill_within_the_renames_never_leaves_a_manifest_beside_other_files(
    tmp_path: Path, renames: int
) -> None:
    write(tmp_path, b"old")
    old = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    killed_in_commit(tmp_path, renames)
    found = {p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.startswith(".")}
    if M in found:
        assert found in (old, dict.fromkeys(old, b"new"))
    with pytest.raises(OutputError, match="the output exists"):
        write(tmp_path)
    found = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert found == (old if renames < 6 else dict.fromkeys(old, b"new"))


@pytest.mark.parametrize("failing", range(1, 7))
def test_a_commit_that_fails_leaves_the_old_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    write(tmp_path, b"old")
    calls = []
    real = os.replace

    def replace(a: Path, b: Path) -> None:
        calls.append(a)
        if len(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(a, b)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputError, match="cannot write: Input/output error"):
        write(tmp_path, b"new", overwrite=True)
    assert names(tmp_path) == ["a", "b", M]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"old"
    assert b"old" in (tmp_path / M).read_bytes()


@pytest.mark.parametrize("failing", ["a", "b", M])
def test_a_commit_that_fails_leaves_no_file_where_there_was_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    real = os.replace

    def replace(a: Path, b: Path) -> None:
        if b.name == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(a, b)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputError, match="cannot write: Input/output error"):
        write(tmp_path)
    assert names(tmp_path) == []


def test_files_are_flushed_before_their_renames_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, os.replace

    def fsync(handle: int) -> None:
        steps.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        sync(handle)

    def replace(a: Path, b: Path) -> None:
        steps.append(f"rename {b.name}")
        rename(a, b)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write(tmp_path)
    folder = f"sync {tmp_path.name}"
    assert steps == [
        *("sync .a.part", "sync .b.part", f"sync .{M}.part", folder),
        *("rename a", "rename b", f"rename {M}", folder),
    ]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_within_the_commit_waits(tmp_path: Path, name: str) -> None:
    code = f"""
import os, signal
from pathlib import Path
from sslprep import interrupts
from sslprep.atomic import OutputSet
signal.signal(signal.SIGINT, signal.default_int_handler)
real = os.replace
def replace(a, b):
    os.kill(os.getpid(), signal.{name})
    real(a, b)
os.replace = replace
with OutputSet(Path({str(tmp_path)!r}), ["a", "b"], manifests=["{M}"]) as out:
    for name in ("a", "b"):
        out.save_bytes(name, b"x")
    out.save_json("{M}", {{}})
    out.commit()
print("not reached")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"not reached" not in done.stdout
    assert [n for n in names(tmp_path) if not n.startswith(".")] == ["a", "b", M]


def test_a_lock_that_was_removed_under_us_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f".{M}.lock"
    real = fcntl.flock
    first = [True]

    def flock(handle: int, operation: int) -> None:
        real(handle, operation)
        if first:
            first.clear()
            path.unlink()  # the run before us ends just here

    monkeypatch.setattr(fcntl, "flock", flock)
    with OutputSet(tmp_path, ["a"], manifests=[M]):
        assert path.exists()
        with pytest.raises(OutputError, match="another sslprep run"):
            OutputSet(tmp_path, ["a"], manifests=[M])


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, 524])
def test_a_file_system_without_locks_gets_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    write(tmp_path)
    assert names(tmp_path) == ["a", "b", M]
    assert caplog.text.count("has no locks") == 1


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF])
def test_a_folder_that_cannot_be_flushed_gets_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(code, "no flush")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path, b"old")
    write(tmp_path, b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert caplog.text.count("cannot flush") == 1


def test_unstable_file_numbers_do_not_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "samestat", lambda a, b: False)
    write(tmp_path)
    assert names(tmp_path) == ["a", "b", M]


def test_names_can_be_added_later(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"old")
    with OutputSet(tmp_path, ["a"], manifests=[M]) as out:
        with pytest.raises(ValueError, match="was not announced"):
            out.save_bytes("b", b"x")
        out.announce(["b"])
        out.save_bytes("b", b"x")
        with pytest.raises(OutputError, match="the output exists already"):
            out.announce(["c"])


def test_one_output_that_exists_is_one_and_more_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(OutputError, match=r"the output exists already(?! and)"):
        OutputSet(tmp_path, ["a"], manifests=["other.manifest.json"])
    with pytest.raises(OutputError, match="the output exists already and 2 more"):
        OutputSet(tmp_path, ["a", "b"], manifests=[M])


def test_a_lock_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OutputError, match="cannot write: Input/output error"):
        OutputSet(tmp_path, ["a"], manifests=[M])
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "Free some space"), (errno.EROFS, "Choose a folder you may write to")],
)
def test_what_the_system_refuses_has_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    def replace(a: Path, b: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputError, match=remedy):
        write(tmp_path)
