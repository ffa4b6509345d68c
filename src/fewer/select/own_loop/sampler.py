"""The sampler of a foreign loop's loader: it gives the positions of an epoch's samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, final

from torch.utils.data import Sampler

from fewer.core.errors import UsageError
from fewer.select.own_loop.indexed import asking_dataset, require_positions

if TYPE_CHECKING:
    from fewer.select.own_loop.shard import Shard


@final
class EpochSampler(Sampler[int]):
    """This rank's samples of the current epoch, in the order of training, as far as they have not been observed.

    Args:
        begin: What `set_epoch` does.
        whole_epoch: Samples of this rank in an epoch on everything.

    Attributes:
        shard: This rank's part of the epoch; None between epochs.
        is_drawn: Whether a loader has asked for the epoch's samples.
    """

    def __init__(self, begin: Callable[[int], None], whole_epoch: Callable[[], int]) -> None:
        self._begin, self._whole_epoch = begin, whole_epoch
        self._is_new = self._is_checked = self.is_drawn = False
        self.shard: Shard | None = None
        self._length = 0  # loops ask for it within an epoch, where fewer and fewer are left

    def set_epoch(self, epoch: int) -> None:
        """The same as `Chooser.begin`, for loops that expect a DistributedSampler."""
        self._begin(epoch)

    def deal(self, shard: Shard | None) -> None:
        """Takes over this rank's part of an epoch, or none between epochs."""
        self.shard, self.is_drawn = shard, False
        self.renew()

    def renew(self) -> None:
        """The epoch has begun: it may be empty once, where a loaded state has nothing left of it."""
        self._is_new = True
        self._length = len(self.shard.left()) if self.shard else 0

    def begun(self, call: str) -> Shard:
        """The shard of the epoch that has begun.

        Raises:
            UsageError: None has.
        """
        if self.shard is None:
            raise UsageError(f"{call}: no epoch has begun; call chooser.begin(epoch) before the batches of every epoch")
        return self.shard

    def __iter__(self) -> Iterator[int]:
        left = self.begun("sampler").left()
        if not len(left) and not self._is_new:
            raise UsageError("all samples of this epoch have been observed; call chooser.begin(epoch) before the next")
        self._is_new = False
        ids = left.tolist()
        self._length, self.is_drawn = len(ids), True
        if not self._is_checked:
            require_positions(asking_dataset(), ids[:2])
            self._is_checked = True
        return iter(ids)

    def __len__(self) -> int:
        """How many in all of the epoch, or in what a loop that goes on has left of it.

        Before the first epoch, as many as an epoch on everything has.
        """
        return self._whole_epoch() if self.shard is None else self._length
