"""TrivialAugment's operations against torchvision's, and how they are drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from fewer.data.augment import Key, geometry, trivial
from fewer.data.augment.operations import BINS, OPERATIONS, Operations
from square_pictures import PICTURES, PLANES, SIDE, levels_apart


@pytest.mark.parametrize("name", OPERATIONS)
def test_trivial_as_torchvision(name: str) -> None:
    """Every operation in every bin and with either sign, from drawing's numbers to pixels."""
    number = OPERATIONS.index(name)
    torchvisions = list(v2.TrivialAugmentWide._AUGMENTATION_SPACE)[number]
    make, signed = v2.TrivialAugmentWide._AUGMENTATION_SPACE[torchvisions]
    transform = v2.TrivialAugmentWide(interpolation=tv.InterpolationMode.BILINEAR)
    theirs_magnitudes = make(BINS, SIDE, SIDE)
    exact = name in ("identity", "translate_x", "translate_y", "brightness", "posterize", "solarize", "autocontrast",
                     "equalize")  # fmt: skip
    for bin in range(BINS):
        for sign in (1, -1) if signed else (1,):
            magnitude = 0.0 if theirs_magnitudes is None else float(theirs_magnitudes[bin]) * sign
            theirs = transform._apply_image_or_video_transform(
                PLANES, torchvisions, magnitude, tv.InterpolationMode.BILINEAR, {Tensor: None}
            )
            operation_B = torch.full((len(PICTURES),), number)
            drawn = Operations(operation_B, trivial.magnitudes()[operation_B, bin] * sign)
            found = drawn.coloured(geometry.resampled(PICTURES, drawn.map(SIDE, 1.0), "zero"))
            assert levels_apart(found, theirs) <= (0 if exact else 1), (bin, sign)


def test_strength_scales_what_trivial_augment_draws() -> None:
    key = Key(torch.arange(2000), 3, 1)
    full, half = trivial.drawn(key, 1.0), trivial.drawn(key, 0.5)
    assert torch.equal(full.operation_B, half.operation_B)
    assert torch.equal(full.magnitude_B * 0.5, half.magnitude_B)


def test_trivial_augment_draws_all_operations_bins_and_signs_equally_often() -> None:
    drawn = trivial.drawn(Key(torch.arange(28_000), 0, 0), 1.0)
    assert torch.bincount(drawn.operation_B, minlength=14).float().sub(2000).abs().max() < 220  # five deviations
    turned = drawn.magnitude_B[drawn.operation_B == OPERATIONS.index("rotate")]
    assert len(turned.unique()) == 61  # 31 bins, both signs, one nought
    assert turned.abs().max() == 135
    assert 0.44 < float((turned < 0).float().mean()) < 0.52
    bits = drawn.magnitude_B[drawn.operation_B == OPERATIONS.index("posterize")]
    assert (bits.min(), bits.max()) == (0, 6)
