"""Where parallel work runs: in this process, in processes of this machine, or on a Dask cluster.

Results come as they are done, whatever the order. Each chunk has a thread here that waits for it,
so a worker that dies or hangs costs its own chunk.
"""

from __future__ import annotations

import itertools
import logging
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeVar

from sslprep import __version__
from sslprep.errors import MissingExtraError, ParameterError, WorkersLostError

logger = logging.getLogger(__name__)

_A = TypeVar("_A")
_R = TypeVar("_R")
_START = 60.0
"""Seconds that a worker may take to start, on a busy machine or a slow file system."""
_NEVER = 1e6
_MOST_CHUNKS = 1000
"""Under way on a cluster at a time, each with a thread here."""
Lost = list[tuple[Any, str]]
"""Chunks whose worker was lost, each with how that came."""
Answer = tuple[Literal["ready", "done", "error", "lost"], Any]
"""What comes of a chunk: its result, the exception, or how its worker was lost."""


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


def open_executor(
    jobs: int | None = None, scheduler: str | None = None
) -> AbstractContextManager[Processes | Dask | None]:
    """Open what `--jobs` and `--scheduler` ask for, for `completed`; `None` is this process.

    Args:
        jobs: Number of processes; 1 works in this process, `None` takes every core.
        scheduler: Address of a Dask scheduler, such as `tcp://host:8786`.

    Raises:
        ParameterError: A scheduler that does not answer.
        MissingExtraError: Dask is not installed.
    """
    if scheduler is not None:
        return closing(Dask(scheduler))
    return nullcontext() if jobs == 1 else closing(Processes(jobs or cores()))


def completed(
    function: Callable[[_A], _R],
    chunks: Iterable[_A],
    executor: Processes | Dask | None,
    *,
    timeout: float = _NEVER,
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
        yield from ((chunk, function(chunk)) for chunk in chunks)
        return
    pending: dict[Future[Answer], _A] = {}
    source = iter(chunks)
    try:
        while True:
            for chunk in itertools.islice(source, executor.window - len(pending)):
                pending[executor.threads.submit(executor.call, function, chunk, timeout)] = chunk
            if not pending:
                return
            for future in wait(pending, None, FIRST_COMPLETED).done:
                chunk, (kind, value) = pending.pop(future), future.result()
                if kind == "done":
                    yield chunk, value
                elif kind == "error":
                    raise value
                elif lost is None:
                    raise WorkersLostError(
                        f"a worker was lost ({value})",
                        remedy="If memory ran out, use fewer --jobs; then run the command again.",
                    )
                else:
                    logger.warning("a worker was lost (%s); its work is done again", value)
                    lost.append((chunk, value))
    finally:
        while running := [future for future in pending if not (future.cancel() or future.done())]:
            executor.stop()
            wait(running, 0.1)


def _threads(count: int) -> ThreadPoolExecutor:
    # Blocked signals stay blocked in a child: a terminal sends Ctrl-C to workers too, and each
    # would print a traceback. The main thread alone answers it, and ends them.
    mask = (signal.SIG_BLOCK, {signal.SIGINT})
    return ThreadPoolExecutor(count, initializer=signal.pthread_sigmask, initargs=mask)


def work(handle: int) -> None:
    """Do what the parent sends over the socket `handle`; the main function of a worker."""
    # Standard input ends with the parent, by kill -9 too.
    threading.Thread(target=lambda: os._exit(len(os.read(0, 1))), daemon=True).start()
    pipe = Connection(handle)
    pipe.send(("ready", None))
    while True:
        try:
            function, chunk = pipe.recv()
            pipe.send(("done", function(chunk)))
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            error.add_note(traceback.format_exc())
            pipe.send(("error", error))


class _Worker(subprocess.Popen[bytes]):
    """A Python of its own, which imports what it is sent and never the caller's script.

    So no script needs `if __name__ == "__main__"`.
    """

    def __init__(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        code = f"import sys; sys.path = {sys.path!a}; from sslprep.executors import work; "
        with theirs:
            # What codecs print names no file; we list each file ourselves.
            super().__init__(
                [sys.executable, "-c", f"{code}work({theirs.fileno()})"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def answer(self, timeout: float | None) -> Answer:
        with suppress(EOFError, OSError):
            if self.pipe.poll(timeout):
                answer: Answer = self.pipe.recv()
                return answer
        with suppress(subprocess.TimeoutExpired):
            self.wait(0.1)  # a closed pipe is seen before the process is gone
        code = self.poll()
        self.end()
        if code is None or code >= 0:
            return "lost", "it hung" if code is None else f"it ended with code {code}"
        return "lost", f"it was ended by signal {-code}, {signal.Signals(-code).name}"

    def end(self) -> None:
        self.kill()
        with self:
            self.pipe.close()


class Processes:
    """Worker processes, one to each thread, started as there is work for them."""

    def __init__(self, count: int) -> None:
        self.window = 2 * count
        self.threads = _threads(count)
        self._workers: dict[int, _Worker] = {}

    def call(self, function: Callable[[_A], _R], chunk: _A, timeout: float) -> Answer:
        """Do a chunk; a worker that says nothing of it for `timeout` seconds counts as hung."""
        worker = self._workers.get(threading.get_ident()) or self._start()
        if worker.poll() is not None:  # ended by `stop`, as it had just answered
            worker.end()
            worker = self._start()
        with suppress(BrokenPipeError, ConnectionResetError):  # `answer` says how
            worker.pipe.send((function, chunk))
        return worker.answer(timeout)

    def _start(self) -> _Worker:
        for _ in range(2):  # one may be killed as it starts
            try:
                worker = self._workers[threading.get_ident()] = _Worker()
                kind, reason = worker.answer(_START)
            except OSError as error:
                kind, reason = "lost", error.strerror
            if kind == "ready":
                return worker
        raise WorkersLostError(
            f"no worker can be started ({reason})",
            remedy=f"Try: {sys.executable} -c 'import sslprep'. Or pass --jobs 1.",
        )

    def stop(self) -> None:
        """End the workers; the next chunk of each thread starts another."""
        for worker in list(self._workers.values()):
            worker.kill()
            worker.wait()  # so that nobody is given work as it dies

    def close(self) -> None:
        """End all workers."""
        self.threads.shutdown()
        for worker in self._workers.values():
            worker.end()


def call_checked(version: str, function: Callable[[_A], _R], chunk: _A) -> _R:
    """Do a chunk on a worker of a cluster that others set up, if it has our `version`."""
    if version != __version__:
        raise ParameterError(
            f"a Dask worker has sslprep {__version__}",
            where=socket.gethostname(),
            expected=f"{version}, as here",
            remedy="Install the same version on all workers.",
        )
    return function(chunk)


class Dask:
    """A cluster that the user started with Dask's own tools.

    Args:
        address: Of its scheduler.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtraError(
                "--scheduler needs Dask", remedy="Install it: pip install distributed."
            ) from error
        try:
            client: Any = distributed.Client(address, timeout=10)  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, ValueError) as error:
            raise ParameterError(
                f"no Dask scheduler answers at {address} ({error})",
                remedy="Start a dask scheduler and workers, or leave --scheduler out.",
            ) from error
        self._client = client
        self._futures: set[Any] = set()
        self._heard = 0.0
        self.threads = _threads(_MOST_CHUNKS)
        if not self._count_threads():
            logger.warning("the Dask scheduler at %s has no workers yet; waiting for some", address)

    def _count_threads(self) -> int:
        count: int = sum(self._client.nthreads().values())
        self.window = min(4 * max(8, count), _MOST_CHUNKS)
        return count

    def call(self, function: Callable[[_A], _R], chunk: _A, timeout: float) -> Answer:
        """Do a chunk; it is lost where for `timeout` seconds none at all is answered.

        A worker that stops holds few chunks: the others have done the rest by then. Where it sends
        nothing at all, Dask's scheduler gives its chunks to others (`worker-ttl`, five minutes).
        """
        import distributed

        future = self._client.submit(call_checked, __version__, function, chunk, pure=False)
        self._futures.add(future)
        start = time.monotonic()
        try:
            while (left := max(start, self._heard) + timeout - time.monotonic()) > 0:
                try:
                    value = future.result(left)
                except Exception as error:  # noqa: BLE001 - raised again where it is no silence
                    if future.status == "cancelled":
                        return "error", WorkersLostError("the Dask scheduler is gone")
                    if isinstance(error, distributed.KilledWorker):
                        return "lost", "Dask: " + " ".join(str(error).split())
                    if future.status == "error":
                        return "error", error
                    if not self._count_threads():  # there are no workers yet
                        start = time.monotonic()
                else:
                    self._heard = time.monotonic()
                    return "done", value
            future.cancel()
            return "lost", f"Dask: nothing came for {timeout:g} seconds"
        finally:
            self._futures.discard(future)

    def stop(self) -> None:
        """Give up what is under way."""
        with suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures))

    def close(self) -> None:
        """Let the cluster go."""
        self.threads.shutdown()
        self._client.close()
