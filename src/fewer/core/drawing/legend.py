"""Classes and their colours, in a line."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import ImageDraw

from fewer.core.drawing.palette import color_of
from fewer.core.drawing.text import Font, drawable, fitting

_GAP_PX, _NAME_PX = 14, 160  # between two classes; of a name, at most


def draw_legend(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], width_px: int, classes: Sequence[str], font: Font, ink: str
) -> None:
    """Draws as many classes as have room in a line, and an ellipsis for the others.

    Args:
        draw: Draws on the sheet.
        corner: Left and top of the line.
        width_px: Its length.
        classes: Names of the classes, by number.
        font: Of the names.
        ink: Colour of the names.
    """
    (x, y), end, size = corner, corner[0] + width_px, font.getbbox("0")[3]
    for number, label in enumerate(classes):
        name = fitting(drawable(label, number, font), _NAME_PX, font)
        wide = size + 5 + font.getlength(name)
        if x + wide + (_GAP_PX + size if number + 1 < len(classes) else 0) > end:
            draw.text((x, y), "…", ink, font)
            return
        draw.rectangle((x, y + 2, x + size - 1, y + size + 1), fill=color_of(number))
        draw.text((x + size + 5, y), name, ink, font)
        x += round(wide) + _GAP_PX
