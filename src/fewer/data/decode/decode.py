"""Bytes of an image file to a square uint8 picture. What cannot be decoded in full is `Damaged`, never guessed.

File contents are untrusted: only the formats listed here are tried (some of Pillow's others start programs), the
header's pixel count is checked before anything is decoded, and truncated files are never padded.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fewer.data.decode import jpeg
from fewer.data.decode.depth import FULL, SIXTEEN_BIT, Values, eight_bit, stored_bits, values_of
from fewer.data.decode.formats import FORMATS, named_format
from fewer.data.decode.resize import Box, centred, resized
from fewer.data.decode.resize import Pixels as Pixels
from fewer.data.decode.stored import Raw, Stored

FractionOf = Callable[[int, int], int]

PIXELS_MAX = 100_000_000
_LYING = (5, 6, 7, 8)  # EXIF orientations in which width and height change places


def _at_full_size(width: int, height: int) -> int:
    return 1


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
            by less than 8 pixels; the square around a whole picture reaches beyond it by far.
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


class Whole(NamedTuple):
    """A whole picture, upright, decoded at 1 / `fraction` of its size.

    Attributes:
        picture: uint8 (height, width, 3), RGB; sides rounded up where the fraction does not divide them.
        pixels: How many pixels were decoded.
        width, height: Of the whole picture, at full size.
        fraction: 1, 2, 4 or 8.
        own_px: Width and height of the image that this was made from, where a store holds it smaller.
    """

    picture: Pixels
    pixels: int
    width: int
    height: int
    fraction: int
    own_px: tuple[int, int] | None = None

    def place(self, box: Box) -> CropBox:
        """Where a part of `picture` lies in the image at its own size."""
        wide, high = self.own_px or (self.width, self.height)
        across, down = self.fraction * wide / self.width, self.fraction * high / self.height
        left, top, right, bottom = box
        return CropBox(wide, high, left * across, top * down, right * across, bottom * down)


def decode(raw: Raw, side_px: int, depth: int = FULL) -> Pixels:
    """The centre square of an image at `side_px`, as (side, side, 3) uint8 RGB; see `decode_square`."""
    return decode_square(raw, side_px, depth).picture


def decode_square(raw: Raw, side_px: int, depth: int = FULL) -> Decoded:
    """Decodes an image, turns it upright (EXIF), makes it RGB and fits it to a square.

    The largest centred square is resized with an antialiased bilinear filter, which is resizing the short side and
    then cropping, in one pass. A JPEG is decoded at 1/2, 1/4 or 1/8 where that keeps its short side >= `side_px`, and
    its square begins at a whole pixel. Transparent pixels are laid over white. Of images with more than 8 bits, the
    values of `depth` bits are scaled.

    Args:
        raw: The file's bytes, the pixels themselves (HW or HWC, uint8), or what a store holds.
        side_px: Height and width wanted.
        depth: Bits that the values of 16-bit images have; see `fewer.data.decode.depth`.

    Raises:
        Damaged: The bytes are no complete image of a known format, or one above 100 megapixels.
    """
    if isinstance(raw, Stored):
        if raw.is_exact:
            return decode_square(raw.content, side_px, depth)
        return square_of(
            decode_whole(raw, depth, lambda wide, high: jpeg.largest_fraction(wide, high, side_px)), side_px
        )
    with _damage_named():
        image = _opened(raw)
        if jpeg.is_jpeg(image):
            return square_of(
                _whole_jpeg(image, raw, lambda wide, high: jpeg.largest_fraction(wide, high, side_px)), side_px
            )
        image.load()
        pixels = image.width * image.height
        image = eight_bit(image, raw, depth)
        _turn(image)
        return Decoded(
            np.asarray(_fitted(_rgb(image), side_px)), pixels, CropBox(*image.size, *centre_box(*image.size))
        )


def decode_whole(raw: Raw, depth: int = FULL, fraction_of: FractionOf = _at_full_size) -> Whole:
    """Decodes a whole image, upright and RGB, from which squares are then cut.

    Args:
        raw: As for `decode_square`.
        depth: As for `decode_square`.
        fraction_of: Of a JPEG, called with the upright picture's width and height: the fraction that it is decoded at.

    Raises:
        Damaged: As for `decode_square`.
    """
    if isinstance(raw, Stored):
        if isinstance(raw.content, bytes):
            return decode_whole(raw.content, depth, fraction_of)._replace(own_px=(raw.width, raw.height))
        height, width = raw.content.shape[:2]
        return Whole(raw.content, width * height, width, height, 1, (raw.width, raw.height))
    with _damage_named():
        image = _opened(raw)
        if jpeg.is_jpeg(image):
            return _whole_jpeg(image, raw, fraction_of)
        image.load()
        pixels = image.width * image.height
        image = eight_bit(image, raw, depth)
        _turn(image)
        return Whole(np.asarray(_rgb(image)), pixels, *image.size, 1)


def _whole_jpeg(image: Image.Image, raw: bytes | Pixels, fraction_of: FractionOf) -> Whole:
    """A JPEG by simplejpeg, or by Pillow where that refuses it."""
    assert isinstance(raw, bytes)
    width, height = image.size
    if jpeg.orientation_of(image) in _LYING:
        width, height = height, width
    fraction = fraction_of(width, height)
    picture = jpeg.decoded(raw, image, fraction)
    if picture is None:
        image.draft(image.mode, (image.width // fraction, image.height // fraction))
        image.load()
        picture = jpeg.upright(np.asarray(_rgb(image)), jpeg.orientation_of(image))
    return Whole(picture, picture.shape[0] * picture.shape[1], width, height, fraction)


def square_of(whole: Whole, side_px: int) -> Decoded:
    """The evaluation view of a picture: its largest centred square on whole pixels of what was decoded."""
    height, width = whole.picture.shape[:2]
    box = centred(width, height)
    return Decoded(resized(whole.picture, box, side_px), whole.pixels, whole.place(box))


def size_px(raw: bytes | Pixels) -> tuple[int, int]:
    """Width and height of the upright picture by its header, in pixels; nothing is decoded.

    Raises:
        Damaged: As for `decode`.
    """
    with _damage_named():
        image = _opened(raw)
        return image.size[::-1] if jpeg.orientation_of(image) in _LYING else image.size


def deep_values(raw: bytes | Pixels) -> Values | None:
    """The values of an image with more than eight bits, as they are stored; None for any other image.

    Raises:
        Damaged: As for `decode`.
    """
    with _damage_named():
        image = _opened(raw)
        if image.mode not in SIXTEEN_BIT and stored_bits(image, raw) <= 8:
            return None
        image.load()
        return values_of(image, raw)


def opened(raw: bytes | Pixels) -> Image.Image:
    """The image as its header states it; nothing is decoded yet.

    Raises:
        Damaged: As for `decode`.
    """
    with _damage_named():
        return _opened(raw)


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    """Makes whatever decoding raises `Damaged`, but for want of memory."""
    try:
        yield
    except (Damaged, MemoryError):
        raise
    except Exception as error:  # hostile bytes make Pillow raise nearly anything: struct.error, IndexError, ...
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


def _turn(image: Image.Image) -> None:
    """Turns an image upright, in place."""
    with contextlib.suppress(Exception):  # broken metadata around sound pixels: taken as upright
        ImageOps.exif_transpose(image, in_place=True)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise Damaged("floating-point pixels have no agreed range; save the image with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


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
