"""Names on pictures: a font, and what of a name it can draw in the room that there is."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from fewer.core.errors import printable

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=64)
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
    kept = in_font(label, font)
    return kept if kept == printable(label) else f"#{number} {' '.join(kept.split())}".rstrip()


def in_font(text: str, font: Font) -> str:
    """What of a text the font can draw."""
    return "".join(c for c in printable(text) if _has(font, c))


@lru_cache(maxsize=4096)
def _has(font: Font, character: str) -> bool:
    """Whether the font draws a character otherwise than one that no font has."""
    if character == " ":
        return True
    mask, missing = font.getmask(character), font.getmask("\U0010fffe")
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))
