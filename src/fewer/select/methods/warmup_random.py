"""SMRD after some epochs on everything: scores of an untrained model are not counted.

The first `warmup` epochs are plain training, and from then on `smrd` decides. Costs nothing to decide; what the warm-up
costs is not saved. Neutral at threshold = 1, or with a warm-up as long as the run. Published default: five epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core.clock import Duration
from fewer.core.config import Span
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import unweighted
from fewer.select.methods.smrd import Smrd, SmrdParams
from fewer.select.wrappers.wrapper import SelectorWrapper

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL: list[Settings] = [{"threshold": 1.0, "warmup": "1ep"}]


class Params(SmrdParams):
    method: Literal["warmup_random"] = "warmup_random"
    warmup: Span = Duration(5, "ep")
    """First epochs on all data."""


@final
class WarmupRandom(SelectorWrapper):
    """Everything first, then SMRD."""

    def __init__(self, params: Params, seed: int) -> None:
        super().__init__(Smrd(params, seed))
        self.warmup = params.warmup

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        return unweighted(pool_ids) if self._warming(at) else self.selector.select(table, pool_ids, at)

    def expected(self, at: At) -> Expectation:
        return Expectation(1.0, 1.0) if self._warming(at) else self.selector.expected(at)

    def _warming(self, at: At) -> bool:
        return at.epoch < self.warmup.whole_epochs(at.epochs)


def build(params: Params, population: Population) -> WarmupRandom:
    return WarmupRandom(params, population.seed)
