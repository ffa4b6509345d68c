"""Difficulty-based progressive dropout (arXiv 2505.22342): train on samples whose true-class probability is low.

`score = "fresh"` is the published method: score each batch with the current weights, then train on score < threshold.
The scoring forward costs a third of a step, so it never saves more than two thirds and costs more than it saves above a
kept share of 2/3. `score = "stale"` takes the scores that training itself left behind, before the epoch: what is
dropped is not even loaded, and its score stays as it is; `refresh_every = K` scores a random 1/K of the dropped samples
before each epoch. `rule = "score_or_wrong"` keeps what is wrongly predicted, too, whatever its score: the published
description says so, the published code does not. Under `cost` the hardest samples are kept, as many as it pays for.
Neutral at threshold = 1.

Published settings: threshold 0.3, one revision epoch, shrinking batches, scoring in train mode. The published code
takes a threshold of 0 to mean what is wrongly predicted and nothing else: here rule = "score_or_wrong" with threshold =
1e-6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer.core.observation import Observed
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Population, Selection
from fewer.select.base import InBatchSelector, expects_below, unweighted
from fewer.select.method_params import InBatchParams
from fewer.select.sampling import count_of, fair_count, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL: list[Settings] = [
    {"score": "stale", "threshold": 1.0},
    {"score": "fresh", "threshold": 1.0},
    {"score": "fresh", "threshold": 1.0, "batches": "shrink"},
]
EXAMPLES: list[Settings] = [
    {"score": "stale", "threshold": 0.11, "revision": "1ep"},
    {"score": "stale", "threshold": 0.11, "refresh_every": 2, "batches": "shrink"},
    {"score": "fresh", "threshold": 0.11, "revision": "1ep"},
    {"score": "fresh", "threshold": 0.11, "batches": "shrink", "scoring": "train"},
    {"score": "fresh", "cost": 0.8, "scorer_side_px": 16},
]


class Params(InBatchParams):
    method: Literal["dbpd"] = "dbpd"
    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Samples are kept whose score is below this; 1 keeps all."""
    rule: Literal["score", "score_or_wrong"] = "score"
    """`score`: score < threshold, the published code. `score_or_wrong`: or wrongly predicted, the published text."""


@final
class Dbpd(InBatchSelector):
    """Keeps the samples that the model is not sure of."""

    favours_hard = True

    def __init__(self, params: Params, seed: int) -> None:
        super().__init__(params)
        self.threshold, self.rule, self.seed = params.threshold, params.rule, seed

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if self.is_fresh:
            return unweighted(pool_ids)
        score_M, right_M = table.score_N[pool_ids], table.right_N[pool_ids]
        if at.share is None:
            return unweighted(pool_ids[self.hard(score_M, right_M)])
        count = max(count_of(at.share, len(pool_ids)), int(score_M.isnan().sum()))
        return unweighted(top_k(pool_ids, self.hardness(score_M, right_M), count, self.seed, "select.dbpd", at.epoch))

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, score_G, right_G = seen_G.ids_B, seen_G.score_B, seen_G.right_B
        mask_G = self.hard(score_G, right_G)
        if at.share is not None:
            lots = self.seed, "select.dbpd", at.epoch
            hardness_G, count = self.hardness(score_G, right_G), fair_count(at.share, ids_G, *lots)
            mask_G = torch.isin(ids_G, top_k(ids_G, hardness_G, count, *lots))
        return KeepMask(mask_G, torch.ones(len(ids_G), dtype=torch.float64))

    def expected(self, at: At) -> Expectation:
        scored = float(self.is_fresh)
        if at.epoch == 0 and not scored:
            return Expectation(1.0, 1.0)
        return expects_below(self.threshold, at, scored)

    def hard(self, score_M: Tensor, right_M: Tensor) -> Tensor:
        """Which samples the rule keeps; those without a score are among them."""
        hard_M = ~(score_M >= self.threshold) | (self.threshold == 1)
        return hard_M | ~right_M if self.rule == "score_or_wrong" else hard_M

    def hardness(self, score_M: Tensor, right_M: Tensor) -> Tensor:
        """What samples are ranked by under a stated cost: what is wrong comes first where the rule says so."""
        return -score_M + ~right_M if self.rule == "score_or_wrong" else -score_M


def build(params: Params, population: Population) -> Dbpd:
    return Dbpd(params, population.seed)
