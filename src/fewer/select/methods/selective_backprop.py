"""Selective Backprop (Jiang et al. 2019, arXiv 1910.00762): draws samples by the rank of their loss among recent ones.

A sample is trained on with probability CDF(loss)^beta (section 3.2), where CDF is the share of recent losses below its
own. `score = "fresh"` is the published method: each batch is scored with the current weights and ranked among the
losses of the last `history` samples; what is drawn waits until it fills a batch. `score = "stale"` ranks the losses
that training itself left behind, before the epoch, so that what is not drawn is not even loaded; with `refresh_every =
K` it is the published Stale-SB. On average 1 / (1 + beta) is kept: at beta = 1 fresh scoring leaves a third of what it
saves, and below beta = 1/2 it costs more than it saves. The first epoch trains on everything and scores nothing. Wrong
labels have high losses and are drawn most: the noise cap is for them. Neutral at beta = 0.

Published defaults: beta from 1 to 3, a history of 1,024 losses, fresh. Differences from the published code: batches
hold selected samples only; a rank counts half of what ties with it, so that no probability is zero and weights exist;
draws are systematic, so that a batch keeps the expected number to within one. Under `cost` beta is what the cost asks
for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.config import Count, NonNegative
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Selection, State
from fewer.select.base import InBatchSelector, unweighted, weighted, weights_of
from fewer.select.method_params import InBatchParams, WeightParams
from fewer.select.sampling import by_probability

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_SMALLEST_SHARE = 1e-3  # beta stays below 1,000 whatever the cost

NEUTRAL: list[Settings] = [{"beta": 0.0}, {"score": "fresh", "beta": 0.0}]
EXAMPLES: list[Settings] = [{"score": "fresh", "beta": 0.5, "weights": "inclusion", "history": 50}]


class Params(WeightParams, InBatchParams):
    method: Literal["selective_backprop"] = "selective_backprop"
    beta: NonNegative = 1.0
    """Exponent of a loss's rank: 1 keeps half of the samples on average, 3 a quarter."""
    history: Count = 1024
    """`fresh`: losses that a batch is ranked among, its own included."""

    @property
    def favours_hard(self) -> bool:
        return True


@final
class SelectiveBackprop(InBatchSelector):
    """Draws samples by the rank of their losses."""

    def __init__(self, params: Params, seed: int) -> None:
        import torch

        super().__init__(params)
        self.params, self.seed = params, seed
        self.recent_H = torch.empty(0, dtype=torch.float64)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        loss_M = table.loss_N[pool_ids]
        known_M = torch.isfinite(loss_M)
        if self.is_fresh:
            # What came last in the epoch before is not on record; any of its losses are as recent as those.
            self._remember(loss_M[known_M].sort().values, thin=True)
        if self.is_fresh or not known_M.any():
            return unweighted(pool_ids)
        probability_M = torch.ones(len(pool_ids), dtype=torch.float64)
        probability_M[known_M] = own_ranks(loss_M[known_M]) ** self._beta(at)
        drawn_M = by_probability(pool_ids, probability_M, self.seed, "select.selective_backprop", at.epoch)
        return weighted(pool_ids[drawn_M], probability_M[drawn_M], self.params)

    def in_batch(self, at: At) -> bool:
        return self.is_fresh and at.epoch > 0

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, loss_G = seen_G.ids_B, seen_G.loss_B
        finite_G = torch.isfinite(loss_G)
        self._remember(loss_G[finite_G])
        probability_G = torch.ones(len(ids_G), dtype=torch.float64)
        if finite_G.any():
            probability_G[finite_G] = rank_of(loss_G[finite_G].double(), self.recent_H) ** self._beta(at)
        drawn_G = by_probability(ids_G, probability_G, self.seed, "select.selective_backprop", at.epoch)
        weight_G = torch.ones(len(ids_G), dtype=torch.float64)
        weight_G[drawn_G] = weights_of(probability_G[drawn_G], self.params)
        return KeepMask(drawn_G, weight_G)

    def expected(self, at: At) -> Expectation:
        if at.epoch == 0:
            return Expectation(1.0, 1.0)
        scored = float(self.is_fresh)
        if at.share is not None:
            return Expectation(at.share, at.share, scored)
        kept = 1 / (1 + self.params.beta)
        if not self.params.beta:
            return Expectation(1.0, 1.0, scored)
        # Among its own the mean power of a rank is known; among recent losses it rises and falls with them.
        return Expectation(0.0, 1.0, scored) if scored else Expectation(0.9 * kept, min(1.0, 1.1 * kept))

    def state_dict(self) -> State:
        return {"recent": self.recent_H}

    def load_state_dict(self, state: State) -> None:
        self.recent_H = state["recent"].clone()

    def _remember(self, loss_M: Tensor, thin: bool = False) -> None:
        """Adds losses to the history, from which the oldest fall out."""
        import torch

        size = self.params.history
        if thin:
            every = max(1, -(-len(loss_M) // size))
            self.recent_H = loss_M[every // 2 :: every].double()
        else:
            self.recent_H = torch.cat([self.recent_H, loss_M.double()])[-max(size, len(loss_M)) :]

    def _beta(self, at: At) -> float:
        """The exponent: the mean of u^beta over u in [0, 1] is 1 / (1 + beta)."""
        return self.params.beta if at.share is None else 1 / max(_SMALLEST_SHARE, at.share) - 1


def own_ranks(loss_M: Tensor) -> Tensor:
    """As `rank_of` of losses among themselves, by one sort."""
    import torch

    sorted_M, order_M = loss_M.sort()
    begins_M = torch.ones(len(loss_M), dtype=torch.bool)
    begins_M[1:] = sorted_M[1:] != sorted_M[:-1]
    start = begins_M.nonzero().flatten()
    length = start.diff(append=start.new_tensor([len(loss_M)]))
    rank_M = torch.empty(len(loss_M), dtype=torch.float64)
    rank_M[order_M] = ((2 * start + length).double() / (2 * len(loss_M))).repeat_interleave(length)
    return rank_M


def rank_of(loss_M: Tensor, among_H: Tensor) -> Tensor:
    """Share of some losses that lie below each given one, ties counted half; all finite."""
    import torch

    sorted_H = among_H.sort().values
    below_M, to_M = (torch.searchsorted(sorted_H, loss_M, right=right) for right in (False, True))
    return (below_M + to_M).double() / (2 * max(1, len(sorted_H)))


def build(params: Params, population: Population) -> SelectiveBackprop:
    return SelectiveBackprop(params, population.seed)
