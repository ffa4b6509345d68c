"""Shards of ranks: equally long, and every sample counted once."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.select.epoch import occurrences
from fewer.select.own_loop.shard import Shard
from fewer.select.packer import Packed


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0, 3)), max_size=30),
    st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_shards_are_equally_long_and_count_every_sample_once(listed: list[tuple[int, float]], workers: int) -> None:
    ids = torch.tensor([i for i, _ in listed], dtype=torch.int64)
    weight = torch.tensor([w for _, w in listed], dtype=torch.float64)
    samples = Packed(ids, weight, occurrences(ids), torch.zeros_like(ids))
    shards = [Shard(samples, rank, workers, 10) for rank in range(workers)]
    assert len({len(shard.left()) for shard in shards}) == 1
    counted, total = [], torch.zeros(10, dtype=torch.float64)
    for shard in shards:
        for batch in shard.left().split(3):
            total.index_add_(0, batch, shard.weights(batch).double())
            copies, counts = shard.take(batch, 0)
            counted += list(zip(batch[counts].tolist(), copies[counts].tolist(), strict=True))
        assert not len(shard.left())
    assert sorted(counted) == sorted(zip(ids.tolist(), samples.copy_G.tolist(), strict=True))
    assert torch.allclose(total, torch.zeros(10, dtype=torch.float64).index_add_(0, ids, weight), atol=1e-5)
