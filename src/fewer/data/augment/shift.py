"""Shift-crop and flip by index: for each sample which rows and which columns to read, straight from the store.

So a batch costs one read of the store, whatever is asked for, and no pixel is interpolated.

B: samples of the batch. H, W: rows and columns of the picture. M: rows of the store.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fewer.core import rng
from fewer.data.augment.key import Key

Padding = Literal["zero", "reflect", "mean"]
Flip = Literal["no", "random", "alternating"]


def flips(flip: Flip, key: Key) -> Tensor | None:
    """Which views are mirrored, bool (B); None if none ever is."""
    if flip == "no":
        return None
    if flip == "random":
        return key.below(2, "flip") == 1
    # the first side does not depend on the epoch
    first_B = rng.uniform(key.ids_B, key.seed, "flip", copy_B=key.copy_B) >= 0.5
    return first_B ^ bool(key.epoch % 2)


def shifts(padding_px: int, key: Key) -> tuple[Tensor, Tensor] | None:
    """Rows and columns that each crop lies off its picture, int64 (B) each; None without padding."""
    if padding_px == 0:
        return None
    down_B, right_B = (key.below(2 * padding_px + 1, purpose) - padding_px for purpose in ("crop_y", "crop_x"))
    return down_B, right_B


def gathered(
    images_MHWC: Tensor,
    row_B: Tensor,
    shift_B: tuple[Tensor, Tensor] | None,
    flip_B: Tensor | None,
    padding: Padding,
) -> Tensor:
    """Shifted, then mirrored pictures of some rows of a store, uint8 (B, H, W, 3)."""
    if shift_B is None and flip_B is None:
        return images_MHWC.index_select(0, row_B)
    side_px, device = images_MHWC.shape[1], images_MHWC.device
    ramp = torch.arange(side_px)
    y_BH = x_BW = ramp.expand(len(row_B), -1)
    if flip_B is not None:
        x_BW = torch.where(flip_B[:, None], ramp.flip(0), ramp)
    if shift_B is not None:
        y_BH, x_BW = y_BH + shift_B[0][:, None], x_BW + shift_B[1][:, None]
    return _read(images_MHWC, row_B, y_BH.to(device), x_BW.to(device), padding)


def mean_colour(images_BHWC: Tensor) -> Tensor:
    """Mean of each channel of each picture, rounded to a whole level, uint8 (B, 1, 1, 3)."""
    pixels = max(images_BHWC.shape[1] * images_BHWC.shape[2], 1)
    total_B3 = images_BHWC.sum((1, 2), keepdim=True)  # int64: the order of summing cannot matter
    return torch.div(total_B3 + pixels // 2, pixels, rounding_mode="floor").to(torch.uint8)


def _read(images_MHWC: Tensor, row_B: Tensor, y_BH: Tensor, x_BW: Tensor, padding: Padding) -> Tensor:
    """Pixel (y, x) of each sample's image for each pixel of its view.

    Whole rows first, then columns: on a CPU five times as fast as one three-index gather of 3-byte pixels.
    """
    (side, channels), batch = images_MHWC.shape[2:], len(row_B)
    inside_y_BH, y_BH = _inside(y_BH, side, padding)
    inside_x_BW, x_BW = _inside(x_BW, side, padding)
    lines = images_MHWC.view(-1, side * channels).index_select(0, (row_B[:, None] * side + y_BH).view(-1))
    byte_BW = (x_BW[:, :, None] * channels + torch.arange(channels, device=x_BW.device)).view(batch, 1, side * channels)
    views = lines.view(batch, side, side * channels).gather(2, byte_BW.expand(-1, side, -1))
    if inside_y_BH is not None and inside_x_BW is not None:
        views *= inside_y_BH[:, :, None]
        views *= inside_x_BW.repeat_interleave(channels, 1)[:, None, :]
    views = views.view(batch, side, side, channels)
    if padding == "mean" and inside_y_BH is not None and inside_x_BW is not None:
        outside_BHW = 1 - inside_y_BH[:, :, None] * inside_x_BW[:, None, :]
        views += outside_BHW[..., None] * mean_colour(images_MHWC.index_select(0, row_B))
    return views


def _inside(place: Tensor, side: int, padding: Padding) -> tuple[Tensor | None, Tensor]:
    """Places brought into [0, side); but for reflection also whether they were, as uint8 0 or 1."""
    if padding == "reflect":  # about the middle of the outermost pixels, as numpy's and torch's "reflect"
        return None, (side - 1) - ((side - 1) - place.abs()).abs()
    inside = place.clamp(0, side - 1)
    return (inside == place).to(torch.uint8), inside
