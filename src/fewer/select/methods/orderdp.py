"""OrderDP (ICLR 2026): of a random subset of the samples, those with the highest last losses.

Each epoch draws `subset` of the samples uniformly, and keeps the top `top` of the subset by last loss, so that the
amount is exact and no two epochs prune alike. Costs nothing to decide. The easiest samples of a subset are never kept,
but what is easy in one subset may not be in the next. Prefers wrong labels as every ranking by loss does. Neutral at
subset = top = 1.

Published defaults: subset 0.75, top 0.85; 0.8 and 0.375 keep 30 %. Under `cost` both shrink alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import OpenShare, ScoredParams
from fewer.select.sampling import count_of, sample_uniformly, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"subset": 1.0, "top": 1.0}]


class Params(ScoredParams):
    reads_scored = False
    method: Literal["orderdp"] = "orderdp"
    subset: OpenShare = 0.75
    """Share of the samples that an epoch draws."""
    top: OpenShare = 0.85
    """Share of those that it keeps, the highest losses first."""

    @property
    def favours_hard(self) -> bool:
        return True


@final
class OrderDp(BaseSelector):
    """Keeps the highest losses of a random subset."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        subset, top = self._shares(at)
        drawn = sample_uniformly(pool_ids, count_of(subset, len(pool_ids)), self.seed, "select.orderdp", at.epoch)
        count = count_of(subset * top, len(pool_ids))
        loss_M = table.column("trained", "loss")[drawn]
        return unweighted(top_k(drawn, loss_M, count, self.seed, "select.orderdp.ties", at.epoch))

    def expected(self, at: At) -> Expectation:
        subset, top = self._shares(at)
        return Expectation(subset * top, subset * top)

    def _shares(self, at: At) -> tuple[float, float]:
        subset, top = self.params.subset, self.params.top
        if at.share is None:
            return subset, top
        # A power of both: their product is the share, and their proportion on the logarithmic scale stays.
        product = subset * top
        if product == 1 or at.share <= 0:
            return at.share**0.5, at.share**0.5
        from math import log

        power = log(at.share) / log(product)
        return subset**power, top**power


def build(params: Params, population: Population) -> OrderDp:
    return OrderDp(params, population.seed)
