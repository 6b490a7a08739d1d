"""Ctrl-C and SIGTERM, held back for the moments in which they would leave things half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold Ctrl-C and TERM back; what came in the meantime comes at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Not a signal mask: BLAS has threads of its own that would take the signal all the same.
    came: list[int] = []
    # A handler that C code installed reads as None and could not be put back: it stays.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not None]
    before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in came:
            signal.raise_signal(caught)
