"""Decoded images of a split in memory: one uint8 tensor for each side, decoded at the first request for it.

M: ids of the split, and rows of the tensor. N: all ids of the source.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fewer.core.errors import ResourceError
from fewer.core.types import Request
from fewer.data.decode.decode import Pixels, decode_square
from fewer.data.decode.letterbox import decode_letterboxed
from fewer.data.decode.on_request import DamagedImage, Squares
from fewer.data.listing.splits import Split
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.stores.base import Loaded
from fewer.data.stores.decoding import Decoding
from fewer.machine.memory import available_bytes


class DecodedStore:
    """Decoded centre squares of one split, all in memory; a `fewer.data.stores.base.Store`.

    Attributes:
        row_N: Row of every id in the tensors, int64; -1 where the id is not in the split. Those of damaged images
            are zero.
        counts: What was decoded.
    """

    def __init__(
        self,
        split: Split,
        reads: ReadSettings | None = None,
        device: torch.device | str = "cpu",
        views: ViewSettings | None = None,
    ) -> None:
        """Decodes nothing yet.

        Args:
            split: Which images.
            reads: How they are decoded.
            device: Where the tensors are kept.
            views: Whether pictures are shown whole.
        """
        self._views = views or ViewSettings()
        self.split = split
        self.row_N = torch.full((len(split.source),), -1)
        self.row_N[split.ids_M] = torch.arange(len(split))
        self._reads = reads or ReadSettings()
        self._device = torch.device(device)
        self._decoding = Decoding(split, self._reads)
        self.counts = self._decoding.counts
        self._sides: dict[int, Squares] = {}  # the least recently used first

    @property
    def damaged(self) -> list[DamagedImage]:
        """Images that could not be decoded."""
        return self._decoding.damaged

    def prepare(self, side_px: int) -> None:
        """Decodes the images at a side; errors as for `squares`."""
        self.squares(side_px)

    def stream(self, requests: Iterator[Request]) -> Iterator[Loaded]:
        """For each request all images at its side, and the rows that it asks for."""
        for request in requests:
            squares = self.squares(request.side_px)
            yield Loaded(request, squares, self.row_N[request.ids_B].to(self._device))

    def squares(self, side_px: int) -> Squares:
        """All images of the split at a side: uint8 (M, side, side, 3), contiguous; decoded at the first call.

        Raises:
            DataError: Damaged images under the policy "error": how many, and the first ten with reasons.
            ResourceError: The tensor does not fit into the memory that is free.
        """
        if side_px in self._sides:
            self._sides[side_px] = self._sides.pop(side_px)
        else:
            while len(self._sides) >= self._reads.keep_sides:
                del self._sides[next(iter(self._sides))]
            self._sides[side_px] = self._decoded(side_px)
        return self._sides[side_px]

    def _decoded(self, side_px: int) -> Squares:
        self._check_memory(side_px)
        images, frame = len(self.split), self._views.frame(side_px)
        squares = Squares(torch.zeros(images, side_px, side_px, 3, dtype=torch.uint8), torch.zeros(images, 6))

        def decode(row: int, raw: bytes | Pixels) -> int:
            if frame is not None:
                picture, pixels, box = decode_letterboxed(raw, side_px, frame, self._reads.depth)
            else:
                picture, pixels, box = decode_square(raw, side_px, self._reads.depth)
            squares.set(row, picture, box)
            return pixels

        self._decoding.all(decode)
        return Squares(squares.image_BHWC.to(self._device), squares.crop_B6)

    def _check_memory(self, side_px: int) -> None:
        needed, free = len(self.split) * side_px * side_px * 3, available_bytes()
        if free is not None and needed > free:
            fits_px = int((free / (len(self.split) * 3)) ** 0.5)
            raise ResourceError(
                f"{self.split.source.name}: {len(self.split):,} images at {side_px} px need {needed / 1e9:.1f} GB of "
                f"memory and {free / 1e9:.1f} GB are free; fix: a side_px of at most {fits_px}, or fewer images"
            )
