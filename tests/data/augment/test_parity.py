"""Operations against torchvision's own on uint8 pictures, and geometry against what can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.functional import _get_perspective_coeffs
from torchvision.transforms.v2 import functional as tv

from fewer.data.augment import Augment, Key, colour, geometry, trivial
from fewer.data.augment.shift import gathered

SIDE = 24


def _pictures() -> Tensor:
    """Digits in two tints, ramps, a flat one, noise, and noise of few levels: (8, SIDE, SIDE, 3)."""
    chance = torch.Generator().manual_seed(3)
    digit = torch.from_numpy(load_digits().images[:3] * 15.9).to(torch.uint8).repeat_interleave(3, 1)
    digit = digit.repeat_interleave(3, 2)[..., None]
    ramp = torch.linspace(0, 255, SIDE).to(torch.uint8)
    across, down = ramp[None, :, None].expand(SIDE, -1, 1), ramp[:, None, None].expand(-1, SIDE, 1)
    noise = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8, generator=chance)
    listed = [
        digit[0].expand(-1, -1, 3),
        torch.cat([digit[1], 255 - digit[1], digit[2]], 2),
        torch.cat([across, down, across.flip(1)], 2),
        torch.cat([across // 2 + 60, across // 3, down // 4 + 128], 2),
        torch.full((SIDE, SIDE, 3), 77, dtype=torch.uint8),
        noise[0],
        noise[1] // 64 * 50 + 20,
        torch.where(noise[1] > 250, noise[1], 255),
    ]
    return torch.stack(listed)


PICTURES = _pictures()
PLANES = PICTURES.permute(0, 3, 1, 2).contiguous()


def levels_apart(ours_BHWC: Tensor, theirs_BCHW: Tensor) -> int:
    return int((ours_BHWC.permute(0, 3, 1, 2).int() - theirs_BCHW.int()).abs().max())


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


@pytest.mark.parametrize("bin", range(trivial.BINS))
def test_solarize_as_torchvision(bin: int) -> None:
    threshold = 255.0 * float(torch.linspace(1.0, 0.0, trivial.BINS)[bin])
    assert levels_apart(ours(colour.solarize, threshold), tv.solarize(PLANES, threshold)) == 0


@pytest.mark.parametrize(
    ("operation", "theirs"), [(colour.autocontrast, tv.autocontrast), (colour.equalize, tv.equalize)]
)
def test_stretched_as_torchvision(operation: colour.Operation, theirs: Callable[[Tensor], Tensor]) -> None:
    assert levels_apart(ours(operation, 0.0), theirs(PLANES)) == 0
    assert not torch.equal(ours(operation, 0.0), PICTURES)


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-180, 180),
    shift=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    scale=st.floats(0.4, 2.5),
    shear=st.floats(-60, 60),
)
def test_affine_as_torchvision(angle: float, shift: tuple[int, int], scale: float, shear: float) -> None:
    one = torch.ones(len(PICTURES), dtype=torch.float64)
    map_B33 = geometry.affine(one * angle, one * shift[0], one * shift[1], one * scale, one * shear)
    theirs = tv.affine(PLANES, -angle, list(shift), scale, [shear, 0.0], tv.InterpolationMode.BILINEAR)
    assert levels_apart(geometry.resampled(PICTURES, map_B33, "zero"), theirs) <= 1


@settings(max_examples=40, deadline=None)
@given(inward=st.lists(st.floats(0, 0.6), min_size=8, max_size=8))
def test_perspective_as_torchvision(inward: list[float]) -> None:
    corner_42 = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64) * ((SIDE - 1) / 2)
    drawn_42 = corner_42 * (1 - torch.tensor(inward, dtype=torch.float64).view(4, 2))
    map_B33 = geometry.perspective(drawn_42.expand(len(PICTURES), 4, 2), SIDE)
    starts, ends = ((corners + SIDE / 2).tolist() for corners in (corner_42, drawn_42))  # torchvision's pixel edges
    coefficients = _get_perspective_coeffs(starts, ends)
    theirs = tv.perspective(PLANES, None, None, tv.InterpolationMode.BILINEAR, None, coefficients)
    assert levels_apart(geometry.resampled(PICTURES, map_B33, "zero"), theirs) <= 1


def test_corners_go_where_they_are_drawn_to() -> None:
    """The map of a quadrilateral, applied by hand to its corners, gives the square's."""
    square_42 = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64) * 3.5
    quad_42 = torch.tensor([[-3.0, -2], [2, -3.5], [1.5, 3], [-3.5, 1]], dtype=torch.float64)
    matrix = geometry.perspective(quad_42[None], 8)[0]
    found = torch.cat([quad_42, torch.ones(4, 1, dtype=torch.float64)], 1) @ matrix.T
    assert torch.allclose(found[:, :2] / found[:, 2:], square_42)


def views(batch: int, **changes: Tensor) -> Tensor:
    zero_B = torch.zeros(batch, dtype=torch.float64)
    given = {"angle_deg_B": zero_B, "right_px_B": zero_B, "down_px_B": zero_B, "scale_B": zero_B + 1}
    return geometry.affine(**{**given, "shear_deg_B": zero_B, **changes})


@pytest.mark.parametrize("padding", ["zero", "reflect", "mean"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_rot90(quarters: int, padding: Any) -> None:
    angle_B = torch.full((len(PICTURES),), 90.0 * quarters, dtype=torch.float64)
    turned = geometry.resampled(PICTURES, views(len(PICTURES), angle_deg_B=angle_B), padding)
    assert torch.equal(turned, torch.rot90(PICTURES, quarters, (1, 2)))


@pytest.mark.parametrize("padding", ["zero", "reflect", "mean"])
def test_whole_shifts_and_flips_are_the_gather(padding: Any) -> None:
    """What is resampled and what is read by index agree where both can do it, with every padding."""
    rows = torch.arange(len(PICTURES))
    shift_B = rows - 4, 3 * (rows % 4) - 5
    flip_B = rows % 2 == 0
    map_B33 = geometry.shifted_and_flipped(len(rows), shift_B, flip_B)
    by_index = gathered(PICTURES, rows, shift_B, flip_B, padding)
    assert torch.equal(geometry.resampled(PICTURES, map_B33, padding), by_index)
    right = views(len(rows), right_px_B=torch.full((len(rows),), 5.0, dtype=torch.float64))
    assert torch.equal(geometry.resampled(PICTURES, right, "zero")[:, :, 5:], PICTURES[:, :, :-5])
    assert not geometry.resampled(PICTURES, right, "zero")[:, :, :5].any()


def test_scale_above_one_enlarges() -> None:
    dot = torch.zeros(1, 9, 9, 3, dtype=torch.uint8)
    dot[0, 4, 6] = 200  # two right of the middle; at twice the size, four right of it
    map_B33 = views(1, scale_B=torch.tensor([2.0], dtype=torch.float64))
    large = geometry.resampled(dot, map_B33, "zero")[0, :, :, 0]
    assert large[4, 8] == 200
    assert large[4, 7] == 100
    assert large[4, 4] == 0


def test_composed_maps_are_one_after_the_other() -> None:
    """A shift, then a quarter turn: every pixel where doing one and then the other by hand puts it."""
    shifted = geometry.shifted_and_flipped(1, (torch.tensor([0]), torch.tensor([3])), torch.tensor([True]))
    turn = views(1, angle_deg_B=torch.tensor([90.0], dtype=torch.float64))
    picture = PICTURES[5:6]
    by_hand = torch.rot90(gathered(picture, torch.tensor([0]), (torch.tensor([0]), torch.tensor([3])),
                                   torch.tensor([True]), "zero"), 1, (1, 2))  # fmt: skip
    assert torch.equal(geometry.resampled(picture, geometry.composed(shifted, turn), "zero"), by_hand)


@pytest.mark.parametrize("name", trivial.OPERATIONS)
def test_trivial_as_torchvision(name: str) -> None:
    """Every operation in every bin and with either sign, from drawing's numbers to pixels."""
    number = trivial.OPERATIONS.index(name)
    torchvisions = list(v2.TrivialAugmentWide._AUGMENTATION_SPACE)[number]
    make, signed = v2.TrivialAugmentWide._AUGMENTATION_SPACE[torchvisions]
    transform = v2.TrivialAugmentWide(interpolation=tv.InterpolationMode.BILINEAR)
    theirs_magnitudes = make(trivial.BINS, SIDE, SIDE)
    exact = name in ("identity", "translate_x", "translate_y", "brightness", "posterize", "solarize", "autocontrast",
                     "equalize")  # fmt: skip
    for bin in range(trivial.BINS):
        for sign in (1, -1) if signed else (1,):
            magnitude = 0.0 if theirs_magnitudes is None else float(theirs_magnitudes[bin]) * sign
            theirs = transform._apply_image_or_video_transform(
                PLANES, torchvisions, magnitude, tv.InterpolationMode.BILINEAR, {Tensor: None}
            )
            operation_B = torch.full((len(PICTURES),), number)
            drawn = trivial.Trivial(operation_B, trivial.magnitudes()[operation_B, bin] * sign)
            found = drawn.coloured(geometry.resampled(PICTURES, drawn.map(SIDE, 1.0), "zero"))
            assert levels_apart(found, theirs) <= (0 if exact else 1), (bin, sign)


def test_jitter_draws_the_same_range_as_torchvision() -> None:
    """Factors over many samples reach both ends of torchvision's range, and no further."""
    grey = torch.full((1, 2, 2, 3), 100, dtype=torch.uint8)
    ids_B = torch.arange(4000)
    got = Augment(brightness=0.4).apply(grey, torch.zeros(4000, dtype=torch.int64), Key(ids_B, 0, 0))[0][:, 0, 0, 0]
    theirs = v2.ColorJitter(brightness=0.4)
    assert theirs.brightness == (0.6, 1.4)
    assert (int(got.min()), int(got.max())) == (60, 139)
    assert math.isclose(float(got.float().mean()), 99.5, abs_tol=1.5)
