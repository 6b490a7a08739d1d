import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslprep.color import resume, sources
from sslprep.color.histogram import histogram
from sslprep.errors import ImagesError, ParameterError

distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A real scheduler and two real worker processes on the loopback address."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=tmp_path,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        file = tmp_path / "scheduler.json"
        scheduler = start(
            "dask_scheduler",
            "--host=127.0.0.1",
            "--port=0",
            "--no-dashboard",
            f"--scheduler-file={file}",
        )
        _wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        workers = [
            start(
                "dask_worker",
                address,
                "--host=127.0.0.1",
                "--nthreads=1",
                "--no-nanny",
                "--no-dashboard",
                f"--local-directory={tmp_path / f'worker{number}'}",
            )
            for number in range(2)
        ]
        with distributed.Client(address) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, [*workers, scheduler]


def _wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_lost_worker_changes_nothing(
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    photo_list: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, workers = cluster
    histogram(data_file=str(photo_list), output_path=tmp_path / "here", jobs=1)

    monkeypatch.setattr(sources, "chunk_size", lambda total: 2)  # 50 chunks
    killed = threading.Event()
    add = resume.State.note

    def note(self: resume.State, images: object) -> None:
        if self.progress.chunks == 5:
            workers[0].kill()
            killed.set()
        add(self, images)  # type: ignore[arg-type]

    monkeypatch.setattr(resume.State, "note", note)
    histogram(data_file=str(photo_list), output_path=tmp_path / "there", scheduler=address)
    assert killed.is_set()
    assert workers[0].wait() != 0
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()


def test_no_scheduler_at_the_address(photo_list: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no Dask scheduler answers at nonsense"):
        histogram(data_file=str(photo_list), output_path=tmp_path / "out", scheduler="nonsense://x")
    assert not (tmp_path / "out").exists()


def test_a_lost_scheduler_is_reported_and_what_was_counted_is_kept(
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    photo_list: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, (*_, scheduler) = cluster
    out = tmp_path / "out"
    monkeypatch.setattr(sources, "chunk_size", lambda total: 1)
    add = resume.State.note

    def note(self: resume.State, images: object) -> None:
        if self.progress.chunks == 5:
            scheduler.kill()
            scheduler.wait()
        add(self, images)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(resume.State, "note", note)
        with pytest.raises(ImagesError, match=r"lost after \d+ images .the Dask scheduler is gone"):
            histogram(data_file=str(photo_list), output_path=out, scheduler=address)
    result = histogram(data_file=str(photo_list), output_path=out, jobs=1)
    assert result.resumed_after >= 5
    assert result.images == 100
