"""Class ids at the picture's own size: padding is cut off exactly, whatever the picture's aspect."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from fewer.core.frame import Frame
from fewer.data.decode.letterbox import _shown
from fewer.tasks.segment import own_size
from fewer.tasks.segment.own_size import own_ids, shown_part

CLASSES = 4


def placed(width: int, height: int, frame: Frame) -> tuple[slice, slice, list[float]]:
    """Rows and columns of a frame in which a picture lies, and the way back, as pictures are letterboxed."""
    wide, high = _shown(width, height, frame)
    left, top = (frame.width_px - wide) // 2, (frame.height_px - high) // 2
    across, down = width / wide, height / high
    return slice(top, top + high), slice(left, left + wide), [across, -left * across, down, -top * down]


def one_hot(ids: Tensor) -> Tensor:
    return F.one_hot(ids.long(), CLASSES).permute(2, 0, 1).float()


SIDES = st.integers(1, 700)


@given(SIDES, SIDES, st.integers(1, 8), st.integers(1, 8))
def test_the_part_that_shows_the_picture_is_found_again(width: int, height: int, rows: int, columns: int) -> None:
    frame = Frame(32 * rows, 32 * columns)
    down, across, to_picture = placed(width, height, frame)
    assert shown_part([width, height], to_picture, frame) == (down, across)


@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 2**16))
def test_ids_of_a_picture_that_is_shown_as_it_is_come_back(width: int, height: int, seed: int) -> None:
    """One side fills the frame, so that nothing is resized."""
    frame = Frame(64, 64)
    width, height = (64, height) if width >= height else (width, 64)
    chance = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, CLASSES, (height, width), generator=chance)
    down, across, to_picture = placed(width, height, frame)
    in_frame = torch.randint(0, CLASSES, tuple(frame), generator=chance)  # whatever the padding says
    in_frame[down, across] = ids
    assert torch.equal(own_ids(one_hot(in_frame), frame, [width, height], to_picture), ids.to(torch.uint8))


@given(st.integers(2, 5), st.integers(1, 32), st.booleans(), st.integers(0, 2**16))
def test_stripes_of_a_picture_that_is_shown_smaller_come_back(scale: int, short: int, is_wide: bool, seed: int) -> None:
    """A whole number of picture's pixels to each of the frame."""
    chance = torch.Generator().manual_seed(seed)
    high, wide = (short, 32) if is_wide else (32, short)
    stripes = torch.randint(0, CLASSES, (wide,), generator=chance).repeat(high, 1)
    width, height = scale * wide, scale * high
    down, across, to_picture = placed(width, height, Frame(32, 32))
    in_frame = torch.randint(0, CLASSES, (32, 32), generator=chance)
    in_frame[down, across] = stripes
    expected = stripes.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    assert torch.equal(own_ids(one_hot(in_frame), (32, 32), [width, height], to_picture), expected.to(torch.uint8))


@pytest.mark.parametrize("stride", [1, 8])
def test_classes_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    """The result is that of all at once, but for classes that differ by no more than rounding."""
    logits = torch.randn(9, 64 // stride, 96 // stride, generator=torch.Generator().manual_seed(0))
    down, across, to_picture = placed(50, 40, Frame(64, 96))
    larger = F.interpolate(logits[None], size=(64, 96), mode="bilinear", align_corners=False)
    whole = F.interpolate(larger[:, :, down, across], size=(40, 50), mode="bilinear", align_corners=False)[0]
    two = whole.topk(2, dim=0).values
    for step in (9, 2):
        monkeypatch.setattr(own_size, "_MOST_AT_ONCE", step * 40 * 50)
        found = own_ids(logits, (64, 96), [50, 40], to_picture)
        assert torch.equal(found[two[0] - two[1] > 1e-5], whole.argmax(0).to(torch.uint8)[two[0] - two[1] > 1e-5])


def test_of_equal_classes_the_first_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_size, "_MOST_AT_ONCE", 2 * 32 * 32)
    logits = torch.zeros(5, 32, 32)
    logits[1] = logits[4] = 1.0
    assert (own_ids(logits, (32, 32), [32, 32], [1.0, 0.0, 1.0, 0.0]) == 1).all()
