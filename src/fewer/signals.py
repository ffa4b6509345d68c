"""Signals as a flag: the loop stops at the next batch, after which everything is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from fewer.errors import INTERRUPTED, PREEMPTED

EXIT_CODES = {signal.SIGTERM: PREEMPTED, signal.SIGINT: INTERRUPTED}


@contextmanager
def caught(request_stop: Callable[[int], None]) -> Iterator[None]:
    """Calls `request_stop(signal number)` on the first SIGTERM or Ctrl-C; a second one acts at once, as usual.

    Args:
        request_stop: Must only set flags: it runs between any two instructions.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals; a library user's own handlers stay
        return
    before = {number: signal.getsignal(number) for number in EXIT_CODES}

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        request_stop(number)

    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
