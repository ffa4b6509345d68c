"""Bytes of an image file to a square uint8 picture. What cannot be decoded in full is `Damaged`, never guessed.

File contents are untrusted: only the formats listed here are tried (some of Pillow's others start programs), the
header's pixel count is checked before anything is decoded, and truncated files are never padded.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
PIXELS_MAX = 100_000_000
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class Damaged(Exception):
    """An image that cannot be used; `reason` is a phrase for a person."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def decode(raw: bytes | Pixels, side_px: int) -> Pixels:
    """The centre square of an image at `side_px`, as (side, side, 3) uint8 RGB; see `decode_counted`."""
    return decode_counted(raw, side_px)[0]


def decode_counted(raw: bytes | Pixels, side_px: int) -> tuple[Pixels, int]:
    """Decodes an image, turns it upright (EXIF), makes it RGB and fits it to a square.

    The largest centred square is resized with an antialiased bilinear filter, which is resizing the short side and
    then cropping, in one pass. A JPEG is decoded at 1/2, 1/4 or 1/8 where that keeps its short side >= `side_px`.
    Transparent pixels are laid over white. 16-bit grey becomes 8-bit by scale.

    Args:
        raw: The file's bytes, or the pixels themselves (HW or HWC, uint8).
        side_px: Height and width wanted.

    Returns:
        The picture (side, side, 3), and how many pixels were decoded from the file.

    Raises:
        Damaged: The bytes are no complete image of a known format, or one above 100 megapixels.
    """
    try:
        image = _opened(raw)
        image.draft(image.mode, (side_px, side_px))
        image.load()
        pixels = image.width * image.height
        return np.asarray(_fitted(_rgb(_upright(image)), side_px)), pixels
    except (Damaged, MemoryError):
        raise
    except Exception as error:  # hostile bytes make Pillow raise nearly anything: struct.error, IndexError, ...
        raise Damaged(_phrase(error)) from error


def decode_whole(raw: bytes | Pixels) -> tuple[Pixels, int]:
    """Decodes a whole image at its full size, upright and RGB; what may be cut out of it is not known yet.

    Returns:
        The picture (height, width, 3), and how many pixels were decoded.

    Raises:
        Damaged: As for `decode_counted`.
    """
    try:
        image = _opened(raw)
        image.load()
        pixels = image.width * image.height
        return np.asarray(_rgb(_upright(image))), pixels
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
        raise Damaged(f"not an image of a known format ({', '.join(FORMATS)})") from None
    pixels = image.width * image.height
    if pixels > PIXELS_MAX:
        raise Damaged(f"{image.width}x{image.height} pixels; at most {PIXELS_MAX // 1_000_000} megapixels are decoded")
    return image


def _upright(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # broken metadata around sound pixels: taken as upright
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode in _SIXTEEN_BIT:
        return Image.fromarray((np.asarray(image).clip(0, 65535) / 257 + 0.5).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise Damaged("floating-point pixels have no agreed range; save the image with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def centre_square(picture: Pixels, side_px: int) -> Pixels:
    """The evaluation view of a whole picture, as `decode` gives it of one that is not decoded at a fraction."""
    return np.asarray(_fitted(Image.fromarray(picture), side_px))


def _fitted(image: Image.Image, side_px: int) -> Image.Image:
    width, height = image.size
    if width == height == side_px:
        return image
    square = min(width, height)
    left, top = (width - square) / 2, (height - square) / 2
    box = (left, top, left + square, top + square)
    return image.resize((side_px, side_px), Image.Resampling.BILINEAR, box=box)


def _phrase(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
