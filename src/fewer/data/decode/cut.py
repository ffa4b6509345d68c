"""Squares cut out of pictures: what was drawn for a sample, decoded no larger than that needs."""

from __future__ import annotations

from fewer.data.augment.random_resized_crop import Boxes
from fewer.data.decode.decode import Decoded, FractionOf, Whole, decode_whole, square_of
from fewer.data.decode.depth import FULL
from fewer.data.decode.jpeg import largest_fraction
from fewer.data.decode.resize import resized
from fewer.data.decode.stored import Raw


def decode_cut(raw: Raw, boxes: Boxes | None, index: int, side_px: int, depth: int = FULL) -> Decoded:
    """Decodes an image and cuts one sample's square out of it.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where the part that is cut keeps `side_px` either way. Its edges are then moved
    to whole pixels of what was decoded, that is by at most half a pixel of the square.

    Args:
        raw: The file's bytes, the pixels themselves, or what a store holds.
        boxes: What was drawn for the batch; None: the evaluation view, the centre square.
        index: The sample's place in the batch.
        side_px: Height and width wanted.
        depth: Bits that the values of 16-bit images have.

    Raises:
        Damaged: As for `fewer.data.decode.decode.decode_square`.
    """
    whole = decode_whole(raw, depth, fraction_for(boxes, index, side_px))
    return cut_drawn(whole, boxes, index, side_px)


def fraction_for(boxes: Boxes | None, index: int, side_px: int) -> FractionOf:
    """The fraction that a sample's JPEG is decoded at, by the upright picture's width and height.

    It depends on the part that is cut and not on the picture alone: a small part of a large photo needs all its pixels.
    """

    def fraction(width: int, height: int) -> int:
        if boxes is None:
            return largest_fraction(width, height, side_px)
        left, top, right, bottom = boxes.box(index, width, height)
        return largest_fraction(right - left, bottom - top, side_px)

    return fraction


def cut_drawn(whole: Whole, boxes: Boxes | None, index: int, side_px: int) -> Decoded:
    """One sample's square out of a picture that is decoded already, at the fraction that `fraction_for` names."""
    if boxes is None:
        return square_of(whole, side_px)
    n = whole.fraction
    left, top, right, bottom = boxes.box(index, whole.width, whole.height)
    wide, high = _whole(right - left, n), _whole(bottom - top, n)
    height, width = whole.picture.shape[:2]
    x, y = min(_whole(left, n), width - wide), min(_whole(top, n), height - high)
    box = x, y, x + wide, y + high
    return Decoded(resized(whole.picture, box, side_px), whole.pixels, whole.place(box))


def _whole(length_px: int, fraction: int) -> int:
    """A length in pixels of what was decoded, the nearest whole number."""
    return (2 * length_px + fraction) // (2 * fraction)
