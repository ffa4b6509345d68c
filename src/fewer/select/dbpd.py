"""Difficulty-based progressive dropout (arXiv 2505.22342): train on samples whose true-class probability is low.

`score = "fresh"` is the published method: score each batch with the current weights, then train on score < threshold.
The scoring forward costs a third of a step, so it never saves more than two thirds and costs more than it saves above
a kept share of 2/3. `score = "stale"` takes the scores that training itself left behind, before the epoch: what is
dropped is not even loaded. A dropped sample's score then stays as it is; `refresh_every = K` scores a random 1/K of
the dropped samples before each epoch. Under `cost` the hardest samples are kept, as many as it pays for. Neutral at
threshold = 1.

Published defaults: threshold 0.3, one revision epoch, shrinking batches, scoring in train mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer.parts import At, Chosen, Expects, Keep, Population
from fewer.select.base import InBatch, InBatchParams, chosen
from fewer.select.draws import count_of, fair_count, highest

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.select.table import Table


class Params(InBatchParams):
    method: Literal["dbpd"] = "dbpd"
    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Samples are kept whose score is below this; 1 keeps all."""


@final
class Dbpd(InBatch):
    """Keeps the samples that the model is not sure of."""

    favours_hard = True

    def __init__(self, params: Params, seed: int) -> None:
        super().__init__(params)
        self.threshold, self.seed = params.threshold, seed

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        if self.is_fresh:
            return chosen(pool_ids)
        unseen, score_M = ~table.seen_N[pool_ids], table.score_N[pool_ids]
        if at.share is None:
            return chosen(pool_ids[unseen | self._hard(score_M)])
        count = max(count_of(at.share, len(pool_ids)), int(unseen.sum()))
        return chosen(highest(pool_ids, -score_M, count, self.seed, "select.dbpd", at.epoch))

    def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> Keep:
        import torch

        mask_G = self._hard(score_G)
        if at.share is not None:
            lots = self.seed, "select.dbpd", at.epoch
            mask_G = torch.isin(ids_G, highest(ids_G, -score_G, fair_count(at.share, ids_G, *lots), *lots))
        return Keep(mask_G, torch.ones(len(ids_G), dtype=torch.float64))

    def expects(self, at: At) -> Expects:
        scored = float(self.is_fresh)
        if at.epoch == 0 and not scored:
            return Expects(1.0, 1.0)
        if at.share is not None:
            return Expects(at.share, at.share, scored)
        return Expects(1.0 if self.threshold == 1 else 0.0, 1.0, scored)

    def _hard(self, score: Tensor) -> Tensor:
        return (score < self.threshold) | (self.threshold == 1)


def build(params: Params, population: Population) -> Dbpd:
    return Dbpd(params, population.seed)
