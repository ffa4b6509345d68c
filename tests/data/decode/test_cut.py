"""Squares cut out of a whole picture."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resized_crop

from fewer.data.augment import Key
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.decode.cut import cut, cut_drawn
from image_files import noise


def test_a_cut_is_torchvisions() -> None:
    picture = noise(90, 120, 3)
    for box in ((0, 0, 120, 90), (13, 7, 60, 81), (5, 5, 9, 8)):
        left, top, right, bottom = box
        expected = resized_crop(
            Image.fromarray(picture), top, left, bottom - top, right - left, [32, 32], InterpolationMode.BILINEAR
        )
        assert np.abs(cut(picture, box, 32).astype(int) - np.asarray(expected)).max() <= 1


def test_a_drawn_cut_says_where_it_lies() -> None:
    picture = noise(50, 33, 3)
    boxes = RandomResizedCrop().drawn(Key(torch.arange(5), 3, 1), 1.0)
    assert boxes is not None
    for index in range(5):
        square, box = cut_drawn(picture, boxes, index, 12)
        assert box[:2] == (33, 50)
        assert np.array_equal(square, cut(picture, tuple(int(edge) for edge in box[2:]), 12))
    middle, box = cut_drawn(picture, None, 0, 12)
    assert np.array_equal(middle, cut(picture, None, 12))
    assert box == (33, 50, 0, 8.5, 33, 41.5)
