"""Draws and ranks: the highest of each class."""

from __future__ import annotations

import torch

from fewer.select.sampling import top_k_per_class


def test_by_class_takes_the_highest_of_each() -> None:
    ids, label = torch.tensor([9, 3, 5, 7]), torch.tensor([0, 0, 1, 1])
    value, quota = torch.tensor([1.0, 2.0, torch.nan, 4.0]), torch.tensor([1, 1])
    assert top_k_per_class(ids, label, quota, value, 0, "x").tolist() == [3, 5], "what is unknown counts as highest"
