"""Facts of one image, read from its bytes: format, size, whether it decodes, and hashes of its pixels."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass, replace

from PIL import Image

from fewer.data.decode.decode import Damaged, Pixels, decode_whole, deep_values, opened
from fewer.data.decode.depth import peak_of, stored_bits
from fewer.inspection.looks import look_of

_CUT = re.compile(r"truncat|premature|unexpected end|end of (file|data|stream)|not enough (image )?data|no end", re.I)
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of one image.

    Attributes:
        code, reason: Why it cannot be decoded, as a code of `KINDS`; empty if it can.
        width_px, height_px: Upright.
        format, mode: As Pillow names them; `PIXELS` for a source that holds no files.
        bits: Of one channel as stored.
        peak: Largest value of an image with more than eight bits; 0 for others, and where Pillow reads eight of them.
        frames: Whether there are more than one.
        turned: Whether EXIF says that it is stored rotated or mirrored.
        remarks: What Pillow has to say of its metadata.
        bytes_hash, pixels_hash: Of the file, and of upright RGB pixels with their size (blake2b, 16 bytes); of the
            values themselves where they have more than eight bits.
        look: What it looks like, for finding images that look alike; empty without contrast.
        sums, squares: Of the values 0..255 of red, green and blue.
    """

    code: str = ""
    reason: str = ""
    width_px: int = 0
    height_px: int = 0
    format: str = ""
    mode: str = ""
    bits: int = 8
    peak: int = 0
    frames: bool = False
    turned: bool = False
    remarks: str = ""
    bytes_hash: bytes = b""
    pixels_hash: bytes = b""
    look: bytes = b""
    sums: tuple[int, int, int] = (0, 0, 0)
    squares: tuple[int, int, int] = (0, 0, 0)


def probe(raw: bytes | Pixels) -> ImageFacts:
    """Reads the facts of one image; hostile bytes give a reason, never an error."""
    with warnings.catch_warnings(record=True) as caught:  # of Pillow, about metadata
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there is a limit of our own
        try:
            facts = _facts(raw)
        except Damaged as error:
            return ImageFacts(_code(error), error.reason)
        except MemoryError:
            return ImageFacts("undecodable", "decoding it needs more memory than there is")
    remarks = {" ".join(str(warning.message).split()).rstrip(". ") for warning in caught}
    return replace(facts, remarks="; ".join(sorted(remarks))) if remarks else facts


def _facts(raw: bytes | Pixels) -> ImageFacts:
    header = opened(raw)
    frames, turned, bits = _quietly_animated(header), _turned(header), stored_bits(header, raw)
    image = Image.fromarray(decode_whole(raw).picture)
    pixels = hashlib.blake2b(f"{image.width}x{image.height}".encode(), digest_size=16)
    values = deep_values(raw) if bits > 8 else None
    pixels.update(image.tobytes() if values is None else values.tobytes())
    sums, squares = _moments(image)
    return ImageFacts(
        width_px=image.width,
        height_px=image.height,
        format=header.format or "PIXELS",
        mode=header.mode,
        bits=bits,
        peak=0 if values is None else peak_of(values),
        frames=frames,
        turned=turned,
        bytes_hash=hashlib.blake2b(bytes(raw), digest_size=16).digest(),
        pixels_hash=pixels.digest(),
        look=look_of(image),
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


def _code(error: Damaged) -> str:
    if "megapixels are decoded" in error.reason:
        return "decompression-bomb"
    if error.reason.startswith("the file is empty"):
        return "empty-file"
    if error.reason.startswith(("not an image", "this is ")):
        return "not-an-image"
    return "truncated" if _CUT.search(error.reason) else "undecodable"
