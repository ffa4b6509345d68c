"""Boxes and masks on pictures: in their places whatever the size of the drawing, and in colours of their own."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fewer.core.drawing.boxes import Marked, draw_boxes
from fewer.core.drawing.masks import draw_mask, mask_png, name_classes
from fewer.core.drawing.palette import VOID, color_of, ink_on, palette
from fewer.core.drawing.place import Place

SIDE = st.integers(1, 900)
BLACK = (0, 0, 0)


def drawn(size: tuple[int, int], boxes: list[Marked], own_px: tuple[int, int] | None = None) -> np.ndarray:
    picture = Image.new("RGB", size)
    draw_boxes(picture, boxes, own_px)
    return np.asarray(picture)


def span(values: np.ndarray) -> tuple[int, int]:
    found = np.flatnonzero(values)
    return int(found[0]), int(found[-1])


@given(SIDE, SIDE, SIDE, SIDE)
def test_a_picture_fits_and_lies_in_the_middle(wide: int, high: int, own_wide: int, own_high: int) -> None:
    place = Place.of((wide, high), (own_wide, own_high))
    assert 0 <= place.left < place.right <= wide
    assert 0 <= place.top < place.bottom <= high
    assert place.right - place.left == wide or place.bottom - place.top == high
    assert abs(place.left - (wide - place.right)) <= 1
    assert abs(place.top - (high - place.bottom)) <= 1
    whole = place.of_box((0, 0, own_wide, own_high))
    assert whole == pytest.approx((place.left, place.top, place.right - 1, place.bottom - 1))


@given(st.integers(1, 4), st.integers(0, 30), st.integers(0, 20), st.integers(3, 30), st.integers(3, 20))
def test_a_box_is_drawn_where_its_pixels_are(scale: int, left: int, top: int, wide: int, high: int) -> None:
    """At the picture's own size, enlarged, and in the middle of a higher drawing."""
    box = Marked((left, top, left + wide, top + high), 0, "")
    own_px = (64, 48)
    for above in (0, 10):
        seen_HW = drawn((64 * scale, 48 * scale + 2 * above), [box], own_px).any(2)
        assert span(seen_HW.any(0)) == (left * scale, (left + wide) * scale - 1)
        assert span(seen_HW.any(1)) == (top * scale + above, (top + high) * scale - 1 + above)


def test_boxes_that_cannot_be_drawn_are_left_out() -> None:
    strange = [(float("nan"), 0, 5, 5), (5, 5, 5, 9), (9, 9, 2, 2), (70, 5, 90, 9), (-9, -9, -1, -1), (0, 0, 1e400, 9)]
    assert not drawn((64, 48), [Marked(box, 1, "x", 0.5) for box in strange]).any()
    cut_HW = drawn((64, 48), [Marked((-50, 10, 20, 900), 1, "x", 0.5)]).any(2)
    assert span(cut_HW.any(0)) == (0, 19)
    with pytest.raises(ValueError, match="sides must be positive"):
        draw_boxes(Image.new("RGB", (9, 9)), [], (0, 9))


def test_the_surest_box_is_on_top_and_dashes_have_gaps() -> None:
    same = (4, 4, 40, 40)
    picture = drawn((64, 48), [Marked(same, 0, "", 0.9), Marked(same, 1, "", 0.2)])
    assert tuple(picture[4, 20]) == color_of(0)
    whole, dashed = (drawn((64, 48), [Marked(same, 2, "", is_dashed=is_dashed)]).any(2) for is_dashed in (False, True))
    assert 0.3 < dashed.sum() / whole.sum() < 0.9
    assert not (dashed & ~whole).any()


@pytest.mark.parametrize("name", ["cat", "猫", "a" * 4000, "bee\u202e\x1b[2J", "", " "])
def test_names_stay_within_the_picture(name: str) -> None:
    """In pictures that are large enough for them; also of boxes in a corner."""
    for box in ((0, 0, 30, 20), (430, 0, 450, 9), (100, 100, 250, 180)):
        plain, named = (drawn((450, 300), [Marked(box, 3, text, 0.5)]) for text in ("", name))
        assert (named == color_of(3)).all(2).sum() >= (plain == color_of(3)).all(2).sum() - 60
    assert (drawn((200, 200), [Marked((50, 50, 150, 150), 3, "cat")]) != BLACK).any(2).sum() == 4 * 99


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**31))
def test_a_mask_colours_its_pixels_and_leaves_void_as_it_is(high: int, wide: int, scale: int, seed: int) -> None:
    mask_HW = np.random.default_rng(seed).choice(np.array([0, 1, 2, VOID], np.uint8), (high, wide))
    picture = Image.new("RGB", (wide * scale, high * scale + 8), (9, 8, 7))
    draw_mask(picture, mask_HW, strength=1.0)
    shown = np.asarray(picture)
    assert (shown[:4] == (9, 8, 7)).all()
    assert (shown[-4:] == (9, 8, 7)).all()
    colors = np.array([color_of(number) if number != VOID else (9, 8, 7) for number in range(256)])
    assert (shown[4:-4] == colors[mask_HW].repeat(scale, 0).repeat(scale, 1)).all()


@given(st.integers(0, 2**31))
def test_a_mask_file_keeps_its_ids(seed: int) -> None:
    mask_HW = np.random.default_rng(seed).integers(0, 256, (5, 7), np.uint8)
    with Image.open(io.BytesIO(mask_png(mask_HW))) as image:
        assert image.mode == "P"
        assert (np.asarray(image) == mask_HW).all()
        found = image.convert("RGB").getpixel((0, 0))
    assert found == color_of(int(mask_HW[0, 0]))


def test_classes_of_a_mask_are_named_where_they_are_widest() -> None:
    ids = np.full((300, 400), VOID, np.uint8)
    ids[100:180, 50:250] = 1
    ids[:2, :20] = 0  # too little of it
    ids[297:] = 2
    ids[250, 0] = 77  # no class
    whole, small = Image.new("RGB", (400, 300)), Image.new("RGB", (399, 299))
    name_classes(whole, ids, ["a", "bee", "<script>"])
    name_classes(small, ids, ["a", "bee", "<script>"])
    assert small.getbbox() is None, "names would hide it"
    plates = [np.argwhere((np.asarray(whole) == color_of(number)).all(2)) for number in range(3)]
    assert not len(plates[0])
    middle = (plates[1].min(0) + plates[1].max(0)) / 2
    assert middle[1] == pytest.approx(150, abs=3)
    assert 95 < middle[0] < 185
    assert plates[2].max(0)[0] == 299, "a plate at the edge is moved into the picture"
    assert plates[2].min(0)[0] < 290


def test_colours_can_be_told_apart_and_written_on() -> None:
    colors = [color_of(number) for number in range(255)]
    assert len(set(colors)) > 240
    apart = min(sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in combinations(colors[:18], 2))
    assert apart > 60
    assert palette()[:3] == list(colors[0])
    assert len(palette()) == 768
    for color in [*colors, (0, 0, 0), (255, 255, 255)]:
        light, ink = (sum(f * (c / 255) ** 2.2 for f, c in zip((0.2126, 0.7152, 0.0722), each, strict=True))
                      for each in (color, ink_on(color)))  # fmt: skip
        assert (max(light, ink) + 0.05) / (min(light, ink) + 0.05) > 4.4
