"""Slots hold a request and its squares side by side."""

from __future__ import annotations

import mmap

import pytest
import torch
from torch import Tensor

from fewer.core.types import Request
from fewer.data.slots import Slots, bytes_for


@pytest.mark.parametrize("copy_B", [None, torch.tensor([1, 0, 2])])
@pytest.mark.parametrize("side_px", [1, 7, 16])
def test_squares_and_requests_of_all_slots_lie_apart(side_px: int, copy_B: Tensor | None) -> None:
    requests = [Request(torch.arange(3) + 5 * slot, slot, side_px, 0.5, copy_B) for slot in range(3)]
    slots = Slots.allocated(3, bytes_for(requests[0]))
    assert len(slots) == 3
    rests = [slots.put(slot, request) for slot, request in enumerate(requests)]
    for slot, request in enumerate(requests):
        squares = slots.squares(slot, request)
        assert squares.image_BHWC.shape == (3, side_px, side_px, 3)
        squares.image_BHWC.fill_(200 + slot)
        squares.crop_B6.fill_(0.25 + slot)
    for slot, (request, rest) in enumerate(zip(requests, rests, strict=True)):
        found = slots.request(rest)
        assert torch.equal(found.ids_B, request.ids_B)
        assert (found.epoch, found.side_px, found.strength) == (slot, side_px, 0.5)
        assert copy_B is None if found.copy_B is None else torch.equal(found.copy_B, request.copy_B)
        squares = slots.squares(slot, request)
        assert squares.image_BHWC.unique().tolist() == [200 + slot]
        assert squares.crop_B6.unique().tolist() == [0.25 + slot]


def test_a_slot_fits_a_request_with_copies_too() -> None:
    """Else the first such request would wait until all slots are free."""
    plain = Request(torch.arange(512), 0, 3)
    assert bytes_for(Request(torch.arange(512), 0, 3, copy_B=torch.arange(512))) == bytes_for(plain)
    assert bytes_for(plain) % mmap.PAGESIZE == 0
