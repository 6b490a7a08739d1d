"""Where parallel work runs: in this process, in several, or on a Dask cluster.

Every executor gives the same results in the same order; only the time differs.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
)
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from typing import Any, TypeVar

from sslprep import interrupts
from sslprep.errors import MissingExtraError, ParameterError

logger = logging.getLogger(__name__)

_A = TypeVar("_A")
_R = TypeVar("_R")
_PATIENCE = 2.0
"""Seconds after which a wait for a Dask result looks whether the scheduler is still there."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def open_executor(
    jobs: int | None = None, scheduler: str | None = None
) -> Iterator[Executor | None]:
    """Open what `--jobs` and `--scheduler` ask for.

    Args:
        jobs: Number of processes; 1 works in this process, `None` takes every core.
        scheduler: Address of a Dask scheduler, such as `tcp://host:8786`.

    Yields:
        An executor, or `None` for work in this process.

    Raises:
        ParameterError: Fewer than one job, or a scheduler that does not answer.
        MissingExtraError: Dask is not installed.
    """
    if jobs is not None and jobs < 1:
        raise ParameterError(f"--jobs is {jobs}", expected="1 or more")
    if scheduler is not None:
        with _dask(scheduler) as executor:
            yield executor
        return
    count = jobs or cores()
    if count == 1:
        yield None
        return
    # Not "fork": OpenCV and BLAS hold threads, which a forked copy would wait for in vain.
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    _keep_interrupts_from_workers()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_die_with_parent)
    try:
        with interrupts.held():
            pool.submit(int)  # starts all workers; half a start leaves them without their pipes
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError(
            "--scheduler needs Dask", remedy='Install it: pip install "sslprep[dask]".'
        ) from error
    try:
        client: Any = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise ParameterError(
            f"no Dask scheduler answers at {address} ({error})",
            remedy="Start a dask scheduler and workers, or leave --scheduler out.",
        ) from error
    from distributed import KilledWorker

    with client:
        if not client.nthreads():
            logger.warning("the Dask scheduler at %s has no workers yet; waiting for some", address)
        try:
            yield client.get_executor()
        except CancelledError as error:
            raise BrokenExecutor("the Dask scheduler is gone") from error
        except KilledWorker as error:
            raise BrokenExecutor(" ".join(str(error).split())) from error


def _keep_interrupts_from_workers() -> None:
    """Start the server of workers with Ctrl-C blocked, which they inherit.

    A terminal sends Ctrl-C to workers too, and each would print a traceback; this process alone
    answers it, and ends them.
    """
    if os.name == "posix":
        resource_tracker.ensure_running()  # its own start would unblock the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> None:
    """End this worker when its parent is gone, also by kill -9."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def workers(executor: Executor) -> int:
    """Return how many tasks an executor of `open_executor` runs at once."""
    count: Any = getattr(executor, "_max_workers", None)
    if count is None:  # Dask's: ask the cluster, which may have grown
        count = sum(executor._client.nthreads().values())  # type: ignore[attr-defined]
    return int(count)


def _result(future: Future[_R], executor: Executor) -> _R:
    """Wait for a result, and notice a Dask scheduler that is gone: its futures never end."""
    client: Any = getattr(executor, "_client", None)
    while True:
        try:
            return future.result(None if client is None else _PATIENCE)
        except TimeoutError:
            if future.done():
                raise  # the task's own
            if client.status not in ("running", "connecting"):
                raise BrokenExecutor("the Dask scheduler is gone") from None


def map_chunks(
    function: Callable[[_A], _R],
    chunks: Iterable[_A],
    executor: Executor | None,
    *,
    window: int | None = None,
) -> Iterator[_R]:
    """Yield `function(chunk)` for every chunk, in order.

    At most `window` chunks (by default four for each worker) are under way, so neither the
    chunks nor the results of a million images are ever in memory together (`Executor.map`
    submits everything at once before Python 3.14). A chunk should be seconds of work.

    Raises:
        BrokenExecutor: A worker process died, or the Dask cluster is lost.

    Example:
        >>> list(map_chunks(abs, [-1, 2], None))
        [1, 2]
    """
    if executor is None:
        yield from map(function, chunks)
        return
    window = window or 4 * max(8, workers(executor))
    pending: deque[Future[_R]] = deque()
    try:
        for chunk in chunks:
            if len(pending) >= window:
                yield _result(pending.popleft(), executor)
            pending.append(executor.submit(function, chunk))
        while pending:
            yield _result(pending.popleft(), executor)
    finally:
        for future in pending:
            future.cancel()
