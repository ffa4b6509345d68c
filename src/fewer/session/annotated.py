"""Annotations drawn on what a model sees of a picture: boxes and masks as views have them, and pictures' own.

B: samples of a batch. H, W: rows and columns of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from fewer.core.drawing.boxes import Marked, draw_boxes
from fewer.core.drawing.masks import draw_mask
from fewer.core.ragged import Ragged

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.frame import Frame
    from fewer.core.ragged import Sample
    from fewer.core.types import Batch


def targets_of(batch: Batch) -> list[Sample]:
    """The target of each sample."""
    return list(batch.targets) if isinstance(batch.targets, Ragged) else list(batch.targets.unbind())


def draw_view(picture: Image.Image, target: Sample, classes: Sequence[str], frame: Frame) -> None:
    """Draws what a view is annotated with into a picture of it, at whatever size; nothing of a class.

    Args:
        picture: The view, changed in place.
        target: Boxes in pixels of the frame, or a mask of its size.
        classes: Names of the classes.
        frame: The view's own size.
    """
    if isinstance(target, dict) and "boxes" in target:
        boxes = _marked(target["boxes"], target["labels"], classes)
        draw_boxes(picture, boxes, (frame.width_px, frame.height_px))
        return
    mask = target.get("mask") if isinstance(target, dict) else target
    if mask is not None and mask.dim() == 2:
        draw_mask(picture, _array(mask))


def draw_own(picture: Image.Image, target: Sample, classes: Sequence[str]) -> None:
    """Draws a picture's own annotation into the whole picture, at whatever size; what does not count is dashed.

    Args:
        picture: The whole picture, changed in place.
        target: Of an evaluation view.
        classes: Names of the classes.
    """
    if not isinstance(target, dict):
        return
    if "own_boxes" in target:
        dashed_K = target["own_crowd"] | target["own_ignored"]
        boxes = _marked(target["own_boxes"], target["own_labels"], classes, dashed_K)
        width, height = target["size"].tolist()
        draw_boxes(picture, boxes, (width, height))
    elif "own" in target:
        draw_mask(picture, _array(target["own"]))


def whole_part(view: Image.Image, target: Sample) -> Image.Image:
    """The part of an evaluation view that shows the picture, without what pads it to the frame."""
    assert isinstance(target, dict)
    scale_x, shift_x, scale_y, shift_y = target["to_picture"].tolist()
    wide, high = target["size"].tolist()
    left, top = round(-shift_x / scale_x), round(-shift_y / scale_y)
    right, bottom = round((wide - shift_x) / scale_x), round((high - shift_y) / scale_y)
    left, top = (min(max(0, low), most - 1) for low, most in zip((left, top), view.size, strict=True))
    return view.crop((left, top, min(view.width, max(left + 1, right)), min(view.height, max(top + 1, bottom))))


def fitted_to(picture: Image.Image, width_px: int, height_px: int) -> Image.Image:
    """A picture as large as it fits into a cell; smooth where it is enlarged."""
    scale = min(width_px / picture.width, height_px / picture.height)
    size = max(1, round(scale * picture.width)), max(1, round(scale * picture.height))
    return picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)


def _marked(box_K4: Tensor, label_K: Tensor, classes: Sequence[str], dashed_K: Tensor | None = None) -> list[Marked]:
    dashed = [False] * len(label_K) if dashed_K is None else dashed_K.tolist()
    return [
        Marked((box[0], box[1], box[2], box[3]), label, classes[label], is_dashed=is_dashed)
        for box, label, is_dashed in zip(box_K4.tolist(), label_K.tolist(), dashed, strict=True)
    ]


def _array(mask_HW: Tensor) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(mask_HW.cpu().numpy().astype(np.uint8))
