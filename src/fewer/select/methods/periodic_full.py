"""SMRD with an epoch on everything now and then: whenever enough samples have been trained on since the start.

An epoch is full when what has been chosen so far has crossed a multiple of `every_effective_epochs` times the training
set; `smrd` decides all others. Costs nothing to decide. Neutral at threshold = 1. Published default: 5 effective
epochs. The published code counts on each rank for itself, which can leave ranks waiting for each other; this counts
for all, and what the method chose: samples that guards add are not counted. Under `cost` a full epoch is one of ten
times the others' share, so that what is due at the very end can still be paid for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, final

from fewer.core.config import Positive
from fewer.core.population import Population
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import unweighted
from fewer.select.methods.smrd import Smrd, SmrdParams
from fewer.select.wrappers.wrapper import SelectorWrapper

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NEUTRAL = [{"threshold": 1.0}]


class Params(SmrdParams):
    method: Literal["periodic_full"] = "periodic_full"
    every_effective_epochs: Positive = 5.0
    """Samples trained on between two full epochs, in sizes of the training set."""


_FULLER = 10  # times the share of other epochs, under a cost


@final
class PeriodicFull(SelectorWrapper):
    """SMRD, refreshed by full epochs."""

    def __init__(self, params: Params, population: Population) -> None:
        super().__init__(Smrd(params, population.seed))
        self.every = params.every_effective_epochs
        self.images = int((population.group_N >= 0).sum())
        self.chosen, self.crossed, self.next_epoch = 0, 0, 0
        self.full_epochs = 0

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        is_due, self.crossed = self._crossings() > self.crossed, self._crossings()
        if is_due and (at.share is None or at.share * _FULLER >= 1):
            found = unweighted(pool_ids)
        else:
            found = self.selector.select(table, pool_ids, _fuller(at) if is_due else at)
        self.chosen, self.next_epoch = self.chosen + len(found.ids_M), at.epoch + 1
        self.full_epochs += is_due and len(found.ids_M) == len(pool_ids)
        return found

    def _crossings(self) -> int:
        return int(self.chosen / (self.every * self.images))

    def expected(self, at: At) -> Expectation:
        own = self.selector.expected(at)
        if at.epoch == self.next_epoch and self._crossings() > self.crossed:
            return Expectation(1.0, 1.0) if at.share is None else self.selector.expected(_fuller(at))
        if at.share is None:
            return Expectation(own.kept_low, 1.0, own.scored)
        if at.epoch <= self.next_epoch or own.kept_low == 1.0:
            return own
        # Which later epoch is full depends on what others keep: one is, for every `every` sets that are trained on.
        share, others = own.kept_high, max(0.0, self.every - 1)
        mean = self.every * share / (others + share) if others else 1.0
        return Expectation(mean, mean, own.scored)

    def counts(self) -> dict[str, float]:
        return {**self.selector.counts(), "full_epochs": float(self.full_epochs)}

    def state_dict(self) -> dict[str, Any]:
        names = ("chosen", "crossed", "next_epoch", "full_epochs")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.chosen, self.crossed, self.next_epoch = state["chosen"], state["crossed"], state["next_epoch"]
        self.full_epochs = state["full_epochs"]


def _fuller(at: At) -> At:
    assert at.share is not None
    return replace(at, share=min(1.0, _FULLER * at.share))


def build(params: Params, population: Population) -> PeriodicFull:
    return PeriodicFull(params, population)
