"""The share of the training images that a stage shows in an epoch: of every class alike, and each image in its turn.

Within its class an image has a place in a random order, and an epoch shows the next images of it; once all have been
shown, a new order begins. So an epoch is an unbiased draw, another one each time, and over epochs all images are seen
equally often. Above one half it is those left out that take turns. A pure function of seed and epoch: nothing is saved.

M: training images. E: epochs. C: classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from fewer.core import rng

if TYPE_CHECKING:
    from torch import Tensor

_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it spread evenly: classes of equal size do not all round up at once
_TINY = 1e-9  # ten epochs of a tenth are a whole, whatever the rounding


def shown_images(images_C: Sequence[int], share_E: Sequence[float]) -> list[int]:
    """How many images each epoch shows.

    Args:
        images_C: Training images of every class.
        share_E: The share that each epoch shows.
    """
    import torch

    if all(share == 1 for share in share_E):
        return [sum(images_C)] * len(share_E)
    size_C = torch.tensor(images_C)
    few_E, left_E = (_stops(size_C, share_E, of_left_out).diff(dim=0).sum(1) for of_left_out in (False, True))
    total = sum(images_C)
    return [
        total - int(left) if share > 0.5 else int(few) for share, few, left in zip(share_E, few_E, left_E, strict=True)
    ]


def least_share(images_C: Sequence[int]) -> float:
    """The smallest share that shows an image of every class in every epoch."""
    return 1 / min((images for images in images_C if images), default=1)


@final
class DataShare:
    """Which images each epoch shows.

    Args:
        ids_M: Ids of the training images.
        label_M: Their classes.
        share_E: The share that each epoch shows.
        seed: The run's seed.
    """

    def __init__(self, ids_M: Tensor, label_M: Tensor, share_E: Sequence[float], seed: int) -> None:
        self.ids_M, self.label_M, self.share_E, self.seed = ids_M, label_M, share_E, seed

    def ids(self, epoch: int) -> Tensor:
        """Ids of the images that an epoch shows, in the order of all."""
        share = self.share_E[epoch]
        if share == 1:
            return self.ids_M
        of_left_out = share > 0.5
        stop_EC = _stops(self.label_M.bincount(), self.share_E, of_left_out)
        is_next_M = self._is_next(stop_EC, epoch, "left_out" if of_left_out else "shown")
        return self.ids_M[~is_next_M if of_left_out else is_next_M]

    def _is_next(self, stop_EC: Tensor, epoch: int, kind: str) -> Tensor:
        """Which images an epoch takes: some places of each class in the endless sequence of orders."""
        size_C = self.label_M.bincount().clamp(min=1)
        first_C, end_C = stop_EC[epoch], stop_EC[epoch + 1]
        lap_C = first_C // size_C
        found = self._places(stop_EC, lap_C, kind) + (lap_C * size_C)[self.label_M]
        is_next_M = (found >= first_C[self.label_M]) & (found < end_C[self.label_M])
        if (end_C > (lap_C + 1) * size_C).any():
            later = self._places(stop_EC, lap_C + 1, kind) + ((lap_C + 1) * size_C)[self.label_M]
            is_next_M |= later < end_C[self.label_M]
        return is_next_M

    def _places(self, stop_EC: Tensor, lap_C: Tensor, kind: str) -> Tensor:
        """Each image's place in its class's order number `lap_C`.

        An epoch that takes the end of one order and the beginning of the next must not take an image twice: what it
        took from the end comes behind what it takes from the beginning.
        """
        import torch

        place_M, label_M = self._drawn(lap_C, kind), self.label_M
        size_C, border_C = label_M.bincount(), lap_C * label_M.bincount()
        crossing_C = (stop_EC <= border_C).sum(0) - 1  # the epoch that begins at the border, or before it
        begin_C = stop_EC.gather(0, crossing_C[None])[0]
        end_C = stop_EC.gather(0, (crossing_C + 1).clamp(max=len(stop_EC) - 1)[None])[0]
        tail_C = (border_C - begin_C) * (lap_C > 0)
        if not tail_C.any():
            return place_M
        before_M = self._drawn((lap_C - 1).clamp(min=0), kind)
        is_taken_M = before_M >= (size_C - tail_C)[label_M]
        rank_M = _ranks(label_M, place_M + is_taken_M * len(label_M))
        is_first_M = ~is_taken_M & (rank_M < (end_C - border_C)[label_M])
        moved_M = torch.where(is_first_M, place_M, place_M + len(label_M))
        return torch.where(tail_C[label_M] > 0, _ranks(label_M, moved_M), place_M)

    def _drawn(self, lap_C: Tensor, kind: str) -> Tensor:
        """Each image's place in a random order of its class."""
        import torch

        lots = rng.shuffled(self.ids_M, self.seed, f"data_share.{kind}", copy_M=lap_C[self.label_M])
        drawn_M = torch.empty_like(lots)
        drawn_M[lots] = torch.arange(len(lots))
        return _ranks(self.label_M, drawn_M)


def _stops(images_C: Tensor, share_E: Sequence[float], of_left_out: bool) -> Tensor:
    """Up to which place of its class's sequence each epoch takes images: int64 (E + 1, C), the first row zero.

    Args:
        images_C: Training images of every class.
        share_E: The share that each epoch shows.
        of_left_out: Of the images that epochs of more than half leave out; else of those that the others show.
    """
    import torch

    steps = [(1 - share if of_left_out else share) * ((share > 0.5) == of_left_out) for share in share_E]
    past_E = torch.tensor([0.0, *steps], dtype=torch.float64).cumsum(0)
    phase_C = (torch.arange(1, len(images_C) + 1, dtype=torch.float64) * _GOLDEN).frac()
    return (past_E[:, None] * images_C + phase_C + _TINY).floor().long()


def _ranks(label_M: Tensor, value_M: Tensor) -> Tensor:
    """Each image's rank within its class by a value, all of which differ."""
    import torch

    order = value_M.argsort()
    order = order[label_M[order].argsort(stable=True)]
    size_C = label_M.bincount()
    rank_M = torch.empty_like(order)
    rank_M[order] = torch.arange(len(order)) - (size_C.cumsum(0) - size_C).repeat_interleave(size_C)
    return rank_M
