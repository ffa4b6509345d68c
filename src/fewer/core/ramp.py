"""Image sides that are drawn batch by batch, first mostly small and in the end mostly large: timm's rule.

timm 1.0.31 (`timm.data.ScheduledBatchSampler`, "progressive"): of sides 0, ..., K - 1, an epoch of share p of the stage
draws side k with a probability in proportion to exp(-((k - p (K - 1)) / spread)^2 / 2), but for a part `uniform` of the
batches, in which all sides are as likely. p is 0 in the first epoch and 1 in the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fewer.core import rng


@dataclass(frozen=True, slots=True)
class Ramp:
    """The sides of a stage's batches.

    Attributes:
        sides_px: Heights and widths, ascending.
        spread: Standard deviation of the window of sides, in places of `sides_px`; 0: the nearest side alone.
        uniform: Share of the batches that draw from all sides alike.
        seed: The run's seed.
    """

    sides_px: tuple[int, ...]
    spread: float
    uniform: float
    seed: int

    def shares(self, done: int, epochs: int) -> list[float]:
        """The probability of each side in an epoch of a stage.

        Args:
            done: Epochs of the stage that are over.
            epochs: All epochs of the stage.
        """
        progress = 1.0 if epochs == 1 else min(done / (epochs - 1), 1.0)
        away = [place - progress * (len(self.sides_px) - 1) for place in range(len(self.sides_px))]
        if self.spread:
            window = [math.exp(-0.5 * (each / self.spread) ** 2) for each in away]
        else:
            nearest = min(map(abs, away))
            window = [float(abs(each) == nearest) for each in away]
        return [(1 - self.uniform) * share / sum(window) + self.uniform / len(window) for share in window]

    def drawn(self, shares: Sequence[float], epoch: int, batches: Sequence[int]) -> list[int]:
        """The sides of some batches of an epoch, each drawn by (seed, epoch, its number) alone.

        Args:
            shares: What `shares` gave for the epoch.
            epoch: The epoch of the run.
            batches: Numbers of the batches.
        """
        import torch

        borders = torch.tensor(shares, dtype=torch.float64).cumsum(0)[:-1]
        place_B = torch.bucketize(rng.uniform(torch.tensor(batches), self.seed, "side", epoch), borders, right=True)
        return [self.sides_px[place] for place in place_B.tolist()]
