"""The signs of life of ranks: each says through the store that it lives, and why it ends, and reads what others say.

A collective operation of torch tells a rank that another is lost, or nothing at all while it waits; it names nobody.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from fewer.core.errors import INTERRUPTED, PREEMPTED, FewerError, ResourceError, Stopped
from fewer.sync.limits import Limits
from fewer.sync.place import Place

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_ANSWER_SECONDS = 2.0  # for ranks to say why they end, once a connection is lost
_LINGER_SECONDS = 3.0  # rank 0 keeps the store for others to read why it ends
_CUT = ("gloo", "NCCL", "Connection closed by peer", "Connection reset")  # in errors that lost ranks cause
AGAIN = "`fewer resume` goes on from the last checkpoint"


@final
class Peers:
    """A rank's view of the others, kept up to date by two threads: one talks to the store, one judges.

    The threads are two because a store whose process is stopped never answers.

    Args:
        store: Where ranks meet; the threads have a connection of their own.
        place: This rank's place.
        limits: When to give up on others.
    """

    exchanges = 0  # how many exchanges this rank has begun

    def __init__(self, store: Store, place: Place, limits: Limits) -> None:
        self._store, self.place, self.limits = store.clone(), place, limits
        self.interval = timedelta(seconds=limits.beat)  # between two looks at the others, in one exchange
        self._others = [rank for rank in range(place.world_size) if rank != place.rank]
        self._said: dict[int, dict[str, Any]] = {}
        self._ended: dict[str, Any] | None = None
        self._quiet_s = dict.fromkeys(self._others, 0.0)
        self._unanswered_s = 0.0
        self._rounds, self._is_store_lost = 0, False
        self.waits_in_vain = False  # in an exchange that will never end
        self.has_lost = False  # whether the loss of another rank has been said
        self._stopped, self._hurry = threading.Event(), threading.Event()
        self._round_done = threading.Condition()

    def start(self) -> None:
        for task in (self._talk, self._judge):
            threading.Thread(target=task, name=f"fewer-peers{task.__name__}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self._hurry.set()

    # --- What this rank asks --------------------------------------------------------------------------------------

    def await_all(self) -> None:
        """Waits until every rank has joined.

        Raises:
            ResourceError: Some have not in time, or rank 0 is gone.
        """
        deadline = time.monotonic() + self.limits.join
        while missing := [rank for rank in self._others if rank not in self._said]:
            if self._is_store_lost:
                raise ResourceError(self._gone([0]))
            if time.monotonic() > deadline:
                where = f"{self.place.address}:{self.place.port}"
                there = self.place.world_size - len(missing)
                raise ResourceError(
                    f"{there} of {self.place.world_size} ranks have met at {where} within {self.limits.join:g} s "
                    f"(FEWER_JOIN_TIMEOUT), without {_ranks(missing)}; start all ranks with the same MASTER_ADDR, "
                    "MASTER_PORT and WORLD_SIZE"
                )
            self._next_round(0.05)

    def require_alive(self) -> None:
        """Complains of a rank that gives no sign of life.

        Raises:
            ResourceError: It names the rank.
        """
        if text := self._silent():
            self.waits_in_vain = True
            raise ResourceError(text)

    def stuck(self) -> ResourceError:
        """The error of an exchange that took too long although all ranks are alive."""
        self.waits_in_vain = True
        behind = [rank for rank in self._others if self._said.get(rank, {}).get("exchanges", 0) < self.exchanges]
        return ResourceError(
            f"rank {self.place.rank} has waited {self.limits.exchange:g} s (FEWER_EXCHANGE_TIMEOUT) in exchange "
            f"{self.exchanges} for {_ranks(behind or self._others)}, which is alive: it is stuck, or left the loop by "
            f"a `break`; every rank has to take the same steps; {AGAIN}"
        )

    def why(self) -> FewerError:
        """The error of a lost connection: which rank ended, and why, as far as it could still say so."""
        self.has_lost = True
        deadline = time.monotonic() + _ANSWER_SECONDS
        self._next_round(_ANSWER_SECONDS)
        while not self._is_store_lost and time.monotonic() < deadline:
            for rank, ended in self._endings():
                if not ended["lost"]:
                    return _error_of(rank, ended)
            if len(self._unexplained()) == 1:
                break
            self._next_round(0.1)
        return ResourceError(self._gone([0] if self._is_store_lost else self._unexplained()))

    def leave(self, error: BaseException | None) -> None:
        """Says what ends this rank, before its connections close; None: it is done."""
        otherwise = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
        code = 0 if error is None else getattr(error, "exit_code", otherwise)
        first = str(error).partition("\n")[0] if error else ""
        text = first if isinstance(error, FewerError) else f"{type(error).__name__}: {first}"
        self._ended = {"code": code, "text": text, "lost": self.has_lost}
        self._next_round(1.0)

    def linger(self) -> None:
        """Waits, where the store lies in this process, until others have read why it ends, or have ended as well."""
        deadline, lost = time.monotonic() + _LINGER_SECONDS, int(self.has_lost)
        while self.place.rank == 0 and time.monotonic() < deadline:
            if len([rank for rank in self._unexplained() if rank in self._said]) <= lost:
                return
            self._next_round(0.05)

    # --- What the threads do --------------------------------------------------------------------------------------

    def _talk(self) -> None:
        try:
            while not self._stopped.is_set():
                self._round()
                self._hurry.wait(self.limits.beat)
                self._hurry.clear()
        except Exception:  # whatever the store raises: it is out of reach
            self._is_store_lost = True
            with self._round_done:
                self._round_done.notify_all()

    def _round(self) -> None:
        """Says that this rank lives, and reads what the others have said."""
        own = {"beat": self._rounds, "exchanges": self.exchanges, "host": socket.gethostname(), "ended": self._ended}
        self._store.set(_key(self.place.rank), json.dumps(own))
        there = [rank for rank in self._others if rank in self._said or self._store.check([_key(rank)])]
        for rank, said in zip(there, self._store.multi_get([*map(_key, there)]) if there else (), strict=True):
            self._said[rank] = json.loads(said)
        with self._round_done:
            self._rounds += 1
            self._round_done.notify_all()

    def _judge(self) -> None:
        """Adds up how long others are quiet; while this process is stopped itself, no time passes."""
        seen, rounds, before = dict(self._said), self._rounds, time.monotonic()
        beat = self.limits.beat
        while not self._stopped.wait(beat):
            now = time.monotonic()
            passed, before = min(now - before, 2 * beat), now
            self._unanswered_s = 0.0 if self._rounds > rounds else self._unanswered_s + passed
            for rank in self._others if self._rounds > rounds else ():
                said = self._said.get(rank)
                is_quiet = said is not None and said == seen.get(rank) and not said["ended"]
                self._quiet_s[rank] = self._quiet_s[rank] + passed if is_quiet else 0.0
            seen, rounds = dict(self._said), self._rounds
            if self.waits_in_vain or self.has_lost:  # said by the main thread, which is on its way out
                return
            if text := self._silent(self.limits.silence + 4 * beat):
                # The main thread waits where nothing wakes it, such as in a collective operation of NCCL.
                print(f"fewer: {text}", file=sys.stderr, flush=True)
                os._exit(ResourceError.exit_code)

    def _silent(self, seconds: float | None = None) -> str:
        limit = self.limits.silence if seconds is None else seconds
        quiet = [rank for rank, silent_s in self._quiet_s.items() if silent_s > limit]
        if self._unanswered_s > limit and self.place.rank and not self._is_store_lost:
            quiet = [0]
        if not quiet:
            return ""
        return (
            f"{_ranks(quiet, self._said)} given no sign of life for {self.limits.silence:g} s (FEWER_RANK_TIMEOUT): "
            f"stopped, swapping, or cut off from the network; {AGAIN}"
        )

    def _next_round(self, seconds: float) -> None:
        """Waits until the store has been asked again, or the time is up."""
        deadline = time.monotonic() + seconds
        with self._round_done:
            wanted = self._rounds + 2  # the round that is under way may have read before it was asked for
            while self._rounds < wanted and not self._is_store_lost and (left := deadline - time.monotonic()) > 0:
                self._hurry.set()
                self._round_done.wait(left)

    def _endings(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((rank, said["ended"]) for rank, said in sorted(self._said.items()) if said["ended"])

    def _unexplained(self) -> list[int]:
        ended = dict(self._endings())
        return [rank for rank in self._others if rank not in ended]

    def _gone(self, ranks: Sequence[int]) -> str:
        return (
            f"{_ranks(ranks or self._others, self._said)} gone without a word: killed, out of memory, or its machine "
            f"is down; {AGAIN}"
        )


def is_cut(error: RuntimeError) -> bool:
    """Whether an error of torch says that a connection to another rank is lost."""
    return any(word in str(error) for word in _CUT)


def _key(rank: int) -> str:
    return f"rank/{rank}"


def _ranks(ranks: Sequence[int], said: dict[int, dict[str, Any]] | None = None) -> str:
    """Names ranks, with their machines where those are known; the verb follows where machines are asked for."""
    texts = [f"{rank} on {said[rank]['host']}" if said and rank in said else str(rank) for rank in ranks]
    text = f"rank{'s' if len(ranks) > 1 else ''} {', '.join(texts)}"
    return text if said is None else f"{text} {'have' if len(ranks) > 1 else 'has'}"


def _error_of(rank: int, ended: dict[str, Any]) -> FewerError:
    code, text = ended["code"], ended["text"]
    if code in (PREEMPTED, INTERRUPTED):
        return Stopped(f"rank {rank}: {text}", code)
    if code == 0:
        return ResourceError(
            f"rank {rank} has left the loop, while rank(s) still in it wait: a `break` or an early return on one rank; "
            "every rank has to take the same steps"
        )
    return ResourceError(f"rank {rank} has ended: {text}")
