"""Whole pictures out of evaluation batches, as annotated and with what a model finds in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image

from fewer.core.ragged import dense
from fewer.session.annotated import draw_own, fitted_to, targets_of, whole_part
from fewer.session.previews import WHOLE_PX, pictures

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task
    from fewer.core.types import Batch
    from fewer.data.images import ImageData

ANSWERS = 100  # boxes of a picture, at most
GAP_PX = 6  # between two pictures


def cell_of(data: ImageData, side_px: int) -> tuple[int, int]:
    """Width and height of a cell for pictures, in the shape of the frame.

    Raises:
        ValueError: The data's images are squares.
    """
    frame = data.frame(side_px)
    if frame is None:
        raise ValueError("pictures that are cut to squares have no frame; give data with an aspect")
    return round(WHOLE_PX * frame.width_px / max(frame)), round(WHOLE_PX * frame.height_px / max(frame))


def whole_pictures(batch: Batch, data: ImageData, cell: tuple[int, int]) -> list[Image.Image]:
    """The pictures of an evaluation batch without what pads them, each as large as it fits into a cell."""
    views = [Image.fromarray(view) for view in pictures(dense(batch.inputs), data)]
    return [fitted_to(whole_part(view, target), *cell) for view, target in zip(views, targets_of(batch), strict=True)]


def pairs(batch: Batch, data: ImageData, task: Task, model: nn.Module, side_px: int) -> list[Image.Image]:
    """Two pictures side by side for each image of an evaluation batch: as annotated, and with what a model finds."""
    return [beside(*both) for both in annotated_and_found(batch, data, task, model, side_px)]


def annotated_and_found(
    batch: Batch, data: ImageData, task: Task, model: nn.Module, side_px: int
) -> list[tuple[Image.Image, Image.Image]]:
    """Each picture of an evaluation batch twice: with its annotation, and with what a model finds in it."""
    form, cell = task.format(ANSWERS), cell_of(data, side_px)
    with torch.no_grad():
        predictions = task.predictions(model, batch, ANSWERS)
    shown = []
    left, right = (whole_pictures(batch, data, cell) for _ in range(2))
    for annotated, found, target, prediction in zip(left, right, targets_of(batch), predictions, strict=True):
        draw_own(annotated, target, data.split.classes)
        form.draw(found, prediction)
        shown.append((annotated, found))
    return shown


def beside(annotated: Image.Image, found: Image.Image) -> Image.Image:
    """Two pictures of one size side by side."""
    both = Image.new("RGB", (2 * found.width + GAP_PX, found.height), "white")
    both.paste(annotated, (0, 0))
    both.paste(found, (found.width + GAP_PX, 0))
    return both
