"""Scheduled match random dropout (SMRD, arXiv 2505.22342): as many samples as are hard, but drawn at random.

The number of samples with a score below the threshold, as the last look at each left it, is how many an epoch draws
uniformly from all. It is the control for `dbpd`: the same amount without the preference, and the better of the two in
most of its own paper's tables. Costs nothing to decide. `rule = "score_or_wrong"` counts what is wrongly predicted,
too. Neutral at threshold = 1.

`score = "fresh"` is the published code: in each batch the hard samples are counted with the current weights, and as
many drawn from the batch, which costs a forward of everything (the code spends two, in train mode). `published = true`
is another word for it. Published settings: threshold 0.3, one revision epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.config import Flag
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.select.base import InBatchSelector, drawn_uniformly, expects_below, unweighted, weights_of
from fewer.select.method_params import InBatchParams, ScoredParams, ThresholdParams, WeightParams
from fewer.select.sampling import count_of, fair_count, sample_uniformly

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


class SmrdParams(WeightParams, ThresholdParams, ScoredParams):
    """Keys of all methods that draw as many as are hard."""


NEUTRAL = [{"threshold": 1.0}]
EXAMPLES: list[Settings] = [
    {"threshold": 0.11, "published": True},
    {"threshold": 0.11, "score": "fresh", "rule": "score_or_wrong", "weights": "inclusion"},
]


class Params(InBatchParams, SmrdParams):
    method: Literal["smrd"] = "smrd"
    published: Flag = False
    """The same as `score = "fresh"`."""

    @property
    def is_fresh(self) -> bool:
        return self.published or super().is_fresh

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if self.published and self.averages_batches:
            found["score"] = "has no effect with select.published = true, which scores in the batch; leave it out"
        return found


@final
class Smrd(InBatchSelector):
    """Draws as many samples as are hard."""

    def __init__(self, params: SmrdParams, seed: int) -> None:
        super().__init__(params)
        self.params, self.seed = params, seed

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if self.is_fresh:
            return unweighted(pool_ids)
        score_M, right_M = table.score_N[pool_ids], table.right_N[pool_ids]
        if at.share is not None and not score_M.isnan().all():
            count = count_of(at.share, len(pool_ids))
        else:
            count = int(self.params.hard(score_M, right_M).sum())
        return drawn_uniformly(pool_ids, count, self.params, self.seed, "select.smrd", at.epoch)

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, lots = seen_G.ids_B, (self.seed, "select.smrd", at.epoch)
        hard_G = self.params.hard(seen_G.score_B, seen_G.right_B)
        count = int(hard_G.sum()) if at.share is None else fair_count(at.share, ids_G, *lots)
        mask_G = torch.isin(ids_G, sample_uniformly(ids_G, count, *lots))
        weight_G = torch.ones(len(ids_G), dtype=torch.float64)
        weight_G[mask_G] = weights_of(torch.full((count,), count / max(1, len(ids_G))), self.params)
        return KeepMask(mask_G, weight_G)

    def expected(self, at: At) -> Expectation:
        scored = float(self.is_fresh)
        if at.epoch == 0 and not scored:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at, scored)


def build(params: Params, population: Population) -> Smrd:
    return Smrd(params, population.seed)
