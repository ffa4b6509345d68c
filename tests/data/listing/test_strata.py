"""Draws of a part of every class, by hand."""

from __future__ import annotations

import pytest
import torch

from fewer.data.listing.strata import grouped, leading, percent


@pytest.mark.parametrize(
    ("text", "value"),
    [("20%", 20.0), (" 0.5 % ", 0.5), ("250%", 250.0), ("20", None), ("-1%", None), ("%", None), ("1e2%", None)],
)
def test_percent(text: str, value: float | None) -> None:
    assert percent(text) == value


def test_the_first_of_every_class_in_ascending_order() -> None:
    grouped_M = torch.tensor([9, 4, 7, 2, 8, 1])  # classes of three, one and two
    chosen = leading(grouped_M, torch.tensor([3, 1, 2]), torch.tensor([2, 0, 1]))
    assert chosen.tolist() == [4, 8, 9]


def test_ids_are_grouped_by_class_whatever_their_order() -> None:
    label_N = torch.tensor([2, 0, 2, 0, 0, 5])
    ids_M = torch.tensor([0, 1, 2, 3, 5])  # 4 does not take part
    grouped_M, count_C = grouped(ids_M, label_N, 0, "val")
    assert label_N[grouped_M].tolist() == [0, 0, 2, 2, 5]
    assert sorted(grouped_M.tolist()) == [0, 1, 2, 3, 5]
    assert count_C.tolist() == [2, 2, 1], "of classes that occur"
    assert torch.equal(grouped(ids_M.flip(0), label_N, 0, "val")[0], grouped_M)


def test_seed_and_purpose_decide_the_order_within_a_class() -> None:
    ids_M, label_N = torch.arange(50), torch.zeros(50, dtype=torch.int64)
    orders = {
        tuple(grouped(ids_M, label_N, seed, purpose)[0].tolist()) for seed in (0, 1) for purpose in ("val", "test")
    }
    assert len(orders) == 4
