"""Batches of images on request, from a store in memory: the `Data` that training loops read.

B: samples of the batch. M: rows of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from fewer.data.augment import Augment, Key
from fewer.data.splits import Split, spread
from fewer.data.store import Counts, DamagedImage, Policy, Progress, Store
from fewer.parts import Batch, Request

Moments = tuple[tuple[float, ...], tuple[float, ...]]


class ImageData:
    """Images of a split with their classes; implements `fewer.parts.Data`.

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
        seed: int = 0,
        mean: tuple[float, ...] = (0.0, 0.0, 0.0),
        std: tuple[float, ...] = (1.0, 1.0, 1.0),
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = True,
        threads: int = 0,
        damaged: Policy = "error",
        keep_sides: int = 1,
        counts: Counts | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Decodes nothing yet.

        Args:
            split: Which images.
            augment: What training views differ by; nothing if left out.
            seed: Seed of augmentation.
            mean: Of each channel, in units where white is 1.
            std: Likewise.
            device: Where the images are kept and batches are made.
            dtype: Of the inputs.
            channels_last: Whether inputs are laid out channels-last (free) or contiguous (one copy more).
            threads: As for `Store`, like all that follow.
            damaged: Whether a damaged image stops the run or is listed.
            keep_sides: How many sides are kept decoded.
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
        self._store = Store(
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
        for request in requests:
            batch = self._batch(request)
            self.counts.loaded += len(batch)
            yield batch

    def prepare(self, side_px: int) -> list[DamagedImage]:
        """Decodes a side now rather than at its first batch; returns the damaged images known so far.

        Raises:
            DataError: Damaged images, unless they are quarantined.
            ResourceError: The images do not fit into memory at this side.
        """
        self._store.images(side_px)
        return list(self._store.damaged)

    def moments(self, side_px: int, limit: int = 10_000) -> Moments:
        """Mean and standard deviation of each channel over at most `limit` images, in units where white is 1.

        Exact: values are counted, so neither order nor threads can change a bit. Damaged images are left out.
        """
        damaged = {image.id for image in self.prepare(side_px)}
        ids = spread(torch.tensor([i for i in self.split.ids_M.tolist() if i not in damaged]), limit)
        images = self._store.images(side_px)
        views = images.index_select(0, self._store.row_N[ids].to(images.device)).view(-1, 3)
        value = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in range(3):
            count = torch.bincount(views[:, channel], minlength=256).cpu()
            mean = float((count * value).sum() / count.sum())
            means.append(mean)
            std = float(((count * (value - mean) ** 2).sum() / count.sum()).sqrt())
            stds.append(std or 1.0)  # a channel that is constant says nothing, but must not divide by zero
        return tuple(means), tuple(stds)

    def _batch(self, request: Request) -> Batch:
        images = self._store.images(request.side_px)
        row_B = self._store.row_N[request.ids_B]
        if len(row_B) and int(row_B.min()) < 0:
            stranger = int(request.ids_B[row_B.argmin()])
            raise IndexError(f"id {stranger} of {self.split.source.name} is not in this split")
        key = Key(request.ids_B, self._seed, request.epoch, request.copy_B)
        views_BHWC, cut_BHW = self._augment.apply(images, row_B.to(self._device), key, request.strength)
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
