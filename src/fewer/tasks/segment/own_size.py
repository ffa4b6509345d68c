"""Class ids at a picture's own size, from logits of the frame that it was letterboxed into.

C: classes. H, W: rows and columns of the frame; h, w: those of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from fewer.tasks.segment.pixels import at_size

if TYPE_CHECKING:
    from torch import Tensor

_MOST_AT_ONCE = 1 << 26  # logits at the picture's size: 256 MiB


def shown_part(size: Sequence[int], to_picture: Sequence[float], frame: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a frame that show the picture; the rest is padding.

    Args:
        size: Width and height of the picture.
        to_picture: Factor and summand of x, then of y, from the frame to the picture, as coordinates of edges.
        frame: Rows and columns of the frame.
    """
    (width, height), (scale_x, shift_x, scale_y, shift_y) = size, to_picture
    return _part(height, scale_y, shift_y, frame[0]), _part(width, scale_x, shift_x, frame[1])


def _part(length: int, scale: float, shift: float, limit: int) -> slice:
    # Pictures lie on whole pixels of their frames: what is rounded away is the rounding of the scale.
    first = min(max(0, round(-shift / scale)), limit - 1)
    return slice(first, max(first + 1, min(limit, round((length - shift) / scale))))


def own_ids(logits_Chw: Tensor, frame: tuple[int, int], size: Sequence[int], to_picture: Sequence[float]) -> Tensor:
    """The most probable class of every pixel of a picture, uint8 (h, w).

    The logits are interpolated to the frame, cut to the part that shows the picture, and interpolated to its size, a
    few classes at a time: of two that are equal, the first one wins.

    Args:
        logits_Chw: Scores of one image before softmax, at the frame's resolution or less.
        frame: Rows and columns of the frame.
        size: Width and height of the picture.
        to_picture: As for `shown_part`.
    """
    rows, columns = shown_part(size, to_picture, frame)
    width, height = size
    shown_CHW = at_size(logits_Chw[None], frame)[0, :, rows, columns]
    best_hw = torch.full((height, width), -torch.inf, dtype=shown_CHW.dtype, device=shown_CHW.device)
    id_hw = torch.zeros((height, width), dtype=torch.uint8, device=shown_CHW.device)
    step = max(1, _MOST_AT_ONCE // (width * height))
    for first in range(0, len(shown_CHW), step):
        part = shown_CHW[None, first : first + step]
        value_hw, class_hw = F.interpolate(part, size=(height, width), mode="bilinear", align_corners=False)[0].max(0)
        better_hw = value_hw > best_hw
        best_hw = torch.where(better_hw, value_hw, best_hw)
        id_hw = torch.where(better_hw, (class_hw + first).to(torch.uint8), id_hw)
    return id_hw
