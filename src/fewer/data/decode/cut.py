"""Squares cut out of a whole picture."""

from __future__ import annotations

import torch
from torch.nn import functional

from fewer.data.augment.random_resized_crop import Box, Boxes
from fewer.data.decode.decode import CropBox, Pixels, centre_box, centre_square


def cut_drawn(picture: Pixels, boxes: Boxes | None, index: int, side_px: int) -> tuple[Pixels, CropBox]:
    """The square of one sample of a batch, as `cut` makes it, and where it was cut from.

    Args:
        picture: uint8 (height, width, 3).
        boxes: What was drawn for the batch; None: the evaluation view.
        index: The sample's place in the batch.
        side_px: Height and width wanted.
    """
    height, width = picture.shape[:2]
    if boxes is None:
        return cut(picture, None, side_px), CropBox(width, height, *centre_box(width, height))
    box = boxes.box(index, width, height)
    return cut(picture, box, side_px), CropBox(width, height, *box)


def cut(picture: Pixels, box: Box | None, side_px: int) -> Pixels:
    """A view of a whole picture: what lies in a box, resized with an antialiased bilinear filter.

    Args:
        picture: uint8 (height, width, 3).
        box: Which part; the evaluation view, the centre square, if None.
        side_px: Height and width wanted.

    Returns:
        uint8 (side, side, 3).
    """
    if box is None:
        return centre_square(picture, side_px)
    left, top, right, bottom = box
    part = torch.from_numpy(picture[top:bottom, left:right].copy()).permute(2, 0, 1)
    # Bytes that are channels-last; within one level of what Pillow gives.
    view = functional.interpolate(part[None], (side_px, side_px), mode="bilinear", antialias=True)
    pixels: Pixels = view[0].permute(1, 2, 0).numpy()
    return pixels
