"""Parallel work: the same results, as they come, bounded; a lost worker costs its chunk alone."""

import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from sslprep import executors
from sslprep.errors import ArrayError, ParameterError, SslprepError, WorkersLostError
from sslprep.executors import Loss, completed, open_executor
from sslprep.npy import read_array


@contextmanager
def local_cluster(workers: int, threads: int = 1) -> Iterator[Any]:
    """Run Dask's scheduler and workers in this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=threads, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster


def test_processes_give_the_results_of_one_process() -> None:
    chunks = range(-50, 0)
    with open_executor(2) as pool:
        assert sorted(completed(abs, chunks, pool)) == list(completed(abs, chunks, None))
    with open_executor(1) as pool:
        assert pool is None


def test_far_more_jobs_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "cores", lambda: 2)
    with open_executor(64):
        pass
    with pytest.raises(ParameterError, match="--jobs is 100,000; expected at most 64, 32 for each"):
        open_executor(100_000)


def test_a_slow_chunk_holds_up_no_other() -> None:
    with open_executor(2) as pool:
        done = [chunk for chunk, _ in completed(time.sleep, [1.5, *[0.01] * 20], pool)]
    assert done.index(1.5) >= 15


def test_only_a_few_chunks_are_taken_at_a_time() -> None:
    taken: list[int] = []

    def chunks() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    with open_executor(2) as pool:
        results = completed(abs, chunks(), pool)
        next(results)
        assert 4 <= len(taken) <= 6  # the next chunk is there when a worker is done with one
        results.close()  # type: ignore[attr-defined]


def test_results_not_taken_are_cancelled_and_the_pool_works_on(tmp_path: Path) -> None:
    with open_executor(2) as pool:
        for again in range(8):  # a worker may be ended just as it answers
            folder = tmp_path / str(again)
            folder.mkdir()
            for _ in completed(os.mkdir, [folder / str(i) for i in range(100)], pool):
                break
            assert sorted(completed(abs, [-1, -2, -3], pool)) == [(-3, 3), (-2, 2), (-1, 1)]
            assert len(list(folder.iterdir())) <= 6
        start = time.monotonic()
        results = completed(time.sleep, [0, 600, 600, 600], pool)
        next(results)
        results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 60  # no waiting for what is under way


def test_no_worker_is_given_work_as_it_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    kill = subprocess.Popen.kill

    def slow_kill(worker: executors._Worker) -> None:
        threading.Timer(0.8 if worker.pid == idle else 0.2, kill, [worker]).start()

    with open_executor(2) as pool:
        chunks = ["__import__('os').getpid()", "__import__('time').sleep(60)"]
        results = completed(eval, chunks, pool)
        _, idle = next(results)
        with monkeypatch.context() as patch:
            patch.setattr(executors._Worker, "kill", slow_kill)
            results.close()  # type: ignore[attr-defined]
        assert len(list(completed(time.sleep, [1, 1], pool))) == 2


def test_a_worker_that_does_not_even_die_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does not that waits for a disk which no longer answers."""
    lost: list[Loss] = []
    kill = executors._Worker.kill
    monkeypatch.setattr(executors, "_DEATH", 0.5)
    with open_executor(2) as pool:
        work = completed(time.sleep, [0, 0, 600, 600], pool, timeout=2.0, lost=lost)
        next(work)
        next(work)
        workers = [*pool._workers.values()]  # type: ignore[union-attr]
        with monkeypatch.context() as patch:
            patch.setattr(executors._Worker, "kill", lambda _: None)
            assert [*work] == []
            results = completed(time.sleep, [0, 600, 600], pool, lost=lost)
            next(results)
            workers += pool._workers.values()  # type: ignore[union-attr]
            results.close()  # type: ignore[attr-defined]
    assert lost == [Loss(600, "it said nothing for 2 seconds")] * 2
    for worker in workers:
        kill(worker)
        worker.wait()


def test_an_error_in_a_worker_keeps_its_parts(tmp_path: Path) -> None:
    with open_executor(2) as pool, pytest.raises(ArrayError) as caught:
        list(completed(read_array, [tmp_path / "gone.npy"], pool))
    assert caught.value.problem == "no such file"
    assert caught.value.where == str(tmp_path / "gone.npy")
    assert caught.value.remedy == "Check the path."


def test_a_bug_in_a_worker_tells_where() -> None:
    with open_executor(2) as pool, pytest.raises(ZeroDivisionError) as caught:
        list(completed(pickle.loads, [b"cfractions\nFraction\n(I1\nI0\ntR."], pool))
    assert "fractions.py" in caught.value.__notes__[0]


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    with open_executor(2) as pool, pytest.raises(TypeError, match="cannot pickle"):
        list(completed(memoryview, [b""], pool))


def test_an_idle_worker_that_died_is_replaced() -> None:
    with executors.closing(executors.Processes(1)) as pool:
        assert list(completed(abs, [-1], pool)) == [(-1, 1)]
        for worker in psutil.Process().children():
            worker.kill()
            worker.wait()
        assert list(completed(abs, [-2], pool)) == [(-2, 2)]


def test_an_error_is_one_line_whatever_it_names() -> None:
    error = SslprepError("bad\nname\x1b[31m", where="a\rb").at("dir")
    assert str(error) == "dir, a\\rb: bad\\nname\\x1b[31m"


def test_a_worker_that_dies_or_hangs_costs_its_chunk_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = tmp_path / "odd_work.py"
    module.write_text(
        "import os, signal, time\n"
        "def odd(x):\n"
        "    if x == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    if x == 9:\n"
        "        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "    if x == 12: os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    if x == 20: os.kill(os.getpid(), 37)  # of no name\n"
        "    return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)  # workers get it too
    from odd_work import odd  # type: ignore[import-not-found]

    lost: list[Loss] = []
    with open_executor(2) as pool:
        done = dict(completed(odd, range(40), pool, timeout=1.5, lost=lost))
    killed, hung_up = (f"it was ended by signal {name}" for name in ("9, SIGKILL", "1, SIGHUP"))
    hung = "it said nothing for 1.5 seconds"
    nameless = Loss(20, "it ended with code -37")
    assert sorted(lost) == [Loss(5, killed), Loss(9, hung_up), Loss(12, hung), nameless]
    assert done == {x: 2 * x for x in range(40) if x not in (5, 9, 12, 20)}
    assert caplog.text.count("a worker was lost") == 1


_SLOW = """
import os, signal, time
from sslprep import executors
def slow(x):
    for place in range(8):
        time.sleep(0.25)
        executors.working_on(place)
        if (x, place) == (5, 6):
            os.kill(os.getpid(), signal.SIGKILL)
    return 2 * x
def slow_to_die(x):
    os.close(executors._parent.fileno())  # as if a core were dumped
    time.sleep(0.5)
    os._exit(7)
def stopped_as_it_answers(x):
    executors._parent.sendall(b"\\x80\\x05\\x95")
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def slow_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "slow_work.py").write_text(_SLOW)
    monkeypatch.syspath_prepend(tmp_path)  # workers get it too
    yield importlib.import_module("slow_work")
    del sys.modules["slow_work"]


def test_a_worker_that_tells_where_it_is_does_not_hang(slow_work: ModuleType) -> None:
    lost: list[Loss] = []
    with open_executor(2) as pool:
        done = dict(completed(slow_work.slow, [1, 2, 5], pool, timeout=1.2, lost=lost))
    assert done == {1: 2, 2: 4}
    assert lost == [Loss(5, "it was ended by signal 9, SIGKILL", 6)]


def test_a_worker_that_takes_its_time_to_die_has_not_hung(slow_work: ModuleType) -> None:
    lost: list[Loss] = []
    with open_executor(2) as pool:
        assert list(completed(slow_work.slow_to_die, [3], pool, timeout=60.0, lost=lost)) == []
    assert lost == [Loss(3, "it ended with code 7")]


def test_a_worker_that_stops_while_it_answers_is_lost(slow_work: ModuleType) -> None:
    """Part of an answer is there: the rest would be waited for without end."""
    lost: list[Loss] = []
    with open_executor(2) as pool:
        work = completed(slow_work.stopped_as_it_answers, [3], pool, timeout=1.0, lost=lost)
        assert list(work) == []
    assert lost == [Loss(3, "it said nothing for 1 seconds")]


def test_without_a_place_for_lost_chunks_a_lost_worker_is_an_error() -> None:
    with open_executor(2) as pool, pytest.raises(WorkersLostError, match=r"ended with code 3"):
        list(completed(os._exit, [3], pool))


def test_workers_that_cannot_start_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with open_executor(2) as pool, pytest.raises(WorkersLostError, match="can be started"):
        list(completed(abs, [1], pool, lost=[]))


def test_what_imports_overlook_in_the_path_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many a script has `sys.path.insert(0, Path(__file__).parent)`."""
    monkeypatch.setattr(sys, "path", [Path(), *sys.path])
    with open_executor(2) as pool:
        assert list(completed(abs, [-3], pool)) == [(-3, 3)]


def test_one_that_is_killed_as_it_starts_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real = executors._Worker.answer
    kills = iter([True])

    def answer(worker: executors._Worker, timeout: float | None, *work: object) -> object:
        if next(kills, False):
            worker.kill()
        return real(worker, timeout, *work)

    monkeypatch.setattr(executors._Worker, "answer", answer)
    with open_executor(2) as pool:
        assert list(completed(abs, [-3], pool, lost=[])) == [(-3, 3)]


def test_the_quota_of_a_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.os, "sched_getaffinity", lambda _: set(range(64)))
    for text, count in (("150000 100000", 2), ("max 100000", 64), ("1000 100000", 1)):
        monkeypatch.setattr(executors.Path, "read_text", lambda _, text=text: text)
        assert executors.cores() == count


def _run(script: Path, text: str) -> "subprocess.Popen[bytes]":
    script.write_text(text)
    return subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_a_plain_script_needs_no_guard_and_runs_once(tmp_path: Path) -> None:
    text = (
        "import os\n"
        "print('script', os.getpid(), flush=True)\n"
        "from sslprep.executors import completed, open_executor\n"
        "with open_executor(2) as pool:\n"
        "    print(sorted(completed(abs, [-1, -2, -3], pool)))\n"
    )
    with _run(tmp_path / "plain.py", text) as process:
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert out.decode().count("script") == 1
    assert out.decode().endswith("[(-3, 3), (-2, 2), (-1, 1)]\n")


def test_a_script_from_standard_input_works() -> None:
    text = "from sslprep.executors import *\nwith open_executor(2) as pool:\n"
    text += "    print(list(completed(abs, [-1], pool)))\n"
    done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True)
    assert done.stdout == "[(-1, 1)]\n", done.stderr


_SLEEPERS = (
    "import itertools, time\n"
    "from sslprep.executors import completed, open_executor\n"
    "with open_executor(2) as pool:\n"
    "    for n, _ in enumerate(completed(time.sleep, itertools.chain([0] * 20, [60] * 9), pool)):\n"
    "        if n == 12: print('up', flush=True)\n"
)


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    with _run(tmp_path / "parent.py", _SLEEPERS) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        time.sleep(0.5)
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == 2
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        for process in alive:
            process.kill()
        assert not alive


def test_ctrl_c_reaches_this_process_and_not_the_workers(tmp_path: Path) -> None:
    with _run(tmp_path / "parent.py", _SLEEPERS) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        for child in children:
            child.send_signal(signal.SIGINT)
        assert not psutil.wait_procs(children, timeout=1)[0]  # the parent alone answers it
        os.killpg(parent.pid, signal.SIGINT)
        said = parent.communicate(timeout=30)[1].decode()
    assert said.count("Traceback") == 1
    assert said.endswith("KeyboardInterrupt\n")
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_time_out_may_be_as_long_as_one_likes() -> None:
    with open_executor(2) as pool:
        assert list(completed(abs, [-1], pool, timeout=1e300)) == [(-1, 1)]


def test_a_cluster_that_answers_now_and_then_is_not_given_up() -> None:
    """The time-out is of the silence; all the work together may take much longer."""
    with (
        local_cluster(1) as cluster,
        open_executor(scheduler=cluster.scheduler_address) as pool,
    ):
        lost: list[Loss] = []
        found = list(completed(time.sleep, [0.3] * 8, pool, timeout=1.0, lost=lost))
    assert (len(found), lost) == (8, [])


def test_a_cluster_whose_workers_tell_where_they_are_is_not_given_up(
    slow_work: ModuleType,
) -> None:
    with (
        local_cluster(1, threads=2) as cluster,
        open_executor(scheduler=cluster.scheduler_address) as pool,
    ):
        lost: list[Loss] = []
        assert dict(completed(slow_work.slow, [1, 2], pool, timeout=1.2, lost=lost)) == {1: 2, 2: 4}
        others = "from sslprep.executors import working_on\nimport time\n"
        others += "for n in range(10): time.sleep(0.3); working_on(n)"
        pool._client.submit(exec, others, pure=False)  # type: ignore[union-attr]
        assert list(completed(time.sleep, [3], pool, timeout=1.0, lost=lost)) == []
    assert lost == [Loss(3, "Dask: nothing came for 1 seconds")]


def test_telling_where_no_one_listens_is_no_error() -> None:
    pytest.importorskip("distributed")
    executors.working_on(3)


def test_a_cluster_without_workers_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that comes as the time is over has had none of it."""
    counted, calls = executors.Dask._count_threads, iter(range(99))

    def count(dask: executors.Dask) -> int:
        if next(calls) == 2:  # after those of the start and of the first wait
            cluster.scale(1)
            dask._client.wait_for_workers(1)
        return counted(dask)

    monkeypatch.setattr(executors.Dask, "_count_threads", count)
    with (
        local_cluster(0) as cluster,
        open_executor(scheduler=cluster.scheduler_address) as pool,
    ):
        lost: list[Loss] = []
        found = list(completed(abs, [-1, -2], pool, timeout=1.5, lost=lost))
    assert (sorted(found), lost) == ([(-2, 2), (-1, 1)], [])
    assert caplog.text.count("has no workers; waiting for some") == 1


def test_a_cluster_whose_workers_go_is_waited_for_with_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        local_cluster(1) as cluster,
        open_executor(scheduler=cluster.scheduler_address) as pool,
    ):
        lost: list[Loss] = []
        assert list(completed(abs, [-1], pool, timeout=1.0, lost=lost)) == [(-1, 1)]
        assert "no workers" not in caplog.text
        cluster.scale(0)
        while cluster.scheduler.workers:
            time.sleep(0.05)
        threading.Timer(1.5, cluster.scale, [1]).start()
        assert list(completed(abs, [-2], pool, timeout=1.0, lost=lost)) == [(-2, 2)]
    assert lost == []
    assert caplog.text.count("has no workers; waiting for some") == 1


def test_a_worker_that_goes_within_its_chunk_has_not_hung() -> None:
    """Nothing came since, but there is nobody to be silent."""
    lost: list[Loss] = []
    with (
        local_cluster(1) as cluster,
        open_executor(scheduler=cluster.scheduler_address) as pool,
    ):
        threading.Timer(0.3, cluster.scale, [0]).start()
        threading.Timer(2.5, cluster.scale, [1]).start()
        found = list(completed(time.sleep, [0.8, 0.8], pool, timeout=2.0, lost=lost))
    assert (found, lost) == ([(0.8, None)] * 2, [])


def test_a_cluster_that_shrinks_costs_nothing_but_time() -> None:
    """More is under way then than so few are given, and results are here whose worker is gone."""
    lost: list[Loss] = []
    with (
        local_cluster(1, threads=12) as cluster,
        open_executor(scheduler=cluster.scheduler_address) as pool,
    ):
        found = completed(time.sleep, [*[0.01] * 12, *[0.3] * 52], pool, timeout=1.0, lost=lost)
        next(found)
        cluster.scale(0)
        while cluster.scheduler.workers:
            time.sleep(0.05)
        threading.Timer(1.5, cluster.scale, [1]).start()
        assert (len([*found]), lost) == (63, [])


def test_a_dask_worker_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")

    async def versions(client: object, **asked: object) -> dict[str, object]:
        assert asked == {"check": True, "packages": ["sslprep"]}
        old, new = ({"packages": {"sslprep": version}} for version in ("0.1", "0.2"))
        return {"client": new, "workers": {"tcp://a": new, "tcp://b": old}}

    monkeypatch.setattr(distributed.Client, "get_versions", versions)
    with local_cluster(1) as cluster:
        clients = len(cluster.scheduler.clients)
        wanted = r"tcp://b has sslprep 0.1; expected 0.2, as here"
        with pytest.raises(ParameterError, match=wanted):
            open_executor(scheduler=cluster.scheduler_address)
        for _ in range(100):
            if len(cluster.scheduler.clients) > clients:
                time.sleep(0.05)
        assert len(cluster.scheduler.clients) == clients  # it is let go
