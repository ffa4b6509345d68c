"""Alternating dropout: every other epoch scores all samples, and two epochs train on those that were hard.

In even epochs a forward-only pass scores what has been seen; the samples below the threshold make a list that this
epoch and the next train on. All scores of a list come from the same weights and from the view without augmentation, at
the cost of half a forward of everything an epoch. The published code indexes a shuffled order by positions, so that its
list is a random one; this is what it describes. The first two epochs are on everything. Under `cost` the list is as
long as it pays for, the hardest first. Neutral at threshold = 1, but for the cost of the scoring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, expects_below, unweighted
from fewer.select.method_params import ScoredParams
from fewer.select.sampling import count_of, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"threshold": 1.0}]
EXAMPLES = [{"threshold": 0.11}]


class Params(ScoredParams):
    needs_looks = True
    method: Literal["alternate"] = "alternate"
    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Samples with a score below this are trained on; 1 keeps all."""

    @property
    def favours_hard(self) -> bool:
        return True


@final
class Alternate(BaseSelector):
    """Scores in even epochs, trains on the list for two."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        seen = table.seen_N.nonzero().flatten()
        return seen if self._scores(at) else seen[:0]

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if at.epoch < 2:  # nothing has been scored: an untrained model finds everything hard
            return unweighted(pool_ids)
        score_M = table.column("scored", "score")[pool_ids]  # what training has changed since is not looked at
        if at.share is not None:
            return unweighted(
                top_k(pool_ids, -score_M, count_of(at.share, len(pool_ids)), self.seed, "select.alternate")
            )
        hard_M = ~(score_M >= self.params.threshold) | (self.params.threshold == 1)  # what has no score yet is hard
        return unweighted(pool_ids[hard_M])

    def expected(self, at: At) -> Expectation:
        scored = float(self._scores(at))
        if at.epoch < 2:
            return Expectation(1.0, 1.0)
        return expects_below(self.params.threshold, at, scored)

    def _scores(self, at: At) -> bool:
        return at.epoch >= 2 and at.epoch % 2 == 0


def build(params: Params, population: Population) -> Alternate:
    return Alternate(params, population.seed)
