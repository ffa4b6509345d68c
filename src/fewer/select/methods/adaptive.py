"""DBPD with a moving threshold: easy samples come back as the threshold rises.

The threshold begins at `threshold` and rises by `increment` every `interval` epochs, up to 1, where everything is
trained on. Costs nothing to decide. Neutral at threshold = 1.

Published defaults: interval 50, increment 0.1, start 0.3. The published code adds floor(e / interval) increments in
*every* epoch e and falls back to the start on reaching 1, a saw-tooth that grows faster: `published = true`, on stale
scores, where the code scores each batch. The published text says that the threshold reacts to a validation; neither
does. Under `cost` the threshold has no say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, final

from pydantic import Field

from fewer.core.config import Count, Flag, Index
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector
from fewer.select.method_params import REFRESHED, OpenShare, ScoredParams
from fewer.select.methods.dbpd import Dbpd
from fewer.select.methods.dbpd import Params as DbpdParams

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"threshold": 1.0}]


class Params(ScoredParams):
    method: Literal["adaptive"] = "adaptive"
    refresh_every: Index = REFRESHED
    """Before each epoch a random 1/K of the samples that the last one left out is scored again; 0: never."""
    threshold: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.3
    """Where the threshold begins; 1 keeps all."""
    interval: Count = 50
    """Epochs between two rises."""
    increment: OpenShare = 0.1
    """By how much it rises."""
    published: Flag = False
    """The saw-tooth of the published code."""

    @property
    def favours_hard(self) -> bool:
        return True


@final
class Adaptive(BaseSelector):
    """DBPD whose threshold depends on the epoch."""

    def __init__(self, params: Params, seed: int) -> None:
        self.params, self.seed = params, seed
        self.packs = params.batches == "pack"
        self.threshold = params.threshold

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        self.threshold = self._threshold(at.epoch)
        return self._dbpd(self.threshold).select(table, pool_ids, at)

    def expected(self, at: At) -> Expectation:
        return self._dbpd(self._threshold(at.epoch)).expected(at)

    def counts(self) -> dict[str, float]:
        return {"threshold": self.threshold}

    def _dbpd(self, threshold: float) -> Dbpd:
        return Dbpd(DbpdParams(threshold=threshold), self.seed)

    def _threshold(self, epoch: int) -> float:
        start, interval, step = self.params.threshold, self.params.interval, self.params.increment
        if not self.params.published:
            return min(1.0, start + (epoch // interval) * step)
        threshold = start
        for passed in range(1, epoch + 1):
            threshold += (passed // interval) * step
            threshold = start if threshold >= 1 else threshold
        return threshold

    def state_dict(self) -> dict[str, float]:
        return {"threshold": self.threshold}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.threshold = state["threshold"]


def build(params: Params, population: Population) -> Adaptive:
    return Adaptive(params, population.seed)
