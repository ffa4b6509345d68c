"""Masks laid over a picture in the colours of their classes, and masks as files. H, W: rows and columns of a mask."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from fewer.core.drawing.palette import VOID, palette
from fewer.core.drawing.place import Place

Mask = npt.NDArray[np.uint8]
_STRENGTH = 0.55  # of the colours, beside the picture


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


def mask_png(mask_HW: Mask) -> bytes:
    """A mask as a PNG whose values are the ids, and whose palette shows them in the colours of their classes."""
    image = Image.frombytes("P", (mask_HW.shape[1], mask_HW.shape[0]), np.ascontiguousarray(mask_HW).tobytes())
    image.putpalette(palette())
    out = io.BytesIO()
    image.save(out, "PNG", optimize=False)
    return out.getvalue()
