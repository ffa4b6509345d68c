"""JPEGs decoded by simplejpeg (libjpeg-turbo) straight into arrays, whole or at 1/2, 1/4 or 1/8 of their size.

The exact inverse transform and smooth upsampling of colours are asked for, so pixels are those of Pillow's own
libjpeg-turbo, bit for bit. What this decoder refuses is left to Pillow, which decodes it or says what is wrong with it.
"""

from __future__ import annotations

import contextlib

import simplejpeg
from PIL import ExifTags, Image

from fewer.data.decode.resize import Pixels
from fewer.data.decode.stored import Raw, Stored

FRACTIONS = (8, 4, 2)  # others decode slower than whole pictures do
_FORMATS = ("JPEG", "MPO")
_MODES = ("RGB", "L")  # CMYK has no agreed way to RGB but Pillow's


def is_jpeg(image: Image.Image) -> bool:
    """Whether an opened image is a JPEG, and so can be decoded at a fraction."""
    return image.format in _FORMATS


def begins_jpeg(raw: Raw) -> bool:
    """Whether an image's bytes begin as those of a JPEG do."""
    content = raw.content if isinstance(raw, Stored) else raw
    return isinstance(content, bytes) and content.startswith(b"\xff\xd8\xff")


def largest_fraction(width: int, height: int, side_px: int) -> int:
    """The n of the smallest size 1 / n at which a part of so many pixels still has `side_px` either way; 1 if none."""
    return next((n for n in FRACTIONS if min(width, height) // n >= side_px), 1)


def decoded(raw: bytes, image: Image.Image, fraction: int) -> Pixels | None:
    """The upright RGB pixels of a JPEG; None where it is left to Pillow.

    Args:
        raw: The file's bytes.
        image: The same, opened by Pillow, so that the header is known and checked.
        fraction: 1, or one of `FRACTIONS`: sides become so many times smaller, rounded up.

    Returns:
        uint8 (height, width, 3).
    """
    if image.mode not in _MODES:
        return None
    width, height = image.size
    try:
        if simplejpeg.decode_jpeg_header(raw)[:2] != (height, width):
            return None
        picture = simplejpeg.decode_jpeg(
            raw,
            "RGB",
            fastdct=False,
            fastupsample=False,
            min_height=-(-height // fraction),
            min_width=-(-width // fraction),
            strict=True,  # a file that ends early is damaged, never padded
        )
    except ValueError:
        return None
    return upright(picture, orientation_of(image))


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation of an opened JPEG, 1 to 8; 1 if it has none, or if its metadata is broken."""
    if not image.info.keys() & {"exif", "xmp"}:
        return 1
    with contextlib.suppress(Exception):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def upright(picture: Pixels, orientation: int) -> Pixels:
    """A view of a picture as EXIF says that it is looked at."""
    if orientation in (3, 4, 6, 7):
        picture = picture[::-1]
    if orientation in (2, 3, 7, 8):
        picture = picture[:, ::-1]
    return picture.transpose(1, 0, 2) if orientation in (5, 6, 7, 8) else picture
