"""The pictures of a split in memory at their own sizes, for views that are cut out of them anew each time.

B: samples of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from fewer.core.errors import ResourceError
from fewer.core.types import Request
from fewer.data.augment import Key
from fewer.data.augment.random_resized_crop import RandomResizedCrop, cut
from fewer.data.decode.decode import Pixels, decode_whole
from fewer.data.decode.on_request import Counts, DamagedImage, shape
from fewer.data.listing.splits import Split
from fewer.data.stores.decoded import Decoding, Policy, Progress
from fewer.machine.memory import available_bytes

_SPARED_BYTES = 256 << 20  # of memory that decoding leaves free
_CHECKED_IMAGES = 256  # between two looks at the memory that is left


class Pictures:
    """Whole pictures, decoded once, and views cut out of them in threads; a `fewer.data.decode.on_request.Reader`."""

    def __init__(
        self,
        split: Split,
        crop: RandomResizedCrop,
        seed: int = 0,
        threads: int = 1,
        damaged: Policy = "error",
        counts: Counts | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Decodes nothing yet.

        Args:
            split: Which images.
            crop: How views are cut out.
            seed: Seed of the crop.
            threads: That decode and cut.
            damaged: Whether a damaged image stops the run or is listed.
            counts: Where to count.
            on_progress: Called with (images decoded, images in all).
        """
        self.split = split
        self._crop, self._seed = crop, seed
        self._decoding = Decoding(split, threads, damaged, counts or Counts(), on_progress)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._pictures: dict[int, Pixels] = {}  # by id

    @property
    def damaged(self) -> list[DamagedImage]:
        """Images that could not be decoded."""
        return self._decoding.damaged

    def prepare(self, side_px: int) -> None:
        """Decodes all pictures, once, whatever the side.

        Raises:
            DataError: As for `Store.images`.
            ResourceError: The pictures do not fit into the memory that is free.
        """
        if self._pictures:
            return
        ids = self.split.ids_M.tolist()

        def decode(row: int, raw: bytes | Pixels) -> int:
            picture, pixels = decode_whole(raw)
            self._pictures[ids[row]] = np.ascontiguousarray(picture)
            if row % _CHECKED_IMAGES == 0:
                self._check_memory(len(ids))
            return pixels

        self._decoding.all(decode)

    def stream(self, requests: Iterator[Request]) -> Iterator[tuple[Request, Tensor, Tensor]]:
        """For each request: itself, its views, and their rows."""
        for request in requests:
            self.prepare(request.side_px)
            yield request, self._views(request), torch.arange(len(request.ids_B))

    def _views(self, request: Request) -> Tensor:
        key = Key(request.ids_B, self._seed, request.epoch, request.copy_B)
        boxes = self._crop.drawn(key, request.strength)
        views_BHWC = torch.empty(*shape(request), dtype=torch.uint8)
        out, ids = views_BHWC.numpy(), request.ids_B.tolist()

        def one(index: int) -> None:
            picture = self._pictures[ids[index]]
            box = boxes.box(index, picture.shape[1], picture.shape[0]) if boxes else None
            out[index] = cut(picture, box, request.side_px)

        for _ in (self._pool.map if self._pool else map)(one, range(len(ids))):
            pass
        return views_BHWC

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
