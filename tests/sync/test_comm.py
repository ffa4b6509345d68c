"""What processes exchange, by stand-ins of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fewer.sync.comm import SingleProcess, of_rank_0, unbooked
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks


class Second(SingleProcess):  # type: ignore[misc]
    """The second of two processes, the first of which sends 7."""

    rank, sent = 1, 8

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        for tensor in tensors:
            tensor.fill_(7)

    def take_bytes_sent(self) -> int:
        sent, self.sent = self.sent, 0
        return sent


def test_all_take_the_number_of_the_first_process_and_book_nothing_for_it() -> None:
    second: Any = Second()
    assert of_rank_0(second, 3) == 7
    assert second.take_bytes_sent() == 0
    assert of_rank_0(SingleProcess(), 3) == 3


def _sent(comm: Any, parts: int) -> list[int]:
    """Bytes of each kind of exchange, where this process holds so many workers' parts."""
    sent, workers = [], parts * comm.world_size
    for exchange in (
        lambda: comm.all_reduce(torch.zeros(60)),
        lambda: comm.gather(torch.zeros(parts, 60)),
        lambda: comm.broadcast([torch.zeros(60)]),
        lambda: comm.exchange(torch.zeros(comm.world_size, parts, workers // comm.world_size, 60)),
    ):
        exchange()
        sent.append(comm.take_bytes_sent())
    return sent


def test_simulated_workers_book_what_as_many_processes_send() -> None:
    alone = SingleProcess()
    assert _sent(alone, 1) == [0, 0, 0, 0]
    alone.machines = 2
    with one_thread():
        each = on_ranks(2, _sent, 1)
    assert each[0] == each[1] == [240, 240, 120, 240]
    assert _sent(alone, 2) == [sum(pair) for pair in zip(*each, strict=True)]


def test_what_is_no_part_of_training_is_not_booked() -> None:
    alone = SingleProcess()
    alone.machines = 2
    alone.all_reduce(torch.zeros(60))
    with unbooked(alone):
        alone.gather(torch.zeros(60))
    assert alone.take_bytes_sent() == 480


def _exchanged(comm: Any) -> list[list[float]]:
    found: list[list[float]] = comm.exchange(torch.tensor([[10.0 * comm.rank], [10.0 * comm.rank + 1]])).tolist()
    return found


def test_exchanged_rows_arrive_in_the_order_of_ranks() -> None:
    with one_thread():
        assert on_ranks(2, _exchanged) == [[[0.0], [10.0]], [[1.0], [11.0]]]
