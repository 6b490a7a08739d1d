import contextlib
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pytest

from sslprep import executors
from sslprep.color import images
from sslprep.color.counting import versions
from sslprep.color.generate import generate_color_bins
from sslprep.color.histogram import Pass, color_histogram
from sslprep.errors import ImagesError, ParameterError

POISON = """
import os, signal
from sslprep.color import counting, decoding
real = decoding.decode_image
def decode_image(data, **options):
    if b"poison" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(data, **options)
counting.decode_image = decode_image
"""
distributed = pytest.importorskip("distributed")


Cluster = tuple[str, list[subprocess.Popen[bytes]]]


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Cluster]]:
    """Give one cluster to all tests; another when too few of its processes are alive."""
    with contextlib.ExitStack() as stack:
        running: list[Cluster] = []

        def with_workers(needed: int) -> Cluster:
            *workers, scheduler = running[-1][1] if running else [None]
            alive = [w for w in workers if w.poll() is None]
            if scheduler is None or scheduler.poll() is not None or len(alive) < needed:
                folder = tmp_path_factory.mktemp("cluster")
                running.append(stack.enter_context(started_cluster(folder)))
            return running[-1]

        yield with_workers


@pytest.fixture
def cluster(clusters: Callable[[int], Cluster]) -> Iterator[Cluster]:
    address, processes = clusters(2)
    yield address, processes
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def started_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Start a real scheduler and two real worker processes on the loopback address."""
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
            client.run(exec, "from sslprep.color.decoding import opencv; opencv()")
        yield address, [*workers, scheduler]


def _wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_one_job_two_jobs_and_dask_give_equal_bytes(
    cluster: Cluster, photo_list: Path, tmp_path: Path
) -> None:
    address, _ = cluster
    for name, where in (("1", {"jobs": 1}), ("2", {"jobs": 2}), ("dask", {"scheduler": address})):
        generate_color_bins(photo_list, tmp_path / name, weights=True, sample=0.5, **where)  # type: ignore[arg-type]
    first = {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()}
    for name in ("2", "dask"):
        assert {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} == first


@pytest.mark.parametrize("when", ["before the run", "in its middle"])
def test_a_stopped_worker_holds_up_nobody(
    cluster: Cluster,
    photos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    address, workers = cluster
    np.save(tmp_path / "list.npy", np.array(photos * 4))
    options = {"global_resize_img": 16, "worker_timeout": 4.0}
    monkeypatch.setattr(images, "CHUNK_IMAGES", 5)  # 80 chunks
    monkeypatch.setattr(executors, "_DASK", 2.0)  # for which the stopped one is asked its version
    color_histogram(tmp_path / "list.npy", tmp_path / "here", jobs=1, **options)
    done, before_the_first_loss = [0], []
    add, cancel = Pass.add, executors.Dask.cancel

    def noted(self: Pass, *arguments: object) -> None:
        if done[0] == 10 and when == "in its middle":
            workers[0].send_signal(signal.SIGSTOP)
        add(self, *arguments)  # type: ignore[arg-type]
        done[0] += 1

    def noting(self: executors.Dask, pending: Collection[object]) -> None:
        if pending:
            before_the_first_loss.append(done[0])
        cancel(self, pending)

    monkeypatch.setattr(Pass, "add", noted)
    monkeypatch.setattr(executors.Dask, "cancel", noting)
    if when == "before the run":
        workers[0].send_signal(signal.SIGSTOP)
    color_histogram(tmp_path / "list.npy", tmp_path / "there", scheduler=address, **options)
    assert workers[0].poll() is None
    # Before anybody waited the other did everything but what was under way: 32 chunks at most,
    # for Dask fetches results together, and those that come with one of the stopped worker wait.
    assert before_the_first_loss[0] >= 80 - 32
    for name in ("ab_histogram_train_imagenet.npy", "ab_histogram_train_imagenet.manifest.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_a_worker_with_another_opencv_is_refused_by_name(
    cluster: Cluster, photo_list: Path, tmp_path: Path
) -> None:
    address, _ = cluster
    with distributed.Client(address) as client:
        client.run(exec, "import cv2; cv2.__version__ = '4.5.0'")
    with pytest.raises(ParameterError, match=r", process \d+ has opencv 4.5.0; expected"):
        color_histogram(photo_list, tmp_path / "out", scheduler=address)
    with distributed.Client(address) as client:
        client.run(exec, f"import cv2; cv2.__version__ = {versions()['opencv']!r}")


def test_an_image_that_kills_its_dask_worker_is_named(
    cluster: Cluster, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = cluster
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))  # of the process that looks for it
    with distributed.Client(address) as client:
        client.run(exec, POISON, {})
        # By default three more workers get what has killed one.
        client.run_on_scheduler(
            lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0)
        )
    (tmp_path / "bad.jpg").write_bytes(Path(photos[0]).read_bytes() + b"poison")
    np.save(tmp_path / "list.npy", np.array([*photos[:40], str(tmp_path / "bad.jpg")]))
    monkeypatch.setattr(images, "CHUNK_IMAGES", 20)
    result = color_histogram(
        tmp_path / "list.npy", tmp_path / "out", scheduler=address, max_unreadable=0.1
    )
    assert (result.images, result.unreadable) == (41, 1)
    listed = (tmp_path / "out" / "ab_histogram_train_imagenet_unreadable.json").read_text()
    assert "killed its worker" in listed


def test_no_scheduler_at_the_address(photo_list: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no Dask scheduler answers at nonsense"):
        color_histogram(
            data_file=str(photo_list), output_path=tmp_path / "out", scheduler="nonsense://x"
        )
    assert not (tmp_path / "out").exists()


def test_a_lost_scheduler_is_reported_and_what_was_counted_is_kept(
    clusters: Callable[[int], Cluster],
    photo_list: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, (*_, scheduler) = clusters(1)
    out = tmp_path / "out"
    monkeypatch.setattr(images, "CHUNK_IMAGES", 1)
    add = Pass.add

    def noted(self: Pass, *arguments: object) -> None:
        if self.total == 5:
            scheduler.kill()
            scheduler.wait()
        add(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Pass, "add", noted)
        with pytest.raises(ImagesError, match=r"lost after \d+ images .the Dask scheduler is gone"):
            color_histogram(data_file=str(photo_list), output_path=out, scheduler=address)
    for name in ("batched", "client", "comm.tcp"):  # where Dask would print tracebacks
        assert not logging.getLogger(f"distributed.{name}").isEnabledFor(logging.ERROR)
    assert not logging.getLogger("tornado.application").isEnabledFor(logging.ERROR)
    result = color_histogram(data_file=str(photo_list), output_path=out, jobs=1)
    assert result.resumed_after >= 5
    assert result.images == 100


def test_a_stopped_scheduler_is_not_waited_for_without_end(
    cluster: Cluster, photo_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, (*_, scheduler) = cluster
    monkeypatch.setattr(images, "CHUNK_IMAGES", 1)
    monkeypatch.setattr(executors, "_DASK", 1.0)
    add = Pass.add

    def noted(self: Pass, *arguments: object) -> None:
        if self.total == 5:
            scheduler.send_signal(signal.SIGSTOP)
        add(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Pass, "add", noted)
    with pytest.raises(ImagesError, match=r"images .the Dask scheduler does not answer"):
        color_histogram(photo_list, tmp_path, scheduler=address, worker_timeout=1.0)
    assert color_histogram(photo_list, tmp_path, jobs=1).resumed_after >= 5


def test_a_lost_worker_changes_nothing(
    cluster: Cluster,
    photo_list: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, workers = cluster
    color_histogram(data_file=str(photo_list), output_path=tmp_path / "here", jobs=1)

    color_histogram(data_file=str(photo_list), output_path=tmp_path / "two", jobs=2)
    monkeypatch.setattr(images, "CHUNK_IMAGES", 2)  # 50 chunks
    killed = threading.Event()
    add = Pass.add

    def noted(self: Pass, *arguments: object) -> None:
        if self.total == 10:
            workers[0].kill()
            killed.set()
        add(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Pass, "add", noted)
    color_histogram(data_file=str(photo_list), output_path=tmp_path / "there", scheduler=address)
    assert killed.is_set()
    assert workers[0].wait() != 0
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
        if path.suffix == ".npy":  # the manifest's identity holds the size of chunks
            assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()
