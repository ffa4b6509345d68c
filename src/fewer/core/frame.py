"""The frame of a whole picture in a batch: its longer side is that of the stage, its shape that of the data."""

from __future__ import annotations

from typing import NamedTuple

_STEP_PX = 32  # the coarsest grid of the usual backbones


class Frame(NamedTuple):
    """Height and width of what a model sees of a letterboxed picture."""

    height_px: int
    width_px: int

    def scale(self, width: float, height: float) -> float:
        """The factor by which a picture of a size fits into it."""
        return min(self.width_px / width, self.height_px / height)


def frame_of(side_px: int, aspect: float = 1.0) -> Frame:
    """The frame of a side: as wide, or as high, as the side, and whole steps of 32 px the other way.

    The shorter side is rounded up, so that a picture of the data's aspect is as large in it as the side allows.

    Args:
        side_px: Its longer side.
        aspect: Width / height of the data's pictures.
    """
    share = min(aspect, 1 / aspect)
    short_px = min(side_px, -(-round(side_px * share) // _STEP_PX) * _STEP_PX)
    return Frame(short_px, side_px) if aspect >= 1 else Frame(side_px, short_px)
