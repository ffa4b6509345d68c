"""The rehearsal of exchanges: one process that stands for one of several, and a network that is a clock.

All others hold what this process holds. So each exchange has its result at once, its bytes are booked as always, and
the time that it would take on a network is added to a clock instead of being waited for. A sync method, the training
loop and all else run as they are, so that what they exchange, and when, is seen rather than predicted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
        waited: What of that the process waits for, as it computes nothing meanwhile.
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
    """

    def __init__(self, network: Network, world_size: int, rank: int = 0) -> None:
        self.network, self.world_size, self.rank, self.machines = network, world_size, rank, world_size
        self._sum = Exchanged()

    def all_reduce(self, tensor: Tensor) -> None:
        with self._exchange(2 * (self.world_size - 1)):
            tensor.mul_(self.world_size)
            self._book_shared(tensor, 2)

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
    def _exchange(self, messages: int) -> Iterator[None]:
        """An exchange that the process waits for."""
        began, before = time.perf_counter(), self._bytes_sent
        yield
        seconds, past = self.network.seconds(messages, self._bytes_sent - before), self._sum
        self._sum = Exchanged(
            past.exchanges + 1,
            past.seconds + seconds,
            past.waited + seconds,
            past.standing_in + time.perf_counter() - began,
        )
