"""The images of a split as one uint8 tensor, decoded once for every side that is asked for.

M: ids of the split, and rows of the tensor. N: all ids of the source.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from fewer.data.decode import Damaged, Pixels, decode_counted
from fewer.data.splits import Split
from fewer.errors import DataError, ResourceError

Policy = Literal["error", "quarantine"]
Progress = Callable[[int, int], None]

_CHUNK = 64  # images a thread decodes between two reports of progress
_SHOWN = 10


@dataclass(slots=True)
class Counts:
    """What was done so far, for the ledger.

    Attributes:
        loaded: Samples handed out in batches.
        decoded: Images decoded; once for every side.
        decoded_pixels: Width x height as decoded from the files (a JPEG may be decoded at a fraction), before resizing.
    """

    loaded: int = 0
    decoded: int = 0
    decoded_pixels: int = 0


@dataclass(frozen=True, slots=True)
class DamagedImage:
    """An image that could not be decoded, and why."""

    id: int
    name: str
    reason: str


class Store:
    """Decoded images of one split.

    Attributes:
        row_N: Row of every id in the tensors, int64; -1 where the id is not in the split.
        damaged: Images that could not be decoded (policy "quarantine"); their rows are zero.
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
        self.damaged: list[DamagedImage] = []
        self.row_N = torch.full((len(split.source),), -1)
        self.row_N[split.ids_M] = torch.arange(len(split))
        self._device = torch.device(device)
        self._threads = threads or os.cpu_count() or 1
        self._policy = damaged
        self._keep_sides = keep_sides
        self._on_progress = on_progress
        self._sides_decoded = 0
        self._sides: dict[int, Tensor] = {}  # the least recently used first

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
        ids = self.split.ids_M.tolist()
        chunks = [slice(start, start + _CHUNK) for start in range(0, len(ids), _CHUNK)]
        damaged: list[DamagedImage] = []
        done = 0
        with ThreadPoolExecutor(self._threads) as pool:
            for count, pixel_count, bad in pool.map(lambda at: self._chunk(ids[at], pixels[at], side_px), chunks):
                done += count
                damaged += bad
                self.counts.decoded += count - len(bad)
                self.counts.decoded_pixels += pixel_count
                if self._on_progress is not None:
                    self._on_progress(done, len(ids))
        if damaged and self._policy == "error":
            raise too_damaged(self.split, damaged)
        listed = {image.id for image in self.damaged}
        if self._sides_decoded and any(image.id not in listed for image in damaged):
            raise too_damaged(self.split, damaged)  # sound at the first side: training has begun with them
        self._sides_decoded += 1
        self.damaged += [image for image in damaged if image.id not in listed]
        return images

    def _chunk(self, ids: list[int], out: Pixels, side_px: int) -> tuple[int, int, list[DamagedImage]]:
        """Decodes some images into `out`: how many, pixels decoded, damaged ones."""
        source, pixels, damaged = self.split.source, 0, []
        for row, id in enumerate(ids):
            try:
                out[row], decoded = decode_counted(source.read(id), side_px)
                pixels += decoded
            except (Damaged, OSError) as error:
                damaged.append(DamagedImage(id, source.names[id], str(error)))
        return len(ids), pixels, damaged

    def _check_memory(self, side_px: int) -> None:
        needed, free = len(self.split) * side_px * side_px * 3, available_bytes()
        if free is not None and needed > free:
            fits_px = int((free / (len(self.split) * 3)) ** 0.5)
            raise ResourceError(
                f"{self.split.source.name}: {len(self.split):,} images at {side_px} px need {needed / 1e9:.1f} GB of "
                f"memory and {free / 1e9:.1f} GB are free; fix: a side_px of at most {fits_px}, or fewer images"
            )


def available_bytes() -> int | None:
    """Memory that can be had without swapping, in bytes; None where the system does not say (only Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def too_damaged(split: Split, damaged: list[DamagedImage]) -> DataError:
    """How many images of a split are damaged, and which are the first."""
    shown = "\n".join(f"  {image.name}: {image.reason}" for image in damaged[:_SHOWN])
    more = f"\n  ... and {len(damaged) - _SHOWN:,} more" if len(damaged) > _SHOWN else ""
    return DataError(
        f"{split.source.name}: {len(damaged):,} of {len(split):,} images cannot be decoded:\n{shown}{more}\n"
        f'fix: remove or replace them, or leave them out with data.damaged = "quarantine"'
    )
