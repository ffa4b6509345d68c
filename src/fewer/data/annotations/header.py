"""Sizes of images by their headers, and the turns that EXIF asks for; boxes turn with their picture."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, TiffImagePlugin

from fewer.data.decode.formats import FORMATS
from fewer.data.decode.jpeg import orientation_of

_LYING = (5, 6, 7, 8)  # orientations in which width and height change places
Floats = npt.NDArray[np.float64]


class Header(NamedTuple):
    """What an image file states of itself.

    Attributes:
        width, height: Of the pixels as they are stored.
        orientation: EXIF's, 1 to 8.
    """

    width: int
    height: int
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as the picture is looked at."""
        return (self.height, self.width) if self.orientation in _LYING else (self.width, self.height)


def header_of(path: str) -> Header | None:
    """The header of an image file; None where it has none that can be read. No pixel is decoded."""
    with contextlib.suppress(Exception), open(path, "rb") as file:  # hostile bytes make Pillow raise nearly anything
        if os.fstat(file.fileno()).st_size:
            image = Image.open(file, formats=FORMATS)
            size, turn = image.size, orientation_of(image)
            if isinstance(image, TiffImagePlugin.TiffImageFile):  # newer versions of Pillow turn its size themselves
                size = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
                turn = image.getexif().get(ExifTags.Base.Orientation, 1)
            return Header(*size, turn if turn in range(1, 9) else 1)
    return None


def turned(box_K4: Floats, header: Header) -> Floats:
    """Boxes of the picture as it is stored, made boxes of the upright one.

    Args:
        box_K4: Left, top, right and bottom.
        header: Of the image.
    """
    left, top, right, bottom = box_K4.T
    wide, high = header.width, header.height
    match header.orientation:
        case 2:
            edges = wide - right, top, wide - left, bottom
        case 3:
            edges = wide - right, high - bottom, wide - left, high - top
        case 4:
            edges = left, high - bottom, right, high - top
        case 5:
            edges = top, left, bottom, right
        case 6:
            edges = high - bottom, left, high - top, right
        case 7:
            edges = high - bottom, wide - right, high - top, wide - left
        case 8:
            edges = top, wide - right, bottom, wide - left
        case _:
            edges = left, top, right, bottom
    return np.stack(edges, axis=1)
