"""The place of a whole picture in a drawing of another size."""

from __future__ import annotations

import math
from typing import NamedTuple


class Place(NamedTuple):
    """Where a picture lies in a drawing: as large as it fits, in the middle.

    Attributes:
        scale_x, scale_y: Pixels of the drawing to one of the picture at its own size.
        left, top, right, bottom: Where it lies, in pixels of the drawing.
    """

    scale_x: float
    scale_y: float
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, drawn_px: tuple[float, float], own_px: tuple[float, float]) -> Place:
        """The place of a picture of width and height `own_px` in a drawing of width and height `drawn_px`.

        Raises:
            ValueError: A side is not positive.
        """
        if min(*drawn_px, *own_px) <= 0:
            raise ValueError(f"a drawing of {drawn_px} px of a picture of {own_px} px: sides must be positive")
        scale = min(drawn_px[0] / own_px[0], drawn_px[1] / own_px[1])
        wide, high = (max(1, round(side * scale)) for side in own_px)
        left, top = round((drawn_px[0] - wide) // 2), round((drawn_px[1] - high) // 2)
        return cls(wide / own_px[0], high / own_px[1], left, top, left + wide, top + high)

    def of_box(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float] | None:
        """A box of the picture as pixels of the drawing, the last ones included; None where it shows nothing of it."""
        if not all(map(math.isfinite, box)):
            return None
        left, right = (self.left + self.scale_x * x for x in (box[0], box[2]))
        top, bottom = (self.top + self.scale_y * y for y in (box[1], box[3]))
        if not (left < right and top < bottom):
            return None
        if left >= self.right or right <= self.left or top >= self.bottom or bottom <= self.top:
            return None
        left, top = max(left, self.left), max(top, self.top)
        right, bottom = min(right, self.right), min(bottom, self.bottom)
        return left, top, max(left, right - 1), max(top, bottom - 1)
