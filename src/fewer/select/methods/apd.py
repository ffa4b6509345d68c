"""Adaptive proportionality dropout (APD): classes that the model struggles with get a larger part of each epoch.

Every class has a difficulty d_c, an exponential moving average (from 0.5 on) of the share of its samples that were hard
(score < threshold) when last looked at. Each epoch the number of hard samples is shared out among the classes in
proportion to pi_c (d_c + eps), with pi_c the class's share of the images, by largest remainders, and drawn uniformly
within each class, hard or not. Costs nothing to decide. Since pi_c is in it, rare classes still get little: for long
tails `stratified` with balance below 1 does more. Neutral at threshold = 1.

Published settings: alpha 0.1, eps 0.01, threshold 0.3. The published code decides within each batch, where with many
classes every quota rounds to 0 and what is left is a uniform draw, costs one to two plain epochs an epoch, and keeps
proportions apart on every rank; this decides once an epoch, from the table of all ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from pydantic import Field

from fewer.core.allocation import largest_remainders
from fewer.core.types import At, Expectation, Population, Selection
from fewer.select.base import BaseSelector, drawn_by_class, expects_below, unweighted
from fewer.select.method_params import OpenShare, ScoredParams, WeightParams
from fewer.select.sampling import class_means, count_of

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"threshold": 1.0}]


class Params(WeightParams, ScoredParams):
    method: Literal["apd"] = "apd"
    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Samples with a score below this are hard; 1 keeps all."""
    alpha: OpenShare = 0.1
    """Weight of the newest share of hard samples in a class's difficulty."""
    eps: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.01
    """Added to every difficulty, so that a class which has been learnt still has a part; one sample at least."""


@final
class Apd(BaseSelector):
    """Draws from each class in proportion to its difficulty."""

    def __init__(self, params: Params, population: Population) -> None:
        import torch

        self.params, self.population = params, population
        self.packs = params.batches == "pack"
        self.difficulty_C = torch.full((population.groups,), 0.5, dtype=torch.float64)
        self.proportion_C = torch.zeros(population.groups, dtype=torch.float64)
        self.quota_C = torch.zeros(population.groups, dtype=torch.int64)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        pool_ids = pool_ids.sort().values
        score_M = table.score_N[pool_ids].double()
        label_M = self.population.group_N[pool_ids]
        images_C = torch.bincount(label_M, minlength=self.population.groups)
        if score_M.isnan().all() or (at.share is None and self.params.threshold == 1):
            return unweighted(pool_ids)
        hard_M = ~(score_M >= self.params.threshold)
        measured_C = class_means(hard_M, label_M, images_C)
        alpha = self.params.alpha
        moved_C = (1 - alpha) * self.difficulty_C + alpha * measured_C
        self.difficulty_C = torch.where(images_C > 0, moved_C, self.difficulty_C)
        weight_C = images_C * (self.difficulty_C + self.params.eps)
        self.proportion_C = weight_C / weight_C.sum()
        total = int(hard_M.sum()) if at.share is None else count_of(at.share, len(pool_ids))
        self.quota_C = largest_remainders(weight_C, total, images_C, images_C.clamp(max=1))
        return drawn_by_class(pool_ids, self.population, self.quota_C, self.params, "select.apd", at.epoch)

    def expected(self, at: At) -> Expectation:
        if at.epoch == 0:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at)

    def series(self, table: Table) -> dict[str, Tensor]:
        if not self.quota_C.any():  # nothing has been chosen yet
            return {}
        return {
            "hard_rate_per_class": self.difficulty_C,
            "proportion_per_class": self.proportion_C,
            "quota_per_class": self.quota_C,
        }

    def state_dict(self) -> dict[str, Any]:
        return {"difficulty": self.difficulty_C, "proportion": self.proportion_C, "quota": self.quota_C}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.difficulty_C, self.proportion_C = state["difficulty"].clone(), state["proportion"].clone()
        self.quota_C = state["quota"].clone()


def build(params: Params, population: Population) -> Apd:
    return Apd(params, population)
