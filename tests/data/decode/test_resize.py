"""Resizing of a part of a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resized_crop

from fewer.data.decode.resize import centred, resized
from image_files import noise


def test_it_is_torchvisions() -> None:
    picture = noise(90, 120, 3)
    for box in ((0, 0, 120, 90), (13, 7, 60, 81), (5, 5, 9, 8)):
        left, top, right, bottom = box
        expected = resized_crop(
            Image.fromarray(picture), top, left, bottom - top, right - left, [32, 32], InterpolationMode.BILINEAR
        )
        assert np.abs(resized(picture, box, 32).astype(int) - np.asarray(expected)).max() <= 1


def test_a_view_turned_round_is_resized_as_it_looks() -> None:
    picture = noise(30, 20, 3)[::-1, ::-1].transpose(1, 0, 2)
    assert np.array_equal(resized(picture, (3, 2, 19, 18), 8), resized(picture.copy(), (3, 2, 19, 18), 8))
    assert np.array_equal(resized(picture, (3, 2, 11, 10), 8), picture[2:10, 3:11])


def test_the_centre_lies_on_whole_pixels() -> None:
    assert centred(7, 4) == (1, 0, 5, 4)
    assert centred(4, 8) == (0, 2, 4, 6)
