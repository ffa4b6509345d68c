"""Augmented views laid out for people."""

from __future__ import annotations

from torch import Tensor


def contact_sheet(views_RCHWC: Tensor, gap_px: int = 2) -> Tensor:
    """Views in a grid, as one picture.

    Args:
        views_RCHWC: R rows of C views each, uint8 (R, C, H, W, 3): say a sample a row, the image itself in the first
            column and its views in some epochs in the others.
        gap_px: White pixels between views and around them.

    Returns:
        uint8 (R * (H + gap_px) + gap_px, C * (W + gap_px) + gap_px, 3), contiguous.
    """
    rows, columns, height, width, channels = views_RCHWC.shape
    sheet = views_RCHWC.new_full((rows, height + gap_px, columns, width + gap_px, channels), 255)
    sheet[:, :height, :, :width] = views_RCHWC.transpose(1, 2)
    sheet = sheet.view(rows * (height + gap_px), columns * (width + gap_px), channels)
    framed = sheet.new_full((sheet.shape[0] + gap_px, sheet.shape[1] + gap_px, channels), 255)
    framed[gap_px:, gap_px:] = sheet
    return framed
