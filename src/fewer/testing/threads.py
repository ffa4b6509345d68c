"""Ranks that are threads of one process, for collectives without processes.

One rank computes at a time, until its next collective, and each has torch's random stream to itself, as processes do:
else one rank's seed would fall between another's seed and the weights that it draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError, Lock
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm

T = TypeVar("T")
_PATIENCE_SECONDS = 60.0  # with a rank that leaves a collective out


class _Rank:
    """One thread's end of the exchange."""

    def __init__(self, rank: int, slots: list[Tensor], barrier: Barrier, turn: Lock) -> None:
        self.rank, self.world_size = rank, len(slots)
        self.machines = self.world_size
        self._slots, self._barrier, self._turn = slots, barrier, turn

    def all_reduce(self, tensor: Tensor) -> None:
        tensor.copy_(torch.stack(self._exchanged(tensor)).sum(0))

    def gather(self, tensor: Tensor) -> Tensor:
        return torch.cat(self._exchanged(tensor))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            tensor.copy_(self._exchanged(tensor)[0])

    def exchange(self, rows: Tensor) -> Tensor:
        return torch.stack([sent[self.rank] for sent in self._exchanged(rows)])

    def take_bytes_sent(self) -> int:
        return 0

    def book(self, bytes_sent: int) -> None:
        return

    def _exchanged(self, tensor: Tensor) -> list[Tensor]:
        self._slots[self.rank] = tensor.detach().clone()
        self._wait()
        found = list(self._slots)
        self._wait()  # nobody fills the slots again before all have read them
        return found

    def _wait(self) -> None:
        """Lets the other ranks compute until all wait here."""
        stream = torch.get_rng_state()
        self._turn.release()
        try:
            self._barrier.wait(_PATIENCE_SECONDS)
        finally:
            self._turn.acquire()
            torch.set_rng_state(stream)


def on_ranks(ranks: int, work: Callable[[Comm], T]) -> list[T]:
    """What each rank's work gives.

    Args:
        ranks: How many there are.
        work: What a rank does; it must make the same collective calls on every rank.

    Raises:
        BrokenBarrierError: The ranks did not make the same collective calls.
    """
    slots, barrier, turn = [torch.empty(0)] * ranks, Barrier(ranks), Lock()

    def run(rank: int) -> T:
        with turn:
            try:
                return work(_Rank(rank, slots, barrier, turn))
            except BaseException:
                barrier.abort()
                raise

    with ThreadPoolExecutor(ranks) as pool:
        started = [pool.submit(run, rank) for rank in range(ranks)]
    errors = [error for each in started if (error := each.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):  # the cause comes first
        raise error
    return [each.result() for each in started]
