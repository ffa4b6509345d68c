"""Stratified difficulty-based dropout (P-SMRD): a number of samples for every class, hard ones first.

The total M is the number of hard samples (score < threshold), as in `dbpd`. It is shared out among the classes in
proportion to n_c^balance (d_c + eps), with n_c the images of class c and d_c = 1 - its mean score, by largest
remainders; no class gets fewer than `least` or more than it has, and what one cannot take goes to the others. Within a
class the hardest are taken, or a uniform draw. Costs nothing to decide. It costs accuracy where the frequent classes
are what is evaluated; with balance = 0 a class of ten images weighs as much as one of a thousand. Neutral at threshold
= 1.

The published code says "from each class" but takes the union over classes of "hard and in this class", which is just
what is hard: `published = true` chooses that set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from pydantic import Field

from fewer.core.allocation import largest_remainders
from fewer.core.config import Count, Flag, Share
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, Population, Selection
from fewer.select.base import BaseSelector, drawn_by_class, expects_below, unweighted
from fewer.select.method_params import ScoredParams, WeightParams
from fewer.select.sampling import class_means, count_of, top_k_per_class

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

EPS = 0.01  # no class is so easy that it gets nothing

NEUTRAL = [{"threshold": 1.0}]
EXAMPLES: list[Settings] = [{"cost": 0.7, "take": "random", "weights": "inclusion"}]


class Params(WeightParams, ScoredParams):
    method: Literal["stratified"] = "stratified"
    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Samples with a score below this are hard; 1 keeps all."""
    balance: Share = 1.0
    """Exponent of a class's size: 1 follows the classes' sizes, 0 does not look at them."""
    least: Count = 2
    """Samples that every class gets, as far as it has them."""
    take: Literal["hardest", "random"] = "hardest"
    """Which samples of a class are taken."""
    published: Flag = False
    """The set that the published code takes: everything hard, as `dbpd`."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if self.published:
            reason = "has no effect with select.published = true, which takes all that is hard; leave it out"
            found |= self.changed(("balance", "least", "take", "cost"), reason)
        if self.take == "hardest" and self.weights != "none":
            found["weights"] = 'needs select.take = "random": the hardest are not drawn with known probabilities'
        return found


@final
class Stratified(BaseSelector):
    """Shares out what is hard among the classes."""

    def __init__(self, params: Params, population: Population) -> None:
        self.params, self.population = params, population
        self.favours_hard = params.take == "hardest"
        self.packs = params.batches == "pack"
        self.quota_C: Tensor | None = None

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        pool_ids = pool_ids.sort().values
        score_M = table.score_N[pool_ids].double()
        unseen_M = score_M.isnan()
        hard_M = unseen_M | (score_M < self.params.threshold)
        total = int(hard_M.sum()) if at.share is None else count_of(at.share, len(pool_ids))
        if unseen_M.all() or (at.share is None and self.params.threshold == 1):
            return unweighted(pool_ids)
        if self.params.published and at.share is None:
            return unweighted(pool_ids[hard_M])
        label_M, classes = self.population.group_N[pool_ids], self.population.groups
        images_C = torch.bincount(label_M, minlength=classes)
        difficulty_C = class_means(1 - score_M.nan_to_num(0.0), label_M, images_C)
        weight_C = images_C.double() ** self.params.balance * (difficulty_C + EPS) * (images_C > 0)
        least_C = torch.minimum(images_C, torch.full_like(images_C, self.params.least))
        self.quota_C = largest_remainders(weight_C, total, images_C, least_C)
        purpose = "select.stratified", at.epoch
        if self.params.take == "random":
            return drawn_by_class(pool_ids, self.population, self.quota_C, self.params, *purpose)
        return unweighted(top_k_per_class(pool_ids, label_M, self.quota_C, -score_M, self.population.seed, *purpose))

    def expected(self, at: At) -> Expectation:
        if at.epoch == 0:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at)

    def series(self, table: Table) -> dict[str, Tensor]:
        return {} if self.quota_C is None else {"quota_per_class": self.quota_C}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.quota_C is None else {"quota": self.quota_C}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.quota_C = state["quota"].clone() if state else None


def build(params: Params, population: Population) -> Stratified:
    return Stratified(params, population)
