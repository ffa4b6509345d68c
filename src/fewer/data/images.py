"""Batches of images on request, from memory or from files: the `Data` that training loops read.

Wherever pictures are kept, what happens to a batch once it is decoded happens here, so its pixels are the same.

B: samples of the batch. M: rows of a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from fewer.core.types import Batch, Request
from fewer.data.augment import Augment, Key
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.decode.on_request import Counts, DamagedImage, Reader
from fewer.data.listing.splits import Split, spread
from fewer.data.loader import Loader
from fewer.data.stores.decoded import Policy, Progress, Store
from fewer.data.stores.files import FromFiles
from fewer.data.stores.raw import Pictures

_MOMENTS_BATCH = 256  # images counted at once

Moments = tuple[tuple[float, ...], tuple[float, ...]]


class ImageData:
    """Images of a split with their classes; implements `fewer.core.types.Data`.

    Attributes:
        split: Which images.
        mean, std: Of each channel, in units where white is 1; may be set before the first batch.
        counts: What was loaded and decoded.
    """

    def __init__(
        self,
        split: Split,
        *,
        augment: Augment | None = None,
        crop: RandomResizedCrop | None = None,
        seed: int = 0,
        mean: tuple[float, ...] = (0.0, 0.0, 0.0),
        std: tuple[float, ...] = (1.0, 1.0, 1.0),
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = True,
        threads: int = 0,
        damaged: Policy = "error",
        keep_sides: int = 1,
        loader: Loader | None = None,
        pin_memory: bool = False,
        cache: bool = True,
        counts: Counts | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Decodes nothing yet.

        Args:
            split: Which images.
            augment: What training views differ by; nothing if left out.
            crop: How training views are cut out of the whole picture, beforehand; the centre square if left out.
            seed: Seed of augmentation.
            mean: Of each channel, in units where white is 1.
            std: Likewise.
            device: Where the images are kept and batches are made.
            dtype: Of the inputs.
            channels_last: Whether inputs are laid out channels-last (free) or contiguous (one copy more).
            threads: As for `Store`, like all that follow.
            damaged: Whether a damaged image stops the run or is listed.
            keep_sides: How many sides are kept decoded.
            loader: Reads the images anew for every batch; they are kept decoded in memory if left out.
            pin_memory: Whether batches go to the device from page-locked memory, while it computes.
            cache: Whether it is remembered which files are sound (policy "quarantine", with `loader`).
            counts: Where to count.
            on_progress: Called with (images decoded, images in all).
        """
        self.split = split
        self.mean, self.std = mean, std
        self.counts = counts or Counts()
        self._augment = augment or Augment()
        self._seed = seed
        self._device = torch.device(device)
        self._dtype = dtype
        self._channels_last = channels_last
        self._label_N = split.label_N.to(self._device)
        self._pin_memory = pin_memory
        self._reader: Reader
        if loader is not None:
            self._reader = FromFiles(split, crop, loader, seed, damaged, cache, self.counts, on_progress)
        elif crop is not None:
            self._reader = Pictures(split, crop, seed, threads or 1, damaged, self.counts, on_progress)
        else:
            self._reader = Store(
                split,
                device=device,
                threads=threads,
                damaged=damaged,
                keep_sides=keep_sides,
                counts=self.counts,
                on_progress=on_progress,
            )

    def __len__(self) -> int:
        return len(self.split)

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        """One batch a request, in order: inputs (B, 3, side, side) normalised, targets int64 (B).

        Raises:
            IndexError: A request asks for an id that is not in the split.
            DataError, ResourceError: As for `prepare`.
        """
        for request, images, row_B in self._reader.stream(map(self._known, requests)):
            batch = self._batch(request, images, row_B)
            yield batch

    def prepare(self, side_px: int) -> list[DamagedImage]:
        """Does what the first batch at a side would wait for; returns the damaged images known so far.

        In memory that is decoding; from files it is finding out which are damaged, where they are quarantined.

        Raises:
            DataError: Damaged images, unless they are quarantined.
            ResourceError: The images do not fit into memory at this side.
        """
        self._reader.prepare(side_px)
        return list(self._reader.damaged)

    def moments(self, side_px: int, limit: int = 10_000) -> Moments:
        """Mean and standard deviation of each channel over at most `limit` images, in units where white is 1.

        Exact: values are counted, so neither order nor threads can change a bit. Damaged images are left out.
        """
        damaged = {image.id for image in self.prepare(side_px)}
        ids = spread(torch.tensor([i for i in self.split.ids_M.tolist() if i not in damaged]), limit)
        requests = (Request(part, 0, side_px, strength=0.0) for part in ids.split(_MOMENTS_BATCH))
        count_3V = torch.zeros(3, 256, dtype=torch.int64)
        for _, images, row_B in self._reader.stream(requests):
            views = images.index_select(0, row_B).view(-1, 3)
            count_3V += torch.stack([torch.bincount(views[:, c], minlength=256) for c in range(3)]).cpu()
        value = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in range(3):
            count = count_3V[channel]
            mean = float((count * value).sum() / count.sum())
            means.append(mean)
            std = float(((count * (value - mean) ** 2).sum() / count.sum()).sqrt())
            stds.append(std or 1.0)  # a channel that is constant says nothing, but must not divide by zero
        return tuple(means), tuple(stds)

    def _known(self, request: Request) -> Request:
        """A request, once it asks for nothing but images of this split."""
        strange_B = self.split.label_N[request.ids_B] < 0
        if strange_B.any():
            stranger = int(request.ids_B[strange_B][0])
            raise IndexError(f"id {stranger} of {self.split.source.name} is not in this split")
        return request

    def _batch(self, request: Request, images: Tensor, row_B: Tensor) -> Batch:
        if self._pin_memory and not images.is_cuda:  # untested: needs a GPU
            images = images.pin_memory()
        images, row_B = (part.to(self._device, non_blocking=self._pin_memory) for part in (images, row_B))
        key = Key(request.ids_B, self._seed, request.epoch, request.copy_B)
        views_BHWC, cut_BHW, _ = self._augment.apply(images, row_B, key, request.strength)
        inputs = self._normalised(views_BHWC)
        if cut_BHW is not None:
            inputs.masked_fill_(cut_BHW[..., None], 0)
        inputs = inputs.permute(0, 3, 1, 2)
        inputs = inputs if self._channels_last else inputs.contiguous()
        return Batch(request.ids_B, inputs, self._label_N[request.ids_B.to(self._device)])

    def _normalised(self, views_BHWC: Tensor) -> Tensor:
        """(value / 255 - mean) / std, in float32 whatever the output's type."""
        pixels = views_BHWC.shape[1] * views_BHWC.shape[2]
        scale, shift = _per_value(tuple(self.mean), tuple(self.std), pixels, self._device)
        flat = views_BHWC.flatten(1).float().mul_(scale).add_(shift)
        return flat.view(views_BHWC.shape).to(self._dtype)


@lru_cache(maxsize=4)
def _per_value(
    mean: tuple[float, ...], std: tuple[float, ...], pixels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Factor and summand of every value of an image: whole images make long inner loops, three channels short ones."""
    scale = torch.tensor([1 / (255 * s) for s in std], dtype=torch.float32)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], dtype=torch.float32)
    return scale.repeat(pixels).to(device), shift.repeat(pixels).to(device)
