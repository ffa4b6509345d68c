"""A selector around another one, which answers for it in everything that it does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.protocols import Selector
from fewer.core.types import At, Chosen, Expects, Keep, State

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


class Around:
    """Passes every question on to the selector inside."""

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.packs = selector.packs
        self.scores_in_train_mode = selector.scores_in_train_mode
        self.scoring_side_px = selector.scoring_side_px

    def wants(self, table: Table, at: At) -> Tensor:
        return self.selector.wants(table, at)

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        return self.selector.order(table, pool_ids, at)

    def fresh(self, at: At) -> bool:
        return self.selector.fresh(at)

    def candidates(self, at: At) -> float:
        return self.selector.candidates(at)

    def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> Keep:
        return self.selector.keep(ids_G, loss_G, score_G, right_G, at)

    def expects(self, at: At) -> Expects:
        return self.selector.expects(at)

    def series(self, table: Table) -> dict[str, Tensor]:
        return self.selector.series(table)

    def counts(self) -> dict[str, float]:
        return self.selector.counts()

    def suspected(self) -> Tensor:
        return self.selector.suspected()

    def note(self) -> str:
        return self.selector.note()

    def state_dict(self) -> State:
        return self.selector.state_dict()

    def load_state_dict(self, state: State) -> None:
        self.selector.load_state_dict(state)
