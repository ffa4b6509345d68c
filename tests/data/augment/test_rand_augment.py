"""RandAugment's operations against torchvision's, and how they are drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from fewer.data.augment import Key, geometry, rand_augment
from fewer.data.augment.operations import BINS, OPERATIONS, Operations
from square_pictures import PICTURES, PLANES, SIDE, levels_apart


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_torchvisions_at_every_magnitude(name: str) -> None:
    number = OPERATIONS.index(name)
    theirs_name = list(v2.RandAugment._AUGMENTATION_SPACE)[number]
    make, signed = v2.RandAugment._AUGMENTATION_SPACE[theirs_name]
    transform = v2.RandAugment(interpolation=tv.InterpolationMode.BILINEAR)
    theirs_magnitudes = make(BINS, SIDE, SIDE)
    for level in range(BINS):
        for negative in (False, True) if signed else (False,):
            magnitude = 0.0 if theirs_magnitudes is None else float(theirs_magnitudes[level]) * (-1 if negative else 1)
            theirs = transform._apply_image_or_video_transform(
                PLANES, theirs_name, magnitude, tv.InterpolationMode.BILINEAR, {Tensor: None}
            )
            operation_B = torch.full((len(PICTURES),), number)
            magnitude_B = rand_augment.magnitudes(level, SIDE)[operation_B]
            ours = Operations.signed(operation_B, magnitude_B, torch.full_like(operation_B, negative, dtype=torch.bool))
            found = ours.coloured(geometry.resampled(PICTURES, ours.map(SIDE, 1.0), "zero"))
            assert levels_apart(found, theirs) <= 1, (level, negative)


def test_draws_are_even_apart_and_scaled_by_strength() -> None:
    key = Key(torch.arange(28_000), 0, 0)
    first, second = rand_augment.drawn(key, 2, 9, 32, 1.0)
    for each in (first, second):
        assert torch.bincount(each.operation_B, minlength=14).float().sub(2000).abs().max() < 220  # five deviations
        turned_B = each.magnitude_B[each.operation_B == OPERATIONS.index("rotate")]
        assert turned_B.abs().unique().tolist() == [9.0]
        assert 0.45 < float((turned_B < 0).float().mean()) < 0.55
    assert 1700 < int((first.operation_B == second.operation_B).sum()) < 2300  # one in fourteen
    (alone,) = rand_augment.drawn(key, 1, 9, 32, 0.5)
    assert torch.equal(alone.operation_B, first.operation_B)
    assert torch.equal(alone.magnitude_B, first.magnitude_B / 2)
