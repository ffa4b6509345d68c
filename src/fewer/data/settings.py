"""Settings of reading, of views and of inputs, with which data objects and stores are built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from fewer.core.frame import Frame, frame_of
from fewer.core.types import Request
from fewer.data.augment import Augment, Key
from fewer.data.augment.random_resized_crop import Boxes, RandomResizedCrop
from fewer.data.decode.depth import FULL

Policy = Literal["error", "quarantine"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """What training views differ by.

    Attributes:
        augment: What is done to the squares of a batch.
        crop: How squares are cut out of whole pictures; the centre square if None.
        seed: Seed of both.
        aspect: Width / height of the frames that whole pictures are fitted to; None: squares are cut out of them.
    """

    augment: Augment = field(default_factory=Augment)
    crop: RandomResizedCrop | None = None
    seed: int = 0
    aspect: float | None = None

    def frame(self, side_px: int) -> Frame | None:
        """What pictures of a side are fitted to as a whole; None where squares are cut out of them."""
        return None if self.aspect is None else frame_of(side_px, self.aspect)

    def key(self, request: Request) -> Key:
        """What the randomness of a request's views comes from."""
        return Key(request.ids_B, self.seed, request.epoch, request.copy_B)

    def boxes(self, request: Request) -> Boxes | None:
        """Where a request's squares are cut out; None: in the middle."""
        return self.crop.drawn(self.key(request), request.strength) if self.crop else None


@dataclass(frozen=True, slots=True)
class InputSettings:
    """How views become a model's inputs.

    Attributes:
        mean, std: Of each channel, in units where white is 1.
        device: Where images are kept in memory and batches are made.
        dtype: Of the inputs.
        channels_last: Whether inputs are laid out channels-last (free) or contiguous (one copy more).
        pin_memory: Whether batches go to the device from page-locked memory, while it computes.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    channels_last: bool = True
    pin_memory: bool = False


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How images are decoded and kept.

    Attributes:
        threads: Decoding threads; 0 for one a core.
        damaged: Whether a damaged image stops the run ("error") or is listed ("quarantine").
        keep_sides: In memory: how many sides are kept decoded; the one that was not asked for the longest goes first.
        cache: From files: whether it is remembered which of them are sound (policy "quarantine").
        depth: Bits that the values of 16-bit images have; see `fewer.data.decode.depth`.
        store: A store that the images are read from in place of their files; see `fewer.data.pictures`.
        on_progress: Called with (images decoded, images in all) now and then, from the calling thread.
    """

    threads: int = 0
    damaged: Policy = "error"
    keep_sides: int = 1
    cache: bool = True
    depth: int = FULL
    store: Path | None = None
    on_progress: Progress | None = None

    def report(self, done: int, images: int) -> None:
        """Reports progress, where a listener is given."""
        if self.on_progress is not None:
            self.on_progress(done, images)
