"""The images of a split as one uint8 tensor, decoded once for every side that is asked for.

M: ids of the split, and rows of the tensor. N: all ids of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from torch import Tensor

from fewer.core.errors import DataError, ResourceError
from fewer.core.types import Request
from fewer.data.decode.decode import Damaged, Pixels, decode_counted
from fewer.data.decode.on_request import Counts, DamagedImage, Read
from fewer.data.listing.splits import Split
from fewer.machine.device import usable_cores
from fewer.machine.memory import available_bytes

Policy = Literal["error", "quarantine"]
Progress = Callable[[int, int], None]

_CHUNK = 64  # images a thread decodes between two reports of progress
_SHOWN = 10


class Decoding:
    """Decodes all images of a split in threads, counts them, and sees to the damaged ones.

    Attributes:
        damaged: Images that could not be decoded (policy "quarantine").
    """

    def __init__(
        self,
        split: Split,
        threads: int,
        policy: Policy,
        counts: Counts,
        on_progress: Progress | None,
    ) -> None:
        self.damaged: list[DamagedImage] = []
        self._split = split
        self._threads = threads or usable_cores()
        self._policy = policy
        self._counts = counts
        self._on_progress = on_progress
        self._times = 0

    def all(self, decode: Callable[[int, bytes | Pixels], int]) -> None:
        """Calls `decode` with the row and the bytes of every image, from several threads; it returns pixels decoded.

        Raises:
            DataError: Damaged images under the policy "error", or ones that were sound the last time.
        """
        ids = self._split.ids_M.tolist()
        starts = range(0, len(ids), _CHUNK)
        damaged: list[DamagedImage] = []
        done = 0
        with ThreadPoolExecutor(self._threads) as pool:
            for read in pool.map(lambda start: self._chunk(ids[start : start + _CHUNK], start, decode), starts):
                done += read.decoded + len(read.damaged)
                damaged += read.damaged
                self._counts.decoded += read.decoded
                self._counts.decoded_pixels += read.pixels
                if self._on_progress is not None:
                    self._on_progress(done, len(ids))
        if damaged and self._policy == "error":
            raise too_damaged(self._split, damaged)
        listed = {image.id for image in self.damaged}
        if self._times and any(image.id not in listed for image in damaged):
            raise too_damaged(self._split, damaged)  # sound at the first side: training has begun with them
        self._times += 1
        self.damaged += [image for image in damaged if image.id not in listed]

    def _chunk(self, ids: list[int], row: int, decode: Callable[[int, bytes | Pixels], int]) -> Read:
        source, read = self._split.source, Read()
        for offset, id in enumerate(ids):
            try:
                read.pixels += decode(row + offset, source.read(id))
                read.decoded += 1
            except (Damaged, OSError) as error:
                read.damaged.append(DamagedImage(id, source.names[id], str(error)))
        return read


class Store:
    """Decoded images of one split.

    Attributes:
        row_N: Row of every id in the tensors, int64; -1 where the id is not in the split. Those of damaged images
            are zero.
        counts: What was decoded.
    """

    def __init__(
        self,
        split: Split,
        *,
        device: torch.device | str = "cpu",
        threads: int = 0,
        damaged: Policy = "error",
        keep_sides: int = 1,
        counts: Counts | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Decodes nothing yet.

        Args:
            split: Which images.
            device: Where the tensors are kept.
            threads: Decoding threads; 0 for one a core.
            damaged: Whether a damaged image stops the run or is listed.
            keep_sides: How many sides are kept; the one that was not asked for the longest goes first.
            counts: Where to count; a new `Counts` if left out.
            on_progress: Called with (images decoded, images in all) now and then, from the calling thread.
        """
        self.split = split
        self.counts = counts or Counts()
        self.row_N = torch.full((len(split.source),), -1)
        self.row_N[split.ids_M] = torch.arange(len(split))
        self._device = torch.device(device)
        self._keep_sides = keep_sides
        self._decoding = Decoding(split, threads, damaged, self.counts, on_progress)
        self._sides: dict[int, Tensor] = {}  # the least recently used first

    @property
    def damaged(self) -> list[DamagedImage]:
        """Images that could not be decoded."""
        return self._decoding.damaged

    def prepare(self, side_px: int) -> None:
        """Decodes the images at a side; errors as for `images`."""
        self.images(side_px)

    def stream(self, requests: Iterator[Request]) -> Iterator[tuple[Request, Tensor, Tensor]]:
        """For each request: itself, all images at its side, and the rows that it asks for."""
        for request in requests:
            images = self.images(request.side_px)
            yield request, images, self.row_N[request.ids_B].to(images.device)

    def images(self, side_px: int) -> Tensor:
        """All images of the split at a side: uint8 (M, side, side, 3), contiguous; decoded at the first call.

        Raises:
            DataError: Damaged images under the policy "error": how many, and the first ten with reasons.
            ResourceError: The tensor does not fit into the memory that is free.
        """
        if side_px in self._sides:
            self._sides[side_px] = self._sides.pop(side_px)
        else:
            while len(self._sides) >= self._keep_sides:
                del self._sides[next(iter(self._sides))]
            self._sides[side_px] = self._decoded(side_px).to(self._device)
        return self._sides[side_px]

    def _decoded(self, side_px: int) -> Tensor:
        self._check_memory(side_px)
        images = torch.zeros(len(self.split), side_px, side_px, 3, dtype=torch.uint8)
        pixels = images.numpy()

        def decode(row: int, raw: bytes | Pixels) -> int:
            pixels[row], count = decode_counted(raw, side_px)
            return count

        self._decoding.all(decode)
        return images

    def _check_memory(self, side_px: int) -> None:
        needed, free = len(self.split) * side_px * side_px * 3, available_bytes()
        if free is not None and needed > free:
            fits_px = int((free / (len(self.split) * 3)) ** 0.5)
            raise ResourceError(
                f"{self.split.source.name}: {len(self.split):,} images at {side_px} px need {needed / 1e9:.1f} GB of "
                f"memory and {free / 1e9:.1f} GB are free; fix: a side_px of at most {fits_px}, or fewer images"
            )


def too_damaged(split: Split, damaged: list[DamagedImage]) -> DataError:
    """What to say of images that cannot be decoded."""
    shown = "\n".join(f"  {image.name}: {image.reason}" for image in damaged[:_SHOWN])
    more = f"\n  ... and {len(damaged) - _SHOWN:,} more" if len(damaged) > _SHOWN else ""
    return DataError(
        f"{split.source.name}: {len(damaged):,} of {len(split):,} images cannot be decoded:\n{shown}{more}\n"
        f"fix: `fewer data check {split.source.name}` lists them all; remove or replace them, or leave them out with "
        f'data.damaged = "quarantine"'
    )
