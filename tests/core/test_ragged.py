"""Batches of tensors and of ragged values are cut and joined alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer.core import ragged
from fewer.core.ragged import Ragged
from fewer.core.types import Batch

BOXES = tuple({"boxes": torch.full((count, 4), float(count)), "labels": torch.arange(count)} for count in (2, 0, 3, 1))


def batch_of(targets: Any) -> Batch:
    return Batch(torch.arange(10, 10 + len(targets)), torch.arange(len(targets)).float()[:, None], targets)


@pytest.mark.parametrize(
    "index",
    [
        torch.tensor([1]), torch.tensor([3, 0, 0]), torch.tensor([-1, 2]), torch.tensor([], dtype=torch.int64),
        torch.tensor([True, False, False, True]), slice(1, 3), slice(None), slice(0, 0),
    ],
    ids=str,
)  # fmt: skip
def test_ragged_values_are_taken_as_a_tensor_is(index: Any) -> None:
    part = batch_of(Ragged(BOXES)).take(index)
    assert isinstance(part.targets, Ragged)
    assert len(part) == len(part.targets)
    assert list(part.targets) == [BOXES[i] for i in torch.arange(4)[index].tolist()]
    assert torch.equal(part.ids_B, torch.arange(10, 14)[index])


def test_a_mask_of_another_length_is_an_error() -> None:
    with pytest.raises(IndexError):
        Ragged(BOXES).take(torch.tensor([True, False]))


def test_a_list_is_refused_rather_than_cut_to_one_sample() -> None:
    """Python indexes a list by a tensor of one position, and gives that sample in place of a batch."""
    assert list(BOXES)[torch.tensor([1])] is BOXES[1]
    with pytest.raises(TypeError, match=r"list.*Ragged\(tuple\(values\)\)"):
        batch_of(list(BOXES)).take(torch.tensor([1]))
    for function in (ragged.take, ragged.to):
        with pytest.raises(TypeError, match="tuple"):
            function(BOXES, torch.device("cpu"))  # type: ignore[arg-type]


def test_parts_joined_are_the_whole() -> None:
    whole = batch_of(Ragged(BOXES))
    again = Batch.joined([whole.take(slice(0, 0)), whole.take(slice(0, 1)), whole.take(slice(1, 4))])
    assert isinstance(again.targets, Ragged)
    assert list(again.targets) == list(BOXES)
    assert torch.equal(ragged.dense(again.inputs), ragged.dense(whole.inputs))
    with pytest.raises(TypeError, match="Ragged"):
        ragged.joined([Ragged(BOXES), torch.zeros(1)])


def test_values_move_between_devices() -> None:
    moved = batch_of(Ragged((*BOXES, torch.zeros(2)))).to(torch.device("meta"))
    assert isinstance(moved.targets, Ragged)
    assert moved.targets.device.type == "meta"
    boxes, mask = moved.targets.samples[0], moved.targets.samples[4]
    assert isinstance(boxes, dict)
    assert isinstance(mask, torch.Tensor)
    assert {value.device.type for value in (*boxes.values(), mask)} == {"meta"}
    assert Ragged(()).device.type == "cpu"


def test_ragged_values_are_no_tensor() -> None:
    with pytest.raises(TypeError, match="images of one size"):
        ragged.dense(Ragged(BOXES))
