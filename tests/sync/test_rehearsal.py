"""Rehearsed exchanges: the results and bytes of processes that hold the same, and the time of the network."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer.sync import rehearsal
from fewer.sync.network import Network
from fewer.sync.rehearsal import Rehearsal
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks

LINE = Network(bandwidth=1000.0, latency=0.5)


def _exchanges(comm: Any) -> list[tuple[list[float], int]]:
    """Each kind of exchange of what all processes hold: its result, and the bytes that it sent."""
    numbers = torch.arange(6.0, dtype=torch.float64)
    found = []
    for exchange in (
        lambda: (summed := numbers.clone(), comm.all_reduce(summed))[0],
        lambda: comm.gather(numbers.view(2, 3)),
        lambda: (sent := numbers.clone(), comm.broadcast([sent]))[0],
        lambda: comm.exchange(numbers.view(3, 2)),
    ):
        result = exchange()
        found.append((result.flatten().tolist(), comm.take_bytes_sent()))
    return found


def test_a_rehearsal_has_the_results_and_bytes_of_processes() -> None:
    with one_thread():
        real = on_ranks(3, _exchanges)
    for rank, theirs in enumerate(real):
        assert _exchanges(Rehearsal(LINE, 3, rank)) == theirs


@pytest.mark.parametrize(
    ("exchange", "messages", "sent"),
    [
        (lambda comm, numbers: comm.all_reduce(numbers), 6, 1.5),
        (lambda comm, numbers: comm.gather(numbers), 6, 3),
        (lambda comm, numbers: comm.broadcast([numbers]), 2, 0.75),
        (lambda comm, numbers: comm.exchange(numbers.view(4, -1)), 3, 0.75),
    ],
)
def test_an_exchange_takes_its_messages_and_bytes(exchange: Any, messages: int, sent: float) -> None:
    comm, numbers = Rehearsal(LINE, 4), torch.zeros(100)
    exchange(comm, numbers)
    found = comm.take()
    assert found.seconds == pytest.approx(messages * 0.5 + sent * 400 / 1000)
    assert found.waited == pytest.approx(found.seconds, abs=0.1)
    assert found.exchanges == 1
    assert comm.take().exchanges == 0


def test_what_is_computed_meanwhile_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(rehearsal.time, "perf_counter", lambda: now[0])
    comm, numbers = Rehearsal(LINE, 2, pace=2.0), torch.zeros(100)
    waits = [comm.start_all_reduce(numbers) for _ in range(2)]  # each takes 2 * 0.5 + 400 / 1000 s
    now[0] += 0.5  # of computing, which stands for 1 s
    waits[0]()
    assert comm.take().waited == pytest.approx(0.4)
    waits[1]()
    comm.all_reduce(numbers)
    found = comm.take()
    assert (found.waited, found.seconds) == (pytest.approx(2.8), pytest.approx(1.4))
    now[0] += 5.0
    wait = comm.start_all_reduce(numbers)
    now[0] += 5.0
    wait()
    assert comm.take().waited == 0
