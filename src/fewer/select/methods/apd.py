"""Adaptive proportionality dropout (APD): classes that the model struggles with get a larger part of each epoch.

Every class has a difficulty d_c, an exponential moving average (from 0.5 on) of the share of its samples that were hard
when last looked at: score < threshold, with `rule = "score_or_wrong"` also what was wrongly predicted. Each epoch the
number of hard samples is shared out among the classes in proportion to pi_c (d_c + eps), with pi_c the class's share of
the images, by largest remainders, and drawn uniformly within each class, hard or not. Costs nothing to decide. Since
pi_c is in it, rare classes still get little: for long tails `stratified` with balance below 1 does more. Neutral at
threshold = 1.

`score = "fresh"` is the published description: each batch is scored with the current weights, its hard samples are
counted, and as many are drawn from its classes; the difficulties move behind each epoch. That costs a forward of every
image. Quotas of a batch are rounded at random. Published settings: alpha 0.1, eps 0.01, threshold 0.3. In the published
code, with many classes every quota of a batch rounds to 0, and what is left is a uniform draw; it costs one to two
plain epochs an epoch, and keeps proportions apart on every rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from pydantic import Field

from fewer.core.allocation import largest_remainders
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.select.base import InBatchSelector, drawn_by_class, expects_below, kept_by_class, unweighted
from fewer.select.method_params import InBatchParams, OpenShare, ThresholdParams, WeightParams
from fewer.select.sampling import class_means, count_of, fair_count

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL: list[Settings] = [{"threshold": 1.0}, {"threshold": 1.0, "score": "fresh"}]
EXAMPLES: list[Settings] = [{"threshold": 0.11, "score": "fresh", "rule": "score_or_wrong", "weights": "inclusion"}]


class Params(WeightParams, ThresholdParams, InBatchParams):
    method: Literal["apd"] = "apd"
    alpha: OpenShare = 0.1
    """Weight of the newest share of hard samples in a class's difficulty."""
    eps: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.01
    """Added to every difficulty, so that a class which has been learnt still has a part; one sample at least."""


@final
class Apd(InBatchSelector):
    """Draws from each class in proportion to its difficulty."""

    def __init__(self, params: Params, population: Population) -> None:
        import torch

        super().__init__(params)
        self.params, self.population = params, population
        self.difficulty_C = torch.full((population.groups,), 0.5, dtype=torch.float64)
        self.proportion_C = torch.zeros(population.groups, dtype=torch.float64)
        self.quota_C = torch.zeros(population.groups, dtype=torch.int64)
        # What this epoch's batches have shown so far, where they are scored: how many were hard, of how many.
        self.hard_C, self.seen_C = torch.zeros_like(self.quota_C), torch.zeros_like(self.quota_C)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        pool_ids = pool_ids.sort().values
        score_M, right_M = table.score_N[pool_ids].double(), table.right_N[pool_ids]
        label_M = self.population.group_N[pool_ids]
        images_C = torch.bincount(label_M, minlength=self.population.groups)
        if self.is_fresh:
            self._learn(self.hard_C / self.seen_C.clamp(min=1), self.seen_C > 0, images_C)
            self.hard_C, self.seen_C = torch.zeros_like(self.hard_C), torch.zeros_like(self.seen_C)
            return unweighted(pool_ids)
        if score_M.isnan().all() or (at.share is None and self.params.threshold == 1):
            return unweighted(pool_ids)
        hard_M = self.params.hard(score_M, right_M)
        self._learn(class_means(hard_M, label_M, images_C), images_C > 0, images_C)
        total = int(hard_M.sum()) if at.share is None else count_of(at.share, len(pool_ids))
        self.quota_C = largest_remainders(self.proportion_C, total, images_C, images_C.clamp(max=1))
        return drawn_by_class(pool_ids, self.population, self.quota_C, self.params, "select.apd", at.epoch)

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        ids_G, purpose = seen_G.ids_B, ("select.apd", at.epoch)
        hard_G, label_G = self.params.hard(seen_G.score_B, seen_G.right_B), self.population.group_N[ids_G]
        self.hard_C = self.hard_C + label_G[hard_G].bincount(minlength=self.population.groups)
        self.seen_C = self.seen_C + label_G.bincount(minlength=self.population.groups)
        share, seed = at.share, self.population.seed
        total = int(hard_G.sum()) if share is None else fair_count(share, ids_G, seed, *purpose)
        return kept_by_class(ids_G, self.population, self.proportion_C, total, self.params, *purpose)

    def _learn(self, measured_C: Tensor, known_C: Tensor, images_C: Tensor) -> None:
        """Moves the difficulties towards measured shares of hard samples, where any are known; and the proportions."""
        import torch

        moved_C = (1 - self.params.alpha) * self.difficulty_C + self.params.alpha * measured_C
        self.difficulty_C = torch.where(known_C, moved_C, self.difficulty_C)
        weight_C = images_C * (self.difficulty_C + self.params.eps)
        self.proportion_C = weight_C / weight_C.sum()

    def expected(self, at: At) -> Expectation:
        scored = float(self.is_fresh)
        if at.epoch == 0 and not scored:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at, scored)

    def series(self, table: Table) -> dict[str, Tensor]:
        if not self.proportion_C.any():  # nothing has been chosen yet
            return {}
        found = {"hard_rate_per_class": self.difficulty_C, "proportion_per_class": self.proportion_C}
        return found if self.is_fresh else {**found, "quota_per_class": self.quota_C}

    def state_dict(self) -> dict[str, Any]:
        found = {"difficulty": self.difficulty_C, "proportion": self.proportion_C, "quota": self.quota_C}
        return {**found, "hard": self.hard_C, "seen": self.seen_C} if self.is_fresh else found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.difficulty_C, self.proportion_C = state["difficulty"].clone(), state["proportion"].clone()
        self.quota_C = state["quota"].clone()
        if self.is_fresh:
            self.hard_C, self.seen_C = state["hard"].clone(), state["seen"].clone()


def build(params: Params, population: Population) -> Apd:
    return Apd(params, population)
