"""Boxes of random-resized-crop."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import transforms

from fewer.data.augment import Key
from fewer.data.augment.random_resized_crop import RandomResizedCrop


def test_boxes_are_drawn_as_torchvision_draws_them() -> None:
    boxes = RandomResizedCrop().drawn(Key(torch.arange(4000), 0, 0), 1.0)
    assert boxes is not None
    ours = np.array([boxes.box(i, 60, 40) for i in range(4000)])
    torch.manual_seed(0)
    image = torch.empty(1, 40, 60)
    theirs = np.array(
        [transforms.RandomResizedCrop.get_params(image, [0.08, 1.0], [0.75, 1.3333]) for _ in range(4000)]
    )
    wide, high = ours[:, 2] - ours[:, 0], ours[:, 3] - ours[:, 1]
    pairs = ((wide * high, theirs[:, 2] * theirs[:, 3]), (wide / high, theirs[:, 3] / theirs[:, 2]))
    for mine, other in (*pairs, (ours[:, 0], theirs[:, 1]), (ours[:, 1], theirs[:, 0])):
        # Two samples of 4,000: the distance of their distributions stays below 1.95 sqrt(2 / 4,000) but once in 1,000.
        values = np.sort(np.concatenate([mine, other]))
        ranks = [np.searchsorted(np.sort(part), values, side="right") / 4000 for part in (mine, other)]
        assert np.abs(ranks[0] - ranks[1]).max() < 1.95 * (2 / 4000) ** 0.5


def test_wide_boxes_are_wide_and_every_pixel_is_reached() -> None:
    """In a square picture; bounds of the shape above 1 ask for boxes wider than high."""
    boxes = RandomResizedCrop((0.2, 0.6), (1.5, 3.0)).drawn(Key(torch.arange(500), 0, 0), 1.0)
    assert boxes is not None
    found = np.array([boxes.box(i, 12, 12) for i in range(500)])
    wide, high = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    assert (wide > high).all()
    assert [found[:, 0].min(), found[:, 1].min(), found[:, 2].max(), found[:, 3].max()] == [0, 0, 12, 12]


def test_every_copy_of_a_sample_has_a_box_of_its_own() -> None:
    ids, copies = torch.tensor([7, 7, 7, 8]), torch.tensor([0, 1, 2, 0])
    boxes = RandomResizedCrop().drawn(Key(ids, 0, 0, copies), 1.0)
    alone = RandomResizedCrop().drawn(Key(ids[:1], 0, 0), 1.0)
    assert boxes is not None
    assert alone is not None
    assert len({boxes.box(i, 300, 200) for i in range(4)}) == 4
    assert boxes.box(0, 300, 200) == alone.box(0, 300, 200)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    low=st.floats(0.01, 1),
    strength=st.floats(0.01, 1),
    id=st.integers(0, 1000),
)
def test_a_box_lies_inside(width: int, height: int, low: float, strength: float, id: int) -> None:
    boxes = RandomResizedCrop((low, 1.0), (0.75, 1.3333)).drawn(Key(torch.tensor([id]), 0, 0), strength)
    assert boxes is not None
    left, top, right, bottom = boxes.box(0, width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_a_long_picture_gives_its_middle() -> None:
    boxes = RandomResizedCrop((0.9, 1.0), (0.8, 1.25)).drawn(Key(torch.arange(3), 0, 0), 1.0)
    assert boxes is not None
    assert {boxes.box(i, 100, 8) for i in range(3)} == {(45, 0, 55, 8)}
    assert {boxes.box(i, 8, 100) for i in range(3)} == {(0, 45, 8, 55)}
