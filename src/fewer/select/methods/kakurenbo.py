"""KAKURENBO (Thao Nguyen et al., NeurIPS 2023): hides the samples of the lowest losses that are surely right.

Each epoch takes the floor(F N) samples of the lowest last losses as candidates, and hides those of them that were
predicted rightly with a confidence of `confidence` or more; the learning rate grows by 1 / (1 - hidden share), the
share that is truly hidden but no more than `hidden`, so that fewer steps go as far. F falls over the run: 1, 0.8, 0.6
and 0.4 of `hidden`, from `milestones` on. Hidden samples are scored again before every epoch (`refresh_every = 1`), a
forward of each, which takes a third of the saving: hiding 30 % costs 80 % of plain training. Neutral at hidden = 0.

The score of a rightly predicted sample, the probability of its true class, is its confidence. Published defaults:
hidden 0.3, confidence 0.7. The published code takes its softmax over the batch; this is over the classes. Under `cost`
as many are hidden as it asks for, sure or not: asked for much less than `hidden` would cost (0.8), it trains on the
hardest alone, and may learn nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import AfterValidator

from fewer.core.config import Flag, Index, Share
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector
from fewer.select.method_params import ScoredParams
from fewer.select.sampling import exclude, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_FACTORS = (1.0, 0.8, 0.6, 0.4)


def _rising(milestones: tuple[float, float, float]) -> tuple[float, float, float]:
    if list(milestones) != sorted(milestones):
        raise ValueError(f"milestones rise; did you mean {sorted(milestones)}?")
    return milestones


NEUTRAL = [{"hidden": 0.0}]
EXAMPLES = [{"hidden": 0.6, "confidence": 0.1}]


class Params(ScoredParams):
    recorded_refresh = 1
    needs_looks = True
    method: Literal["kakurenbo"] = "kakurenbo"
    hidden: Share = 0.3
    """F: largest share of the samples that an epoch hides."""
    confidence: Share = 0.7
    """Only samples that were rightly predicted with this probability or more are hidden."""
    milestones: Annotated[tuple[Share, Share, Share], AfterValidator(_rising)] = (0.3, 0.6, 0.8)
    """Shares of the run from which only 0.8, 0.6 and 0.4 of F may be hidden."""
    scale_lr: Flag = True
    """Raise the learning rate by 1 / (1 - hidden share), unless batches shrink, which leaves as many steps."""
    refresh_every: Index = 1
    """Before each epoch a random 1/K of the samples that the last one left out is scored again; 0: never."""


@final
class Kakurenbo(BaseSelector):
    """Hides what is learnt, and looks at it again."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        seen_M = table.seen_N[pool_ids]
        candidates = min(int(self._limit(at) * len(pool_ids) + 1e-9), int(seen_M.sum()))
        loss_M = torch.where(seen_M, table.loss_N[pool_ids], torch.inf).nan_to_num(float("inf"))
        lowest = top_k(pool_ids, -loss_M, candidates, self.seed, "select.kakurenbo", at.epoch)
        if at.share is None:
            sure = table.right_N[lowest] & (table.score_N[lowest] >= self.params.confidence)
            lowest = lowest[sure]
        kept = exclude(pool_ids, lowest, len(table))
        # No more than where all that may be hidden is: a cost that asks for more must not end in a rate that diverges.
        most = 1 / max(1e-9, 1 - self.params.hidden)
        scale = min(most, len(pool_ids) / max(1, len(kept))) if self.params.scale_lr and self.packs else 1.0
        return Selection(kept, torch.ones(len(kept), dtype=torch.float64), scale)

    def expected(self, at: At) -> Expectation:
        if at.epoch == 0:
            return Expectation(1.0, 1.0)
        least = 1 - self._limit(at)
        return Expectation(least, 1.0 if at.share is None else least)

    def _limit(self, at: At) -> float:
        if at.share is not None:
            return 1 - at.share
        passed = sum(at.epoch / at.epochs >= milestone for milestone in self.params.milestones)
        return self.params.hidden * _FACTORS[passed]


def build(params: Params, population: Population) -> Kakurenbo:
    return Kakurenbo(params, population.seed)
