"""Where parallel work runs: in this process, in processes of this machine, or on a Dask cluster.

Results come as they are done, whatever the order. A worker that dies or hangs costs its own chunk.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from sslprep.errors import MissingExtraError, ParameterError, WorkersLostError

logger = logging.getLogger(__name__)

_A = TypeVar("_A")
_R = TypeVar("_R")
_END = object()
_START = 60.0
"""Seconds that a worker may take to start, on a busy machine or a slow file system."""
_HEARTBEATS = 5.0
"""Seconds without one after which a Dask worker counts as hung; it sends one about every second."""
Lost = list[tuple[Any, str]]
"""Chunks whose worker was lost, each with how that came."""


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
    except (OSError, ValueError):  # no such limit
        return count
    return max(1, min(count, math.ceil(quota / period)))


@contextlib.contextmanager
def open_executor(
    jobs: int | None = None, scheduler: str | None = None
) -> Iterator[Processes | Dask | None]:
    """Open what `--jobs` and `--scheduler` ask for.

    Args:
        jobs: Number of processes; 1 works in this process, `None` takes every core.
        scheduler: Address of a Dask scheduler, such as `tcp://host:8786`.

    Yields:
        Where `completed` works; `None` is this process.

    Raises:
        ParameterError: Fewer than one job, or a scheduler that does not answer.
        MissingExtraError: Dask is not installed.
    """
    if jobs is not None and jobs < 1:
        raise ParameterError(f"--jobs is {jobs}", expected="1 or more")
    if scheduler is None and jobs == 1:
        yield None
        return
    executor = Processes(jobs or cores()) if scheduler is None else Dask(scheduler)
    with contextlib.closing(executor):
        yield executor


def completed(
    function: Callable[[_A], _R],
    chunks: Iterable[_A],
    executor: Processes | Dask | None,
    *,
    timeout: float | None = None,
    lost: Lost | None = None,
) -> Iterator[tuple[_A, _R]]:
    """Yield `(chunk, function(chunk))` for every chunk, each as soon as it is done.

    Only a few chunks for each worker are under way at a time, so neither the chunks nor the
    results of a million images are ever in memory together. A chunk should be seconds of work.
    When the caller stops taking results, the rest is cancelled.

    Args:
        function: A function of a module, or `functools.partial` of one; workers import it.
        chunks: What to call it with; taken as workers come free.
        executor: From `open_executor`.
        timeout: Seconds after which a worker that has a chunk and says nothing counts as hung.
        lost: Takes the chunks of workers that died or hung, and work goes on without them.

    Raises:
        WorkersLostError: A worker died or hung and there is no `lost`, or none can be had.

    Example:
        >>> sorted(completed(abs, [-1, 2], None))
        [(-1, 1), (2, 2)]
    """
    if executor is None:
        return ((chunk, function(chunk)) for chunk in chunks)
    return executor.completed(function, chunks, timeout, lost)


def _lose(chunk: object, reason: str, lost: Lost | None) -> None:
    if lost is None:
        raise WorkersLostError(
            f"a worker was lost ({reason})",
            remedy="If memory ran out, use fewer --jobs; then run the command again.",
        )
    logger.warning("a worker was lost (%s); its work is done again", reason)
    lost.append((chunk, reason))


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection
    chunks: deque[Any] = field(default_factory=deque)
    ready: bool = False
    since: float = 0.0

    def end(self) -> str:
        """End it, and say how it had ended by itself if it had."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.1)  # a closed pipe is seen before the process is gone
        code = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.pipe.close()
        if code is None or code >= 0:
            return "it hung" if code is None else f"it ended with code {code}"
        return f"it was ended by signal {-code}, {signal.Signals(-code).name}"


class Processes:
    """Worker processes, started as there is work for them.

    Each is a Python of its own, which imports the function that it is sent and never the caller's
    script: no script needs `if __name__ == "__main__"`. A worker has one socket, to its parent;
    when that closes, the parent is gone (by kill -9 too) and the worker ends.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._workers: dict[Connection, _Worker] = {}

    def close(self) -> None:
        """End all workers, whatever they are at."""
        for worker in self._workers.values():
            worker.process.kill()
            worker.end()
        self._workers.clear()

    def _start(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        code = (
            f"import sys; sys.path = {sys.path!a}; "
            f"from sslprep import executors; executors.work({theirs.fileno()})"
        )
        # Blocked signals stay blocked in a child: a terminal sends Ctrl-C to workers too, and
        # each would print a traceback. This process alone answers it, and ends them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # What codecs print names no file; we list each file ourselves.
            process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise WorkersLostError(
                f"no worker can be started ({error.strerror})", remedy="Use fewer --jobs."
            ) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        worker = self._workers[ours] = _Worker(process, ours)
        return worker

    def completed(
        self,
        function: Callable[[_A], _R],
        chunks: Iterable[_A],
        timeout: float | None,
        lost: Lost | None,
    ) -> Iterator[tuple[_A, _R]]:
        """See the function `completed`."""
        again: deque[_A] = deque()
        source = iter(chunks)
        workers = self._workers
        try:
            while True:
                self._hand_out(function, again, source)
                busy = {pipe: worker for pipe, worker in workers.items() if worker.chunks}
                if not busy:
                    return
                first = min(worker.since for worker in busy.values())
                left = None if timeout is None else max(0.0, first + timeout - time.monotonic())
                for pipe in wait(list(busy), left):
                    worker = busy.pop(pipe)  # type: ignore[call-overload]
                    try:
                        kind, value = worker.pipe.recv()
                    except (EOFError, OSError):
                        self._drop(worker, again, lost)
                        continue
                    worker.since = time.monotonic()
                    if kind == "ready":
                        worker.ready = True
                        continue
                    chunk = worker.chunks.popleft()
                    if kind == "error":
                        raise value
                    yield chunk, value
                for worker in busy.values():
                    if timeout is not None and worker.since + timeout <= time.monotonic():
                        self._drop(worker, again, lost)
        finally:
            for worker in [worker for worker in workers.values() if worker.chunks]:
                del workers[worker.pipe]
                worker.process.kill()
                worker.end()

    def _hand_out(
        self, function: Callable[[_A], _R], again: deque[_A], source: Iterator[_A]
    ) -> None:
        """Give every worker two chunks: it has the second before we have taken the first."""
        for _ in range(2 * self.count - sum(len(w.chunks) for w in self._workers.values())):
            chunk: Any = again.popleft() if again else next(source, _END)
            if chunk is _END:
                return
            worker = min(self._workers.values(), key=lambda w: len(w.chunks), default=None)
            if worker is None or (worker.chunks and len(self._workers) < self.count):
                worker = self._start()
            if not worker.chunks:  # a new one has its time to start, too
                worker.since = time.monotonic() + (0 if worker.ready else _START)
            worker.chunks.append(chunk)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # seen by `wait` next
                worker.pipe.send((function, chunk))

    def _drop(self, worker: _Worker, again: deque[Any], lost: Lost | None) -> None:
        del self._workers[worker.pipe]
        reason = worker.end()
        if not worker.ready:
            raise WorkersLostError(
                f"no worker can be started ({reason})",
                remedy=f"Try: {sys.executable} -c 'import sslprep'. Or pass --jobs 1.",
            )
        _lose(worker.chunks.popleft(), reason, lost)
        again.extend(worker.chunks)


def work(handle: int) -> None:
    """Do what the parent sends over the socket `handle`; the main function of a worker."""
    pipe = Connection(handle)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def receive() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                tasks.put(pipe.recv_bytes())
        os._exit(0)  # the parent is gone, or needs no more of us

    threading.Thread(target=receive, daemon=True).start()
    pipe.send(("ready", None))
    while True:
        try:
            function, chunk = pickle.loads(tasks.get())  # noqa: S301 - from our parent
            answer = "done", function(chunk)
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            error.add_note(traceback.format_exc())
            answer = "error", error
        try:
            pipe.send(answer)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            pipe.send(("error", RuntimeError(f"{answer[1]!r} cannot be sent: {error}")))


class Dask:
    """A cluster that the user started with Dask's own tools.

    Args:
        address: Of its scheduler.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise MissingExtraError(
                "--scheduler needs Dask", remedy="Install it: pip install distributed."
            ) from error
        try:
            client: Any = Client(address, timeout=10)  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, ValueError) as error:
            raise ParameterError(
                f"no Dask scheduler answers at {address} ({error})",
                remedy="Start a dask scheduler and workers, or leave --scheduler out.",
            ) from error
        self._client = client
        self._hung: set[str] = set()
        if not self._client.nthreads():
            logger.warning("the Dask scheduler at %s has no workers yet; waiting for some", address)
        self._check_versions()

    def close(self) -> None:
        """Let the cluster go."""
        self._client.close()

    def _check_versions(self) -> None:
        """Refuse workers of another sslprep; one that hangs does not answer, and delays little."""
        answers: list[dict[str, Any]] = []

        def ask() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of other packages `Client` has warned already
                with contextlib.suppress(OSError):  # the work is done before they answer
                    answers.append(self._client.get_versions(check=True, packages=["sslprep"]))

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(10)
        for answer in answers:
            here = answer["client"]["packages"]["sslprep"]
            for name, worker in answer["workers"].items():
                if (there := worker["packages"]["sslprep"]) != here:
                    raise ParameterError(
                        f"the Dask worker {name} has sslprep {there}",
                        expected=f"{here}, as here",
                        remedy="Install the same version on all workers.",
                    )

    def completed(
        self,
        function: Callable[[_A], _R],
        chunks: Iterable[_A],
        timeout: float | None,
        lost: Lost | None,
    ) -> Iterator[tuple[_A, _R]]:
        """See the function `completed`; `timeout` is of silence from all workers together."""
        import distributed

        pending: dict[Any, _A] = {}
        source = iter(chunks)
        heard = time.monotonic()
        round_ = 60 if timeout is None else min(60, timeout)
        try:
            while True:
                # A round: as_completed's time-out is of the whole iteration, not of the next.
                futures: Any = distributed.as_completed(  # type: ignore[no-untyped-call]
                    list(pending), with_results=True, raise_errors=False, timeout=round_
                )
                window = 4 * max(8, sum(self._client.nthreads().values()))  # it may have grown
                while True:
                    for chunk in itertools.islice(source, window - len(pending)):
                        future = self._client.submit(
                            function, chunk, pure=False, workers=self._trusted()
                        )
                        pending[future] = chunk
                        futures.add(future)
                    try:
                        future, result = next(futures)
                    except StopIteration:
                        return
                    except TimeoutError:
                        break
                    heard = time.monotonic()
                    chunk = pending.pop(future)
                    if future.status == "finished":
                        yield chunk, result
                    elif future.status != "error":
                        raise WorkersLostError("the Dask scheduler is gone")
                    elif isinstance(result[1], distributed.KilledWorker):
                        _lose(chunk, "Dask: " + " ".join(str(result[1]).split()), lost)
                    else:
                        raise result[1]
                if timeout is not None and time.monotonic() - heard >= timeout:
                    self._give_up(pending, lost)
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(pending))

    def _trusted(self) -> list[str] | None:
        """Return the workers that have not hung, `None` for all."""
        if not self._hung:
            return None
        if trusted := sorted(set(self._client.nthreads()) - self._hung):
            return trusted
        raise WorkersLostError("no worker of the Dask cluster answers")

    def _give_up(self, pending: dict[Any, Any], lost: Lost | None) -> None:
        """Give up what silent workers hold, or have done and do not hand out; the rest waits.

        Results of a worker that is well may wait behind those of one that hangs: it still sends
        its heartbeat, and keeps what it has done.
        """
        keys = {future.key: future for future in pending}
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        seen = {address: worker["last_seen"] for address, worker in workers.items()}
        held = [*self._client.processing().items()]
        for address, tasks in self._client.has_what().items():
            if max(seen.values()) - seen.get(address, 0) > _HEARTBEATS:
                held.append((address, tasks))
        for address, tasks in held:
            for key in keys.keys() & set(tasks):
                self._hung.add(address)
                _lose(pending.pop(keys.pop(key)), f"{address} hung", lost)
