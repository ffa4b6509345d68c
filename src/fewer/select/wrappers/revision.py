"""The last epochs on all data, around any method (Progressive Data Dropout's "revision")."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from fewer.core.clock import Duration
from fewer.core.protocols import Selector
from fewer.core.types import At, Expectation, Selection, State
from fewer.select.base import unweighted
from fewer.select.wrappers.wrapper import SelectorWrapper

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


@final
class Revision(SelectorWrapper):
    """A selector that chooses everything once only `revision` epochs are left."""

    def __init__(self, selector: Selector, revision: Duration) -> None:
        super().__init__(selector)
        self.revision, self.has_begun = revision, False

    def _revising(self, at: At) -> bool:
        return at.epoch >= at.epochs - self.revision.whole_epochs(at.epochs)

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        wanted = self.selector.ids_to_score(table, at)
        return wanted[:0] if self._revising(at) else wanted

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        self.has_begun = self._revising(at)
        return unweighted(pool_ids) if self.has_begun else self.selector.select(table, pool_ids, at)

    def in_batch(self, at: At) -> bool:
        return not self._revising(at) and self.selector.in_batch(at)

    def candidate_factor(self, at: At) -> float:
        return 1.0 if self._revising(at) else self.selector.candidate_factor(at)

    def expected(self, at: At) -> Expectation:
        return Expectation(1.0, 1.0) if self._revising(at) else self.selector.expected(at)

    def counts(self) -> dict[str, float]:
        return {} if self.has_begun else self.selector.counts()  # the method's are those of its last choice

    def state_dict(self) -> State:
        return {"selector": self.selector.state_dict(), "has_begun": self.has_begun}

    def load_state_dict(self, state: State) -> None:
        self.selector.load_state_dict(state["selector"])
        self.has_begun = state["has_begun"]
