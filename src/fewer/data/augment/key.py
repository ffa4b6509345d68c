"""The keys that the random numbers of a batch are drawn by."""

from __future__ import annotations

from dataclasses import dataclass

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

    def below(self, limit: int, purpose: str) -> Tensor:
        """A whole number in [0, limit) for each sample, int64."""
        draw_B = rng.uniform(self.ids_B, self.seed, purpose, self.epoch, copy_B=self.copy_B)
        return (draw_B * limit).long()
