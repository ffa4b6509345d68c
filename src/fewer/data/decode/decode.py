"""Bytes of an image file to a square uint8 picture. What cannot be decoded in full is `Damaged`, never guessed.

File contents are untrusted: only the formats listed here are tried (some of Pillow's others start programs), the
header's pixel count is checked before anything is decoded, and truncated files are never padded.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fewer.data.decode.depth import FULL, SIXTEEN_BIT, Values, eight_bit, stored_bits, values_of
from fewer.data.decode.formats import FORMATS, named_format

Pixels = npt.NDArray[np.uint8]

PIXELS_MAX = 100_000_000
_LYING = (5, 6, 7, 8)  # EXIF orientations in which width and height change places


class Damaged(Exception):
    """An image that cannot be used; `reason` is a phrase for the user."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class CropBox(NamedTuple):
    """The part of an upright picture that a square was cut from, in pixels of the picture at its own size.

    Attributes:
        width, height: Of the whole picture.
        left, top, right, bottom: Of the part. Of a JPEG that was decoded at a fraction, it may reach beyond the picture
            by less than 8 pixels.
    """

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float


class Decoded(NamedTuple):
    """A square picture uint8 (side, side, 3), how many pixels were decoded for it, and where it was cut from."""

    picture: Pixels
    pixels: int
    box: CropBox


def decode(raw: bytes | Pixels, side_px: int, depth: int = FULL) -> Pixels:
    """The centre square of an image at `side_px`, as (side, side, 3) uint8 RGB; see `decode_square`."""
    return decode_square(raw, side_px, depth).picture


def decode_square(raw: bytes | Pixels, side_px: int, depth: int = FULL) -> Decoded:
    """Decodes an image, turns it upright (EXIF), makes it RGB and fits it to a square.

    The largest centred square is resized with an antialiased bilinear filter, which is resizing the short side and
    then cropping, in one pass. A JPEG is decoded at 1/2, 1/4 or 1/8 where that keeps its short side >= `side_px`.
    Transparent pixels are laid over white. Of images with more than 8 bits, the values of `depth` bits are scaled.

    Args:
        raw: The file's bytes, or the pixels themselves (HW or HWC, uint8).
        side_px: Height and width wanted.
        depth: Bits that the values of 16-bit images have; see `fewer.data.decode.depth`.

    Raises:
        Damaged: The bytes are no complete image of a known format, or one above 100 megapixels.
    """
    try:
        image = _opened(raw)
        whole = image.size
        fraction = image.draft(image.mode, (side_px, side_px))
        scale = whole[0] / fraction[1][2] if fraction else 1.0
        image.load()
        pixels = image.width * image.height
        image = eight_bit(image, raw, depth)
        if _upright(image):
            whole = whole[::-1]
        box = CropBox(*whole, *(edge * scale for edge in centre_box(*image.size)))
        return Decoded(np.asarray(_fitted(_rgb(image), side_px)), pixels, box)
    except (Damaged, MemoryError):
        raise
    except Exception as error:  # hostile bytes make Pillow raise nearly anything: struct.error, IndexError, ...
        raise Damaged(_phrase(error)) from error


def decode_whole(raw: bytes | Pixels, depth: int = FULL) -> tuple[Pixels, int]:
    """Decodes a whole image at its full size, upright and RGB; what may be cut out of it is not known yet.

    Returns:
        The picture (height, width, 3), and how many pixels were decoded.

    Raises:
        Damaged: As for `decode_square`.
    """
    try:
        image = _opened(raw)
        image.load()
        pixels = image.width * image.height
        image = eight_bit(image, raw, depth)
        _upright(image)
        return np.asarray(_rgb(image)), pixels
    except (Damaged, MemoryError):
        raise
    except Exception as error:  # as above
        raise Damaged(_phrase(error)) from error


def short_side_px(raw: bytes | Pixels) -> int:
    """The shorter side that the header states, in pixels; nothing is decoded.

    Raises:
        Damaged: As for `decode`.
    """
    try:
        return min(_opened(raw).size)
    except Damaged:
        raise
    except Exception as error:  # as above
        raise Damaged(_phrase(error)) from error


def deep_values(raw: bytes | Pixels) -> Values | None:
    """The values of an image with more than eight bits, as they are stored; None for any other image.

    Raises:
        Damaged: As for `decode`.
    """
    try:
        image = _opened(raw)
        if image.mode not in SIXTEEN_BIT and stored_bits(image, raw) <= 8:
            return None
        image.load()
        return values_of(image, raw)
    except (Damaged, MemoryError):
        raise
    except Exception as error:  # as above
        raise Damaged(_phrase(error)) from error


def opened(raw: bytes | Pixels) -> Image.Image:
    """The image as its header states it; nothing is decoded yet.

    Raises:
        Damaged: As for `decode`.
    """
    try:
        return _opened(raw)
    except (Damaged, MemoryError):
        raise
    except Exception as error:  # as above
        raise Damaged(_phrase(error)) from error


def _opened(raw: bytes | Pixels) -> Image.Image:
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw)
    if not raw:
        raise Damaged("the file is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(raw), formats=FORMATS)
    except UnidentifiedImageError:
        found = named_format(raw)
        what = f"this is {found}" if found else "not an image of a known format"
        raise Damaged(f"{what}; read are {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:  # Pillow's own limit, which is twice the one it warns at
        stated = re.search(r"\d{6,}", str(error))
        raise _too_large(int(stated[0]) if stated else 2 * PIXELS_MAX) from None
    if (pixels := image.width * image.height) > PIXELS_MAX:
        raise _too_large(pixels)
    return image


def _too_large(pixels: int) -> Damaged:
    return Damaged(f"{pixels / 1e6:,.0f} megapixels; at most {PIXELS_MAX / 1e6:,.0f} megapixels are decoded")


def _upright(image: Image.Image) -> bool:
    """Turns an image upright, in place; returns whether its width and height have changed places."""
    with contextlib.suppress(Exception):  # broken metadata around sound pixels: taken as upright
        lay = image.getexif().get(ExifTags.Base.Orientation) in _LYING
        ImageOps.exif_transpose(image, in_place=True)
        return lay
    return False


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise Damaged("floating-point pixels have no agreed range; save the image with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def centre_square(picture: Pixels, side_px: int) -> Pixels:
    """The evaluation view of a whole picture, as `decode` gives it of one that is not decoded at a fraction."""
    return np.asarray(_fitted(Image.fromarray(picture), side_px))


def centre_box(width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest centred square."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _fitted(image: Image.Image, side_px: int) -> Image.Image:
    width, height = image.size
    if width == height == side_px:
        return image
    return image.resize((side_px, side_px), Image.Resampling.BILINEAR, box=centre_box(width, height))


def _phrase(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
