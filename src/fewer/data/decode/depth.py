"""Bits of a channel: what images of more than eight bits become in bytes.

A file of 16 bits may hold values of 12 alone, as those of X-rays and microscopes do: scaled as 16 they would keep 17
levels of 4,096. So which bits are used is decided once for a whole set, by the range of its images, and kept
with the model.
"""

from __future__ import annotations

import io
import sys
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

Depth = Literal["auto", 8, 10, 12, 14, 16]  # as a recipe asks
Bits = Literal[8, 10, 12, 14, 16]
Values = npt.NDArray[Any]
Raw = bytes | npt.NDArray[np.uint8]  # of a file, or the pixels themselves
FULL: Bits = 16
SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_BITS_PER_SAMPLE = 258
_PNG_DEPTH = 24  # byte of a PNG that states bits a channel
# Pillow reads the upper eight bits of colours; with the order of bytes turned round it reads the lower ones.
_TURNED = {
    "RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16B" if sys.byteorder == "little" else "RGB;16L",
    "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B", "RGBA;16N": "RGBA;16B" if sys.byteorder == "little" else "RGBA;16L",
}  # fmt: skip


def stored_bits(image: Image.Image, raw: Raw) -> int:
    """Bits of one channel as the header states them; Pillow gives 8-bit pixels for some 16-bit files."""
    if image.format == "PNG" and isinstance(raw, bytes):
        return raw[_PNG_DEPTH]
    if image.format == "TIFF":
        try:
            return int(max(image.tag_v2[_BITS_PER_SAMPLE]))  # type: ignore[attr-defined]
        except Exception:  # the tag may be missing, or hold anything
            return 8
    return 16 if image.mode.startswith("I") else 8


def values_of(image: Image.Image, raw: Raw) -> Values | None:
    """The values of an image of 16 bits, (height, width) or (height, width, channels); None for any other.

    Args:
        image: The image, loaded.
        raw: The file's bytes.
    """
    if image.mode in SIXTEEN_BIT:
        return np.asarray(image)
    if not isinstance(raw, bytes) or image.mode not in ("RGB", "RGBA") or stored_bits(image, raw) != 16:
        return None
    lower: Any = Image.open(io.BytesIO(raw), formats=(str(image.format),))
    tiles = []
    for codec, extents, offset, arguments in lower.tile:
        order, *rest = (arguments,) if isinstance(arguments, str) else arguments
        if order not in _TURNED:
            return None
        turned = _TURNED[order]
        tiles.append((codec, extents, offset, (turned, *rest) if rest else turned))
    lower.tile = tiles
    values: Values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(lower)
    return values


def peak_of(values: Values) -> int:
    """The largest value of grey or colour; an alpha channel says nothing of the range."""
    colours = values[..., :-1] if values.ndim == 3 and values.shape[2] in (2, 4) else values
    return int(colours.max(initial=0))


def depth_for(peak: int) -> Bits:
    """The fewest bits that hold a value: 8, 10, 12, 14 or 16."""
    return next((depth for depth in get_args(Bits) if peak < 1 << depth), FULL)


def eight_bit(image: Image.Image, raw: Raw, depth: int) -> Image.Image:
    """A deep image in bytes; any other as it is.

    0 becomes 0, and the largest value of `depth` bits becomes 255; what lies above becomes 255, too. Metadata is kept,
    and the colour that a PNG names as transparent becomes an alpha channel, by the values at full depth.

    Args:
        image: The image, loaded.
        raw: The file's bytes.
        depth: Bits that the values have.
    """
    key = _transparent_colour(image, raw)
    is_kept = depth == FULL and key is None and image.mode not in SIXTEEN_BIT
    values = None if is_kept else values_of(image, raw)
    if values is None:
        return image
    if depth == FULL and image.mode not in SIXTEEN_BIT:
        pixels = np.asarray(image)  # by the upper eight bits, as ever
    else:
        largest = (1 << depth) - 1
        pixels = (values.clip(0, largest) / (largest / 255) + 0.5).astype(np.uint8)
        if image.mode == "RGBA":  # alpha has all its bits, whatever the colours have
            pixels[..., -1] = values[..., -1] >> 8
    if key is not None:
        opaque = (values != key).any(-1) if values.ndim == 3 else values != key
        pixels = np.dstack([pixels, opaque * np.uint8(255)])
    made = Image.fromarray(pixels)
    made.info.update({name: value for name, value in image.info.items() if name != "transparency"})
    return made


def _transparent_colour(image: Image.Image, raw: Raw) -> Any:
    """The colour that a PNG names as transparent, if it does; in Pillow's bytes where it has 2 or 4 bits."""
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(key, int) and raw[_PNG_DEPTH] in (2, 4):
        image.info["transparency"] = key * 255 // ((1 << raw[_PNG_DEPTH]) - 1)
    return key
