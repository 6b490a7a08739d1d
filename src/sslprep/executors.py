"""Where parallel work runs: in this process, in processes of this machine, or on a Dask cluster.

Results come as they are done, whatever the order. A worker that dies or hangs costs its own chunk.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar

from sslprep.errors import MissingExtraError, ParameterError, WorkersLostError

logger = logging.getLogger(__name__)

_A = TypeVar("_A")
_R = TypeVar("_R")
_DASK = 10.0
"""Seconds that Dask's scheduler and workers may take to answer a first question."""
_DEATH = 10.0
"""Seconds that a worker may take to die; one that waits for a disk without end never does."""
_START = 60.0
"""Seconds that a worker may take to start, on a busy machine or a slow file system."""
Answer = tuple[Literal["ready", "at", "done", "error", "lost"], Any]
"""What comes of a chunk: its result, the exception, or a `Loss`."""
_TOPIC = "sslprep"
_parent: socket.socket | None = None  # of a worker process


class Loss(NamedTuple):
    """A chunk whose worker was lost, how that came, and the place in it last told of."""

    chunk: Any
    how: str
    place: int | None = None


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
    except (OSError, ValueError):  # no such limit
        return count
    return min(count, math.ceil(quota / period))


def open_executor(
    jobs: int | None = None, scheduler: str | None = None
) -> AbstractContextManager[Processes | Dask | None]:
    """Open what `--jobs` and `--scheduler` ask for, for `completed`; `None` is this process.

    Args:
        jobs: Number of processes; 1 works in this process, `None` takes every core.
        scheduler: Address of a Dask scheduler, such as `tcp://host:8786`.

    Raises:
        ParameterError: A scheduler that does not answer, or far more jobs than cores.
        MissingExtraError: Dask is not installed.
    """
    if scheduler is not None:
        return closing(Dask(scheduler))
    jobs, most = jobs or cores(), 32 * cores()  # more would only wait, and take memory
    if jobs > most:
        raise ParameterError(f"--jobs is {jobs:,}", expected=f"at most {most}, 32 for each core")
    return nullcontext() if jobs == 1 else closing(Processes(jobs))


def completed(
    function: Callable[[_A], _R],
    chunks: Iterable[_A],
    executor: Processes | Dask | None,
    *,
    timeout: float | None = None,
    lost: list[Loss] | None = None,
) -> Iterator[tuple[_A, _R]]:
    """Yield `(chunk, function(chunk))` for every chunk, each as soon as it is done.

    Only a few chunks for each worker are under way at a time, so neither the chunks nor the
    results of a million images are ever in memory together. A chunk should be seconds of work.
    When the caller stops taking results, the rest is cancelled.

    Args:
        function: A function of a module, or `functools.partial` of one; workers import it.
        chunks: What to call it with; taken as workers come free.
        executor: From `open_executor`.
        timeout: Seconds after which a worker that has a chunk and says nothing counts as hung;
            `working_on` says something.
        lost: Takes the chunks of workers that died or hung, and work goes on without them; one
            warning tells of the first.

    Raises:
        WorkersLostError: A worker died or hung and there is no `lost`, or none can be had.

    Example:
        >>> sorted(completed(abs, [-1, 2], None))
        [(-1, 1), (2, 2)]
    """
    if executor is None:
        yield from ((chunk, function(chunk)) for chunk in chunks)
        return
    timeout = timeout and min(timeout, 1e6)  # the system's own counters end at 25 days
    pending: dict[Any, _A] = {}
    source = iter(chunks)
    try:
        while True:
            for chunk in itertools.islice(source, max(0, executor.window - len(pending))):
                pending[executor.submit(function, chunk, timeout)] = chunk
            if not pending:
                return
            for future, (kind, value) in executor.answers(pending):
                chunk = pending.pop(future)
                if kind == "done":
                    yield chunk, value
                elif kind == "error":
                    raise value
                elif lost is None:
                    raise WorkersLostError(
                        f"a worker was lost ({value.how})",
                        remedy="Use fewer --jobs if memory ran out, a longer --worker-timeout if "
                        "files are slow to read; then run the command again.",
                    )
                else:
                    if not lost:
                        logger.warning("a worker was lost (%s); its work is done again", value.how)
                    lost.append(value)
    finally:
        executor.cancel(pending)


def working_on(place: int) -> None:
    """Tell from within a chunk that its worker does not hang, and the place where it is."""
    if _parent:
        _send(_parent, "at", place)
    elif distributed := sys.modules.get("distributed"):
        with suppress(ValueError):  # this is no task of Dask
            worker = distributed.get_worker()
            worker.log_event(_TOPIC, worker.get_current_task())


def _send(to: socket.socket, *message: Any) -> None:
    to.sendall(pickle.dumps(message))


def work(handle: int) -> None:
    """Do what the parent sends over the socket `handle`; the main function of a worker."""
    global _parent
    # Standard input ends with the parent, by kill -9 too.
    threading.Thread(target=lambda: os._exit(len(os.read(0, 1))), daemon=True).start()
    _parent = socket.socket(fileno=handle)
    from_parent = _parent.makefile("rb")
    _send(_parent, "ready", None)
    while True:
        try:
            function, chunk = pickle.load(from_parent)  # noqa: S301 - our own parent
            _send(_parent, "done", function(chunk))
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            error.add_note(traceback.format_exc())
            _send(_parent, "error", error)


class _Worker(subprocess.Popen[bytes]):
    """A Python of its own, which imports what it is sent and never the caller's script."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._answers: BinaryIO = self._socket.makefile("rb")
        path = [place for place in sys.path if isinstance(place, str)]  # as imports see it
        code = f"import sys; sys.path = {path!a}; from sslprep.executors import work; "
        with theirs:
            # What codecs print names no file; we list each file ourselves.
            super().__init__(
                [sys.executable, "-c", f"{code}work({theirs.fileno()})"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def answer(self, timeout: float | None, *work: Any) -> Answer:
        """Send function and chunk, if any, and wait at most so long after each sign of life."""
        place = None
        self._socket.settimeout(timeout)
        try:
            if work:
                _send(self._socket, *work)
            while True:
                kind, value = pickle.load(self._answers)  # noqa: S301 - of our own process
                if kind != "at":
                    return kind, value
                place = value
        except TimeoutError:
            how = f"it said nothing for {timeout:g} seconds"
        except (OSError, EOFError, pickle.UnpicklingError):
            with suppress(subprocess.TimeoutExpired):
                self.wait(_DEATH)  # a closed socket is seen before the process is gone
            named = {-s: f"was ended by signal {s:d}, {s.name}" for s in signal.Signals}
            how = f"it {named.get(self.returncode, f'ended with code {self.returncode}')}"
        self.end()
        return "lost", Loss(work[-1] if work else None, how, place)

    def stop(self) -> None:
        """End the process, and have nobody wait for its answer."""
        self.kill()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(subprocess.TimeoutExpired):
            self.wait(_DEATH)

    def end(self) -> None:
        self.stop()
        for file in (self._socket, self._answers, self.stdin):
            if file:
                file.close()


class Processes:
    """Worker processes, started as there is work for them; a thread here waits for each."""

    def __init__(self, count: int) -> None:
        self.window = 2 * count
        # Blocked signals stay blocked in a child: a terminal sends Ctrl-C to workers too, and
        # each would print a traceback. The main thread alone answers it, and ends them.
        self._threads = ThreadPoolExecutor(
            count, initializer=signal.pthread_sigmask, initargs=(signal.SIG_BLOCK, {signal.SIGINT})
        )
        self._workers: dict[int, _Worker] = {}

    def submit(
        self, function: Callable[[_A], _R], chunk: _A, timeout: float | None
    ) -> Future[Answer]:
        """Begin a chunk; a worker that says nothing of it for `timeout` seconds counts as hung."""
        return self._threads.submit(self._call, function, chunk, timeout)

    def _call(self, function: Callable[[_A], _R], chunk: _A, timeout: float | None) -> Answer:
        worker = self._workers.get(threading.get_ident()) or self._start()
        if worker.poll() is not None:  # ended by `cancel`, as it had just answered
            worker.end()
            worker = self._start()
        answer = worker.answer(timeout, function, chunk)
        if answer[0] == "lost":
            del self._workers[threading.get_ident()]
        return answer

    def _start(self) -> _Worker:
        for _ in range(2):  # one may be killed as it starts
            try:
                worker = self._workers[threading.get_ident()] = _Worker()
                kind, loss = worker.answer(_START)
            except OSError as error:
                kind, loss = "lost", Loss(None, str(error.strerror))
            if kind == "ready":
                return worker
        raise WorkersLostError(
            f"no worker can be started ({loss.how})",
            remedy=f"Try: {sys.executable} -c 'import sslprep'. Or pass --jobs 1.",
        )

    def answers(self, pending: Iterable[Future[Answer]]) -> Iterator[tuple[Future[Answer], Answer]]:
        """Wait for some, and yield those that are done."""
        return ((future, future.result()) for future in wait(pending, None, FIRST_COMPLETED).done)

    def cancel(self, pending: Iterable[Future[Answer]]) -> None:
        """Give up chunks, and end the workers that may be at one."""
        while running := [future for future in pending if not (future.cancel() or future.done())]:
            for worker in list(self._workers.values()):
                worker.stop()  # and is gone then: nobody is given work as it dies
            wait(running, 0.1)

    def close(self) -> None:
        """End all workers."""
        self._threads.shutdown()
        for worker in self._workers.values():
            worker.end()


class Dask:
    """The cluster of a scheduler that the user started with Dask's own tools."""

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtraError(
                "--scheduler needs Dask", remedy="Install it: pip install distributed."
            ) from error
        try:
            self._client: Any = distributed.Client(address, timeout=_DASK)  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, ValueError) as error:
            raise ParameterError(
                f"no Dask scheduler answers at {address} ({error})",
                remedy="Start a dask scheduler and workers, or leave --scheduler out.",
            ) from error
        # They print tracebacks when a worker or the scheduler is lost, which we say in a line.
        for name in ("distributed", "distributed.client", "tornado.application"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._results: Any = None
        self._last_told = 0.0
        self._threads = 1
        try:
            self._count_threads()
            self._compare_versions()
        except BaseException:
            self.close()
            raise

    def _ask(self, method: Callable[..., Any], *given: Any, times: int = 6, **named: Any) -> Any:
        """Ask the scheduler, which may be busy, but wait for no answer of one that is stopped."""
        try:
            return self._client.sync(method, *given, callback_timeout=times * _DASK, **named)
        except (OSError, TimeoutError) as error:
            raise WorkersLostError("the Dask scheduler does not answer") from error

    def _count_threads(self) -> int:
        """Count the cluster's threads, and say it in a line when the last are gone."""
        count: int = sum(self._ask(self._client.nthreads).values())
        if self._threads and not count:
            logger.warning("the Dask scheduler has no workers; waiting for some")
        self._threads, self.window = count, 4 * max(8, count)
        return count

    def _compare_versions(self) -> None:
        """Refuse workers of another sslprep; one that hangs does not answer, and delays little."""
        with warnings.catch_warnings(), suppress(WorkersLostError):
            warnings.simplefilter("ignore")  # of other packages `Client` has warned already
            asked = {"check": True, "packages": ["sslprep"]}
            answer = self._ask(self._client.get_versions, times=1, **asked)
            here = answer["client"]["packages"]["sslprep"]
            for name, worker in answer["workers"].items():
                if (there := worker["packages"]["sslprep"]) != here:
                    raise ParameterError(
                        f"the Dask worker {name} has sslprep {there}",
                        expected=f"{here}, as here",
                        remedy="Install the same version on all workers.",
                    )

    def submit(self, function: Callable[[_A], _R], chunk: _A, timeout: float | None) -> Any:
        """Begin a chunk; `timeout` seconds without any sign make all that is under way lost."""
        self._timeout = timeout
        future = self._client.submit(function, chunk, pure=False)
        if self._results is not None:
            self._results.add(future)
        return future

    def answers(self, pending: Mapping[Any, Any]) -> Iterator[tuple[Any, Answer]]:
        """Wait for some, and yield those that are done; after too long a silence all as lost.

        A worker that stops holds few chunks: the others have done the rest by then. Where it sends
        nothing at all, Dask's scheduler gives its chunks to others (`worker-ttl`, five minutes).
        """
        import distributed

        if self._results is None:
            self._heard = not self._count_threads()  # where nobody is, nobody is silent
            self._results = distributed.as_completed(  # type: ignore[no-untyped-call]
                pending, with_results=True, raise_errors=False, timeout=self._timeout
            )
        try:
            batch = self._results.next_batch()
        except TimeoutError:  # it is of all that came, not of the last
            heard = self._told(pending) or self._heard or not self._count_threads()
            silent = {} if heard else dict(pending)
            self.cancel(silent)
            for future, chunk in silent.items():
                how = f"Dask: nothing came for {self._timeout:g} seconds"
                yield future, ("lost", Loss(chunk, how))
            return
        self._heard = True
        for future, result in batch:
            # A result counts although its worker is gone since, and Dask makes it again.
            if isinstance(result, CancelledError):
                raise WorkersLostError("the Dask scheduler is gone or was restarted")
            if future.status != "error":
                yield future, ("done", result)
            elif isinstance(result[1], distributed.KilledWorker):
                how = f"Dask: {' '.join(str(result[1]).split())}"
                yield future, ("lost", Loss(pending[future], how))
            else:
                yield future, ("error", result[1])

    def _told(self, pending: Iterable[Any]) -> bool:
        """Whether one of our chunks was `working_on` something since the last look."""
        ours = {future.key for future in pending}
        told = (when for when, key in self._ask(self._client.get_events, _TOPIC) if key in ours)
        before, self._last_told = self._last_told, max(told, default=self._last_told)
        return self._last_told > before

    def cancel(self, pending: Iterable[Any]) -> None:
        """Give up chunks."""
        self._results = None
        with suppress(Exception):  # the scheduler may be gone
            self._ask(self._client.cancel, list(pending))

    def close(self) -> None:
        """Let the cluster go."""
        self._client.close()
