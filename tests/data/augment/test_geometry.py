"""Maps against torchvision's, and against what can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.functional import _get_perspective_coeffs
from torchvision.transforms.v2 import functional as tv

from fewer.data.augment import geometry
from fewer.data.augment.shift import gathered
from square_pictures import PICTURES, PLANES, SIDE, levels_apart


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
