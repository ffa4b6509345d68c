"""The images of a split read anew for every batch, through a loader.

B: samples of the batch. M: ids of the split.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fewer.core.errors import DataError
from fewer.core.types import Request
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.decode import validity
from fewer.data.decode.on_request import Counts, DamagedImage, Read, Views
from fewer.data.listing.splits import Split
from fewer.data.loader import Loader
from fewer.data.stores.decoded import Policy, Progress, too_damaged

_CHECKED_AT_ONCE = 64


class FromFiles:
    """Views read from the source each time; a `fewer.data.decode.on_request.Reader`."""

    def __init__(
        self,
        split: Split,
        crop: RandomResizedCrop | None,
        loader: Loader,
        seed: int = 0,
        damaged: Policy = "error",
        cache: bool = True,
        counts: Counts | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Reads nothing yet; arguments as for `ImageData`."""
        self.damaged: list[DamagedImage] = []
        self._split = split
        self._loader = loader
        self._views = loader.register(Views(split.source, crop, seed))
        self._is_checked = damaged == "error"
        self._cache = cache
        self._counts = counts or Counts()
        self._on_progress = on_progress

    def prepare(self, side_px: int) -> None:
        """Decodes, once, every image that is not known to be sound, so that the damaged ones can be left out."""
        if self._is_checked:
            return
        self._is_checked = True
        known = validity.Verdicts(self._split.source, self._cache)
        open_ids = torch.tensor([i for i in self._split.ids_M.tolist() if not known.is_sound(i)], dtype=torch.int64)
        requests = (Request(ids, 0, side_px, strength=0.0) for ids in open_ids.split(_CHECKED_AT_ONCE))
        done = 0
        for request, _, read in self._loader.stream(self._views, requests if len(open_ids) else ()):
            self._count(read)
            self.damaged += read.damaged
            bad = {image.id for image in read.damaged}
            known.add([i for i in request.ids_B.tolist() if i not in bad])
            done += len(request.ids_B)
            if self._on_progress is not None:
                self._on_progress(done, len(open_ids))
        known.save()

    def stream(self, requests: Iterator[Request]) -> Iterator[tuple[Request, Tensor, Tensor]]:
        """For each request: itself, its views, and their rows.

        Raises:
            DataError: An image is damaged, which under the policy "quarantine" was sound when training began.
            ResourceError: Loader processes die again and again.
        """
        for request, views_BHWC, read in self._loader.stream(self._views, requests):
            self._count(read)
            if read.damaged:
                raise self._damaged(read)
            yield request, views_BHWC, torch.arange(len(request.ids_B))

    def _count(self, read: Read) -> None:
        self._counts.decoded += read.decoded
        self._counts.decoded_pixels += read.pixels

    def _damaged(self, read: Read) -> DataError:
        return too_damaged(self._split, read.damaged)
