"""One rank's part of an epoch: which samples, how often, with which weights, and what is left of them.

L: entries of this rank. N: all ids. B: samples of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

from fewer.core.errors import UsageError
from fewer.select.epoch import occurrences

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.select.packer import Packed

PADDED = -1  # copy number of an entry that only makes ranks equally long


@final
class Shard:
    """Every `workers`-th sample of an epoch, beginning with the `rank`-th.

    Ranks get equally many, as DistributedDataParallel waits for every rank at every step. Where samples do not come
    out even, the last ranks get the epoch's first sample once more, with weight 0: it is on another rank already.

    Args:
        samples: The epoch's samples, or what is left of them, in the order of training; the same on every rank.
        rank: This process.
        workers: All of them.
        size: Number of ids, N.
    """

    def __init__(self, samples: Packed, rank: int, workers: int, size: int) -> None:
        mine = samples.take(slice(rank, None, workers))
        self.ids_L, copy_L, weight_L = mine.ids_G, mine.copy_G, mine.weight_G
        if len(mine) < -(-len(samples) // workers):
            self.ids_L = torch.cat([self.ids_L, samples.ids_G[:1]])
            copy_L = torch.cat([copy_L, torch.full((1,), PADDED)])
            weight_L = torch.cat([weight_L, torch.zeros(1, dtype=torch.float64)])
        self._by_id = torch.argsort(self.ids_L, stable=True)
        self._nth_L = occurrences(self.ids_L)
        self._copy_S = copy_L[self._by_id]  # S: entries sorted by id
        self._counts_S = self._copy_S != PADDED
        self._listed_N = torch.bincount(self.ids_L, minlength=size)
        self._first_N = self._listed_N.cumsum(0) - self._listed_N
        self._done_N = torch.zeros_like(self._listed_N)
        # A sample listed more than once has one weight for each time: their sum is what counts.
        total_N = torch.zeros(size, dtype=torch.float64).index_add_(0, self.ids_L, weight_L)
        self._weights = {torch.device("cpu"): (total_N / self._listed_N).float()}  # 0 / 0 where it is not listed

    @property
    def padded(self) -> int:
        return int((self._copy_S == PADDED).sum())

    def left(self) -> Tensor:
        """The ids that are still to come, in the order of training."""
        return self.ids_L[self._nth_L >= self._done_N[self.ids_L]]

    def weights(self, ids_B: Tensor) -> Tensor:
        """Loss weights, float32, on the device of the ids; NaN for a sample that is not listed."""
        if ids_B.device not in self._weights:  # untested: needs a GPU
            self._weights[ids_B.device] = self._weights[torch.device("cpu")].to(ids_B.device)
        return self._weights[ids_B.device][ids_B]

    def take(self, ids_B: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Marks samples as done.

        Returns:
            Copy number of each, and whether it counts: padding does not.

        Raises:
            UsageError: A sample is not listed, or not so often.
        """
        entry_B = self._entries(ids_B, epoch)
        self._done_N.index_add_(0, ids_B, torch.ones_like(ids_B))
        return self._copy_S[entry_B], self._counts_S[entry_B]

    def counts(self, ids_B: Tensor, epoch: int) -> Tensor:
        """Whether each sample is more than padding."""
        return self._counts_S[self._entries(ids_B, epoch)]

    def disregard(self, ids_B: Tensor, epoch: int) -> None:
        """Samples that go through the model with weight 0, so that this rank has a batch: they do not count."""
        self._counts_S[self._entries(ids_B, epoch)] = False

    def _entries(self, ids_B: Tensor, epoch: int) -> Tensor:
        """Where the next entry of each sample stands among those sorted by id."""
        nth_B = self._done_N[ids_B] + occurrences(ids_B)
        if (wrong_B := nth_B >= self._listed_N[ids_B]).any():
            found = int(ids_B[wrong_B][0])
            raise UsageError(
                f"sample {found} comes up for the {int(nth_B[wrong_B][0]) + 1}. time, but epoch {epoch} lists it "
                f"{int(self._listed_N[found])} times on this rank; observe each training batch once, use "
                "chooser.sampler in the loader, and call chooser.begin(epoch) before every epoch"
            )
        return self._first_N[ids_B] + nth_B
