"""Dynamic data pruning by upper confidence bounds (Raju et al. 2021, arXiv 2111.12621): mean loss plus its variance.

Every sample has an exponential moving average m of its losses and one of their squared deviations, v; every `every`
epochs the `share` with the highest m + v is chosen, and trained on until the next choice. What is left out keeps its
numbers, so that it returns only as those of others fall. Costs nothing to decide. Between choices the same part is seen
again and again: with long periods and small shares it is overfitted. Neutral at share = 1.

Published defaults, as a later paper's comparison has them: share 0.59, every 10 epochs, weight of the newest loss 0.8.
The first choice comes after the first epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

from fewer.core.config import Count
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import OpenShare, ScoredParams
from fewer.select.sampling import count_of, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"share": 1.0}]
EXAMPLES: list[Settings] = [{"share": 0.5, "every": 1}]


class Params(ScoredParams):
    reads_scored = False
    method: Literal["ucb"] = "ucb"
    share: OpenShare = 0.59
    """Share of the samples that is trained on."""
    every: Count = 10
    """Epochs between two choices."""
    newest: OpenShare = 0.8
    """Weight of the newest loss in the moving averages."""

    @property
    def favours_hard(self) -> bool:
        return True


@final
class Ucb(BaseSelector):
    """Keeps the highest upper bounds of the loss, for some epochs."""

    def __init__(self, params: Params, population: Population) -> None:
        import torch

        self.params, self.seed = params, population.seed
        self.packs = params.batches == "pack"
        self.mean_N = torch.full((len(population.group_N),), torch.nan)
        self.variance_N = torch.zeros(len(population.group_N))
        self.bound_N = torch.full((len(population.group_N),), torch.nan)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        self._follow(table, at)
        if at.epoch == 0:
            return unweighted(pool_ids)
        if (at.epoch - 1) % self.params.every == 0:
            self.bound_N = self.mean_N + self.variance_N
        count = count_of(self._share(at), len(pool_ids))
        # Lots are drawn once for a period: equal bounds must not change the choice within it.
        period = (at.epoch - 1) // self.params.every
        return unweighted(top_k(pool_ids, self.bound_N[pool_ids], count, self.seed, "select.ucb", period))

    def _follow(self, table: Table, at: At) -> None:
        """Takes the last epoch's losses into the moving averages."""
        import torch

        loss_N = table.column("trained", "loss")
        new_N = (table.column("trained", "epoch") == at.epoch - 1) & torch.isfinite(loss_N)
        first_N, newest = self.mean_N.isnan(), self.params.newest
        # The first loss is its own mean.
        deviation_N = torch.where(first_N, 0.0, loss_N - self.mean_N)
        mean_N = torch.where(first_N, loss_N, (1 - newest) * self.mean_N + newest * loss_N)
        variance_N = (1 - newest) * self.variance_N + newest * deviation_N**2
        self.mean_N = torch.where(new_N, mean_N, self.mean_N)
        self.variance_N = torch.where(new_N, variance_N, self.variance_N)

    def expected(self, at: At) -> Expectation:
        share = 1.0 if at.epoch == 0 else self._share(at)
        return Expectation(share, share)

    def _share(self, at: At) -> float:
        return self.params.share if at.share is None else at.share

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean_N, "variance": self.variance_N, "bound": self.bound_N}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["mean"]) != len(self.mean_N):
            raise ValueError(f"ucb: a state of {len(state['mean'])} samples does not fit a set of {len(self.mean_N)}")
        self.mean_N, self.variance_N, self.bound_N = (state[name].clone() for name in ("mean", "variance", "bound"))


def build(params: Params, population: Population) -> Ucb:
    return Ucb(params, population)
