"""Difficulty-based progressive dropout (arXiv 2505.22342): train on samples whose true-class probability is low.

`score = "fresh"` is the published method: score each batch with the current weights, then train on score < threshold.
The scoring forward costs a third of a step, so it never saves more than two thirds and costs more than it saves above a
kept share of 2/3. `score = "stale"` takes the scores that training itself left behind, before the epoch: what is
dropped is not even loaded. Its score would stay as it is, and the kept share only fall, to the class floor; so a random
quarter of the dropped samples is scored again before each epoch (`refresh_every`). `rule = "score_or_wrong"` keeps
what is wrongly predicted, too, whatever its score: the published description says so, the published code does not.
Under `cost` the hardest samples are kept, as many as it pays for. Neutral at threshold = 1.

Published settings: threshold 0.3, one revision epoch, shrinking batches, scoring in train mode. The published code
takes a threshold of 0 to mean what is wrongly predicted and nothing else: here rule = "score_or_wrong" with threshold =
1e-6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.config import Index
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.select.base import InBatchSelector, expects_below, unweighted
from fewer.select.method_params import REFRESHED, InBatchParams, ThresholdParams
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


class Params(ThresholdParams, InBatchParams):
    method: Literal["dbpd"] = "dbpd"
    refresh_every: Index = REFRESHED
    """Before each epoch a random 1/K of the samples that the last one left out is scored again; 0: never. No effect
    with `score = "fresh"`."""

    @property
    def favours_hard(self) -> bool:
        return True


@final
class Dbpd(InBatchSelector):
    """Keeps the samples that the model is not sure of."""

    def __init__(self, params: Params, seed: int) -> None:
        super().__init__(params)
        self.params, self.seed = params, seed

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if self.is_fresh:
            return unweighted(pool_ids)
        score_M, right_M = table.score_N[pool_ids], table.right_N[pool_ids]
        if at.share is None:
            return unweighted(pool_ids[self.params.hard(score_M, right_M)])
        count = max(count_of(at.share, len(pool_ids)), int(score_M.isnan().sum()))
        hardness_M = self.params.hardness(score_M, right_M)
        return unweighted(top_k(pool_ids, hardness_M, count, self.seed, "select.dbpd", at.epoch))

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, score_G, right_G = seen_G.ids_B, seen_G.score_B, seen_G.right_B
        mask_G = self.params.hard(score_G, right_G)
        if at.share is not None:
            lots = self.seed, "select.dbpd", at.epoch
            hardness_G, count = self.params.hardness(score_G, right_G), fair_count(at.share, ids_G, *lots)
            mask_G = torch.isin(ids_G, top_k(ids_G, hardness_G, count, *lots))
        return KeepMask(mask_G, torch.ones(len(ids_G), dtype=torch.float64))

    def expected(self, at: At) -> Expectation:
        scored = float(self.is_fresh)
        if at.epoch == 0 and not scored:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at, scored)


def build(params: Params, population: Population) -> Dbpd:
    return Dbpd(params, population.seed)
