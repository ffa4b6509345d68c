"""InfoBatch (Qin et al., ICLR 2024): leaves out a random part of the samples below the mean loss; the rest weigh more.

Before each epoch the mean of the last training losses is taken; of the samples below it each epoch draws floor((1 -
pruned) L) of L without replacement, with weight 1 / (1 - pruned), and keeps all others with weight 1: the expected sum
of gradients is that of all samples. The last eighth of the run is on all data. No forward is spent on deciding, and
what is left out is not loaded. It saves pruned * L / N of an epoch and no more: little, where few samples are below the
mean. Losses under strong augmentation or wrong labels raise the mean, so that more is below it. Neutral at pruned = 0.

Published defaults: pruned 0.5, final 12.5 % on all data, at least a tenth of the low samples kept. Under `cost` the
pruned part is what the cost asks for, up to 0.9. Pruning most of what is low would mean weights of up to 10, steps ten
times as long: with a high learning rate nothing is learnt then. Hence weights are clipped at 2.5. Differences from the
published code: the weight is L over the number that was drawn, exact where rounding makes it differ from 1 / (1 -
pruned), and clipped; never-seen samples are kept; ranks draw together, and no global random state is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer.core.clock import Duration
from fewer.core.config import NonNegative, Span
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted, weighted
from fewer.select.method_params import ScoredParams, WeightParams
from fewer.select.sampling import sample_uniformly

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_MOST_PRUNED = 0.9  # the published code keeps a tenth of the low samples, whatever is asked
_LIKELY_LOW = 0.6  # share of the samples below the mean loss, before it is known: few losses are high

NEUTRAL = [{"pruned": 0.0}]
EXAMPLES = [{"revision": "1ep"}]


class Params(WeightParams, ScoredParams):
    reads_scored = False
    method: Literal["infobatch"] = "infobatch"
    pruned: Annotated[float, Field(ge=0, le=_MOST_PRUNED, strict=True)] = 0.5
    """Share of the samples below the mean loss that an epoch leaves out."""
    weights: Literal["none", "inclusion"] = "inclusion"
    """`inclusion`, as published: the samples below the mean that are kept weigh 1 / (1 - pruned)."""
    clip_weights: NonNegative = 2.5
    """Largest weight; 0: no limit, and no bias. The published pruned = 0.5 needs 2, and a little more by rounding."""
    revision: Span = Duration(12.5, "%")
    """Final epochs on all data."""


@final
class InfoBatch(BaseSelector):
    """Leaves out a random part of what is below the mean loss."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"
        self.low_share = 0.0

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        loss_M = table.column("trained", "loss")[pool_ids].double()
        known_M = torch.isfinite(loss_M)
        if not known_M.any():
            return unweighted(pool_ids)
        # Strictly below: where all losses are equal nothing is pruned. Never-seen samples are always kept. The mean is
        # taken of sorted losses, so that it does not depend on how the pool is listed.
        low_M = known_M & (loss_M < loss_M[known_M].sort().values.mean())
        low, other = pool_ids[low_M], pool_ids[~low_M]
        self.low_share = len(low) / len(pool_ids)
        kept = int((1 - self._pruned(at, len(low), len(pool_ids))) * len(low) + 1e-9)
        drawn = sample_uniformly(low, kept, self.seed, "select.infobatch", at.epoch)
        inclusion_M = torch.ones(len(other) + len(drawn), dtype=torch.float64)
        inclusion_M[len(other) :] = kept / max(1, len(low))
        return weighted(torch.cat([other, drawn]), inclusion_M, self.params)

    def expected(self, at: At) -> Expectation:
        if at.epoch == 0:
            return Expectation(1.0, 1.0)
        if at.share is None:
            return Expectation(1.0 - self.params.pruned, 1.0)
        # Once an epoch has been seen, what can be pruned at most is known; losses move slowly from epoch to epoch.
        share = max(at.share, 1 - _MOST_PRUNED * (self.low_share or _LIKELY_LOW))
        return Expectation(share, share)

    def counts(self) -> dict[str, float]:
        return {"low_loss_share": self.low_share}

    def _pruned(self, at: At, low: int, pool: int) -> float:
        if at.share is None:
            return self.params.pruned
        return min(_MOST_PRUNED, max(0.0, (1 - at.share) * pool / max(1, low)))

    def state_dict(self) -> dict[str, float]:
        return {"low_share": self.low_share}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.low_share = state["low_share"]


def build(params: Params, population: Population) -> InfoBatch:
    return InfoBatch(params, population.seed)
