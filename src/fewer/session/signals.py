"""Signals as a flag: the loop stops behind its next batch, after which everything is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, final

from fewer.core.errors import INTERRUPTED, PREEMPTED, Stopped

if TYPE_CHECKING:
    from fewer.training.run import Run

_EXIT_CODES = {signal.SIGTERM: PREEMPTED, signal.SIGINT: INTERRUPTED}


@final
class Stop:
    """A wish to stop.

    Attributes:
        run: What is being trained; None until training begins, when there is nothing to save.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self._signal = signal.SIGTERM

    def request(self, number: int) -> None:
        """Asks the loop to stop; before training begins, stops at once."""
        self._signal = signal.Signals(number)
        if self.run is None:
            raise self.stopped("before training began; nothing is lost")
        self.run.stop_requested = True

    def stopped(self, where: str) -> Stopped:
        """The error that ends the run."""
        return Stopped(f"stopped by {self._signal.name} {where}", _EXIT_CODES[self._signal])


@contextmanager
def caught() -> Iterator[Stop]:
    """Turns the first SIGTERM or Ctrl-C into a wish to stop; a second one acts at once, as usual."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals; a library user's own handlers stay
        return
    before = {number: signal.getsignal(number) for number in _EXIT_CODES}

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        stop.request(number)

    try:
        for number in before:
            signal.signal(number, handle)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
