"""Names in a picture, on plates in the colours of their classes."""

from __future__ import annotations

from PIL import ImageDraw

from fewer.core.drawing.palette import color_of, ink_on
from fewer.core.drawing.text import Font, font_of

_NAMED_FROM_PX = 400  # of a picture's longer side: names in smaller ones would hide what they show


def name_font(size: tuple[int, int]) -> Font | None:
    """The font of names in a picture of this width and height; None where it is too small for them."""
    return font_of(max(11, min(36, round(max(size) / 42)))) if max(size) >= _NAMED_FROM_PX else None


def plate_size(name: str, font: Font) -> tuple[float, float]:
    """Width and height of the plate of a name."""
    return font.getlength(name) + 4, font.getbbox("Åg")[3] + 1


def draw_plate(draw: ImageDraw.ImageDraw, corner: tuple[float, float], name: str, number: int, font: Font) -> None:
    """Draws a name on a plate.

    Args:
        draw: Draws on the picture.
        corner: Left and top of the plate.
        name: What stands on it, drawable.
        number: The class, which gives the colour.
        font: Of the name.
    """
    (x, y), (wide, high), color = corner, plate_size(name, font), color_of(number)
    draw.rectangle((x, y, x + wide, y + high), fill=color)
    draw.text((x + 2, y), name, ink_on(color), font)
