import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sslprep.color import counting, passes, resume, sources
from sslprep.color.generate import generate
from sslprep.color.histogram import histogram, make_histogram
from sslprep.color.resume import ListedImage, State
from sslprep.errors import ImagesError, OutputError
from sslprep.files import OutputSet

STATE = ".ab_histogram_train_imagenet.npy.resume.npz"
JOURNAL = ".ab_histogram_train_imagenet_unreadable.json.resume.jsonl"

# A run of many small chunks that saves after each.
PROGRAM = """
import sys
from pathlib import Path
from sslprep.color import resume, sources
from sslprep.color.generate import generate
if __name__ == "__main__":
    resume.SAVE_EVERY = 0
    sources.chunk_size = lambda total: 3
    generate(data_file=sys.argv[1], output_path=Path(sys.argv[2]), jobs=int(sys.argv[3]),
             max_unreadable=0.5, bin_size=(10, 20), weights=True)
"""


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def mixed_list(photos: list[str], tmp_path: Path) -> Path:
    """The photos, with every tenth entry missing."""
    path = tmp_path / "list.txt"
    path.write_text("\n".join("none.jpg" if i % 10 == 3 else p for i, p in enumerate(photos)))
    return path


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "SAVE_EVERY", 0)
    monkeypatch.setattr(sources, "chunk_size", lambda total: 3)


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_anywhere_and_started_again_it_gives_the_same_bytes(
    mixed_list: Path, tmp_path: Path, jobs: int
) -> None:
    generate(
        data_file=str(mixed_list),
        output_path=tmp_path / "undisturbed",
        max_unreadable=0.5,
        bin_size=(10, 20),
        weights=True,
        jobs=1,
    )
    out = tmp_path / "killed"
    chance = random.Random(jobs)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, mixed_list, out, str(jobs)]
    kills = 0
    while True:
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        if kills < (4 if jobs == 1 else 2):
            kills += _kill_later(process, out / STATE, chance.randint(1, 7))
        _, complaints = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, complaints.decode()
    assert kills >= 2
    assert bytes_of(out) == bytes_of(tmp_path / "undisturbed")


def _kill_later(process: subprocess.Popen[bytes], state: Path, saves: int) -> bool:
    """Kill after some saves; return whether it was still running."""
    seen: set[int] = set()
    while process.poll() is None and len(seen) <= saves:
        if state.exists():
            seen.add(_written_at(state))
        time.sleep(0.001)
    process.kill()
    return process.wait() != 0


def _written_at(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0


def _interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Make the pass fail like Ctrl-C after some chunks."""

    calls = iter(range(999))

    def counted(settings: object, chunk: object) -> object:
        if next(calls) == after:
            raise KeyboardInterrupt
        return counting.count_chunk(settings, chunk)  # type: ignore[arg-type]

    monkeypatch.setattr(passes, "count_chunk", counted)


def _interrupted(mixed_list: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _interrupt(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            histogram(data_file=str(mixed_list), output_path=out, max_unreadable=0.5, jobs=1)


@pytest.mark.usefixtures("small_chunks")
class TestUnfinished:
    def test_ctrl_c_keeps_what_was_counted(
        self, mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resume, "SAVE_EVERY", 1e9)
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        assert {path.name for path in out.iterdir()} == {STATE, JOURNAL}
        result = histogram(data_file=str(mixed_list), output_path=out, max_unreadable=0.5, jobs=1)
        assert result.resumed_after == 15
        histogram(
            data_file=str(mixed_list), output_path=tmp_path / "plain", max_unreadable=0.5, jobs=1
        )
        assert bytes_of(out) == bytes_of(tmp_path / "plain")

    def test_other_parameters_are_refused(
        self, mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        before = bytes_of(out)
        other = {"data_file": str(mixed_list), "output_path": out, "jobs": 1}
        with pytest.raises(OutputError, match=r"unfinished pass \(15 images\)"):
            histogram(**other, strict_decode=True)  # type: ignore[arg-type]
        assert bytes_of(out) == before

    @pytest.mark.parametrize("option", ["overwrite", "recount"])
    def test_unless_told_to_give_it_up(
        self, mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
    ) -> None:
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        result = histogram(
            data_file=str(mixed_list),
            output_path=out,
            strict_decode=True,
            max_unreadable=0.5,
            jobs=1,
            **{option: True},  # type: ignore[arg-type]
        )
        assert result.resumed_after == 0
        assert STATE not in bytes_of(out)

    def test_another_cut_of_the_list_is_refused(
        self, mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        monkeypatch.setattr(sources, "chunk_size", lambda total: 4)
        with pytest.raises(OutputError, match="unfinished pass"):
            histogram(data_file=str(mixed_list), output_path=out, jobs=1)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda out: (out / STATE).write_bytes(b"PK\3\4 nonsense"),
            lambda out: (out / STATE).write_bytes((out / STATE).read_bytes()[:-30]),
            lambda out: (out / JOURNAL).write_bytes(b""),
            lambda out: np.savez(out / STATE, table=np.array([None]), progress=b""),
        ],
        ids=["nonsense", "cut", "journal gone", "objects"],
    )
    def test_a_damaged_state_begins_anew(
        self,
        mixed_list: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        damage,
    ) -> None:
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        damage(out)
        for left in out.glob("*.npz.npz"):
            left.replace(out / STATE)
        result = histogram(data_file=str(mixed_list), output_path=out, max_unreadable=0.5, jobs=1)
        assert result.resumed_after == 0
        assert result.unreadable == 10
        assert "is damaged; the pass begins anew" in caplog.text

    def test_a_changed_list_is_noticed(
        self, mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        mixed_list.write_text(mixed_list.read_text().replace("none.jpg", "other.jpg"))
        with pytest.raises(OutputError, match="of another input"):
            histogram(data_file=str(mixed_list), output_path=out, jobs=1)


def test_two_runs_at_once_are_refused(photo_list: Path, tmp_path: Path) -> None:
    names = ["ab_histogram_train_imagenet.npy"]
    with (
        OutputSet(tmp_path, names, manifests=["ab_histogram_train_imagenet.manifest.json"]),
        pytest.raises(OutputError, match="another sslprep run is writing here"),
    ):
        histogram(data_file=str(photo_list), output_path=tmp_path, jobs=1)


def test_a_full_disk_names_the_file(
    photo_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputError, match=r"resume.npz: cannot write: No space left"):
        histogram(data_file=str(photo_list), output_path=tmp_path, jobs=1)


def test_ctrl_c_between_commit_and_clean_up_leaves_nothing_for_good(
    photo_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    generate(data_file=str(photo_list), output_path=undisturbed, jobs=1)
    real = State.remove

    def impatient(state: State) -> None:
        if state.progress.done:
            raise KeyboardInterrupt
        real(state)

    with monkeypatch.context() as patch:
        patch.setattr(State, "remove", impatient)
        with pytest.raises(KeyboardInterrupt):
            generate(data_file=str(photo_list), output_path=out, jobs=1)
    assert (out / STATE).exists()
    # A kill there leaves the lock and the journal of the commit too.
    for name in ("lock", "commit"):
        (out / f".ab_histogram_train_imagenet.manifest.json.{name}").touch()
    generate(data_file=str(photo_list), output_path=out, jobs=1)
    assert bytes_of(out) == bytes_of(undisturbed)


def test_a_full_disk_leaves_no_half_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    state = State.new(tmp_path / "a.npz", tmp_path / "a.jsonl", "x")
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputError, match="No space left"):
        state.save()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_worker_is_reported(photo_list: Path, tmp_path: Path) -> None:
    class Deadly:
        total = 1
        identity = layout = ""

        def chunks(self, first: int = 0) -> Iterator[object]:
            yield Killer()

    request = passes.make_request(
        data_file=str(photo_list),
        type="train",
        dataset="imagenet",
        global_resize_img=256,
        fast_decode=False,
        strict_decode=False,
        max_unreadable=0.01,
        hash_inputs=False,
    )
    deadly = dataclasses.replace(request, source=Deadly())
    with pytest.raises(ImagesError, match="the workers were lost after 0 images"):
        make_histogram(
            deadly, tmp_path / "out", recount=False, jobs=2, scheduler=None, overwrite=False
        )


class Killer:
    """A chunk that takes its worker down when it arrives there."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (9,)


class TestJournal:
    def test_lines_after_the_last_save_are_dropped(self, tmp_path: Path) -> None:
        state = State.new(tmp_path / "s.npz", tmp_path / "j", "id")
        image = ListedImage(index=1, path="a\n\u2028b", reason="missing", counted=False)
        state.note([image])
        state.save()
        state.note([image, image])
        loaded = State.load(tmp_path / "s.npz", tmp_path / "j")
        assert loaded is not None
        assert [json.loads(line)["path"] for line in loaded.listed()] == ["a\n\u2028b"]

    def test_a_state_without_listed_images_forgets_an_old_journal(self, tmp_path: Path) -> None:
        State.new(tmp_path / "s.npz", tmp_path / "j", "id").save()
        (tmp_path / "j").write_text("left over")
        loaded = State.load(tmp_path / "s.npz", tmp_path / "j")
        assert loaded is not None
        assert list(loaded.listed()) == []
        assert not (tmp_path / "j").exists()
