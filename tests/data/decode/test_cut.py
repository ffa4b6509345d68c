"""Squares cut out of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.data.augment import Key
from fewer.data.augment.random_resized_crop import Boxes, RandomResizedCrop
from fewer.data.decode.cut import cut_drawn, decode_cut
from fewer.data.decode.decode import Whole, decode_whole
from fewer.data.decode.resize import resized
from image_files import encoded, noise, photo


def drawn(scale: tuple[float, float] = (0.08, 1.0), images: int = 5) -> Boxes:
    boxes = RandomResizedCrop(scale).drawn(Key(torch.arange(images), 3, 1), 1.0)
    assert boxes is not None
    return boxes


def test_a_drawn_cut_says_where_it_lies() -> None:
    whole = Whole(noise(50, 33, 3), 1650, 33, 50, 1)
    for index in range(5):
        square, _, box = cut_drawn(whole, drawn(), index, 12)
        assert box[:2] == (33, 50)
        assert np.array_equal(square, resized(whole.picture, tuple(int(edge) for edge in box[2:]), 12))
    middle, _, box = cut_drawn(whole, None, 0, 12)
    assert np.array_equal(middle, resized(whole.picture, (0, 8, 33, 41), 12))
    assert box == (33, 50, 0, 8, 33, 41)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(20, 400),
    height=st.integers(20, 400),
    side_px=st.integers(1, 90),
    orientation=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_a_jpeg_is_decoded_no_smaller_than_its_part_allows(
    width: int, height: int, side_px: int, orientation: int, seed: int
) -> None:
    """And the square lies, to within half a decoded pixel, where it was drawn."""
    boxes = RandomResizedCrop().drawn(Key(torch.tensor([seed]), 0, 0), 1.0)
    assert boxes is not None
    exif = {0x0112: orientation}
    if orientation > 4:
        width, height = height, width
    raw = encoded(photo(width, height), "JPEG", exif=_exif(exif))
    if orientation > 4:
        width, height = height, width
    found = decode_cut(raw, boxes, 0, side_px)
    left, top, right, bottom = boxes.box(0, width, height)
    fraction = next(n for n in (1, 2, 4, 8) if -(-width // n) * -(-height // n) == found.pixels)
    assert fraction == max(n for n in (1, 2, 4, 8) if n == 1 or min(right - left, bottom - top) // n >= side_px)
    assert found.box[:2] == (width, height)
    shape = found.box.right - found.box.left, found.box.bottom - found.box.top
    assert np.abs(np.subtract(shape, (right - left, bottom - top))).max() <= fraction / 2
    assert np.abs(np.subtract(found.box[2:4], (left, top))).max() <= (fraction if fraction > 1 else 0)
    assert min(shape) // fraction >= side_px or fraction == 1


def _exif(tags: dict[int, int]) -> object:
    from PIL import Image

    exif = Image.Exif()
    exif.update(tags)
    return exif


@pytest.mark.parametrize("orientation", [1, 6, 8])
@pytest.mark.parametrize("seed", [0, 1])
def test_decoding_at_a_fraction_is_like_decoding_all_and_resizing(orientation: int, seed: int) -> None:
    """30 dB at the same box (real photos: median 40, one in 20 below 32); identical where the part needs all pixels."""
    raw = encoded(photo(1000, 800, seed), "JPEG", quality=90, exif=_exif({0x0112: orientation}))
    whole, boxes, fractions = decode_whole(raw), drawn(images=40), set()
    for index in range(40):
        found = decode_cut(raw, boxes, index, 64)
        left, top, right, bottom = map(int, found.box[2:])
        full = resized(whole.picture, (left, top, min(right, whole.width), min(bottom, whole.height)), 64)
        fractions.add(whole.pixels // found.pixels)
        if found.pixels == whole.pixels:
            assert np.array_equal(found.picture, full)
            continue
        error = ((found.picture.astype(float) - full) ** 2).mean()
        assert 10 * np.log10(255**2 / max(error, 1e-9)) >= 30
    assert fractions >= {4, 16, 64}


def test_the_evaluation_view_is_that_of_a_square() -> None:
    from fewer.data.decode.decode import decode_square

    raw = encoded(photo(321, 200), "JPEG")
    for side_px in (20, 64, 150, 300):
        found, square = decode_cut(raw, None, 0, side_px), decode_square(raw, side_px)
        assert np.array_equal(found.picture, square.picture)
        assert found[1:] == square[1:]
