"""OrderDP: the top of a subset, worked by hand and over many draws."""

from __future__ import annotations

import pytest
import torch

from fewer.core.observation import Observed
from stories import Story


def test_orderdp_by_hand() -> None:
    """The whole set, then the top three quarters by loss."""
    story = Story({"method": "orderdp", "subset": 1.0, "top": 0.75}, [0] * 8)
    assert len(story.next([8, 7, 6, 5, 4, 3, 2, 1])) == 6, "unknown losses are equal: at random"
    for _ in range(3):
        story.next([8, 7, 6, 5, 4, 3, 2, 1])
    assert story.next([8, 7, 6, 5, 4, 3, 2, 1]) == [0, 1, 2, 3, 4, 5]


def test_orderdp_takes_the_top_of_another_subset_in_each_epoch() -> None:
    """Six of eight are drawn, the four highest of them kept: the highest wherever it is drawn, 3 of 4 times.

    The sixth highest is kept where it was drawn and both that were not are above it: 10 of the 28 pairs. The two lowest
    are never among the four.
    """
    losses = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    story, kept_8 = Story({"method": "orderdp", "subset": 0.75, "top": 2 / 3}, [0] * 8, epochs=2000), torch.zeros(8)
    table_of_all = story.table  # what is left out keeps its loss here, so that every epoch is a draw from the same
    table_of_all.observe(
        "trained", Observed.of(torch.arange(8), torch.tensor(losses), torch.zeros(8), torch.zeros(8) > 0), 0
    )
    for _ in range(1000):
        ids = story.next(losses)
        assert len(ids) == 4
        kept_8[ids] += 1
    assert kept_8[[0, 5]].div(1000).tolist() == pytest.approx([0.75, 10 / 28], abs=0.06)
    assert kept_8[6:].tolist() == [0, 0]
