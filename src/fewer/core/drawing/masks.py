"""Masks laid over a picture in the colours of their classes, and masks as files. H, W: rows and columns of a mask."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fewer.core.drawing.palette import VOID, palette
from fewer.core.drawing.place import Place
from fewer.core.drawing.plates import draw_plate, name_font, plate_size
from fewer.core.drawing.text import drawable

Mask = npt.NDArray[np.uint8]
_STRENGTH = 0.55  # of the colours, beside the picture
_NAMED_SHARE = 0.003  # of the pixels, from which on a class is named in a picture
_ROWS = 128  # that are looked at for a place, at most


def draw_mask(picture: Image.Image, mask_HW: Mask, strength: float = _STRENGTH) -> None:
    """Lays a mask over a picture; where it is void, the picture stays as it is.

    Args:
        picture: An RGB picture, changed in place. It shows the whole picture that the mask belongs to, in its middle
            and as large as it fits.
        mask_HW: Class ids, 255 where void.
        strength: Share of the colours, in [0, 1].
    """
    place = Place.of(picture.size, (mask_HW.shape[1], mask_HW.shape[0]))
    size, corner = (place.right - place.left, place.bottom - place.top), (place.left, place.top)
    ids = Image.fromarray(mask_HW).resize(size, Image.Resampling.NEAREST)
    share = ids.point([round(255 * strength) if number != VOID else 0 for number in range(256)])
    ids.putpalette(palette())
    picture.paste(ids.convert("RGB"), corner, share)


def name_classes(picture: Image.Image, mask_HW: Mask, classes: Sequence[str]) -> None:
    """Writes the names of the classes of a mask where they are widest; into a picture that is large enough.

    Args:
        picture: As for `draw_mask`.
        mask_HW: Class ids, 255 where void.
        classes: Names of the classes.
    """
    font = name_font(picture.size)
    if font is None:
        return
    place, draw = Place.of(picture.size, (mask_HW.shape[1], mask_HW.shape[0])), ImageDraw.Draw(picture)
    pixels_C = np.bincount(mask_HW.ravel(), minlength=256)[: len(classes)]
    for number in np.flatnonzero(pixels_C >= _NAMED_SHARE * mask_HW.size).tolist():
        name = drawable(classes[number], number, font)
        (wide, high), (x, y) = plate_size(name, font), _widest(mask_HW == number)
        left = place.left + x * place.scale_x - wide / 2
        top = place.top + y * place.scale_y - high / 2
        corner = max(0.0, min(left, picture.width - wide)), max(0.0, min(top, picture.height - high))
        draw_plate(draw, corner, name, number, font)


def _widest(inside_HW: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The middle, x and y, of the longest run of pixels in a row; of some rows, where there are many."""
    step = max(1, inside_HW.shape[0] // _ROWS)
    rows = inside_HW[step // 2 :: step] if inside_HW[step // 2 :: step].any() else inside_HW
    step, first = (step, step // 2) if len(rows) < len(inside_HW) else (1, 0)
    edges = np.diff(np.pad(rows.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    (row, begin), (_, end) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    longest = int(np.argmax(end - begin))
    return (int(begin[longest]) + int(end[longest])) / 2, int(row[longest]) * step + first + 0.5


def mask_png(mask_HW: Mask) -> bytes:
    """A mask as a PNG whose values are the ids, and whose palette shows them in the colours of their classes."""
    image = Image.frombytes("P", (mask_HW.shape[1], mask_HW.shape[0]), np.ascontiguousarray(mask_HW).tobytes())
    image.putpalette(palette())
    out = io.BytesIO()
    image.save(out, "PNG", optimize=False)
    return out.getvalue()
