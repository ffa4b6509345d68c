"""Selective backprop: ranks, draws and weights, worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.core.types import At
from fewer.select.methods.selective_backprop import own_ranks, rank_of
from stories import BARE, Story, build


def test_selective_backprop_by_hand() -> None:
    """Ranks of four losses are 1/8, 3/8, 5/8 and 7/8; the systematic draw takes two of them at beta = 1."""
    content = {"method": "selective_backprop", "beta": 1.0, "weights": "inclusion", "clip_weights": 0.0}
    story, drawn = Story(content, [0] * 4, epochs=400), torch.zeros(4)
    losses = [4.0, 1.0, 3.0, 2.0]
    assert story.next(losses) == [0, 1, 2, 3], "the first epoch is on everything"
    for _ in range(399):
        ids = story.next(losses)
        assert len(ids) == 2
        drawn[ids] += 1
        expected = {0: 8 / 7, 1: 8, 2: 8 / 5, 3: 8 / 3}
        found = zip(story.chosen.ids_M.tolist(), story.chosen.weight_M.tolist(), strict=True)
        assert all(weight == pytest.approx(expected[i]) for i, weight in found)
    assert (drawn / 399 - torch.tensor([7, 1, 5, 3]) / 8).abs().max() < 0.1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_ranks_among_themselves_are_ranks(values: list[int]) -> None:
    losses = torch.tensor(values, dtype=torch.float64)
    assert torch.equal(own_ranks(losses), rank_of(losses, losses))
    assert own_ranks(losses).mean() == pytest.approx(0.5)


def test_selective_backprop_ranks_a_batch_among_recent_losses() -> None:
    content = {"method": "selective_backprop", "score": "fresh", "beta": 3.0, "history": 4, **BARE}
    selector, table = build(content, [0] * 4), Table(4)
    none = torch.zeros(2, dtype=torch.bool)
    kept: list[Any] = []
    for epoch in range(1, 200):
        at = At(epoch, 200, epoch / 200)
        selector.select(table, torch.arange(4), at)
        # History: 1, 2, then 3 and 9: ranks of the last two are 5/8 and 7/8; at beta = 3 that is 0.24 and 0.67.
        selector.keep(Observed.of(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]), torch.ones(2), none), at)
        kept.append(
            selector.keep(Observed.of(torch.tensor([2, 3]), torch.tensor([3.0, 9.0]), torch.ones(2), none), at).mask_G
        )
    shares = torch.stack(kept).double().mean(0)
    assert shares.tolist() == pytest.approx([0.244, 0.670], abs=0.1)
    assert not selector.in_batch(At(0, 200, 0.0)), "nothing is scored in the first epoch"
