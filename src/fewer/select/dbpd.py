"""Difficulty-based progressive dropout (arXiv 2505.22342): train on samples whose true-class probability is low.

`score = "fresh"` is the published method: score each batch with the current weights, then train on score < threshold.
The scoring forward costs a third of a step, so it never saves more than two thirds and costs more than it saves above
a kept share of 2/3. `score = "stale"` takes the scores that training itself left behind, before the epoch: what is
dropped is not even loaded. A dropped sample's score then stays as it is; `refresh_every = K` scores a random 1/K of
the dropped samples before each epoch. Neutral at threshold = 1.

Published defaults: threshold 0.3, one revision epoch, shrinking batches, scoring in train mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer import rng
from fewer.fields import Index
from fewer.parts import At, Chosen, Expects, Keep, Population
from fewer.select.base import MethodParams, Selection, chosen

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.select.table import Table


class Params(MethodParams):
    method: Literal["dbpd"] = "dbpd"
    score: Literal["stale", "fresh"] = "stale"
    """`stale`: chosen before the epoch from the last known scores. `fresh`: scored in the batch, as published."""
    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Samples are kept whose score is below this; 1 keeps all."""
    batches: Literal["pack", "shrink"] = "pack"
    """`pack`: batches of constant size, fewer steps. `shrink`: as many steps as plain training, smaller batches."""
    refresh_every: Index = 0
    """`stale`: before each epoch a random 1/K of the dropped samples is scored again; 0: never."""
    scoring: Literal["eval", "train"] = "eval"
    """`fresh`: mode of the scoring forward; the published code scores in train mode."""


@final
class Dbpd(Selection):
    """Keeps the samples that the model is not sure of."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"
        self.scores_in_train_mode = params.scoring == "train"

    def wants(self, table: Table, at: At) -> Tensor:
        seen = table.seen_N.nonzero().flatten()
        if self.params.score == "fresh" or not self.params.refresh_every:
            return seen[:0]
        dropped = seen[~self._hard(table.score_N[seen])]
        drawn = rng.uniform(dropped, self.seed, "select.dbpd", at.epoch) < 1 / self.params.refresh_every
        return dropped[drawn]

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        if self.params.score == "fresh":
            return chosen(pool_ids)
        return chosen(pool_ids[~table.seen_N[pool_ids] | self._hard(table.score_N[pool_ids])])

    def fresh(self, at: At) -> bool:
        return self.params.score == "fresh"

    def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> Keep:
        import torch

        return Keep(self._hard(score_G), torch.ones(len(ids_G), dtype=torch.float64))

    def expects(self, at: At) -> Expects:
        scored = float(self.params.score == "fresh")
        if self.params.threshold == 1 or (at.epoch == 0 and not scored):
            return Expects(1.0, 1.0, scored)
        return Expects(0.0, 1.0, scored)

    def _hard(self, score: Tensor) -> Tensor:
        return (score < self.params.threshold) | (self.params.threshold == 1)


def build(params: Params, population: Population) -> Dbpd:
    return Dbpd(params, population.seed)
