"""Instance-dependent early stopping (Yuan et al., ICLR 2025): leaves out samples whose loss has stopped to change.

With l_t a sample's loss after epoch t, d_t = l_t - 2 l_(t-1) + l_(t-2) is the second difference; a sample is left out
of an epoch if the mean of |d| over the last three is below `delta`. That can first be in the seventh epoch, and is
decided again in each, so that samples return. What is left out is scored before every epoch (`refresh_every = 1`), as
the rule needs a new loss each time: a forward of each, which takes a third of the saving. Neutral at delta = 0.

Published default: delta 0.001 (0.002 for CIFAR-100), for long runs: in short ones few losses come to rest. The
published code mixes losses of the evaluation view (left out) with those of the training view (kept), as this does;
where neither is there for an epoch, the last one stands. Under `cost` those that change least are left out, as many as
must be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

from fewer.core.config import Index, NonNegative
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import ScoredParams
from fewer.select.sampling import count_of, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_LOSSES = 5  # three second differences need five losses

NEUTRAL = [{"delta": 0.0}]


class Params(ScoredParams):
    recorded_refresh = 1
    needs_looks = True
    method: Literal["ies"] = "ies"
    delta: NonNegative = 0.001
    """Samples are left out whose mean absolute second difference of the loss is below this."""
    refresh_every: Index = 1
    """Before each epoch a random 1/K of the samples that the last one left out is scored again; 0: never."""


@final
class Ies(BaseSelector):
    """Leaves out what has come to rest."""

    def __init__(self, params: Params, population: Population) -> None:
        import torch

        self.params, self.seed = params, population.seed
        self.packs = params.batches == "pack"
        self.loss_LN = torch.full((_LOSSES, len(population.group_N)), torch.nan, dtype=torch.float32)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        if at.epoch:
            self.loss_LN = torch.cat([self.loss_LN[1:], table.loss_N[None]])
        if at.epoch <= _LOSSES:
            return unweighted(pool_ids)
        change_M = self.loss_LN[:, pool_ids].diff(n=2, dim=0).abs().mean(0)  # NaN: something has not been seen yet
        if at.share is not None:
            count = count_of(at.share, len(pool_ids))
            return unweighted(top_k(pool_ids, change_M, count, self.seed, "select.ies", at.epoch))
        return unweighted(pool_ids[~(change_M < self.params.delta)])

    def expected(self, at: At) -> Expectation:
        if at.epoch <= _LOSSES or (at.share is None and not self.params.delta):
            return Expectation(1.0, 1.0)
        return Expectation(0.0, 1.0) if at.share is None else Expectation(at.share, at.share)

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss_LN}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["loss"].shape != self.loss_LN.shape:
            held, here = state["loss"].shape[1], self.loss_LN.shape[1]
            raise ValueError(f"ies: a state of {held} samples does not fit a set of {here}")
        self.loss_LN = state["loss"].clone()


def build(params: Params, population: Population) -> Ies:
    return Ies(params, population)
