"""Contact sheets of training views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from fewer.core.types import Batch, Request, Stage
from fewer.data.images import ImageData
from fewer.session.previews import grid, write_stage
from image_files import all_of, write_squares


def test_a_stages_views_are_those_that_it_trains_on(tmp_path: Path) -> None:
    """Its side and its strength, in its first epochs; and before them the view of evaluation."""
    asked: list[Request] = []

    class Listening(ImageData):
        def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
            asked.extend(requests := list(requests))
            return super().batches(requests)

    stage = Stage(1, 4, 2, 8, 16, strength=0.3)
    assert write_stage(Listening(all_of(write_squares(tmp_path / "images"))), stage, tmp_path).name == "stage-2.jpg"
    assert [(one.epoch, one.side_px, one.strength) for one in asked] == [(4, 8, 0.0), (4, 8, 0.3), (5, 8, 0.3)]


def test_a_grid_has_every_view_in_its_place() -> None:
    views_RCHWC = torch.randint(0, 255, (2, 3, 5, 4, 3), dtype=torch.uint8)
    sheet = grid(views_RCHWC, gap_px=1)
    assert sheet.shape == (2 * 6 + 1, 3 * 5 + 1, 3)
    assert sheet.is_contiguous()
    for row in range(2):
        for column in range(3):
            top, left = 1 + row * 6, 1 + column * 5
            assert torch.equal(sheet[top : top + 5, left : left + 4], views_RCHWC[row, column])
    assert int((sheet == 255).all(2).sum()) == 13 * 16 - 6 * 20
    assert grid(views_RCHWC, gap_px=0).shape == (10, 12, 3)
