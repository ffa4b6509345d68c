"""Draws and ranks: the highest of each class."""

from __future__ import annotations

import pytest
import torch

from fewer.select.sampling import fair_quotas, top_k_per_class


def test_by_class_takes_the_highest_of_each() -> None:
    ids, label = torch.tensor([9, 3, 5, 7]), torch.tensor([0, 0, 1, 1])
    value, quota = torch.tensor([1.0, 2.0, torch.nan, 4.0]), torch.tensor([1, 1])
    assert top_k_per_class(ids, label, quota, value, 0, "x").tolist() == [3, 5], "what is unknown counts as highest"


def test_fair_quotas_have_their_parts_on_average() -> None:
    """Parts of 1.25, 0.5, 2 and 0.25: four in each draw, each next to its part, and so on average."""
    part_C, total_C = torch.tensor([1.25, 0.5, 2.0, 0.25]), torch.zeros(4)
    for draw in range(400):
        quota_C = fair_quotas(part_C, 0, "test", draw)
        assert int(quota_C.sum()) == 4
        assert ((quota_C - part_C).abs() < 1).all()
        total_C += quota_C
    assert total_C / 400 == pytest.approx(part_C, abs=0.08)
