"""Apportionment of a total in whole numbers."""

from __future__ import annotations

import torch

from fewer.core.allocation import largest_remainders


def test_largest_remainders_by_hand() -> None:
    """7 of 10 + 5 + 2 + 1: exact parts 3.89, 1.94, 0.78, 0.39; the last two get their least, 1, and 5 remain."""
    count = torch.tensor([10, 5, 2, 1])
    assert largest_remainders(count, 7, count, torch.ones_like(count)).tolist() == [3, 2, 1, 1]
    assert largest_remainders(count, 18, count).tolist() == [10, 5, 2, 1]
    assert largest_remainders(torch.tensor([1.0, 1.0, 1.0, 1.0]), 12, count).tolist() == [5, 4, 2, 1]
