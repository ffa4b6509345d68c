"""Facts of one image, read from its bytes: format, size, whether it decodes, and hashes of its pixels."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass

from PIL import Image

from fewer.data.decode.decode import Damaged, Pixels, decode_whole, opened

_CUT = re.compile(r"truncat|premature|unexpected end|end of (file|data|stream)|not enough (image )?data|no end", re.I)
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_PNG_DEPTH = 24  # byte of a PNG that states bits a channel


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of one image.

    Attributes:
        code, reason: Why it cannot be decoded, as a code of `KINDS`; empty if it can.
        width_px, height_px: Upright.
        format, mode: As Pillow names them; `PIXELS` for a source that holds no files.
        bits: Of one channel as stored.
        frames: Whether there are more than one.
        turned: Whether EXIF says that it is stored rotated or mirrored.
        bytes_hash, pixels_hash: Of the file, and of upright RGB pixels with their size (blake2b, 16 bytes).
        sums, squares: Of the values 0..255 of red, green and blue.
    """

    code: str = ""
    reason: str = ""
    width_px: int = 0
    height_px: int = 0
    format: str = ""
    mode: str = ""
    bits: int = 8
    frames: bool = False
    turned: bool = False
    bytes_hash: bytes = b""
    pixels_hash: bytes = b""
    sums: tuple[int, int, int] = (0, 0, 0)
    squares: tuple[int, int, int] = (0, 0, 0)


def probe(raw: bytes | Pixels) -> ImageFacts:
    """Reads the facts of one image; hostile bytes give a reason, never an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about metadata
        try:
            return _facts(raw)
        except Damaged as error:
            return ImageFacts(_code(error), error.reason)
        except MemoryError:
            return ImageFacts("undecodable", "decoding it needs more memory than there is")


def _facts(raw: bytes | Pixels) -> ImageFacts:
    header = opened(raw)
    frames, turned, bits = _quietly_animated(header), _turned(header), _bits(header, raw)
    image = Image.fromarray(decode_whole(raw)[0])
    pixels = hashlib.blake2b(f"{image.width}x{image.height}".encode(), digest_size=16)
    pixels.update(image.tobytes())
    sums, squares = _moments(image)
    return ImageFacts(
        width_px=image.width,
        height_px=image.height,
        format=header.format or "PIXELS",
        mode=header.mode,
        bits=bits,
        frames=frames,
        turned=turned,
        bytes_hash=hashlib.blake2b(bytes(raw), digest_size=16).digest(),
        pixels_hash=pixels.digest(),
        sums=sums,
        squares=squares,
    )


def _moments(image: Image.Image) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Sums of values and of their squares, by counting: exact, and no copy of the image."""
    counts = image.histogram()
    channels = [counts[start : start + 256] for start in (0, 256, 512)]
    red, green, blue = (sum(n * value for value, n in enumerate(channel)) for channel in channels)
    red2, green2, blue2 = (sum(n * value * value for value, n in enumerate(channel)) for channel in channels)
    return (red, green, blue), (red2, green2, blue2)


def _quietly_animated(header: Image.Image) -> bool:
    """More than one frame or page. The small preview that cameras add to a JPEG (`MPO`) is none."""
    try:
        return header.format != "MPO" and bool(getattr(header, "is_animated", False))
    except Exception:  # a broken second frame: the first is what counts
        return True


def _turned(header: Image.Image) -> bool:
    try:
        return header.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except Exception:  # broken metadata around sound pixels
        return False


def _bits(header: Image.Image, raw: bytes | Pixels) -> int:
    """Bits of one channel as stored; Pillow gives 8-bit pixels for some 16-bit files."""
    if header.format == "PNG" and isinstance(raw, bytes):
        return raw[_PNG_DEPTH]
    if header.format == "TIFF":
        try:
            return int(max(header.tag_v2[_BITS_PER_SAMPLE]))  # type: ignore[attr-defined]
        except Exception:  # the tag may be missing, or hold anything
            return 8
    return 16 if header.mode.startswith("I") else 8


def _code(error: Damaged) -> str:
    if isinstance(error.__cause__, Image.DecompressionBombError) or "megapixels are decoded" in error.reason:
        return "decompression-bomb"
    if error.reason.startswith("the file is empty"):
        return "empty-file"
    if error.reason.startswith("not an image"):
        return "not-an-image"
    return "truncated" if _CUT.search(error.reason) else "undecodable"
