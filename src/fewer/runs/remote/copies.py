"""Copies in the background: a thread that sends a run's newest state while training goes on, whatever storage does."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, final

from fewer.core.errors import FewerError, RemoteError
from fewer.runs.remote.bucket import Outage, Refused
from fewer.runs.remote.retry import delay_seconds
from fewer.runs.remote.staging import Held, hold, sweep
from fewer.runs.remote.upload import Uploader

_Result = TypeVar("_Result")
_HURRIED_SECONDS = 2.0  # the longest pause between two tries once training has ended
_TRIES_BEFORE_NEWS = 3  # a request that fails twice is nothing to speak of


@final
class Copies:
    """Sends states of a run, one at a time; of those that wait meanwhile, only the newest.

    So the queue is two states long at most, and so is what it holds on the disk. No method but `finish` waits for
    anything that is not on this machine.

    Args:
        uploader: What copies, whose place has been claimed.
        run: The run folder.
        keep: How many states stay in the copy.
    """

    def __init__(self, uploader: Uploader, run: Path, keep: int) -> None:
        self._uploader, self._run, self._keep = uploader, run, keep
        self._changed = threading.Condition()
        self._waiting: tuple[int, Held] | None = None
        self._offered = self._copied = 0  # numbers of states
        self.sent_bytes = 0
        self._closing = self._given_up = False
        self._trouble, self._trouble_since = "", 0.0
        self._ended = ""  # why no more is copied
        self._news: deque[str] = deque()
        sweep(run)
        self._thread = threading.Thread(target=self._work, name="remote copies", daemon=True)
        self._thread.start()

    @property
    def place(self) -> str:
        return str(self._uploader.bucket.address)

    def offer(self) -> None:
        """Holds the run folder as it is now, for the next copy; takes the place of a state that still waits."""
        if self._ended:
            return
        number = self._offered + 1
        try:
            held = hold(self._run, str(number))
        except OSError as error:
            self._news.append(f"remote copy: this state cannot be held: {error.strerror or error}")
            self._offered = number  # it counts: the copy is behind until a later one is held and sent
            return
        with self._changed:
            before, self._waiting, self._offered = self._waiting, (number, held), number
            self._changed.notify_all()
        if before:
            before[1].release()

    def report(self, say: Callable[[str], None]) -> str:
        """Says what has become of the copies since the last call, and gives in words how far they are behind."""
        while self._news:
            say(self._news.popleft())
        return self.lag()

    def lag(self) -> str:
        """How far the copy is behind, in words; "" while it keeps up."""
        behind = self._offered - self._copied
        if self._ended:
            return "no more copies"
        if behind > 1 or (behind and self._trouble):
            return f"copy {behind} behind"
        return ""

    def finish(self, seconds: float) -> None:
        """Sends the run folder as it is now, and waits for that.

        Args:
            seconds: The longest wait.

        Raises:
            RemoteError: The copy is not complete; the message says why.
        """
        self.offer()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        late = self._thread.is_alive()
        self.abandon()
        if self._copied < self._offered:
            waited = f"not complete after {seconds:.0f} s" if late else ""
            raise RemoteError(self._ended or self._trouble or waited or "the last state could not be held")

    def abandon(self) -> None:
        """Gives up what has not been copied; it stays in the run folder."""
        with self._changed:
            self._closing = self._given_up = True
            self._changed.notify_all()
        sweep(self._run)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._waiting is None or self._given_up:
                    return
                (number, held), self._waiting = self._waiting, None
            try:
                self.sent_bytes += self._uploader.copy(held, self._keep, self._patiently)
            except Exception as error:  # training goes on without copies, whatever has happened to them
                held.release()
                if not self._given_up:
                    self._end(str(error) if isinstance(error, FewerError) else f"{type(error).__name__}: {error}")
                return
            held.release()
            self._copied = number
            self._recovered()

    def _end(self, reason: str) -> None:
        with self._changed:
            waiting, self._waiting, self._ended = self._waiting, None, reason
        if waiting:
            waiting[1].release()
        self._news.append(f"warning: no more remote copies: {reason}")

    def _patiently(self, action: Callable[[], _Result]) -> _Result:
        tries = 0
        while True:
            try:
                if tries:
                    self._uploader.bucket.renew()  # credentials may have been renewed
                return action()
            except (Outage, Refused) as error:
                tries += 1
                self._suffer(str(error), tries)
                with self._changed:
                    closing = self._closing
                    pause = delay_seconds(tries, _HURRIED_SECONDS) if closing else delay_seconds(tries)
                    self._changed.wait_for(lambda c=closing: self._given_up or self._closing != c, pause)  # type: ignore[misc]
                    if self._given_up:
                        raise

    def _suffer(self, trouble: str, tries: int) -> None:
        if not self._trouble:
            self._trouble_since = time.monotonic()
        self._trouble = trouble
        if tries == _TRIES_BEFORE_NEWS:
            self._news.append(f"warning: remote copy: {trouble}; training goes on, and the copy follows when it can")

    def _recovered(self) -> None:
        if self._trouble:
            minutes = (time.monotonic() - self._trouble_since) / 60
            self._news.append(f"remote copy: complete again, {minutes:.1f} min after the first failure")
        self._trouble = ""
