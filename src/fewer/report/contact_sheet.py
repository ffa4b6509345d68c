"""A contact sheet: thumbnails with what a model predicts for each, on one picture."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fewer.core.errors import printable
from fewer.core.types import Caption
from fewer.data.decode.decode import Damaged, decode
from fewer.data.decode.depth import FULL
from fewer.data.listing.files import read_image

SHOWN_MAX = 200
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}

_THUMB, _GAP, _MARGIN, _LINE, _BAR = 144, 16, 24, 18, 4  # px
_COLUMNS_MAX = 14
_INK, _FAINT, _TRACK, _FILL = "#1a1a1a", "#666666", "#e4e4e4", "#2f6db0"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of the sheet.

    Attributes:
        path: Its file.
        draw: Draws on its thumbnail what the model found there, and gives the caption.
        depth: Bits that the values of 16-bit images have.
    """

    path: str
    draw: Callable[[Image.Image], Caption]
    depth: int = FULL


def sheet(tiles: Sequence[Tile], title: str, format: str) -> bytes:
    """Draws a contact sheet.

    Args:
        tiles: What to show; at most `SHOWN_MAX` of them are.
        title: A line above.
        format: "JPEG" or "PNG".

    Returns:
        The picture's bytes. Each thumbnail is the square that the model saw of the image.
    """
    tiles = tiles[:SHOWN_MAX]
    columns = max(4, min(_COLUMNS_MAX, math.ceil(math.sqrt(1.6 * len(tiles)))))
    columns = min(columns, max(1, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    width = max(2 * _MARGIN + columns * (_THUMB + _GAP) - _GAP, 480)
    cell = _THUMB + _BAR + 2 * _LINE + _GAP + 8
    picture = Image.new("RGB", (width, 2 * _MARGIN + 2 * _LINE + rows * cell - _GAP), "white")
    draw = ImageDraw.Draw(picture)
    big = font_of(15)
    draw.text((_MARGIN, _MARGIN - 4), fitting(printable(title), width - 2 * _MARGIN, big), _INK, big)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        _draw(picture, draw, tile, _MARGIN + column * (_THUMB + _GAP), _MARGIN + 2 * _LINE + row * cell)
    out = io.BytesIO()
    picture.save(out, format, **({"quality": 88} if format == "JPEG" else {"optimize": True}))
    return out.getvalue()


@lru_cache(maxsize=4)
def font_of(size_px: int) -> Font:
    """DejaVu Sans, which comes with matplotlib and knows Latin, Greek, Cyrillic and more; else Pillow's own font."""
    package = importlib.util.find_spec("matplotlib")  # not imported: that would take longer than the drawing
    if package is not None and package.origin is not None:
        file = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), size_px)
    return ImageFont.load_default(size_px)


def fitting(text: str, width_px: float, font: Font, keep_end: bool = False) -> str:
    """A text, cut with an ellipsis where it is wider than `width_px`; of a file name the end is the better half."""
    if font.getlength(text) <= width_px:
        return text
    low, high = 0, len(text)  # the most characters that fit
    while low < high:
        middle = (low + high + 1) // 2
        cut = "…" + text[-middle:] if keep_end else text[:middle] + "…"
        low, high = (middle, high) if font.getlength(cut) <= width_px else (low, middle - 1)
    return "…" + text[len(text) - low :] if keep_end else text[:low].rstrip() + "…"


def drawable(label: str, number: int, font: Font) -> str:
    """A name in the characters that the font has; where some are missing, after its number."""
    kept = _in_font(label, font)
    return kept if kept == printable(label) else f"#{number} {' '.join(kept.split())}".rstrip()


def _draw(picture: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    try:
        thumbnail = Image.fromarray(decode(read_image(tile.path), _THUMB, tile.depth))
    except Damaged:  # it could be read a moment ago
        thumbnail = Image.new("RGB", (_THUMB, _THUMB), _TRACK)
    caption = tile.draw(thumbnail)
    picture.paste(thumbnail, (left, top))
    bar = top + _THUMB + 3
    filled = round(_THUMB * min(1.0, max(0.0, caption.share)))
    draw.rectangle((left, bar, left + _THUMB - 1, bar + _BAR - 1), fill=_TRACK)
    if filled:
        draw.rectangle((left, bar, left + filled - 1, bar + _BAR - 1), fill=_FILL)
    font, small = font_of(13), font_of(10)
    percent = f"{caption.share:.0%}"
    room = _THUMB - font.getlength(percent) - 8
    line = bar + _BAR + 3
    draw.text((left, line), fitting(drawable(caption.label, caption.number, font), room, font), _INK, font)
    draw.text((left + _THUMB, line), percent, _INK, font, anchor="ra")
    name = _in_font("/".join(Path(tile.path).parts[-2:]), small)
    draw.text((left, line + _LINE), fitting(name, _THUMB, small, keep_end=True), _FAINT, small)


def _in_font(text: str, font: Font) -> str:
    return "".join(c for c in printable(text) if _has(font, c))


@lru_cache(maxsize=4096)
def _has(font: Font, character: str) -> bool:
    """Whether the font draws a character otherwise than one that no font has."""
    if character == " ":
        return True
    mask, missing = font.getmask(character), font.getmask("\U0010fffe")
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))
