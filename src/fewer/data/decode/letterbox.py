"""Whole pictures in the middle of a square: resized to fit into a frame, with room around them that shows nothing."""

from __future__ import annotations

import numpy as np

from fewer.core.frame import Frame
from fewer.data.decode.decode import CropBox, Decoded, FractionOf, Whole, decode_whole
from fewer.data.decode.depth import FULL
from fewer.data.decode.jpeg import largest_fraction
from fewer.data.decode.resize import fitted
from fewer.data.decode.stored import Raw


def decode_letterboxed(raw: Raw, side_px: int, frame: Frame, depth: int = FULL) -> Decoded:
    """Decodes an image and puts it, whole, into the middle of a square.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where that is at least as large as it is shown. Sides are rounded to whole
    pixels; the box that comes back says where the square lies in the picture, so it reaches beyond it.

    Args:
        raw: The file's bytes, the pixels themselves, or what a store holds.
        side_px: Height and width of the square.
        frame: What the picture must fit into, no larger than the square.
        depth: Bits that the values of 16-bit images have.

    Raises:
        Damaged: As for `fewer.data.decode.decode.decode_square`.
    """
    return letterboxed(decode_whole(raw, depth, fraction_for_frame(frame)), side_px, frame)


def fraction_for_frame(frame: Frame) -> FractionOf:
    """The fraction that a JPEG is decoded at, by the upright picture's width and height."""

    def fraction(width: int, height: int) -> int:
        wide, high = _shown(width, height, frame)
        return largest_fraction(width, width, wide) if width >= height else largest_fraction(height, height, high)

    return fraction


def letterboxed(whole: Whole, side_px: int, frame: Frame) -> Decoded:
    """A picture that is decoded already, in the middle of a square; arguments as for `decode_letterboxed`."""
    height, width = whole.picture.shape[:2]
    wide, high = _shown(width, height, frame)
    left, top = (side_px - wide) // 2, (side_px - high) // 2
    square = np.zeros((side_px, side_px, 3), np.uint8)
    square[top : top + high, left : left + wide] = fitted(whole.picture, wide, high)
    own_wide, own_high = whole.own_px or (whole.width, whole.height)
    across, down = own_wide / wide, own_high / high
    right, bottom = (side_px - left) * across, (side_px - top) * down
    return Decoded(square, whole.pixels, CropBox(own_wide, own_high, -left * across, -top * down, right, bottom))


def _shown(width: int, height: int, frame: Frame) -> tuple[int, int]:
    """Width and height that a picture is shown at."""
    scale = frame.scale(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))
