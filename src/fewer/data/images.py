"""Batches of images on request, from memory or from files: the `Data` that training loops read.

Wherever pictures are kept, what happens to a batch once it is decoded happens here, so its pixels are the same.

B: samples of the batch. M: rows of a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from fewer.core.frame import Frame
from fewer.core.types import Batch, Request
from fewer.data.annotations.base import Annotations, ClassLabels
from fewer.data.annotations.targets import BoxTargets, MaskTargets, PictureSizes
from fewer.data.augment.pipeline import Augmented
from fewer.data.augment.view import Crops, View
from fewer.data.decode.on_request import DamagedImage
from fewer.data.listing.presence import unusable_masks
from fewer.data.listing.splits import Split, spread
from fewer.data.loader import Loader
from fewer.data.pictures.file import PictureFile
from fewer.data.pictures.sources import StoredSource
from fewer.data.settings import InputSettings, ReadSettings, ViewSettings
from fewer.data.stores.base import Loaded, Store
from fewer.data.stores.decoded import DecodedStore
from fewer.data.stores.files import FileStore
from fewer.data.stores.raw import RawStore

_MOMENTS_BATCH = 256  # images counted at once

Moments = tuple[tuple[float, ...], tuple[float, ...]]


class ImageData:
    """Images of a split with their targets; implements `fewer.core.protocols.Data`.

    Attributes:
        split: Which images.
        mean, std: Of each channel, in units where white is 1; may be set before the first batch.
        counts: What was decoded.
    """

    def __init__(
        self,
        split: Split,
        views: ViewSettings | None = None,
        inputs: InputSettings | None = None,
        reads: ReadSettings | None = None,
        loader: Loader | None = None,
        annotations: Annotations | None = None,
    ) -> None:
        """Decodes nothing yet.

        Args:
            split: Which images.
            views: What training views differ by; nothing if left out.
            inputs: How views become a model's inputs.
            reads: How images are decoded and kept.
            loader: Reads the images from their files for every batch; without it they are kept in memory.
            annotations: What the images are annotated with; what their source has if left out.
        """
        self._views = views or ViewSettings()
        self._inputs = inputs or InputSettings()
        self.split = split
        self.mean, self.std = self._inputs.mean, self._inputs.std
        self._device = torch.device(self._inputs.device)
        self._annotations = annotations or self._own_annotations()
        self._reads = reads or ReadSettings()
        self._store = self._opened(self._reads, loader)
        self.counts = self._store.counts

    def _opened(self, reads: ReadSettings, loader: Loader | None) -> Store:
        split = self.split
        if reads.store is not None:
            split = replace(split, source=StoredSource(split.source, PictureFile(reads.store)))
        if loader is not None:
            return FileStore(split, self._views, loader, reads)
        if self._views.crop is not None:
            return RawStore(split, self._views, reads)
        return DecodedStore(split, reads, self._device, self._views)

    def _own_annotations(self) -> Annotations:
        source = self.split.source
        if source.annotations == "boxes" and source.objects is not None:
            return BoxTargets(source.objects)
        if source.annotations == "masks":
            return MaskTargets(source.read_mask)
        if self._views.aspect is not None:  # nobody has labelled these
            return PictureSizes()
        return ClassLabels(self.split.label_N.to(self._device))

    def __len__(self) -> int:
        return len(self.split)

    def frame(self, side_px: int) -> Frame | None:
        """What whole pictures are fitted to at a side; None where squares are cut out of them."""
        return self._views.frame(side_px)

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        """One batch a request, in order: inputs (B, 3, side, side) normalised, and targets.

        Raises:
            IndexError: A request asks for an id that is not in the split.
            DataError, ResourceError: As for `prepare`.
        """
        for loaded in self._store.stream(map(self._known, requests)):
            yield self._batch(loaded)

    def prepare(self, side_px: int) -> list[DamagedImage]:
        """Does what the first batch at a side would wait for; returns the damaged images known so far.

        In memory that is decoding; from files it is finding out which are damaged, where they are quarantined. Then an
        image whose mask cannot be used is one of them.

        Raises:
            DataError: Damaged images, unless they are quarantined.
            ResourceError: The images do not fit into memory at this side.
        """
        self._store.prepare(side_px)
        damaged, source = list(self._store.damaged), self.split.source
        if self._reads.damaged == "quarantine" and source.annotations == "masks":
            known = {image.id for image in damaged}
            masks = unusable_masks(source, self.split.ids_M.numpy(), self._reads.cache)
            damaged += [image for image in masks if image.id not in known]
        return damaged

    def moments(self, side_px: int, limit: int = 10_000) -> Moments:
        """Mean and standard deviation of each channel over at most `limit` images, in units where white is 1.

        Exact: values are counted, so neither order nor threads can change a bit. Damaged images are left out.
        """
        damaged = {image.id for image in self.prepare(side_px)}
        ids = spread(torch.tensor([i for i in self.split.ids_M.tolist() if i not in damaged]), limit)
        requests = (Request.evaluation(side_px, 0, part) for part in ids.split(_MOMENTS_BATCH))
        count_3V = torch.zeros(3, 256, dtype=torch.int64)
        for loaded in self._store.stream(requests):
            squares = loaded.squares.image_BHWC.index_select(0, loaded.row_B)
            if self._views.aspect is not None:  # what lies around a picture says nothing of it
                view = View(len(squares), side_px, crops=self._crops(loaded))
                squares = squares[~view.empty_BHW.to(squares.device)]
            views = squares.view(-1, 3)
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

    def _batch(self, loaded: Loaded) -> Batch:
        return self.collated(loaded.request, self.augmented(loaded, *self.copied(loaded)))

    def copied(self, loaded: Loaded) -> tuple[Tensor, Tensor]:
        """The first part of making a batch: squares and rows on the device."""
        row_B, images = loaded.row_B, loaded.squares.image_BHWC
        pins = self._inputs.pin_memory
        if pins and not images.is_cuda:  # untested: needs a GPU
            images = images.pin_memory()
        return images.to(self._device, non_blocking=pins), row_B.to(self._device, non_blocking=pins)

    def augmented(self, loaded: Loaded, images_MHWC: Tensor, row_B: Tensor) -> Augmented:
        """The second part: the views of the squares."""
        request, crops = loaded.request, self._crops(loaded)
        return self._views.augment.apply(images_MHWC, row_B, self._views.key(request), request.strength, crops)

    def _crops(self, loaded: Loaded) -> Crops:
        return Crops(loaded.squares.crop_B6, loaded.row_B, self._views.aspect is not None)

    def collated(self, request: Request, shown: Augmented) -> Batch:
        """The last part: normalised inputs in the model's layout, with their targets."""
        frame, views_BHWC, blank_BHW = self._views.frame(request.side_px), shown.views_BHWC, shown.blank_BHW
        if frame is not None:
            views_BHWC = _cut(views_BHWC, frame)
            empty_BHW = _cut(shown.view.empty_BHW, frame).to(views_BHWC.device)
            blank_BHW = empty_BHW if blank_BHW is None else empty_BHW | _cut(blank_BHW, frame)
        inputs = self._normalised(views_BHWC)
        if blank_BHW is not None:
            inputs.masked_fill_(blank_BHW[..., None], 0)
        inputs = inputs.permute(0, 3, 1, 2)
        inputs = inputs if self._inputs.channels_last else inputs.contiguous()
        return Batch(request.ids_B, inputs, self._annotations.targets(request, shown.view, frame))

    def _normalised(self, views_BHWC: Tensor) -> Tensor:
        """(value / 255 - mean) / std, in float32 whatever the output's type."""
        pixels = views_BHWC.shape[1] * views_BHWC.shape[2]
        scale, shift = _per_value(tuple(self.mean), tuple(self.std), pixels, self._device)
        flat = views_BHWC.flatten(1).float().mul_(scale).add_(shift)
        return flat.view(views_BHWC.shape).to(self._inputs.dtype)


def _cut(squares_BSS: Tensor, frame: Frame) -> Tensor:
    """The middle of squares, of a frame's height and width."""
    top, left = (squares_BSS.shape[1] - frame.height_px) // 2, (squares_BSS.shape[2] - frame.width_px) // 2
    return squares_BSS[:, top : top + frame.height_px, left : left + frame.width_px]


@lru_cache(maxsize=4)
def _per_value(
    mean: tuple[float, ...], std: tuple[float, ...], pixels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Factor and summand of every value of an image: whole images make long inner loops, three channels short ones."""
    scale = torch.tensor([1 / (255 * s) for s in std], dtype=torch.float32)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], dtype=torch.float32)
    return scale.repeat(pixels).to(device), shift.repeat(pixels).to(device)
