"""Signals, and the end of a sitting, as a flag: the loop stops behind its next batch, and everything is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, final

from fewer.core.errors import EXIT_CODES, PREEMPTED, Stopped

if TYPE_CHECKING:
    from fewer.training.run import Run


@final
class Stop:
    """A wish to stop.

    Attributes:
        run: What is being trained; None where there is nothing to save: the wish is then granted at once.
        where: What a run without anything to save is told.
        answer: Called with what becomes of the wish, at once.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self.where = "before training began; nothing is lost"
        self.answer: Callable[[str], None] = lambda text: None
        self._signal: int = signal.SIGTERM
        self._over: datetime | None = None

    @property
    def run(self) -> Run | None:
        return self._run

    @run.setter
    def run(self, run: Run | None) -> None:
        self._run = run
        if run is not None and self._over:
            run.stop_requested = True

    def end_sitting(self, moment: datetime) -> None:
        """Asks the loop to stop behind its batch, or behind the first one where it has not begun."""
        self._over = moment
        if self.run is not None:
            self.run.stop_requested = True
            with suppress(RuntimeError):
                self.answer(f"it is {moment:%H:%M}: finishing this batch, saving")

    def request(self, number: int) -> None:
        """Asks the loop to stop behind its batch; where there is nothing to save, stops at once."""
        self._signal, self._over = number, None
        if self.run is None:
            raise self.stopped(self.where)
        self.run.stop_requested = True
        again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
        with suppress(RuntimeError):  # the signal came in the middle of a write to the same stream
            self.answer(f"{signal.Signals(number).name}: finishing this batch, saving{again}")

    def stopped(self, where: str) -> Stopped:
        """The error that ends the run."""
        if self._over:
            return Stopped(f"stopped at {self._over:%H:%M}, as asked, {where}", PREEMPTED)
        return Stopped.by(self._signal, where)


@contextmanager
def caught(until: datetime | None = None) -> Iterator[Stop]:
    """Turns the first SIGTERM or Ctrl-C into a wish to stop; a second one acts at once, as usual.

    Args:
        until: The end of the sitting, by the local clock: a wish to stop, too.
    """
    stop = Stop()
    with _sitting(stop, until):
        if threading.current_thread() is not threading.main_thread():
            yield stop  # only the main thread may handle signals; a library user's own handlers stay
            return
        before = {number: signal.getsignal(number) for number in EXIT_CODES}

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


@contextmanager
def _sitting(stop: Stop, until: datetime | None) -> Iterator[None]:
    """Ends a sitting at its moment, by a thread that waits for it."""
    seconds = (until - datetime.now()).total_seconds() if until else None
    if until is None or seconds is None:
        yield
        return
    if seconds <= 0:
        stop.end_sitting(until)
        yield
        return
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), stop.end_sitting, [until])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
