"""A selector around another one, which answers for it in everything that it does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.core.abilities import PicksMethod
from fewer.core.observation import Observed
from fewer.core.protocols import Selector
from fewer.core.types import At, Expectation, KeepMask, Selection, State

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


class SelectorWrapper:
    """Passes every question on to the selector inside."""

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.packs = selector.packs
        self.scores_in_train_mode = selector.scores_in_train_mode
        self.scoring_side_px = selector.scoring_side_px
        self.columns = selector.columns

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        return self.selector.ids_to_score(table, at)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        return self.selector.select(table, pool_ids, at)

    def in_batch(self, at: At) -> bool:
        return self.selector.in_batch(at)

    def candidate_factor(self, at: At) -> float:
        return self.selector.candidate_factor(at)

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        return self.selector.keep(seen_G, at)

    def expected(self, at: At) -> Expectation:
        return self.selector.expected(at)

    def series(self, table: Table) -> dict[str, Tensor]:
        return self.selector.series(table)

    def counts(self) -> dict[str, float]:
        return self.selector.counts()

    def suspected(self) -> Tensor:
        return self.selector.suspected()

    def note(self) -> str:
        return self.selector.note()

    def became(self) -> dict[str, Any]:
        return self.selector.became() if isinstance(self.selector, PicksMethod) else {}

    def state_dict(self) -> State:
        return self.selector.state_dict()

    def load_state_dict(self, state: State) -> None:
        self.selector.load_state_dict(state)
