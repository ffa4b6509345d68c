"""Operations on colours against torchvision's own on uint8 pictures, and the jitter that is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from fewer.data.augment import Augment, Key, colour
from fewer.data.augment.operations import BINS
from square_pictures import PICTURES, PLANES, levels_apart


def ours(operation: colour.Operation, factor: float) -> Tensor:
    factor_B = torch.full((len(PICTURES),), factor, dtype=torch.float64)
    return colour.applied(operation, PICTURES, factor_B)


@pytest.mark.parametrize("factor", [0.0, 0.01, 0.3, 0.67, 1.0, 1.33, 1.99, 4.0])
@pytest.mark.parametrize(
    ("operation", "theirs", "exact"),
    [
        (colour.brightness, tv.adjust_brightness, True),
        (colour.contrast, tv.adjust_contrast, False),
        (colour.saturation, tv.adjust_saturation, False),
        (colour.sharpness, tv.adjust_sharpness, False),
    ],
)
def test_factors_as_torchvision(operation: colour.Operation, theirs: Any, exact: bool, factor: float) -> None:
    assert levels_apart(ours(operation, factor), theirs(PLANES, factor)) <= (0 if exact else 1)


@pytest.mark.parametrize("turn", [-0.5, -0.31, -0.1, -0.004, 0.0, 0.05, 0.2, 1 / 3, 0.5])
def test_hue_as_torchvision(turn: float) -> None:
    assert levels_apart(ours(colour.hue, turn), tv.adjust_hue(PLANES, turn)) <= 1


def test_hue_turned_by_a_third_swaps_channels() -> None:
    assert (ours(colour.hue, 1 / 3).int() - PICTURES.roll(1, 3).int()).abs().max() <= 1
    assert torch.equal(ours(colour.hue, 0.0), PICTURES)


@pytest.mark.parametrize("bits", range(2, 9))
def test_posterize_as_torchvision(bits: int) -> None:
    assert levels_apart(ours(colour.posterize, bits), tv.posterize(PLANES, bits)) == 0


@pytest.mark.parametrize("bin", range(BINS))
def test_solarize_as_torchvision(bin: int) -> None:
    threshold = 255.0 * float(torch.linspace(1.0, 0.0, BINS)[bin])
    assert levels_apart(ours(colour.solarize, threshold), tv.solarize(PLANES, threshold)) == 0


@pytest.mark.parametrize(
    ("operation", "theirs"), [(colour.autocontrast, tv.autocontrast), (colour.equalize, tv.equalize)]
)
def test_stretched_as_torchvision(operation: colour.Operation, theirs: Callable[[Tensor], Tensor]) -> None:
    assert levels_apart(ours(operation, 0.0), theirs(PLANES)) == 0
    assert not torch.equal(ours(operation, 0.0), PICTURES)


def test_jitter_draws_the_same_range_as_torchvision() -> None:
    """Factors over many samples reach both ends of torchvision's range, and no further."""
    grey = torch.full((1, 2, 2, 3), 100, dtype=torch.uint8)
    ids_B = torch.arange(4000)
    got = Augment(brightness=0.4).apply(grey, torch.zeros(4000, dtype=torch.int64), Key(ids_B, 0, 0))[0][:, 0, 0, 0]
    theirs = v2.ColorJitter(brightness=0.4)
    assert theirs.brightness == (0.6, 1.4)
    assert (int(got.min()), int(got.max())) == (60, 139)
    assert math.isclose(float(got.float().mean()), 99.5, abs_tol=1.5)


def test_jitter_comes_in_every_order() -> None:
    """Brightness and contrast do not commute; both orders are found, about equally often."""
    noise = torch.randint(0, 256, (40, 13, 13, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    augment, ids_B = Augment(brightness=0.9, contrast=0.9), torch.arange(300)
    both, rows = augment.apply(noise, ids_B % 40, Key(ids_B, 0, 0))[0], ids_B % 40
    first = Augment(brightness=0.9).apply(noise, rows, Key(ids_B, 0, 0))[0]
    second = Augment(contrast=0.9).apply(first, ids_B, Key(ids_B, 0, 0))[0]
    in_order_B = (both == second).flatten(1).all(1)
    assert 110 < int(in_order_B.sum()) < 190
