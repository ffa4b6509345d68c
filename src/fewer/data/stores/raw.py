"""Whole pictures of a split in memory, at their own sizes; every request cuts new squares out of them.

B: samples of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from fewer.core.errors import ResourceError
from fewer.core.types import Request
from fewer.data.decode.cut import cut_drawn
from fewer.data.decode.decode import Pixels, decode_whole
from fewer.data.decode.on_request import DamagedImage, Squares
from fewer.data.listing.splits import Split
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.stores.base import Loaded
from fewer.data.stores.decoding import Decoding
from fewer.machine.device import usable_cores
from fewer.machine.memory import available_bytes

_SPARED_BYTES = 256 << 20  # of memory that decoding leaves free
_CHECKED_IMAGES = 256  # between two looks at the memory that is left


class RawStore:
    """Whole pictures, decoded once, and squares cut out of them in threads; a `fewer.data.stores.base.Store`."""

    def __init__(self, split: Split, views: ViewSettings, reads: ReadSettings | None = None) -> None:
        """Decodes nothing yet.

        Args:
            split: Which images.
            views: How squares are cut out.
            reads: How pictures are decoded; as many threads cut.
        """
        self.split = split
        self._views = views
        reads = reads or ReadSettings()
        self._depth = reads.depth
        self._decoding = Decoding(split, reads)
        self.counts = self._decoding.counts
        threads = reads.threads or usable_cores()
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._pictures: dict[int, Pixels] = {}  # by id

    @property
    def damaged(self) -> list[DamagedImage]:
        """Images that could not be decoded."""
        return self._decoding.damaged

    def prepare(self, side_px: int) -> None:
        """Decodes all pictures, once, whatever the side.

        Raises:
            DataError: As for `DecodedStore.squares`.
            ResourceError: The pictures do not fit into the memory that is free.
        """
        if self._pictures:
            return
        ids, depth = self.split.ids_M.tolist(), self._depth

        def decode(row: int, raw: bytes | Pixels) -> int:
            picture, pixels = decode_whole(raw, depth)
            self._pictures[ids[row]] = np.ascontiguousarray(picture)
            if row % _CHECKED_IMAGES == 0:
                self._check_memory(len(ids))
            return pixels

        self._decoding.all(decode)

    def stream(self, requests: Iterator[Request]) -> Iterator[Loaded]:
        """The squares of each request."""
        for request in requests:
            self.prepare(request.side_px)
            yield Loaded(request, self._cut(request), torch.arange(len(request.ids_B)))

    def _cut(self, request: Request) -> Squares:
        boxes, ids = self._views.boxes(request), request.ids_B.tolist()
        squares = Squares.empty(len(ids), request.side_px)

        def one(index: int) -> None:
            squares.set(index, *cut_drawn(self._pictures[ids[index]], boxes, index, request.side_px))

        for _ in (self._pool.map if self._pool else map)(one, range(len(ids))):
            pass
        return squares

    def _check_memory(self, images: int) -> None:
        free = available_bytes()
        if free is not None and free < _SPARED_BYTES:
            done = len(self._pictures)
            needed = sum(picture.nbytes for picture in list(self._pictures.values())) / done * images
            self._pictures.clear()
            raise ResourceError(
                f"{self.split.source.name}: {images:,} pictures at full size need about {needed / 1e9:.1f} GB, "
                f'and memory is used up after {done:,}; fix: data.in_memory = "no", or smaller pictures'
            )
