"""One view moves picture, mask and boxes alike."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewer.data.augment import Augment, Key, geometry
from fewer.data.augment.view import Crops, View

SIDE = 24
STORE = torch.randint(0, 255, (6, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
OUTSIDE = 255  # no pixel of the store has this value

whole_moves = st.builds(
    Augment,
    crop_padding_px=st.integers(0, 6),
    padding=st.sampled_from(["zero", "reflect", "mean"]),
    flip=st.sampled_from(["no", "random", "alternating"]),
    translate=st.sampled_from([0.0, 0.4]),
)
upright = st.builds(
    Augment,
    crop_padding_px=st.integers(0, 6),
    flip=st.sampled_from(["no", "random"]),
    translate=st.sampled_from([0.0, 0.3]),
    scale=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
)
all_geometry = st.builds(
    Augment,
    crop_padding_px=st.integers(0, 3),
    padding=st.just("reflect"),
    flip=st.sampled_from(["no", "random"]),
    rotation_deg=st.sampled_from([0.0, 20.0, 180.0]),
    translate=st.sampled_from([0.0, 0.2]),
    scale=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
    shear_deg=st.sampled_from([0.0, 30.0]),
    perspective=st.sampled_from([0.0, 0.4, 1.0]),
    perspective_share=st.just(1.0),
    trivial_augment=st.booleans(),
)
ids = st.integers(0, 10**6)
strengths = st.sampled_from([0.3, 1.0])


def key_of(id: int, epoch: int = 0) -> Key:
    return Key(torch.tensor([id]), 5, epoch)


@st.composite
def crops(draw: st.DrawFn) -> Crops:
    """One sample's part of a picture that is larger than it."""
    width, height = draw(st.integers(8, 60)), draw(st.integers(8, 60))
    left, top = draw(st.integers(0, width - 5)), draw(st.integers(0, height - 5))
    right, bottom = draw(st.integers(left + 5, width)), draw(st.integers(top + 5, height))
    return Crops(torch.tensor([[width, height, left, top, right, bottom]]), torch.tensor([0]))


@st.composite
def rectangles(draw: st.DrawFn, width: int, height: int) -> tuple[int, int, int, int]:
    left, top = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    return left, top, draw(st.integers(left + 2, width)), draw(st.integers(top + 2, height))


def mask_with(rectangle: tuple[int, int, int, int], width: int, height: int) -> Tensor:
    left, top, right, bottom = rectangle
    mask_HW = torch.zeros(height, width, dtype=torch.uint8)
    mask_HW[top:bottom, left:right] = 1
    return mask_HW


def bounds(mask_HW: Tensor) -> Tensor:
    """The box around all ones."""
    down, across = (mask_HW == 1).nonzero().unbind(1)
    return torch.tensor([across.min(), down.min(), across.max() + 1, down.max() + 1], dtype=torch.float64)


# --- masks -----------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(augment=whole_moves, first=ids, epoch=st.integers(0, 3), strength=strengths, quarters=st.integers(0, 3))
def test_a_mask_of_the_pictures_own_pixels_moves_as_the_picture(
    augment: Augment, first: int, epoch: int, strength: float, quarters: int
) -> None:
    """By whole pixels, quarter turns among them: equal, pixel for pixel, wherever the picture is seen at all."""
    key = Key(torch.arange(first, first + len(STORE)), 5, epoch)
    view = augment.view(key, SIDE, strength)
    if quarters:
        angle_B = torch.full((len(STORE),), 90.0 * quarters, dtype=torch.float64)
        zero_B = torch.zeros_like(angle_B)
        turn = geometry.affine(angle_B, zero_B, zero_B, zero_B + 1, zero_B)
        view = View(len(STORE), SIDE, view.shift_B, view.flip_B, (*view.maps, turn))
    pictures_BHWC = view.of_squares(STORE, torch.arange(len(STORE)), augment.padding)
    for channel in range(3):
        mask_BHW = view.of_masks(STORE[..., channel], OUTSIDE)
        seen_BHW = mask_BHW != OUTSIDE
        assert torch.equal(mask_BHW[seen_BHW], pictures_BHWC[..., channel][seen_BHW])
        if augment.padding == "zero":
            assert not pictures_BHWC[~seen_BHW].any()


RAMP = torch.arange(SIDE, dtype=torch.uint8) * 10
PLACES = torch.stack([RAMP.expand(SIDE, SIDE), RAMP[:, None].expand(SIDE, SIDE), torch.zeros(SIDE, SIDE)], 2).byte()


@settings(max_examples=150, deadline=None)
@given(augment=all_geometry, id=ids, strength=strengths)
def test_a_mask_shows_the_pixel_that_the_picture_shows(augment: Augment, id: int, strength: float) -> None:
    """Under any map: a picture whose levels say where a pixel lies, and a mask whose ids do."""
    found = augment.view(key_of(id), SIDE, strength)
    picture_HWC = found.of_squares(PLACES[None].contiguous(), torch.tensor([0]), "reflect")[0].int()
    number_HW = found.of_masks(torch.arange(SIDE * SIDE).view(1, SIDE, SIDE), ignore=-1)[0]
    seen_HW = number_HW >= 0
    for channel, place_HW in enumerate((number_HW % SIDE, number_HW // SIDE)):
        apart = (picture_HWC[..., channel] - place_HW * 10)[seen_HW].abs()
        assert (apart <= 6).all()  # half a pixel, and rounding


@settings(max_examples=60, deadline=None)
@given(augment=all_geometry, id=ids, crop=crops(), data=st.data())
def test_values_of_a_mask_are_never_blended(augment: Augment, id: int, crop: Crops, data: st.DataObject) -> None:
    width, height = crop.crop_M6[0, :2].tolist()
    values = data.draw(st.lists(st.integers(-5, 300), min_size=1, max_size=3))
    mask_HW = torch.tensor(values)[torch.arange(width * height).view(height, width) % len(values)]
    found_BHW = augment.view(key_of(id), SIDE, crops=crop).of_masks([mask_HW], ignore=-9)
    assert found_BHW.dtype == torch.int64
    assert set(found_BHW.unique().tolist()) <= {-9, *values}


@pytest.mark.parametrize(("width", "height"), [(SIDE, SIDE), (2 * SIDE, 3 * SIDE), (37, 41)])
def test_a_cut_mask_is_the_part_that_was_cut(width: int, height: int) -> None:
    """Each pixel of a view without maps by hand: the mask's pixel in which the middle of the view's pixel lies."""
    left, top, right, bottom = width // 4, height // 5, width - 3, height
    crop = Crops(torch.tensor([[0] * 6, [width, height, left, top, right, bottom]]), torch.tensor([1]))
    mask_HW = torch.arange(width * height).view(height, width)
    found = View(1, SIDE, crops=crop).of_masks([mask_HW])[0]
    middle = [(place + 0.5) / SIDE for place in range(SIDE)]
    rows = [int(top + (bottom - top) * share) for share in middle]
    columns = [int(left + (right - left) * share) for share in middle]
    assert torch.equal(found, mask_HW[rows][:, columns])


def test_a_mask_of_another_size_is_refused() -> None:
    crop = Crops(torch.tensor([[30, 20, 0, 0, 20, 20]]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"sample 0.*20 x 30 pixels.*picture 30 x 20"):
        View(1, SIDE, crops=crop).of_masks([torch.zeros(30, 20, dtype=torch.uint8)])


# --- boxes -----------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(augment=upright, id=ids, crop=crops(), strength=strengths, data=st.data())
def test_an_upright_box_is_that_of_the_moved_mask(
    augment: Augment, id: int, crop: Crops, strength: float, data: st.DataObject
) -> None:
    width, height = (int(value) for value in crop.crop_M6[0, :2])
    rectangle = data.draw(rectangles(width, height))
    found = augment.view(key_of(id), SIDE, strength, crop)
    mask_HW = found.of_masks([mask_with(rectangle, width, height)], ignore=0)[0]
    boxes = found.of_boxes([torch.tensor([rectangle], dtype=torch.float64)], min_visible=0.0)[0]
    if not mask_HW.any():  # between the middles of pixels, if anywhere
        assert all(min(box[2] - box[0], box[3] - box[1]) <= 1 for box in boxes.box_K4.tolist())
        return
    assert (boxes.box_K4[0] - bounds(mask_HW)).abs().max() <= 0.5 + 1e-6


@settings(max_examples=100, deadline=None)
@given(id=ids, crop=crops(), data=st.data())
def test_a_turned_box_that_is_seen_whole_is_that_of_the_moved_mask(id: int, crop: Crops, data: st.DataObject) -> None:
    augment = Augment(crop_padding_px=2, flip="random", rotation_deg=180.0, scale=(0.4, 0.8))
    width, height = (int(value) for value in crop.crop_M6[0, :2])
    left, top, right, bottom = (int(value) for value in crop.crop_M6[0, 2:])
    assume((right - left) == (bottom - top))  # else a turned square is sheared, and its corners are sharp
    thin = math.ceil((right - left) / SIDE / 0.4)  # one pixel of the view: a thinner end falls between pixels
    assume(right - left >= thin)
    x, y = data.draw(st.integers(left, right - thin)), data.draw(st.integers(top, bottom - thin))
    rectangle = x, y, data.draw(st.integers(x + thin, right)), data.draw(st.integers(y + thin, bottom))
    found = augment.view(key_of(id), SIDE, 1.0, crop)
    mask_HW = found.of_masks([mask_with(rectangle, width, height)], ignore=0)[0]
    boxes = found.of_boxes([torch.tensor([rectangle], dtype=torch.float64)])[0]
    assume(mask_HW.any() and len(boxes.box_K4))
    box = boxes.box_K4[0]
    assume(box[:2].min() > 0 and box[2:].max() < SIDE)
    assert (box - bounds(mask_HW)).abs().max() <= 1 + 1e-6


@settings(max_examples=200, deadline=None)
@given(augment=all_geometry, id=ids, crop=crops(), strength=strengths, data=st.data())
def test_a_box_holds_the_moved_mask_and_nothing_beyond_the_rectangle(
    augment: Augment, id: int, crop: Crops, strength: float, data: st.DataObject
) -> None:
    """Under any map, horizons among them. Extremes lie on the rectangle's edges or in the view's corners."""
    width, height = (int(value) for value in crop.crop_M6[0, :2])
    rectangle = data.draw(rectangles(width, height))
    found = augment.view(key_of(id), SIDE, strength, crop)
    boxes = found.of_boxes([torch.tensor([rectangle], dtype=torch.float64)], min_visible=0.0)[0].box_K4
    mask_HW = found.of_masks([mask_with(rectangle, width, height)], ignore=0)[0]
    if mask_HW.any():
        apart = bounds(mask_HW) - boxes[0]
        assert apart[:2].min() >= -0.5 - 1e-6
        assert apart[2:].max() <= 0.5 + 1e-6
    if len(boxes):
        reached = seen_points(found, rectangle)
        assume(len(reached))
        assert (boxes[0, :2] - reached.amin(0)).abs().max() <= 1
        assert (boxes[0, 2:] - reached.amax(0)).abs().max() <= 1


def seen_points(found: View, rectangle: tuple[int, int, int, int]) -> Tensor:
    """Points of a rectangle, as far as it was cut out, where they lie in the view: its edges and the view's corners."""
    _, _, *frame = found.crop_B6[0].tolist()
    low = [max(value, limit) for value, limit in zip(rectangle[:2], frame[:2], strict=True)]
    high = [min(value, limit) for value, limit in zip(rectangle[2:], frame[2:], strict=True)]
    across, down = (torch.linspace(low[i], high[i], 4001, dtype=torch.float64) for i in (0, 1))
    edges = [torch.stack([across, torch.full_like(across, y)], 1) for y in (low[1], high[1])]
    edges += [torch.stack([torch.full_like(down, x), down], 1) for x in (low[0], high[0])]
    to_picture = found.picture_from_view_B33[0]
    corners = homogeneous(torch.tensor([[0.0, 0], [SIDE, 0], [0, SIDE], [SIDE, SIDE]], dtype=torch.float64) - 0.5)
    corners = corners @ to_picture.T
    corners = corners[:, :2] / corners[:, 2:] + 0.5
    inside = ((corners >= torch.tensor(low)) & (corners <= torch.tensor(high))).all(1)
    points = homogeneous(torch.cat([*edges, corners[inside]]) - 0.5) @ torch.linalg.inv(to_picture).T
    points = points[:, :2] / points[:, 2:] + 0.5
    return points[((points >= -1e-6) & (points <= SIDE + 1e-6)).all(1)]


def homogeneous(points: Tensor) -> Tensor:
    return torch.cat([points, torch.ones(len(points), 1, dtype=points.dtype)], 1)


def test_boxes_that_are_hardly_seen_are_dropped_and_the_others_known_by_place() -> None:
    """A view ten pixels to the right of its picture: of three boxes it shows all, half and nothing."""
    view = View(1, SIDE, (torch.tensor([0]), torch.tensor([10])))
    box_K4 = torch.tensor([[0, 0, 8, 8], [8, 2, 12, 6], [12, 3, 20, 9], [15, 4, 15, 9]], dtype=torch.float32)
    kept = [view.of_boxes([box_K4], min_visible=share)[0].kept_K.tolist() for share in (0.0, 0.5, 0.51, 1.0)]
    assert kept == [[1, 2], [1, 2], [2], [2]]
    assert view.of_boxes([box_K4])[0].box_K4.tolist() == [[0, 2, 2, 6], [2, 3, 10, 9]]
    assert view.of_boxes([box_K4])[0].box_K4.dtype == torch.float32


def test_what_was_cut_off_is_not_seen_even_where_the_view_shows_padding_there() -> None:
    crop = Crops(torch.tensor([[40, 40, 10, 0, 34, 24]]), torch.tensor([0]))
    view = View(1, SIDE, (torch.tensor([0]), torch.tensor([-8])), crops=crop)  # eight columns of padding at the left
    boxes = view.of_boxes([torch.tensor([[5.0, 2, 15, 6], [2, 2, 9, 6]])])[0]
    assert boxes.box_K4.tolist() == [[8, 2, 13, 6]]
    assert boxes.kept_K.tolist() == [0]


def test_no_boxes_and_no_samples() -> None:
    assert View(1, SIDE).of_boxes([torch.empty(0, 4)])[0].box_K4.shape == (0, 4)
    assert View(0, SIDE).of_boxes([]) == []
    assert View(0, SIDE).of_masks([]).shape == (0, SIDE, SIDE)


# --- the view itself -------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(augment=all_geometry, id=ids)
def test_strength_zero_is_the_identity(augment: Augment, id: int) -> None:
    view = augment.view(key_of(id), SIDE, 0.0)
    assert torch.equal(view.picture_from_view_B33[0], torch.eye(3, dtype=torch.float64))
    assert torch.equal(view.of_masks([STORE[0, ..., 0]])[0], STORE[0, ..., 0])
    box_K4 = torch.tensor([[0.0, 0, SIDE, SIDE], [3, 4, 9, 5]])
    assert torch.equal(view.of_boxes([box_K4])[0].box_K4, box_K4)


@settings(max_examples=40, deadline=None)
@given(augment=all_geometry, first=ids, epoch=st.integers(0, 3), strength=strengths)
def test_a_samples_geometry_does_not_depend_on_its_batch(
    augment: Augment, first: int, epoch: int, strength: float
) -> None:
    ids_B, copy_B = torch.arange(first, first + 9), torch.arange(9) % 2
    together = augment.view(Key(ids_B, 5, epoch, copy_B), SIDE, strength).picture_from_view_B33
    alone = augment.view(Key(ids_B[4:5], 5, epoch, copy_B[4:5]), SIDE, strength).picture_from_view_B33
    assert torch.equal(alone[0], together[4])


def test_flip_and_maps_follow_one_another() -> None:
    """Mirrored, then turned by a quarter, then moved right: as doing so by hand, step by step."""
    one_B, zero_B = torch.ones(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    turn = geometry.affine(one_B * 90, zero_B, zero_B, one_B, zero_B)
    right = geometry.affine(zero_B, one_B * 5, zero_B, one_B, zero_B)
    view = View(6, SIDE, flip_B=torch.ones(6, dtype=torch.bool), maps=(turn, right))
    by_hand = torch.rot90(STORE.flip(2), 1, (1, 2)).roll(5, 2)
    by_hand[:, :, :5] = 0
    assert torch.equal(view.of_squares(STORE, torch.arange(6), "zero"), by_hand)


def test_apply_returns_the_view_that_it_has_shown() -> None:
    augment = Augment(crop_padding_px=3, flip="random", rotation_deg=20.0, trivial_augment=True, brightness=0.4)
    key = Key(torch.arange(6), 5, 1)
    shown = augment.apply(STORE, torch.arange(6), key, 0.7)
    again = augment.view(key, SIDE, 0.7)
    assert torch.equal(shown.view.picture_from_view_B33, again.picture_from_view_B33)


def test_maps_are_not_composed_for_pictures_that_are_read_by_index() -> None:
    """The image path computes no map that it does not need."""
    view = Augment(crop_padding_px=3, flip="random").apply(STORE, torch.arange(6), Key(torch.arange(6), 5, 0)).view
    assert not {"square_from_view_B33", "picture_from_view_B33", "crop_B6", "_mapped_B33"} & set(vars(view))
