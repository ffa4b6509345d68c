"""Sharing out global batches: equal shares, everyone once, owners first, and nothing loaded twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.allocation import shares
from fewer.select.packer import Packed
from fewer.testing.harness import one_thread, session_of
from fewer.training.batches import candidates, forward_sizes, shard, shard_in_order
from fewer.training.loop import train


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def packed(size: int) -> Packed:
    ids = torch.arange(size)
    return Packed(ids, torch.ones(size, dtype=torch.float64), torch.zeros_like(ids), torch.zeros_like(ids))


@given(st.lists(st.integers(0, 7), max_size=40), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_everyone_is_dealt_once_in_equal_shares_to_owners_first(owners: list[int], workers: int) -> None:
    owner_G = torch.tensor(owners, dtype=torch.int64)
    parts = shard(owner_G, workers)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(owners)))
    sizes = [len(part) for part in parts if len(part)]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert 1 not in sizes or len(owners) == 1, "BatchNorm cannot normalise one sample"
    for worker, part in enumerate(parts):
        owned = (owner_G % workers == worker).nonzero().flatten()
        first = min(len(part), len(owned))
        assert part[:first].tolist() == owned[:first].tolist()


@given(st.lists(st.integers(0, 7), max_size=40), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_pairs_stay_together(owners: list[int], workers: int) -> None:
    parts = shard(torch.tensor(owners, dtype=torch.int64), workers, unit=2)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(owners)))
    assert all({n ^ 1 for n in part.tolist()} - {len(owners)} <= set(part.tolist()) for part in parts)
    assert [-(-len(part) // 2) for part in parts] == shares(-(-len(owners) // 2), workers)
    assert 1 not in map(len, parts) or len(owners) == 1, "BatchNorm cannot normalise one sample"
    in_order = shard(shard_in_order(packed(len(owners)), workers, unit=2).owner_G, workers, unit=2)
    assert torch.cat(in_order).tolist() == list(range(len(owners)))


@given(st.integers(0, 30), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_a_new_batch_is_dealt_in_runs_of_its_order(size: int, workers: int) -> None:
    parts = shard(shard_in_order(packed(size), workers).owner_G, workers)
    assert torch.cat(parts).tolist() == list(range(size))


CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 40, "lr": 0.05, "accumulate": 3},
    "stages": [{"epochs": 1, "side_px": 16}],
    "sync": {"workers": 2},
}


def test_sizes_that_reach_a_model_are_those_of_the_plan() -> None:
    """90 images in batches of 40 at most: three of 30; two workers with three micro-batches each see 5 at a time."""
    session = session_of(CONTENT)
    seen: set[int] = set()
    session.run.workers[1].model.register_forward_hook(lambda module, inputs, output: seen.add(len(output)))
    rows = train(session.task, session.train_data, session.run)
    next(rows)
    assert forward_sizes(session.run) == [5]
    list(rows)
    assert seen == {5}


def test_a_resumed_epoch_goes_on_with_the_same_batches() -> None:
    session = session_of(CONTENT)
    rows = train(session.task, session.train_data, session.run)
    next(rows)
    run, stage = session.run, session.plan.stages[0]
    rest = list(candidates(session.train_data, run, stage))
    assert [candidate.number for candidate in rest] == [1, 2]
    assert rest[-1].is_last
    for candidate in rest:
        ids = torch.cat([batch.ids_B for batch in candidate.loaded])
        assert ids.tolist() == candidate.samples.ids_G.tolist()


def test_the_loader_is_free_when_an_epoch_is_evaluated() -> None:
    session = session_of(CONTENT)
    ended: list[bool] = []
    batches = session.train_data.batches

    def ending(requests: Any) -> Any:
        yield from batches(requests)
        ended.append(True)

    session.train_data.batches = ending  # type: ignore[method-assign]
    rows = train(session.task, session.train_data, session.run)
    assert [(next(rows).batch, len(ended)) for _ in range(3)] == [(0, 0), (1, 0), (2, 1)]


def test_what_waits_in_the_queue_is_not_loaded_again() -> None:
    content = {**CONTENT, "select": {"method": "dbpd", "score": "fresh", "threshold": 0.15}, "sync": {}}
    session = session_of(content)
    loaded: list[int] = []
    batches = session.train_data.batches

    def counting(requests: Any) -> Any:
        for batch in batches(requests):
            loaded.append(len(batch))
            yield batch

    session.train_data.batches = counting  # type: ignore[method-assign]
    list(train(session.task, session.train_data, session.run))
    assert sum(loaded) == len(session.run.selection.pool_ids)
    assert session.run.workers[0].held is None
