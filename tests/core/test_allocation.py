"""Totals shared out in whole numbers: evenly, in batches of two or more, and in proportion."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.allocation import batch_sizes, even_sizes, exact_parts, largest_remainders, shares, split


@given(st.integers(1, 5000), st.integers(1, 300))
def test_even_sizes_add_up_and_differ_by_at_most_one(total: int, parts: int) -> None:
    sizes = even_sizes(total, parts)
    assert sum(sizes) == total
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@given(st.integers(0, 200), st.integers(1, 9))
def test_no_worker_gets_one_sample_alone(total: int, parts: int) -> None:
    sizes = shares(total, parts)
    assert sum(sizes) == total
    assert len(sizes) == parts
    assert 1 not in sizes or total == 1


def test_batches_are_as_many_as_are_counted_but_hold_two_samples() -> None:
    assert batch_sizes(10, 4, 10) == [4, 3, 3]
    assert batch_sizes(10, 4, 16) == [3, 3, 2, 2]
    assert batch_sizes(5, 4, 400) == [3, 2]
    assert batch_sizes(3, 1, 3) == [1, 1, 1], "where one is asked for"
    assert batch_sizes(1, 4, 1) == [1]
    assert batch_sizes(0, 4, 0) == batch_sizes(0, 4, 9) == []


def test_largest_remainders_by_hand() -> None:
    """7 of 10 + 5 + 2 + 1: exact parts 3.89, 1.94, 0.78, 0.39; the last two get their least, 1, and 5 remain."""
    count = torch.tensor([10, 5, 2, 1])
    assert largest_remainders(count, 7, count, torch.ones_like(count)).tolist() == [3, 2, 1, 1]
    assert largest_remainders(count, 18, count).tolist() == [10, 5, 2, 1]
    assert largest_remainders(torch.tensor([1.0, 1.0, 1.0, 1.0]), 12, count).tolist() == [5, 4, 2, 1]


def test_quotas_by_hand() -> None:
    weight, capacity = torch.tensor([5.0, 3.0, 2.0]), torch.tensor([100, 100, 100])
    assert largest_remainders(weight, 10, capacity).tolist() == [5, 3, 2]
    assert largest_remainders(weight, 11, capacity).tolist() == [6, 3, 2], "largest remainder: 5.5, 3.3, 2.2"
    assert largest_remainders(weight, 10, torch.tensor([2, 100, 100])).tolist() == [2, 5, 3], (
        "8 by 3 : 2 is 4.8 and 3.2"
    )
    assert largest_remainders(weight, 10, capacity, torch.tensor([0, 0, 4])).tolist() == [4, 2, 4], (
        "6 by 5 : 3 is 3.75 and 2.25"
    )
    assert largest_remainders(weight, 400, capacity).tolist() == [100, 100, 100]
    assert largest_remainders(torch.zeros(3), 3, capacity).tolist() == [1, 1, 1]


def test_exact_parts_are_in_proportion_within_capacities() -> None:
    """Of 7 by weights 4, 2, 1, 0 with room for 3, 5, 5, 5: 3 and then 4 by 2 to 1; without weights all alike."""
    weight_C, room_C = torch.tensor([4.0, 2.0, 1.0, 0.0]), torch.tensor([3, 5, 5, 5])
    assert exact_parts(weight_C, 7, room_C).tolist() == pytest.approx([3.0, 8 / 3, 4 / 3, 0.0])
    assert exact_parts(torch.zeros(4), 6, room_C).tolist() == pytest.approx([1.5] * 4)
    assert exact_parts(weight_C, 100, room_C).tolist() == [3, 5, 5, 5]
    assert exact_parts(weight_C, 2, torch.tensor([0, 5, 5, 5])).tolist() == pytest.approx([0, 4 / 3, 2 / 3, 0])
    assert exact_parts(weight_C, 0, room_C).tolist() == [0, 0, 0, 0]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 300))
def test_stages_are_shortened_in_proportion(parts: list[int], total: int) -> None:
    lengths = split(parts, total)
    assert sum(lengths) == total
    assert all(abs(length - part * total / sum(parts)) < 1 for part, length in zip(parts, lengths, strict=True))
