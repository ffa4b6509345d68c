"""Whole pictures of a split in memory; every request cuts new squares out of them.

All are decoded at their own sizes before the first batch. A JPEG is decoded at a fraction, too, once a request asks for
a part that needs no more: views are then those that are read from files, pixel by pixel.

B: samples of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from fewer.core.errors import ResourceError
from fewer.core.types import Request
from fewer.data.decode.cut import cut_drawn, fraction_for
from fewer.data.decode.decode import Damaged, FractionOf, Pixels, Whole, decode_whole
from fewer.data.decode.jpeg import begins_jpeg
from fewer.data.decode.on_request import DamagedImage, Read, Squares
from fewer.data.listing.splits import Split
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.stores.base import Loaded
from fewer.data.stores.decoding import Decoding, too_damaged
from fewer.machine.device import usable_cores
from fewer.machine.memory import available_bytes

Item = TypeVar("Item")
Result = TypeVar("Result")

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
        self._pictures: dict[tuple[int, int], Whole] = {}  # by id and fraction
        self._jpegs: set[int] = set()  # ids of what can be decoded at a fraction

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
            self._keep(ids[row], whole := decode_whole(raw, depth))
            if begins_jpeg(raw):
                self._jpegs.add(ids[row])
            if row % _CHECKED_IMAGES == 0:
                self._check_memory(len(ids))
            return whole.pixels

        self._decoding.all(decode)

    def stream(self, requests: Iterator[Request]) -> Iterator[Loaded]:
        """The squares of each request."""
        for request in requests:
            self.prepare(request.side_px)
            yield Loaded(request, self._cut(request), torch.arange(len(request.ids_B)))

    def _cut(self, request: Request) -> Squares:
        boxes, ids = self._views.boxes(request), request.ids_B.tolist()
        squares = Squares.empty(len(ids), request.side_px)
        levels = [self._level(id, fraction_for(boxes, index, request.side_px)) for index, id in enumerate(ids)]
        self._decode_further(set(levels) - self._pictures.keys())

        def one(index: int) -> None:
            found = cut_drawn(self._pictures[levels[index]], boxes, index, request.side_px)
            squares.set(index, found.picture, found.box)

        for _ in self._map(one, range(len(ids))):
            pass
        return squares

    def _level(self, id: int, fraction: FractionOf) -> tuple[int, int]:
        """Which of an image's pictures a square is cut from."""
        if id not in self._jpegs:
            return id, 1
        whole = self._pictures[id, 1]
        return id, fraction(whole.width, whole.height)

    def _decode_further(self, levels: set[tuple[int, int]]) -> None:
        """Decodes JPEGs at fractions at which they are not kept yet."""

        def one(level: tuple[int, int]) -> Read:
            id, fraction = level
            try:
                whole = decode_whole(self.split.source.read(id), self._depth, lambda *_: fraction)
            except (Damaged, OSError) as error:
                return Read(damaged=[DamagedImage(id, self.split.source.names[id], str(error))])
            self._keep(id, whole)
            return Read(1, whole.pixels)

        for read in self._map(one, sorted(levels)):
            if read.damaged:
                raise too_damaged(self.split, read.damaged)
            self.counts.add(read)
        if levels:
            self._check_memory(len(self.split))

    def _keep(self, id: int, whole: Whole) -> None:
        self._pictures[id, whole.fraction] = whole._replace(picture=np.ascontiguousarray(whole.picture))

    def _map(self, one: Callable[[Item], Result], items: Iterable[Item]) -> Iterable[Result]:
        return self._pool.map(one, items) if self._pool else map(one, items)

    def _check_memory(self, images: int) -> None:
        free = available_bytes()
        if free is not None and free < _SPARED_BYTES:
            done = len(self._pictures)
            needed = sum(whole.picture.nbytes for whole in list(self._pictures.values())) / done * images
            self._pictures.clear()
            raise ResourceError(
                f"{self.split.source.name}: {images:,} pictures at full size need about {needed / 1e9:.1f} GB, "
                f'and memory is used up after {done:,}; fix: data.in_memory = "no", or smaller pictures'
            )
