"""The last epochs on all data, around any method (Progressive Data Dropout's "revision")."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

from fewer.parts import At, Chosen, Expects, Keep, Selector, State
from fewer.select.base import chosen

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.select.table import Table


@final
class Revision:
    """A selector that chooses everything once only `revision` epochs are left."""

    def __init__(self, selector: Selector, revision: float) -> None:
        self.selector, self.revision = selector, revision
        self.packs = selector.packs
        self.scores_in_train_mode = selector.scores_in_train_mode

    def _revising(self, at: At) -> bool:
        # A started epoch counts: "5%" of ten epochs is one.
        return at.epoch >= at.epochs - math.ceil(self.revision - 1e-9)

    def wants(self, table: Table, at: At) -> Tensor:
        wanted = self.selector.wants(table, at)
        return wanted[:0] if self._revising(at) else wanted

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        return chosen(pool_ids) if self._revising(at) else self.selector.order(table, pool_ids, at)

    def fresh(self, at: At) -> bool:
        return not self._revising(at) and self.selector.fresh(at)

    def candidates(self, at: At) -> float:
        return 1.0 if self._revising(at) else self.selector.candidates(at)

    def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> Keep:
        return self.selector.keep(ids_G, loss_G, score_G, right_G, at)

    def expects(self, at: At) -> Expects:
        return Expects(1.0, 1.0) if self._revising(at) else self.selector.expects(at)

    def series(self, table: Table) -> dict[str, Tensor]:
        return self.selector.series(table)

    def state_dict(self) -> State:
        return self.selector.state_dict()

    def load_state_dict(self, state: State) -> None:
        self.selector.load_state_dict(state)
