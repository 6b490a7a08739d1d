import contextlib
import errno
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

import sslprep.color.histogram as histogram_module
from sslprep.atomic import OutputSet
from sslprep.color import counting, images
from sslprep.color.generate import generate_color_bins
from sslprep.color.histogram import Pass, color_histogram, load
from sslprep.color.images import Chunk
from sslprep.errors import ImagesError, OutputError, ParameterError, WorkersLostError
from sslprep.executors import Loss, Processes

STATE = ".ab_histogram_train_imagenet.resume.json"

# A run of many small chunks that saves after each.
PROGRAM = """
import sys
from pathlib import Path
from sslprep.color import histogram, images
from sslprep.color.generate import generate_color_bins
histogram.SAVE_EVERY = 0
images.CHUNK_IMAGES = 3
generate_color_bins(
    data_file=sys.argv[1], output_path=Path(sys.argv[2]), jobs=int(sys.argv[3]),
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
    monkeypatch.setattr(histogram_module, "SAVE_EVERY", 0)
    monkeypatch.setattr(images, "CHUNK_IMAGES", 3)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.usefixtures("small_chunks")
def test_killed_anywhere_and_started_again_it_gives_the_same_bytes(
    mixed_list: Path, tmp_path: Path, jobs: int
) -> None:
    generate_color_bins(
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
        if kills < 2:
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

    calls, count = iter(range(999)), counting.count_chunk

    def counted(settings: object, chunk: object, **more: object) -> object:
        if next(calls) == after:
            raise KeyboardInterrupt
        return count(settings, chunk, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(counting, "count_chunk", counted)


def _interrupted(mixed_list: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _interrupt(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            color_histogram(data_file=str(mixed_list), output_path=out, max_unreadable=0.5, jobs=1)


@pytest.mark.usefixtures("small_chunks")
class TestUnfinished:
    def test_ctrl_c_keeps_what_was_counted(
        self, mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(histogram_module, "SAVE_EVERY", 1e9)
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        assert {path.name for path in out.iterdir()} == {STATE}
        result = color_histogram(
            data_file=str(mixed_list), output_path=out, max_unreadable=0.5, jobs=1
        )
        assert result.resumed_after == 15
        color_histogram(
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
            color_histogram(**other, strict_decode=True)  # type: ignore[arg-type]
        assert bytes_of(out) == before

    @pytest.mark.parametrize("option", ["overwrite", "recount"])
    def test_unless_told_to_give_it_up(
        self, mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
    ) -> None:
        out = tmp_path / "out"
        _interrupted(mixed_list, out, monkeypatch)
        result = color_histogram(
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
        monkeypatch.setattr(images, "CHUNK_IMAGES", 4)
        with pytest.raises(OutputError, match="unfinished pass"):
            color_histogram(data_file=str(mixed_list), output_path=out, jobs=1)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: b"PK\3\4 nonsense",
            lambda data: data[:-30],
            lambda data: b"",
            lambda data: re.sub(rb'"tables":".{8}', b'"tables":"AAAAAAAA', data),
            lambda data: re.sub(rb'"tables":".*"', b'"tables":"eJxjYGBgAAAABAAB"', data),
        ],
        ids=["nonsense", "cut", "empty", "tables damaged", "tables of another shape"],
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
        (out / STATE).write_bytes(damage((out / STATE).read_bytes()))
        result = color_histogram(
            data_file=str(mixed_list), output_path=out, max_unreadable=0.5, jobs=1
        )
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
            color_histogram(data_file=str(mixed_list), output_path=out, jobs=1)


def test_two_runs_at_once_are_refused(photo_list: Path, tmp_path: Path) -> None:
    names = ["ab_histogram_train_imagenet.npy"]
    with (
        OutputSet(tmp_path, names, manifests=["ab_histogram_train_imagenet.manifest.json"]),
        pytest.raises(OutputError, match="another sslprep run is writing here"),
    ):
        color_histogram(data_file=str(photo_list), output_path=tmp_path, jobs=1)


def test_a_full_disk_names_the_file(
    photo_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"resume.json: cannot write: No space left"):
        color_histogram(data_file=str(photo_list), output_path=tmp_path, jobs=1)


@pytest.mark.usefixtures("small_chunks")
def test_a_file_system_that_cannot_flush_is_one_warning(
    photo_list: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def none(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", none)
    assert color_histogram(photo_list, tmp_path, jobs=1, global_resize_img=8).images == 100
    assert caplog.text.count(f"{STATE}.part: this file system cannot flush") == 1


def test_ctrl_c_between_commit_and_clean_up_leaves_nothing_for_good(
    photo_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    generate_color_bins(data_file=str(photo_list), output_path=undisturbed, jobs=1)
    real = OutputSet.commit

    def impatient(self: OutputSet) -> None:
        real(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OutputSet, "commit", impatient)
        with pytest.raises(KeyboardInterrupt):
            generate_color_bins(data_file=str(photo_list), output_path=out, jobs=1)
    assert not (out / STATE).exists()  # it goes with the commit
    generate_color_bins(data_file=str(photo_list), output_path=out, jobs=1)
    assert bytes_of(out) == bytes_of(undisturbed)


def test_a_full_disk_leaves_no_half_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        Pass("x", np.zeros((1, 256, 256), np.int64)).save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def _counts(chunk: int, place: int, reason: str = "missing") -> counting.Counts:
    return counting.Counts(
        cells=np.array([5], np.uint32),
        pixels=np.array([3]),
        images=9,
        listed=[counting.Listed(chunk, place, "a\n\u2028b", reason, reason == "truncated")],
        versions=counting.versions(),
        worker="here",
    )


class TestState:
    """The tables and the set of finished chunks, which may come in any order."""

    def _state(self, folder: Path) -> Pass:
        return load(folder / "s", "id", 1, give_up=False)

    def test_chunks_in_any_order_and_what_came_after_the_last_save_is_not_there(
        self, tmp_path: Path
    ) -> None:
        state = self._state(tmp_path)
        state.add(3, _counts(3, 2))
        state.add(1, _counts(1, 4, "truncated"))
        state.save(tmp_path / "s")
        state.add(2, _counts(2, 0))
        again = self._state(tmp_path)
        assert again.images == {1: 9, 3: 9}
        assert [(x.chunk, x.counted) for x in again.listed] == [(3, False), (1, True)]
        assert again.tables[0, 0, 5] == 6
        again.add(0, _counts(0, 7))
        listed = again.entries()
        assert [entry["index"] for entry in listed] == [7, 9 + 4, 18 + 2]
        assert listed[0] == {
            "index": 7,
            "path": "a\n\u2028b",
            "reason": "missing",
            "counted": False,
        }

    def test_counts_made_with_other_versions_are_refused_by_name(self, tmp_path: Path) -> None:
        odd = _counts(0, 0)._replace(
            versions={"opencv": "4.5.0", "sslprep": "0"}, worker="node7, process 9"
        )
        with pytest.raises(ParameterError, match=r"node7, process 9 has opencv 4\.5\.0"):
            self._state(tmp_path).add(0, odd)


POISON = """
import os, signal, sys, time
from pathlib import Path
from sslprep.color import counting, decoding
decoding.opencv()  # its import is not of the time that a chunk may take
real = decoding.decode_image
def decode_image(data, **options):
    if b"poison" in data:
        how = os.environ.get("POISON", "kill")
        if how == "slow":
            time.sleep(0.2)
        else:
            os.kill(os.getpid(), {"hang": signal.SIGSTOP, "kill": signal.SIGKILL}[how])
    return real(data, **options)
counting.decode_image = decode_image
many = counting.read_many
def read_many(urls):
    urls = list(urls)
    if any("poison" in url for url in urls):
        os.kill(os.getpid(), signal.SIGKILL)
    return many(urls)
counting.read_many = read_many
"""


@pytest.fixture
def poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every Python process that imports `sitecustomize` die of images that say poison."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


@pytest.mark.usefixtures("poison")
class TestImagesThatKillTheirWorker:
    def test_one_among_500_is_named_and_the_run_ends_well(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        bad = tmp_path / "bad.jpg"
        bad.write_bytes(Path(photos[0]).read_bytes() + b"poison")
        np.save(tmp_path / "list.npy", np.array([*(photos * 3), str(bad), *(photos * 2)]))
        np.save(tmp_path / "good.npy", np.array(photos))
        result = color_histogram(
            tmp_path / "list.npy", tmp_path / "out", global_resize_img=16, jobs=2
        )
        assert (result.images, result.unreadable) == (501, 1)
        (listed,) = json.loads(
            (tmp_path / "out" / "ab_histogram_train_imagenet_unreadable.json").read_bytes()
        )
        assert listed == {
            "index": 300,
            "path": str(bad),
            "reason": "killed its worker (it was ended by signal 9, SIGKILL)",
            "counted": False,
        }
        color_histogram(tmp_path / "good.npy", tmp_path / "good", global_resize_img=16, jobs=1)
        table = "ab_histogram_train_imagenet.npy"
        once = np.load(tmp_path / "good" / table)
        assert np.array_equal(np.load(tmp_path / "out" / table), 5 * once)

    def test_several_in_one_chunk_and_in_a_compressed_shard(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as shard:
            for number, path in enumerate(photos[:30]):
                data = Path(path).read_bytes() + (b"poison" if number in (4, 20) else b"")
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))
        out = tmp_path / "out"
        with pytest.raises(ImagesError, match=r"2 of 30 images cannot be read \(6\.67 %\)"):
            color_histogram(tmp_path / "s.tar.gz", out, jobs=2)
        result = color_histogram(tmp_path / "s.tar.gz", out, jobs=2, max_unreadable=0.1)
        assert (result.images, result.unreadable, result.resumed_after) == (30, 2, 30)
        listed = json.loads((out / "ab_histogram_train_imagenet_unreadable.json").read_bytes())
        assert [entry["index"] for entry in listed] == [4, 20]

    def test_one_that_hangs_its_worker_is_found_after_the_time_given(
        self, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("POISON", "hang")
        (tmp_path / "bad.jpg").write_bytes(Path(photos[0]).read_bytes() + b"poison")
        np.save(tmp_path / "list.npy", np.array([*photos[:5], str(tmp_path / "bad.jpg")]))
        out = tmp_path / "out"
        color_histogram(tmp_path / "list.npy", out, jobs=2, worker_timeout=1.5, max_unreadable=0.5)
        (listed,) = json.loads((out / "ab_histogram_train_imagenet_unreadable.json").read_bytes())
        assert listed["reason"] == "killed its worker (it said nothing for 1.5 seconds)"

    def test_images_that_are_merely_slow_are_counted_once(
        self,
        photos: list[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The time is that of one image: a slow disk makes no chunk a lost one."""
        monkeypatch.setenv("POISON", "slow")
        slow = Path(photos[0]).read_bytes() + b"poison"
        for number in range(14):
            (tmp_path / f"{number}.jpg").write_bytes(slow)
        np.save(tmp_path / "list.npy", np.array([str(tmp_path / f"{n}.jpg") for n in range(14)]))
        result = color_histogram(
            tmp_path / "list.npy", tmp_path / "out", jobs=2, worker_timeout=2.0
        )
        assert (result.images, result.unreadable) == (14, 0)
        assert "lost" not in caplog.text

    def test_many_that_kill_their_worker_are_one_warning(
        self,
        photos: list[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for number in range(3):
            bad = tmp_path / f"{number}.jpg"
            bad.write_bytes(Path(photos[0]).read_bytes() + b"poison")
        np.save(
            tmp_path / "list.npy",
            np.array([str(tmp_path / f"{n}.jpg") for n in range(3)] + photos[:3]),
        )
        monkeypatch.setattr(images, "CHUNK_IMAGES", 2)
        color_histogram(tmp_path / "list.npy", tmp_path / "out", jobs=2, max_unreadable=0.5)
        assert caplog.text.count("lost") == 1

    def test_a_url_whose_fetch_ends_the_process_is_the_one_named(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        """A lost chunk's files are fetched one by one: 32 share a request elsewhere."""
        pytest.importorskip("fsspec")
        names = tuple(f"file://{path}" for path in [*photos[:3], "poison.jpg", *photos[3:6]])
        settings = counting.Settings(global_resize_img=8)
        with contextlib.closing(Processes(1)) as process:
            loss = Loss(Chunk(number=0, names=names), "it was ended by signal 9, SIGKILL")
            found = counting.count_watched(settings, 60.0, process, loss)
        assert [(x.place, x.path[:17]) for x in found.listed] == [(3, "file://poison.jpg")]
        assert found.images == 7


@pytest.mark.parametrize("deaths", [1, 2])
def test_an_image_is_deadly_only_if_it_ends_two_processes(
    monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    """The first may have been killed for another's memory."""
    killed = iter([3] * deaths)
    left_out: list[dict[int, str]] = []

    def completed(work, chunks, executor, *, timeout, lost):
        left_out.append(dict(work.keywords["deadly"]))
        if (place := next(killed, None)) is None:
            yield chunks[0], "counts"
        else:
            lost.append(Loss(chunks[0], "it was ended by signal 9, SIGKILL", place))

    monkeypatch.setattr(counting, "completed", completed)
    loss = Loss(Chunk(number=0, names=("a.jpg",) * 10), "it was ended by signal 9, SIGKILL")
    with contextlib.closing(Processes(1)) as process:
        assert counting.count_watched(counting.Settings(), 60.0, process, loss) == "counts"
    reason = "killed its worker (it was ended by signal 9, SIGKILL)"
    assert left_out[1:] == ([{}] if deaths == 1 else [{}, {3: reason}])


@pytest.mark.parametrize("place", [None, 3])
def test_what_ends_every_process_ends_the_pass(
    monkeypatch: pytest.MonkeyPatch, place: int | None
) -> None:
    """It is not the image, which is left out then: maybe a disk that hangs behind it."""
    deaths = iter(range(3))

    def completed(work, chunks, executor, *, timeout, lost):
        if next(deaths, None) is None:
            yield chunks[0], "counts"
        else:
            lost.append(Loss(chunks[0], "it said nothing for 60 seconds", place))

    monkeypatch.setattr(counting, "completed", completed)
    loss = Loss(Chunk(number=0, names=("a.tar",), span=(0, None)), "it said nothing")
    with (
        contextlib.closing(Processes(1)) as process,
        pytest.raises(WorkersLostError, match=r"three processes .* a\.tar, or behind it \(it said"),
    ):
        counting.count_watched(counting.Settings(), 60.0, process, loss)


def test_workers_that_cannot_start_keep_what_was_counted(
    mixed_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "CHUNK_IMAGES", 3)
    out = tmp_path / "out"
    _interrupted(mixed_list, out, monkeypatch)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ImagesError, match="the workers were lost after 15 images"):
        color_histogram(mixed_list, out, jobs=2)
    assert (out / STATE).exists()


def test_what_a_run_has_left_that_was_killed_when_it_had_finished_is_taken_away(
    photo_list: Path, tmp_path: Path
) -> None:
    """The histogram is there, and used as it is; its lock and what it replaced lie beside."""
    run = {"data_file": photo_list, "output_path": tmp_path / "out", "jobs": 1}
    generate_color_bins(**run)
    before = bytes_of(tmp_path / "out")
    head = ".ab_histogram_train_imagenet.manifest.json"
    left = [f"{head}.lock", f"{head}.ab_histogram_train_imagenet.npy.replaced"]
    for name in left:
        (tmp_path / "out" / name).write_bytes(b"")
    generate_color_bins(**run, overwrite=True)
    assert bytes_of(tmp_path / "out") == before
