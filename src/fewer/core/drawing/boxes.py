"""Boxes with names and scores, drawn on a picture of any size. K: boxes of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from fewer.core.drawing.palette import color_of
from fewer.core.drawing.place import Place
from fewer.core.drawing.plates import draw_plate, name_font, plate_size
from fewer.core.drawing.text import Font, drawable, fitting

_DASH = 4  # widths of a line that a dash is long, and a gap
_MOST = 1000  # boxes of one picture
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Marked:
    """A box to draw.

    Attributes:
        box: Left, top, right and bottom in pixels of the whole picture at its own size.
        number: The class, which gives the colour.
        name: Of the class.
        score: How sure a model is, in [0, 1]; None for an annotation.
        is_dashed: Whether its line is dashed, to tell two kinds of boxes apart.
    """

    box: Corners
    number: int
    name: str
    score: float | None = None
    is_dashed: bool = False


def draw_boxes(picture: Image.Image, boxes: Sequence[Marked], own_px: tuple[float, float] | None = None) -> None:
    """Draws boxes into a picture, the surest on top; in one that is large enough with names and scores.

    Args:
        picture: An RGB picture, changed in place. It shows the whole picture that the boxes belong to, in its middle
            and as large as it fits.
        boxes: What to draw; coordinates that are not finite are left out, those outside are cut.
        own_px: Width and height of the picture at its own size; None: it is drawn at that.
    """
    place = Place.of(picture.size, own_px or picture.size)
    draw = ImageDraw.Draw(picture)
    width_px = max(1, round(min(picture.size) / 180))
    font = name_font(picture.size)
    ordered = sorted(boxes, key=lambda each: -1.0 if each.score is None else each.score)[-_MOST:]
    shown = [(each, corners) for each in ordered if (corners := place.of_box(each.box))]
    for each, corners in shown:
        _outline(draw, corners, color_of(each.number), width_px, each.is_dashed)
    for each, corners in shown if font else ():
        assert font is not None
        _label(draw, each, corners, picture.size, font)


def mark_place(picture: Image.Image, box: Corners, own_px: tuple[float, float]) -> None:
    """Frames a place in white on black, which can be seen on any ground; arguments as for `draw_boxes`."""
    corners = Place.of(picture.size, own_px).of_box(box)
    if corners is None:
        return
    draw = ImageDraw.Draw(picture)
    for color, off, width_px in (((0, 0, 0), 4, 4), ((255, 255, 255), 3, 2)):
        grown = (corners[0] - off, corners[1] - off, corners[2] + off, corners[3] + off)
        draw.rectangle(grown, outline=color, width=width_px)


def _outline(
    draw: ImageDraw.ImageDraw, corners: Corners, color: tuple[int, int, int], width_px: int, is_dashed: bool
) -> None:
    left, top, right, bottom = corners
    if not is_dashed:
        draw.rectangle(corners, outline=color, width=width_px)
        return
    step = 2 * _DASH * width_px
    for first in range(round(left), round(right) + 1, step):
        last = min(first + step // 2, right)
        for y in (top, bottom):
            draw.line((first, y, last, y), color, width_px)
    for first in range(round(top), round(bottom) + 1, step):
        last = min(first + step // 2, bottom)
        for x in (left, right):
            draw.line((x, first, x, last), color, width_px)


def _label(draw: ImageDraw.ImageDraw, each: Marked, corners: Corners, size: tuple[int, int], font: Font) -> None:
    """The name and the score above the box, or within it where there is no room above."""
    left, top, right, _ = corners
    score = "" if each.score is None else f" {min(1.0, max(0.0, each.score)):.2f}"
    room = max(right - left, 6 * font.getbbox("0")[3])
    name = fitting(drawable(each.name, each.number, font), room, font)
    if score and font.getlength(name + score) <= room + font.getlength("0"):
        name += score
    wide, high = plate_size(name, font)
    x = max(0.0, min(left, size[0] - wide))
    y = top - high - 1 if top >= high + 1 else top
    draw_plate(draw, (x, y), name, each.number, font)
