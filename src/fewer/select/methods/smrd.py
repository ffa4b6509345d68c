"""Scheduled match random dropout (SMRD, arXiv 2505.22342): as many samples as are hard, but drawn at random.

The number of samples with a score below the threshold, as the last look at each left it, is how many an epoch draws
uniformly from all. It is the control for `dbpd`: the same amount without the preference, and the better of the two in
most of its own paper's tables. Costs nothing to decide. Neutral at threshold = 1.

`published = true` is the published code: in each batch the hard samples are counted with the current weights, and as
many drawn from the batch, which costs a forward of everything (the code spends two); it is scored in eval mode, in
the code in train mode. Published settings: threshold 0.3, one revision epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer.core.config import Flag
from fewer.core.observation import Observed
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Population, Selection
from fewer.select.base import BaseSelector, drawn_uniformly, expects_below, unweighted, weights_of
from fewer.select.method_params import ScoredParams, WeightParams
from fewer.select.sampling import count_of, fair_count, sample_uniformly

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


class SmrdParams(WeightParams, ScoredParams):
    """Keys of all methods that draw as many as are hard."""

    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Samples with a score below this are counted; 1 keeps all."""


NEUTRAL = [{"threshold": 1.0}]
EXAMPLES: list[Settings] = [{"threshold": 0.11, "published": True}]


class Params(SmrdParams):
    method: Literal["smrd"] = "smrd"
    published: Flag = False
    """Count and draw within each batch, with the current weights."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if self.published and self.refresh_every:
            found["refresh_every"] = "scores again what select.published = true scores in every batch; leave it out"
        return found


@final
class Smrd(BaseSelector):
    """Draws as many samples as are hard."""

    def __init__(self, params: SmrdParams, seed: int) -> None:
        self.params, self.seed = params, seed
        self.is_published = getattr(params, "published", False)
        self.packs = params.batches == "pack"

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if self.is_published:
            return unweighted(pool_ids)
        score_M = table.score_N[pool_ids]
        if at.share is not None and not score_M.isnan().all():
            count = count_of(at.share, len(pool_ids))
        else:
            count = int(self._hard(score_M).sum())
        return drawn_uniformly(pool_ids, count, self.params, self.seed, "select.smrd", at.epoch)

    def in_batch(self, at: At) -> bool:
        return self.is_published

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, lots = seen_G.ids_B, (self.seed, "select.smrd", at.epoch)
        count = int(self._hard(seen_G.score_B).sum()) if at.share is None else fair_count(at.share, ids_G, *lots)
        mask_G = torch.isin(ids_G, sample_uniformly(ids_G, count, *lots))
        weight_G = torch.ones(len(ids_G), dtype=torch.float64)
        weight_G[mask_G] = weights_of(torch.full((count,), count / max(1, len(ids_G))), self.params)
        return KeepMask(mask_G, weight_G)

    def expected(self, at: At) -> Expectation:
        scored = float(self.is_published)
        if at.epoch == 0 and not scored:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at, scored)

    def _hard(self, score_M: Tensor) -> Tensor:
        return ~(score_M >= self.params.threshold) | (self.params.threshold == 1)


def build(params: Params, population: Population) -> Smrd:
    return Smrd(params, population.seed)
