"""Stratified difficulty-based dropout (P-SMRD): a number of samples for every class, hard ones first.

The total M is the number of hard samples (score < threshold), as in `dbpd`. It is shared out among the classes in
proportion to n_c^balance (d_c + eps), with n_c the images of class c and d_c = 1 - its mean score, by largest
remainders; no class gets fewer than `least` or more than it has, and what one cannot take goes to the others. Within a
class the hardest are taken, or a uniform draw. Costs nothing to decide; as with `dbpd`, a random quarter of what is
left out is scored again before each epoch. It costs accuracy where the frequent classes are what is evaluated; with
balance = 0 a class of ten images weighs as much as one of a thousand. Neutral at threshold = 1.

`score = "fresh"` and `rule = "score_or_wrong"` are the published description: hard is what is below the threshold or
wrongly predicted now, counted and shared out in each batch, which costs a forward of every image. Quotas of a batch are
rounded at random, so that small classes have their part over an epoch; `least` is for whole epochs. The published code
says "from each class" but takes the union over classes of "hard and in this class", which is just what is hard:
`published = true` chooses that set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

from fewer.core.allocation import largest_remainders
from fewer.core.config import Count, Flag, Index, Share
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.select.base import InBatchSelector, drawn_by_class, expects_below, kept_by_class, unweighted
from fewer.select.method_params import REFRESHED, InBatchParams, ThresholdParams, WeightParams
from fewer.select.sampling import class_means, count_of, fair_count, top_k_per_class

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

EPS = 0.01  # no class is so easy that it gets nothing

NEUTRAL: list[Settings] = [{"threshold": 1.0}, {"threshold": 1.0, "score": "fresh"}]
EXAMPLES: list[Settings] = [
    {"cost": 0.7, "take": "random", "weights": "inclusion"},
    {"threshold": 0.11, "score": "fresh", "rule": "score_or_wrong"},
]


class Params(WeightParams, ThresholdParams, InBatchParams):
    method: Literal["stratified"] = "stratified"
    refresh_every: Index = REFRESHED
    """Before each epoch a random 1/K of the samples that the last one left out is scored again; 0: never. No effect
    with `score = "fresh"`."""
    balance: Share = 1.0
    """Exponent of a class's size: 1 follows the classes' sizes, 0 does not look at them."""
    least: Count = 2
    """Samples that every class gets in an epoch, as far as it has them. No effect with `score = "fresh"`, where
    `guards.class_floor` sees to it."""
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
        if self.is_fresh:
            found |= self.changed(["least"], 'has no effect with select.score = "fresh"; set select.guards.class_floor')
        return found

    @property
    def favours_hard(self) -> bool:
        return self.take == "hardest"


@final
class Stratified(InBatchSelector):
    """Shares out what is hard among the classes."""

    def __init__(self, params: Params, population: Population) -> None:
        super().__init__(params)
        self.params, self.population = params, population
        self.quota_C: Tensor | None = None

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        if self.is_fresh:
            return unweighted(pool_ids)
        pool_ids = pool_ids.sort().values
        score_M, right_M = table.score_N[pool_ids].double(), table.right_N[pool_ids]
        hard_M = self.params.hard(score_M, right_M)
        total = int(hard_M.sum()) if at.share is None else count_of(at.share, len(pool_ids))
        if score_M.isnan().all() or (at.share is None and self.params.threshold == 1):
            return unweighted(pool_ids)
        if self.params.published and at.share is None:
            return unweighted(pool_ids[hard_M])
        label_M, classes = self.population.group_N[pool_ids], self.population.groups
        images_C = torch.bincount(label_M, minlength=classes)
        weight_C = self._weights(score_M, label_M, images_C)
        least_C = torch.minimum(images_C, torch.full_like(images_C, self.params.least))
        self.quota_C = largest_remainders(weight_C, total, images_C, least_C)
        purpose = "select.stratified", at.epoch
        if self.params.take == "random":
            return drawn_by_class(pool_ids, self.population, self.quota_C, self.params, *purpose)
        hardness_M = self.params.hardness(score_M, right_M)
        return unweighted(top_k_per_class(pool_ids, label_M, self.quota_C, hardness_M, self.population.seed, *purpose))

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, score_G, right_G = seen_G.ids_B, seen_G.score_B, seen_G.right_B
        hard_G, purpose = self.params.hard(score_G, right_G), ("select.stratified", at.epoch)
        if at.share is None and self.params.published:
            return KeepMask(hard_G, torch.ones(len(ids_G), dtype=torch.float64))
        share, seed = at.share, self.population.seed
        total = int(hard_G.sum()) if share is None else fair_count(share, ids_G, seed, *purpose)
        label_G = self.population.group_N[ids_G]
        weight_C = self._weights(score_G, label_G, label_G.bincount(minlength=self.population.groups))
        value_G = self.params.hardness(score_G, right_G) if self.params.take == "hardest" else None
        return kept_by_class(ids_G, self.population, weight_C, total, self.params, *purpose, value_G=value_G)

    def _weights(self, score_M: Tensor, label_M: Tensor, images_C: Tensor) -> Tensor:
        """What the total is shared out by: n_c^balance (d_c + eps)."""
        difficulty_C = class_means(1 - score_M.nan_to_num(0.0), label_M, images_C)
        return images_C.double() ** self.params.balance * (difficulty_C + EPS) * (images_C > 0)

    def expected(self, at: At) -> Expectation:
        scored = float(self.is_fresh)
        if at.epoch == 0 and not scored:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at, scored)

    def series(self, table: Table) -> dict[str, Tensor]:
        return {} if self.quota_C is None else {"quota_per_class": self.quota_C}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.quota_C is None else {"quota": self.quota_C}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.quota_C = state["quota"].clone() if state else None


def build(params: Params, population: Population) -> Stratified:
    return Stratified(params, population)
