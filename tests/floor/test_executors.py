"""Parallel work: same results in the same order, bounded, and no orphans."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sslprep.errors import ArrayError, ParameterError, SslprepError
from sslprep.executors import map_chunks, open_executor
from sslprep.files import read_array


def test_processes_give_the_results_of_one_process_in_order() -> None:
    with open_executor(2) as pool:
        assert list(map_chunks(abs, range(-50, 0), pool)) == list(map(abs, range(-50, 0)))
    with open_executor(1) as pool:
        assert pool is None


def test_only_a_window_of_chunks_is_taken_at_a_time() -> None:
    taken: list[int] = []

    def chunks() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    with open_executor(2) as pool:
        results = map_chunks(abs, chunks(), pool, window=4)
        next(results)
        assert len(taken) <= 6
        results.close()  # type: ignore[attr-defined]


def test_an_error_in_a_worker_keeps_its_parts(tmp_path: Path) -> None:
    with open_executor(2) as pool, pytest.raises(ArrayError) as caught:
        list(map_chunks(read_array, [tmp_path / "gone.npy"], pool))
    assert caught.value.problem == "no such file"
    assert caught.value.where == str(tmp_path / "gone.npy")
    assert caught.value.remedy == "Check the path."


def test_jobs_must_be_positive() -> None:
    with pytest.raises(ParameterError, match="--jobs is 0"), open_executor(0):
        pass


def test_an_error_is_one_line_whatever_it_names() -> None:
    error = SslprepError("bad\nname\x1b[31m", where="a\rb").at("dir")
    assert str(error) == "dir, a\\rb: bad\\nname\\x1b[31m"


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from sslprep.executors import open_executor\n"
        "if __name__ == '__main__':\n"
        "    with open_executor(2) as pool:\n"
        "        futures = [pool.submit(time.sleep, 60) for _ in range(2)]\n"
        "        time.sleep(0.5); print('up', flush=True)\n"
        "        futures[0].result()\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    for process in alive:
        process.kill()
    assert not [p for p in alive if "resource_tracker" not in " ".join(_line(p))]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_pool_may_be_closed_in_the_middle() -> None:
    start = time.monotonic()
    with open_executor(2) as pool:
        for _ in map_chunks(abs, range(10_000), pool, window=8):
            break
    assert time.monotonic() - start < 60


def test_ctrl_c_reaches_this_process_and_not_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal, time\n"
        "from sslprep.executors import map_chunks, open_executor\n"
        "if __name__ == '__main__':\n"
        "    with open_executor(2) as pool:\n"
        "        pids = set(map_chunks(os.getpgid, [0] * 4, pool))\n"
        "        print('ready', flush=True)\n"
        "        list(map_chunks(time.sleep, [0.5] * 4, pool))\n"
    )
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        os.killpg(parent.pid, signal.SIGINT)
        said = parent.communicate(timeout=30)[1].decode()
    assert said.count("Traceback") == 1
    assert "Process " not in said
    assert said.endswith("KeyboardInterrupt\n")
