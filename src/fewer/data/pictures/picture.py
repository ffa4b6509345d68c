"""The content that a store keeps of one image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import simplejpeg

from fewer.data.decode.decode import Damaged, decode_whole
from fewer.data.decode.jpeg import begins_jpeg, largest_fraction
from fewer.data.decode.resize import Pixels, fitted
from fewer.data.pictures.layout import Form, Kind

_QUALITY, _SUBSAMPLING = 90, "420"
_JPEG_SIDE_MAX = 65_500  # pixels; longer pictures are kept as pixels


class Kept(NamedTuple):
    """The bytes that are kept of an image, and what they are."""

    payload: bytes | Pixels
    kind: Kind
    width: int = 0
    height: int = 0
    own_width: int = 0
    own_height: int = 0


def kept(raw: bytes | Pixels, side_px: int, form: Form, depth: int) -> Kept:
    """Decodes an image, turns it upright, and makes its shorter side `side_px` where it is longer.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves twice the side, so that the resizing still averages.

    Args:
        raw: The file's bytes, or the pixels themselves.
        side_px: The most pixels that the shorter side has.
        form: "raw": pixels. "jpeg": a JPEG; one that need not be made smaller is kept as it is.
        depth: Bits that the values of 16-bit images have.
    """
    try:
        whole = decode_whole(raw, depth, lambda width, height: largest_fraction(width, height, 2 * side_px))
    except (Damaged, OSError) as error:
        return Kept(str(error).encode(), Kind.DAMAGED)
    picture, shrinks = whole.picture, min(whole.width, whole.height) > side_px
    own = whole.width, whole.height
    if shrinks:
        scale = side_px / min(own)
        picture = fitted(picture, *(max(1, round(length * scale)) for length in own))
    height, width = picture.shape[:2]
    if form == "raw" or max(height, width) > _JPEG_SIDE_MAX:
        kind = Kind.NEW_PIXELS if shrinks or begins_jpeg(raw) else Kind.PIXELS
        return Kept(np.ascontiguousarray(picture), kind, width, height, *own)
    if isinstance(raw, bytes) and begins_jpeg(raw) and not shrinks:
        return Kept(raw, Kind.FILE, width, height, *own)
    pixels = np.ascontiguousarray(picture)
    made = simplejpeg.encode_jpeg(pixels, _QUALITY, "RGB", _SUBSAMPLING)
    return Kept(made, Kind.NEW_JPEG, width, height, *own)
