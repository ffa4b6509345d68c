"""Parts of pictures resized to squares, as arrays all the way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom


def resized(picture: Pixels, box: Box, side_px: int) -> Pixels:
    """What lies in a box of a picture, resized with an antialiased bilinear filter; within one level of Pillow's.

    Args:
        picture: uint8 (height, width, 3).
        box: Which part, in whole pixels.
        side_px: Height and width wanted.

    Returns:
        uint8 (side, side, 3).
    """
    left, top, right, bottom = box
    return fitted(picture[top:bottom, left:right], side_px, side_px)


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """A whole picture (height, width, 3) at another size, as `resized` does it; always a copy."""
    import torch
    from torch.nn import functional

    part = picture.copy()
    if part.shape[:2] == (height, width):
        return part
    # Bytes that are channels-last: the fast path.
    part_1CHW = torch.from_numpy(part).permute(2, 0, 1)[None]
    view = functional.interpolate(part_1CHW, (height, width), mode="bilinear", antialias=True)
    pixels: Pixels = view[0].permute(1, 2, 0).numpy()
    return pixels


def centred(width: int, height: int) -> Box:
    """The largest centred square that lies on whole pixels."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
