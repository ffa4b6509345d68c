"""The rehearsal of exchanges: one process that stands for one of several, and a network that is a clock.

All others hold what this process holds. So each exchange has its result at once, its bytes are booked as always, and
the time that it would take on a network is added to a clock instead of being waited for. A sync method, the training
loop and all else run as they are, so that what they exchange, and when, is seen rather than predicted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, final

from fewer.sync.comm import Booking

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.sync.network import Network


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What was exchanged for a while.

    Attributes:
        exchanges: How many collective operations.
        seconds: What they take on the network, one behind another.
        waited: What of that the process waits for: less, where it computes while an exchange goes on.
        standing_in: Seconds that the rehearsal itself took, which no process would take.
    """

    exchanges: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    standing_in: float = 0.0


@final
class Rehearsal(Booking):
    """A process that stands for one of several.

    Args:
        network: What lies between them.
        world_size: How many there are, two or more.
        rank: Which of them this is.
        pace: How many times as long as here computing takes, where a part of it is done.
    """

    def __init__(self, network: Network, world_size: int, rank: int = 0, pace: float = 1.0) -> None:
        self.network, self.world_size, self.rank, self.machines = network, world_size, rank, world_size
        self._pace, self._sum = pace, Exchanged()
        self._standing_in, self._waited, self._is_free_at = 0.0, 0.0, 0.0

    def all_reduce(self, tensor: Tensor) -> None:
        self.start_all_reduce(tensor)()

    def start_all_reduce(self, tensor: Tensor) -> Callable[[], None]:
        """Begins a sum; what it returns waits for its end, which computing brings nearer."""
        with self._exchange(2 * (self.world_size - 1), waits=False):
            tensor.mul_(self.world_size)
            self._book_shared(tensor, 2)
        ends_at = self._is_free_at
        return lambda: self._wait(ends_at)

    def gather(self, tensor: Tensor) -> Tensor:
        with self._exchange(2 * (self.world_size - 1)):  # of lengths, then of numbers
            self._book_gathered(tensor)
            return tensor.repeat(self.world_size, *[1] * (tensor.dim() - 1))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            with self._exchange((self.world_size - 1).bit_length()):
                self._book_shared(tensor)

    def exchange(self, rows: Tensor) -> Tensor:
        with self._exchange(self.world_size - 1):
            self._book_exchanged(rows)
            return rows[self.rank].expand_as(rows).clone()

    def take(self) -> Exchanged:
        """What was exchanged since the last call."""
        found, self._sum = self._sum, Exchanged()
        return found

    @contextmanager
    def _exchange(self, messages: int, waits: bool = True) -> Iterator[None]:
        """An exchange, which begins when the one before it has ended; the process waits for it here, or later on."""
        began, sent_before = time.perf_counter(), self._bytes_sent
        yield
        spent = time.perf_counter() - began
        self._standing_in += spent
        seconds = self.network.seconds(messages, self._bytes_sent - sent_before)
        self._is_free_at = max(self._now(), self._is_free_at) + seconds
        self._add(Exchanged(1, seconds, 0.0, spent))
        if waits:
            self._wait(self._is_free_at)

    def _now(self) -> float:
        """The clock: what was computed, and what was waited for."""
        return self._pace * (time.perf_counter() - self._standing_in) + self._waited

    def _wait(self, until: float) -> None:
        seconds = max(0.0, until - self._now())
        self._waited += seconds
        self._add(Exchanged(waited=seconds))

    def _add(self, more: Exchanged) -> None:
        self._sum = Exchanged(*(a + b for a, b in zip(astuple(self._sum), astuple(more), strict=True)))
