"""The last epochs on all data, around any method (Progressive Data Dropout's "revision")."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

from fewer.clock import Duration
from fewer.parts import At, Chosen, Expects, Selector
from fewer.select.around import Around
from fewer.select.base import chosen

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.select.table import Table


@final
class Revision(Around):
    """A selector that chooses everything once only `revision` epochs are left."""

    def __init__(self, selector: Selector, revision: Duration) -> None:
        super().__init__(selector)
        self.revision = revision

    def _revising(self, at: At) -> bool:
        # A started epoch counts: "5%" of ten epochs is one.
        return at.epoch >= at.epochs - math.ceil(self.revision.in_epochs(at.epochs) - 1e-9)

    def wants(self, table: Table, at: At) -> Tensor:
        wanted = self.selector.wants(table, at)
        return wanted[:0] if self._revising(at) else wanted

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        return chosen(pool_ids) if self._revising(at) else self.selector.order(table, pool_ids, at)

    def fresh(self, at: At) -> bool:
        return not self._revising(at) and self.selector.fresh(at)

    def candidates(self, at: At) -> float:
        return 1.0 if self._revising(at) else self.selector.candidates(at)

    def expects(self, at: At) -> Expects:
        return Expects(1.0, 1.0) if self._revising(at) else self.selector.expects(at)
