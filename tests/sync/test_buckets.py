"""Buckets sent during the backward are the flat sum, bit for bit; every rank sends all of them in one order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from fewer.core.errors import ResourceError
from fewer.core.types import Worker
from fewer.sync.comm import TorchDistributed
from fewer.sync.methods.every_step import EveryStep
from fewer.testing.harness import one_thread, session_of, trained, weights
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1},
    "train": {"batch_size": 21, "lr": 0.05, "accumulate": 3, "clip_norm": 1.0},
    "sync": {"bucket_mb": 0.002},
    "stages": [{"epochs": 1, "side_px": 16, "frozen": "30%", "frozen_anyway": True}, {"epochs": 1, "side_px": 16}],
}
STAGE = {"epochs": 1, "side_px": 16}
FLAT = {**CONTENT, "sync": {"bucket_mb": 0}}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.unused, self.first, self.last = nn.Linear(5, 5), nn.Linear(30, 20), nn.Linear(20, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.first(inputs).tanh()
        result: torch.Tensor = self.last(hidden)
        return result


def _summed(comm: Any, capacity_bytes: int, is_watched: bool = False) -> tuple[list[list[float]], int, int]:
    """Gradients of two steps, in the second of which rank 1 has no samples; in how many some left early; bytes."""
    if is_watched:  # as the ranks of a run are
        limits = SimpleNamespace(exchange=60.0)
        peers: Any = SimpleNamespace(
            exchanges=0, interval=timedelta(seconds=5), limits=limits, require_alive=lambda: None
        )
        comm = TorchDistributed(peers)
    model = _Net()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    worker = Worker(comm.rank, model, torch.optim.SGD(model.parameters(), 0.1), scaler)
    sync, found, early = EveryStep(comm, bucket_bytes=capacity_bytes), list[list[float]](), 0
    for step in range(2):
        model.zero_grad()
        if not (comm.rank and step):
            noise = torch.Generator().manual_seed(10 * comm.rank + step)
            for part in range(2):
                sync.begin_backward([worker], is_last=part == 1)
                model(torch.randn(6, 30, generator=noise)).square().sum().backward()
            early += sync.is_exchanging
        sync.end_backward([worker])
        sync.sync_gradients([worker])
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).tolist())
    return found, early, comm.take_bytes_sent()


def test_buckets_are_the_flat_sum_with_unused_parameters_and_empty_shares() -> None:
    flat = on_ranks(2, _summed, 0)
    for capacity_bytes, is_watched, sent in ((1000, False, True), (1000, True, True), (10**9, False, False)):
        found = on_ranks(2, _summed, capacity_bytes, is_watched)
        for (ours, early, sent_bytes), (theirs, none, before) in zip(found, flat, strict=True):
            assert ours == theirs
            assert sent_bytes == before
            assert none == 0
            assert bool(early) == sent, "gradients leave before the backward has ended, or the test is of no use"


def _trained(comm: Any, content: dict[str, Any]) -> str:
    return weights(trained(content, comm))


def test_runs_with_buckets_are_those_without() -> None:
    """With layers that thaw, micro-batches of uneven sizes, ranks without samples and shared batch statistics."""
    select = {"method": "dbpd", "score": "fresh", "threshold": 0.11}
    flat, buckets = (on_ranks(2, _trained, {**content, "select": select}) for content in (FLAT, CONTENT))
    assert buckets == flat


def _out_of_memory(comm: Any) -> str:
    content = {**CONTENT, "sync": {"bucket_mb": 0.002, "batchnorm": "local"}, "stages": [STAGE]}
    content["train"] = {**content["train"], "accumulate": 1}
    session = session_of(content, comm)
    first = next(iter(session.run.workers[0].model.parameters()))

    def lacking(_: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    first.register_hook(lacking)
    try:
        next(train(session.task, session.train_data, session.run))
    except ResourceError as error:
        return str(error)
    return ""


def test_a_step_whose_gradients_are_on_their_way_is_not_done_again() -> None:
    for text in on_ranks(2, _out_of_memory):
        assert "sync.bucket_mb = 0" in text
