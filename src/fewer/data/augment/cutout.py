"""Cutout (DeVries & Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout").

B: samples of the batch. H, W: rows and columns of the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewer.data.augment.key import Key


def square(side_px: int, cut_px: int, key: Key) -> Tensor:
    """Where a square of `cut_px` lies, wholly inside, bool (B, H, W)."""
    top_B, left_B = (key.below(side_px - cut_px + 1, purpose) for purpose in ("cutout_y", "cutout_x"))
    cut_B = torch.full_like(top_B, cut_px)
    return rectangle(side_px, top_B, left_B, cut_B, cut_B)


def rectangle(side_px: int, top_B: Tensor, left_B: Tensor, height_B: Tensor, width_B: Tensor) -> Tensor:
    """Where a rectangle of each picture lies, bool (B, H, W)."""
    ramp = torch.arange(side_px)
    y_BH, x_BW = ramp - top_B[:, None], ramp - left_B[:, None]
    y_BH, x_BW = (y_BH >= 0) & (y_BH < height_B[:, None]), (x_BW >= 0) & (x_BW < width_B[:, None])
    return y_BH[:, :, None] & x_BW[:, None, :]
