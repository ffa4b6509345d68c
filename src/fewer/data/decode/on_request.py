"""Decoding on request, straight from the source, as loader processes do it: they keep nothing.

B: samples of the batch. H, W: the side asked for, twice.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fewer.core.types import Request
from fewer.data.decode.cut import decode_cut
from fewer.data.decode.decode import CropBox, Damaged, Pixels, decode_square
from fewer.data.decode.depth import FULL
from fewer.data.decode.letterbox import decode_letterboxed
from fewer.data.settings import ViewSettings
from fewer.data.sources import Source


@dataclass(frozen=True, slots=True)
class DamagedImage:
    """An image that could not be decoded, and why."""

    id: int
    name: str
    reason: str


@dataclass(slots=True)
class Read:
    """What reading a batch took: images and pixels decoded, and the images that could not be."""

    decoded: int = 0
    pixels: int = 0
    damaged: list[DamagedImage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Squares:
    """Decoded squares and where in their pictures they were cut from.

    Attributes:
        image_BHWC: uint8, contiguous; those of damaged images are zero.
        crop_B6: The fields of `fewer.data.decode.decode.CropBox`, float32, on the CPU.
    """

    image_BHWC: Tensor
    crop_B6: Tensor

    @classmethod
    def empty(cls, images: int, side_px: int) -> Squares:
        """Room for squares, all of which are to be set."""
        return cls(torch.empty(images, side_px, side_px, 3, dtype=torch.uint8), torch.empty(images, 6))

    def set(self, index: int, picture: Pixels, box: CropBox) -> None:
        """Puts a square in its place; may be called from several threads."""
        self.image_BHWC.numpy()[index] = picture
        self.crop_B6.numpy()[index] = box


@dataclass(frozen=True, slots=True)
class SquareReader:
    """Reads the squares that requests ask for: a pure function of the requests.

    Attributes:
        source: Where the images come from.
        views: How squares are cut out.
        depth: Bits that the values of 16-bit images have.
    """

    source: Source
    views: ViewSettings = field(default_factory=ViewSettings)
    depth: int = FULL

    def read(self, request: Request, out: Squares, threads: Executor | None = None) -> Read:
        """Decodes the squares of a request.

        Args:
            request: Which samples, as which view.
            out: Where the squares go.
            threads: Decodes in several threads.
        """
        ids, boxes = request.ids_B.tolist(), self.views.boxes(request)
        frame = self.views.frame(request.side_px)

        def one(index: int) -> int | DamagedImage:
            id, side_px = ids[index], request.side_px
            try:
                raw = self.source.read(id)
                if frame is not None:
                    picture, pixels, box = decode_letterboxed(raw, side_px, frame, self.depth)
                elif self.views.crop is None:
                    picture, pixels, box = decode_square(raw, side_px, self.depth)
                else:
                    picture, pixels, box = decode_cut(raw, boxes, index, side_px, self.depth)
                out.set(index, picture, box)
            except (Damaged, OSError) as error:
                out.image_BHWC[index] = 0
                out.crop_B6[index] = 0
                return DamagedImage(id, self.source.names[id], str(error))
            return pixels

        done = Read()
        for result in (threads.map if threads else map)(one, range(len(ids))):
            if isinstance(result, DamagedImage):
                done.damaged.append(result)
            else:
                done.decoded += 1
                done.pixels += result
        return done

    def read_here(self, request: Request, threads: Executor | None = None) -> tuple[Squares, Read]:
        """The squares of a request in memory of their own."""
        squares = Squares.empty(len(request.ids_B), request.side_px)
        return squares, self.read(request, squares, threads)
