"""Scheduled random dropout (SRD, arXiv 2505.22342): a random share of the samples that shrinks from epoch to epoch.

Epoch e trains on a fresh uniform draw of, under `decay = "exponential"`, gamma^e of the samples; `"inverse_linear"`: 3
/ (e + 3); `"logarithmic"`: ln 3 / ln (e + 3); never less than `least`; the first epoch is 0. It needs no score and no
forward, and what it saves is known beforehand. A curve made for 200 epochs does little in twenty: at
gamma = 0.99 ten epochs cost 9.6. Compare it with `random` at equal cost before believing in its shape. Neutral at
gamma = 1.

Published settings: gamma 0.99 (the tables say 0.95), one revision epoch. The published code truncates within each batch
of 32, which at 0.99 loses 4 % of what 200 epochs would train on, and has no `least`: at 0.95 its batches are empty from
epoch 68 on. This rounds once an epoch. Under `cost` the curve is raised to the power that the cost asks for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, final

from fewer.core.config import Share
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, drawn_uniformly
from fewer.select.method_params import ChoiceParams, OpenShare, WeightParams
from fewer.select.sampling import count_of

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"gamma": 1.0}]


class Params(WeightParams, ChoiceParams):
    method: Literal["srd"] = "srd"
    decay: Literal["exponential", "inverse_linear", "logarithmic"] = "exponential"
    """How the share falls from epoch to epoch."""
    gamma: OpenShare = 0.99
    """`exponential`: factor from one epoch to the next."""
    least: Share = 0.02
    """The share never falls below this."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if self.decay != "exponential":
            found |= self.changed(["gamma"], f'has no effect with select.decay = "{self.decay}"; leave it out')
        elif self.cost is not None and self.gamma == 1:
            found["gamma"] = "is a curve that never falls, whatever select.cost asks for; leave it out"
        return found


@final
class Srd(BaseSelector):
    """Draws a share that follows a curve."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        count = count_of(self._share(at), len(pool_ids))
        return drawn_uniformly(pool_ids, count, self.params, self.seed, "select.srd", at.epoch)

    def expected(self, at: At) -> Expectation:
        return Expectation(self._share(at), self._share(at))

    def _share(self, at: At) -> float:
        share = self._curve(at.epoch)
        if at.share is not None:
            # At 1 all is kept and at 0 as little as can be; the curve keeps its kind in between.
            share = share ** (1 / at.share - 1) if at.share > 0 else 0.0
        return max(self.params.least, share)

    def _curve(self, epoch: int) -> float:
        match self.params.decay:
            case "exponential":
                return float(self.params.gamma**epoch)
            case "inverse_linear":
                return 3 / (epoch + 3)
            case "logarithmic":
                return math.log(3) / math.log(epoch + 3)


def build(params: Params, population: Population) -> Srd:
    return Srd(params, population.seed)
