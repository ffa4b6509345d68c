"""Choices as bits: what goes in comes out, whatever the sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.choices import Choices


@given(st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32))
def test_masks_come_back_from_bits(epochs: int, size: int, seed: int) -> None:
    mask_EN = torch.rand(epochs, size, generator=torch.Generator().manual_seed(seed)) < 0.5
    choices = Choices.of(mask_EN)
    assert choices.bits_EK.shape == (epochs, -(-size // 8))
    ids_M = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    for epoch in range(epochs):
        assert torch.equal(choices.among(ids_M, epoch), mask_EN[epoch][ids_M])
    assert not choices.among(ids_M, epochs).any(), "an epoch that no choice was made for"


def test_fifty_thousand_images_take_6_kb_an_epoch() -> None:
    assert Choices.of(torch.zeros(1, 50_000, dtype=torch.bool)).bits_EK.numel() == 6250


@pytest.mark.parametrize("bits", [torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(3).byte()])
def test_bits_of_another_set_are_refused(bits: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="choices for 30 samples are uint8 of"):
        Choices(bits, 30)
