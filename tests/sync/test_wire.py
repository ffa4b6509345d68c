"""What the ledger books, against what the kernel counts on the wire between two hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from fewer.sync.network import PAYLOAD_SHARE
from fewer.testing.harness import one_thread, trained
from fewer.testing.hosts import Host, obstacle, two_hosts
from fewer.testing.ranks import on_ranks

NUMBERS = 1 << 19  # 2 MiB, beside which what TCP says besides is little
# Headers of full frames; and at most an acknowledgement of 66 bytes for each that the other side sends, and a greeting.
LEAST, MOST = 1 / PAYLOAD_SHARE, 1 / PAYLOAD_SHARE + 66 / 1448 + 0.01
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5"},
    "train": {"batch_size": 60, "lr": 0.01, "precision": "fp32"},
    "stages": [{"epochs": 2, "side_px": 16}],
}


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    if reason := obstacle():
        pytest.skip(reason)
    with one_thread(), two_hosts() as pair:
        yield pair


def _booked(comm: Any, exchange: Callable[[Any], object]) -> int:
    exchange(comm)
    return int(comm.take_bytes_sent())


def _trained(comm: Any) -> int:
    return int(trained(CONTENT, comm).run.ledger.total("bytes_sent"))


@pytest.mark.parametrize(
    "work",
    [
        lambda comm: _booked(comm, lambda each: each.all_reduce(torch.zeros(NUMBERS))),
        lambda comm: _booked(comm, lambda each: each.gather(torch.zeros(NUMBERS))),
        lambda comm: _booked(comm, lambda each: each.exchange(torch.zeros(2, NUMBERS))),
        _trained,
    ],
    ids=["all_reduce", "gather", "exchange", "training"],
)
def test_booked_bytes_are_those_on_the_wire_less_headers(hosts: tuple[Host, Host], work: Callable[[Any], int]) -> None:
    before = [host.sent_bytes() for host in hosts]
    booked = on_ranks(2, work, enter=lambda rank: hosts[rank].enter())
    counted = [host.sent_bytes() - past for host, past in zip(hosts, before, strict=True)]
    assert min(booked) > 1e6
    # Of a tensor that rank 0 alone sends, as at the start of training, each books a half.
    ratio = sum(counted) / sum(booked)
    print(f"{ratio:.4f}")
    assert LEAST < ratio < MOST, f"{booked} booked, {counted} on the wire"
