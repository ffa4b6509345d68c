"""A contact sheet: thumbnails with what a model predicts for each, on one picture."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from fewer.core.drawing.legend import draw_legend
from fewer.core.drawing.text import drawable, fitting, font_of, in_font
from fewer.core.errors import printable
from fewer.core.frame import Frame
from fewer.core.types import Caption
from fewer.data.decode.decode import Damaged, decode, decode_whole
from fewer.data.decode.depth import FULL
from fewer.data.decode.letterbox import fraction_for_frame
from fewer.data.listing.files import read_image

SHOWN_MAX = 200
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}

_SQUARE, _WHOLE = 144, 256  # px of a square thumbnail, and of a whole picture, in which something is drawn
_GAP, _MARGIN, _LINE, _BAR = 16, 24, 18, 4  # px
_COLUMNS_MAX = 14
_INK, _FAINT, _TRACK, _FILL = "#1a1a1a", "#666666", "#e4e4e4", "#2f6db0"


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


def sheet(tiles: Sequence[Tile], title: str, format: str, classes: Sequence[str] | None = None) -> bytes:
    """Draws a contact sheet.

    Args:
        tiles: What to show; at most `SHOWN_MAX` of them are.
        title: A line above.
        format: "JPEG" or "PNG".
        classes: Classes for a line with their colours; then thumbnails are larger, and show pictures whole. Left out:
            the squares that a model sees of pictures.

    Returns:
        The picture's bytes.
    """
    tiles = tiles[:SHOWN_MAX]
    columns = max(4, min(_COLUMNS_MAX, math.ceil(math.sqrt(1.6 * len(tiles)))))
    columns = min(columns, max(1, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    side = _SQUARE if classes is None else _WHOLE
    width = max(2 * _MARGIN + columns * (side + _GAP) - _GAP, 480)
    cell = side + _BAR + 2 * _LINE + _GAP + 8
    head = _MARGIN + (2 if classes is None else 3) * _LINE
    picture = Image.new("RGB", (width, head + _MARGIN + rows * cell - _GAP), "white")
    draw = ImageDraw.Draw(picture)
    big = font_of(15)
    draw.text((_MARGIN, _MARGIN - 4), fitting(printable(title), width - 2 * _MARGIN, big), _INK, big)
    if classes is not None:
        draw_legend(draw, (_MARGIN, _MARGIN + _LINE), width - 2 * _MARGIN, classes, font_of(13), _INK)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        corner = _MARGIN + column * (side + _GAP), head + row * cell
        caption, thumbnail = _captioned(tile, side, is_whole=classes is not None)
        picture.paste(thumbnail, corner)
        _write(draw, tile, caption, corner, side)
    out = io.BytesIO()
    picture.save(out, format, **({"quality": 88} if format == "JPEG" else {"optimize": True}))
    return out.getvalue()


def _captioned(tile: Tile, side: int, is_whole: bool) -> tuple[Caption, Image.Image]:
    """The caption and the square thumbnail, with a whole picture in the middle of it, or filled by its own middle."""
    thumbnail = Image.new("RGB", (side, side), _TRACK)
    try:
        if not is_whole:
            thumbnail = Image.fromarray(decode(read_image(tile.path), side, tile.depth))
            return tile.draw(thumbnail), thumbnail
        shown = whole_picture(tile.path, tile.depth, side)
    except Damaged:  # it could be read a moment ago
        return tile.draw(thumbnail), thumbnail
    caption = tile.draw(shown)
    thumbnail.paste(shown, ((side - shown.width) // 2, (side - shown.height) // 2))
    return caption, thumbnail


def whole_picture(path: str, depth: int, side: int = 0) -> Image.Image:
    """A picture as a model sees it, upright and whole.

    Args:
        path: Its file.
        depth: Bits that the values of 16-bit images have.
        side: Of a square that it is to fit into, in pixels; 0: at its own size.

    Raises:
        Damaged: The file cannot be read.
    """
    if not side:
        return Image.fromarray(decode_whole(read_image(path), depth).picture)
    frame = Frame(side, side)
    found = Image.fromarray(decode_whole(read_image(path), depth, fraction_for_frame(frame)).picture)
    scale = frame.scale(*found.size)
    wide, high = (max(1, round(scale * size)) for size in found.size)
    return found.resize((wide, high), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)


def _write(draw: ImageDraw.ImageDraw, tile: Tile, caption: Caption, corner: tuple[int, int], side: int) -> None:
    """Bar, caption and name of the file below a thumbnail."""
    left, top = corner
    bar = top + side + 3
    filled = round(side * min(1.0, max(0.0, caption.share)))
    draw.rectangle((left, bar, left + side - 1, bar + _BAR - 1), fill=_TRACK)
    if filled:
        draw.rectangle((left, bar, left + filled - 1, bar + _BAR - 1), fill=_FILL)
    font, small = font_of(13), font_of(10)
    percent = f"{caption.share:.0%}"
    room = side - font.getlength(percent) - 8
    line = bar + _BAR + 3
    draw.text((left, line), fitting(drawable(caption.label, caption.number, font), room, font), _INK, font)
    draw.text((left + side, line), percent, _INK, font, anchor="ra")
    name = in_font("/".join(Path(tile.path).parts[-2:]), small)
    draw.text((left, line + _LINE), fitting(name, side, small, keep_end=True), _FAINT, small)
