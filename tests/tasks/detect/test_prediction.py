"""Predictions of boxes: in pixels of the picture, written and drawn."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewer.core.detection import Detections
from fewer.tasks.detect.prediction import BoxFormat, Objects, in_picture, objects_of

CLASSES = ("cat", "dog\n")
FORM = BoxFormat(CLASSES)
TWO = Objects((200, 100), ((1, 0.9, (10.0, 20.0, 60.0, 80.0)), (0, 0.5, (0.0, 0.0, 20.5, 30.0))))


def test_text_json_and_cells() -> None:
    assert FORM.text(TWO) == "1 cat (50%), 1 dog\\n (90%)"
    assert FORM.text(Objects((1, 1), ())) == "nothing"
    first = {"class": "dog\n", "score": 0.9, "bbox": [10.0, 20.0, 50.0, 60.0]}
    found = FORM.json(TWO)
    assert (found["width"], found["height"], found["objects"][0]) == (200, 100, first)
    assert FORM.cells(TWO) == ["2", "dog\n 0.9000 10.0 20.0 50.0 60.0; cat 0.5000 0.0 0.0 20.5 30.0"]
    assert len(FORM.columns) == 2


def test_boxes_are_drawn_where_they_are() -> None:
    """On a thumbnail of half the size that is a square: the picture lies in its middle."""
    plain = Image.new("RGB", (100, 100))
    caption = FORM.draw(plain, TWO)
    assert (caption.label, caption.share) == ("2 objects", 0.9)
    drawn = torch.from_numpy(np.array(plain.convert("L"))) > 0
    assert bool(drawn[35, 5:30].all()), "the upper edge of the first box: 20 / 2 + 25"
    assert not bool(drawn[:25].any()), "nothing is drawn beside the picture"
    empty = Image.new("RGB", (10, 10))
    assert FORM.draw(empty, Objects((10, 10), ())).share == 0
    assert FORM.draw(empty, Objects((10, 10), ((0, 0.4, (1.0, 1.0, 5.0, 5.0)),))).label == "cat"
    assert FORM.mask(TWO) is None


@settings(deadline=None)
@given(
    st.floats(0.1, 8),
    st.floats(-300, 50),
    st.floats(0.1, 8),
    st.floats(-300, 50),
    st.integers(1, 900),
    st.integers(1, 900),
)
def test_boxes_come_back_to_the_picture_and_stay_in_it(
    factor_x: float, shift_x: float, factor_y: float, shift_y: float, width: int, height: int
) -> None:
    target = {
        "size": torch.tensor([width, height]),
        "to_picture": torch.tensor([factor_x, shift_x, factor_y, shift_y], dtype=torch.float64),
    }
    own = torch.tensor([[0.25, 0.25, 0.75, 0.5], [-1.0, 0.0, 2.0, 0.5]], dtype=torch.float64)
    own = own * torch.tensor([width, height, width, height])
    frame = own.clone()
    frame[:, 0::2] = (own[:, 0::2] - shift_x) / factor_x
    frame[:, 1::2] = (own[:, 1::2] - shift_y) / factor_y
    rows = in_picture(Detections(frame, torch.tensor([1, 0]), torch.tensor([0.9, 0.5])), target)
    expected = own.clone()
    expected[1, [0, 2]] = torch.tensor([0.0, width], dtype=torch.float64)
    assert torch.allclose(rows[:, 1:5], expected, atol=1e-6 * max(width, height))
    found = objects_of(rows, target)
    assert found.size == (width, height)
    assert [label for label, _, _ in found.found] == [1, 0]
