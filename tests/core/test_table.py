"""The table: views kept apart, repeated samples, its size, and a table of another set."""

from __future__ import annotations

import pytest
import torch

from fewer.core.observation import Observed
from fewer.core.table import Table


def test_the_table_keeps_views_apart_and_gives_the_newest() -> None:
    table = Table(3)
    one = torch.tensor([1.0])
    table.observe("trained", Observed.of(torch.tensor([0]), one, torch.tensor([0.4]), torch.tensor([True])), 2)
    table.observe("scored", Observed.of(torch.tensor([0]), one, torch.tensor([0.9]), torch.tensor([False])), 3)
    assert table.column("trained", "score")[0] == pytest.approx(0.4)
    assert table.score_N[0] == pytest.approx(0.9)
    assert table.last_epoch_N.tolist() == [3, -1, -1]
    table.observe("trained", Observed.of(torch.tensor([0]), one, torch.tensor([0.5]), torch.tensor([True])), 3)
    assert table.score_N[0] == pytest.approx(0.5), "training comes after the scoring pass of its epoch"
    assert table.seen_N.tolist() == [True, False, False]
    assert table.score_N[1].isnan()


def test_repeated_samples_leave_their_last_entry_and_all_visits() -> None:
    table = Table(2)
    scores = torch.tensor([0.1, 0.2, 0.3])
    table.observe("trained", Observed.of(torch.tensor([1, 1, 1]), scores, scores, scores > 1), 0)
    assert table.score_N[1] == pytest.approx(0.3)
    assert table.visits_N.tolist() == [0, 3]


def test_the_table_takes_24_bytes_a_sample() -> None:
    state = Table(1000).state_dict()
    assert sum(column.numel() * column.element_size() for column in state.values()) <= 24 * 1000


def test_a_table_of_another_set_does_not_fit() -> None:
    with pytest.raises(ValueError, match="a table of 7 samples does not fit a set of 8"):
        Table(8).load_state_dict(Table(7).state_dict())
