"""Contact sheets of training views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy
import torch
from PIL import Image

from fewer.core.mixing import Mix
from fewer.core.types import Batch, Request, Stage
from fewer.data.images import ImageData
from fewer.session.previews import CELL_PX, GAP_PX, HEAD_PX, LABEL_PX, grid, write_stage
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


def test_mixed_epochs_are_shown_mixed(tmp_path: Path) -> None:
    """Neighbouring rows are partners, in the epochs that are mixed alone."""
    data = ImageData(all_of(write_squares(tmp_path / "images")))
    stage, sheets = Stage(0, 0, 2, 8, 16), []
    for name, mix in {"plain": lambda epoch: None, "mixed": lambda epoch: Mix(0.5) if epoch else None}.items():
        with Image.open(write_stage(data, stage, tmp_path / name, mix)) as sheet:
            sheets.append(torch.tensor(numpy.array(sheet)).int())
    plain, mixed = sheets
    step = CELL_PX + GAP_PX
    differs = [
        float((plain - mixed)[HEAD_PX:, LABEL_PX + step * column : LABEL_PX + step * (column + 1)].abs().float().mean())
        for column in range(3)
    ]
    assert max(differs[:2]) < 2  # of a JPEG
    assert differs[2] > 10
    assert int((plain - mixed)[:, :LABEL_PX].abs().max()) > 100  # the partners' labels


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
