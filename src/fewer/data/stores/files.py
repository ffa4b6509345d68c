"""Images of a split that a loader reads from their files for every batch.

B: samples of the batch. M: ids of the split.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fewer.core.types import Request
from fewer.data.decode.on_request import DamagedImage, SquareReader
from fewer.data.decode.validity import ValidityCache
from fewer.data.listing.splits import Split
from fewer.data.loader import Loader
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.stores.base import Counts, Loaded
from fewer.data.stores.decoding import too_damaged

_CHECKED_AT_ONCE = 64


class FileStore:
    """Squares read from the source each time; a `fewer.data.stores.base.Store`."""

    def __init__(self, split: Split, views: ViewSettings, loader: Loader, reads: ReadSettings | None = None) -> None:
        """Reads nothing yet.

        Args:
            split: Which images.
            views: How squares are cut out.
            loader: Reads them.
            reads: What is done about damaged images.
        """
        self.damaged: list[DamagedImage] = []
        self.counts = Counts()
        self._split, self._loader = split, loader
        self._reads = reads or ReadSettings()
        self._reader = loader.register(SquareReader(split.source, views, self._reads.depth))
        self._is_checked = self._reads.damaged == "error"

    def prepare(self, side_px: int) -> None:
        """Decodes, once, every image that is not known to be sound, so that the damaged ones can be left out."""
        if self._is_checked:
            return
        self._is_checked = True
        known = ValidityCache(self._split.source, self._reads.cache)
        open_ids = torch.tensor([i for i in self._split.ids_M.tolist() if not known.is_sound(i)], dtype=torch.int64)
        requests = (Request.evaluation(side_px, 0, ids) for ids in open_ids.split(_CHECKED_AT_ONCE))
        done = 0
        for request, _, read in self._loader.stream(self._reader, requests if len(open_ids) else ()):
            self.counts.add(read)
            self.damaged += read.damaged
            bad = {image.id for image in read.damaged}
            known.add([i for i in request.ids_B.tolist() if i not in bad])
            done += len(request.ids_B)
            self._reads.report(done, len(open_ids))
        known.save()

    def stream(self, requests: Iterator[Request]) -> Iterator[Loaded]:
        """The squares of each request.

        Raises:
            DataError: An image is damaged, which under the policy "quarantine" was sound when training began.
            ResourceError: Loader processes die again and again.
        """
        for request, squares, read in self._loader.stream(self._reader, requests):
            self.counts.add(read)
            if read.damaged:
                raise too_damaged(self._split, read.damaged)
            yield Loaded(request, squares, torch.arange(len(request.ids_B)))
