"""The keys that the random numbers of a batch are drawn by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewer.core import rng


@dataclass(frozen=True, slots=True)
class Key:
    """What the random numbers of a batch come from; see `fewer.core.rng`."""

    ids_B: Tensor
    seed: int
    epoch: int
    copy_B: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids_B)

    def uniform(self, purpose: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """A number in [low, high) for each sample, float64, on the CPU."""
        draw_B = rng.uniform(self.ids_B, self.seed, purpose, self.epoch, copy_B=self.copy_B).cpu()
        return draw_B * (high - low) + low

    def numbers(self, count: int, purpose: str) -> Tensor:
        """So many numbers in [0, 1) for each sample, float64 (B, count)."""
        copy_B1 = torch.zeros(len(self), 1, dtype=torch.int64) if self.copy_B is None else self.copy_B[:, None]
        copy_BK = copy_B1 * count + torch.arange(count)
        ids_BK = self.ids_B[:, None].expand(-1, count)
        return rng.uniform(ids_BK, self.seed, purpose, self.epoch, copy_B=copy_BK)

    def below(self, limit: int, purpose: str) -> Tensor:
        """A whole number in [0, limit) for each sample, int64."""
        draw_B = rng.uniform(self.ids_B, self.seed, purpose, self.epoch, copy_B=self.copy_B)
        return (draw_B * limit).long()
