"""What the ledger books, against what the kernel counts on the wire between two hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from fewer.sync.network import PAYLOAD_SHARE
from fewer.testing.harness import one_thread, trained
from fewer.testing.hosts import FRAME_BYTES, Host, obstacle, two_hosts
from fewer.testing.ranks import on_ranks

NUMBERS = 1 << 19  # 2 MiB, beside which what TCP says besides is little
# Headers of full frames; and at most an acknowledgement of 66 bytes for each that the other side sends, and greetings.
LEAST, MOST = 1 / PAYLOAD_SHARE, 1 / PAYLOAD_SHARE + 66 / 1448 + 0.03
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5"},
    "train": {"batch_size": 60, "lr": 0.01, "precision": "fp32"},
    "stages": [{"epochs": 2, "side_px": 16}],
}


WORKS: dict[str, Callable[[Any], object]] = {
    "all_reduce": lambda comm: comm.all_reduce(torch.zeros(NUMBERS)),
    "gather": lambda comm: comm.gather(torch.zeros(NUMBERS)),
    "exchange": lambda comm: comm.exchange(torch.zeros(2, NUMBERS)),
    "training": lambda comm: _trained(comm),
    "rounds of bytes": lambda comm: _trained(comm, method="local_sgd", every_steps=1, payload="int8"),
}


def _trained(comm: Any, **sync: Any) -> int:
    return int(trained({**CONTENT, "sync": sync}, comm).run.ledger.total("bytes_sent"))


def _booked_and_counted(comm: Any, hosts: Sequence[Host]) -> dict[str, tuple[int, int]]:
    """Of each work, what a rank books and what its host sends once."""
    host, found = hosts[comm.rank], {}

    def sent_bytes() -> int:
        return host.sent_bytes() - FRAME_BYTES * host.resent_frames()

    for name, work in WORKS.items():
        before = sent_bytes()
        ledger = work(comm)
        booked = ledger if isinstance(ledger, int) else comm.take_bytes_sent()
        comm.gather(torch.zeros(1))  # until both have all, and have said so
        comm.take_bytes_sent()
        found[name] = booked, sent_bytes() - before
    return found


def test_booked_bytes_are_those_on_the_wire_less_headers() -> None:
    if reason := obstacle():
        pytest.skip(reason)
    with one_thread(), two_hosts() as hosts:
        ranks = on_ranks(2, _booked_and_counted, hosts, enter=lambda rank: hosts[rank].enter())
    for name in WORKS:
        booked, counted = map(sum, zip(*(rank[name] for rank in ranks), strict=True))
        print(f"{name}: {counted / booked:.4f}")
        assert booked > 2e6
        # Of a tensor that rank 0 alone sends, as at the start of training, each books a half: both are right together.
        assert LEAST < counted / booked < MOST, f"{name}: {booked} booked, {counted} on the wire"
