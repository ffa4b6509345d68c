"""Random shares: as large as stated, drawn anew, and every sample equally often."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.population import Population
from fewer.core.table import Table
from fewer.core.types import At
from stories import build_on


@given(st.integers(2, 400), st.floats(0.01, 1.0), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_random_draws_the_stated_share_anew_in_each_epoch(size: int, share: float, epoch: int) -> None:
    selector = build_on({"method": "random", "share": share}, Population(1, torch.zeros(size), 2))
    ids = selector.select(Table(size), torch.arange(size), At(epoch, 60, epoch / 60)).ids_M
    assert len(ids.unique()) == len(ids) == max(1, round(share * size))
    again = selector.select(Table(size), torch.arange(size), At(epoch + 1, 60, epoch / 60)).ids_M
    if size > 100 and 0.2 < share < 0.8:
        assert not torch.equal(ids.sort().values, again.sort().values)


def test_random_draws_every_sample_equally_often() -> None:
    selector = build_on({"method": "random", "share": 0.25}, Population(1, torch.zeros(40), 2))
    counts = torch.zeros(40)
    for epoch in range(2000):
        counts[selector.select(Table(40), torch.arange(40), At(epoch, 2000, 0.0)).ids_M] += 1
    assert (counts - 500).abs().max() < 5 * (2000 * 0.25 * 0.75) ** 0.5
