"""Annotations on pictures: where the pixels are that they name, in views and in whole pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dense_data import CLASSES, box_data, mask_data
from fewer.core.drawing.palette import color_of
from fewer.core.ragged import dense
from fewer.core.types import Request
from fewer.session.annotated import draw_own, draw_view, fitted_to, targets_of, whole_part
from fewer.session.previews import pictures


def white(picture: Image.Image) -> tuple[int, int, int, int]:
    """Where a picture is white: left, top, right and bottom."""
    rows, columns = (np.flatnonzero((np.asarray(picture).min(2) > 140).any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def outline(picture: Image.Image, number: int) -> tuple[int, int, int, int]:
    found = (np.asarray(picture) == color_of(number)).all(2)
    rows, columns = (np.flatnonzero(found.any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("aspect", [1.5, 0.7, 3.0])
def test_boxes_of_views_surround_what_the_views_show(tmp_path: Path, strength: float, aspect: float) -> None:
    data = box_data(tmp_path, aspect=aspect)
    (batch,) = data.batches([Request(data.split.ids_M, 0, 96, strength)])
    frame = data.frame(96)
    assert frame is not None
    for view, target, id in zip(pictures(dense(batch.inputs), data), targets_of(batch), range(6), strict=True):
        picture = Image.fromarray(view)
        expected = white(picture)
        draw_view(picture, target, CLASSES, frame)
        assert outline(picture, id % 2) == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("aspect", [1.5, 0.7, 3.0])
def test_a_whole_picture_is_free_of_padding_and_has_its_own_boxes(tmp_path: Path, aspect: float) -> None:
    data = box_data(tmp_path, aspect=aspect)
    (batch,) = data.batches([Request.evaluation(96, 0, data.split.ids_M)])
    for view, target, id in zip(pictures(dense(batch.inputs), data), targets_of(batch), range(6), strict=True):
        picture = whole_part(Image.fromarray(view), target)
        assert picture.width / picture.height == pytest.approx(1.5, abs=0.05)
        assert np.asarray(picture)[:, 0].min() > 20, "padding is black here"
        large = fitted_to(picture, 240, 240)
        assert large.size == (240, pytest.approx(160, abs=6))
        expected = white(large)
        draw_own(large, target, CLASSES)
        assert outline(large, id % 2) == pytest.approx(expected, abs=4)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_masks_lie_over_what_they_name(tmp_path: Path, strength: float) -> None:
    data = mask_data(tmp_path)
    (batch,) = data.batches([Request(data.split.ids_M, 0, 96, strength)])
    frame = data.frame(96)
    assert frame is not None
    for view, target in zip(pictures(dense(batch.inputs), data), targets_of(batch), strict=True):
        picture, inner = Image.fromarray(view), np.s_[16:-16, 8:-8]
        draw_view(picture, target, CLASSES, frame)
        before, after = view.astype(int)[inner], np.asarray(picture).astype(int)[inner]
        for is_white, number in ((True, 1), (False, 0)):
            part = (before.min(2) > 200) if is_white else (before.max(2) < 60) & (before.max(2) > 20)
            wanted = 0.45 * before[part] + 0.55 * np.array(color_of(number))
            assert np.abs(after[part] - wanted).mean() < 3
        if strength == 0:
            whole = whole_part(Image.fromarray(view), target)
            plain = np.asarray(whole).astype(int)
            draw_own(whole, target, CLASSES)
            assert np.abs(np.asarray(whole).astype(int)[2:] - plain[2:]).mean() > 20


def test_classes_are_not_drawn() -> None:
    picture = Image.new("RGB", (8, 8))
    draw_view(picture, torch.tensor(1), CLASSES, None)  # type: ignore[arg-type]
    draw_own(picture, torch.tensor(1), CLASSES)
    assert not np.asarray(picture).any()
