"""A share of the images that goes down and up from epoch to epoch, at the same total (PODS, arXiv 2605.14773).

The paper alternates phases of little and of much data under any method, and lets an algorithm choose how long each is.
Here halves of a period are equally long, and what all epochs cost together is met by `Budget`, which solves for the
share that swings. PODS has no published code.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Oscillation:
    """How the share of an epoch differs from the level that it swings about.

    Attributes:
        amplitude: How far it swings, as a part of the level, in [0, 1); 0: it does not.
        period: Epochs from one low to the next, 2 or more.
    """

    amplitude: float = 0.0
    period: int = 2

    @property
    def highest_level(self) -> float:
        """The level at which even the lowest epochs have everything."""
        return 1 / (1 - self.amplitude)

    def share(self, epoch: int, level: float) -> float:
        """The share of an epoch: low in the first half of each period, high in the second; 1 at most.

        The middle epoch of an odd period is at the level itself.
        """
        return min(1.0, level * self._factor(epoch))

    def level(self, epoch: int, share: float) -> float:
        """The lowest level at which an epoch has this share."""
        return share / self._factor(epoch)

    def _factor(self, epoch: int) -> float:
        from_middle = 2 * (epoch % self.period) + 1 - self.period  # in halves of an epoch
        return 1 + ((from_middle > 0) - (from_middle < 0)) * self.amplitude


STEADY = Oscillation()
