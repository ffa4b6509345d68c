"""What most selection methods share: nothing scored, nothing chosen in the batch, no state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fewer.clock import Duration
from fewer.fields import Section, Span
from fewer.parts import At, Chosen, Expects, Keep, State

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.select.table import Table


class MethodParams(Section):
    """Parameters that every method has."""

    method: str
    revision: Span = Duration(0, "ep")
    """Final epochs on all data."""


class Selection(ABC):
    """A selector that chooses before the epoch; `order` and `expects` are the method's own."""

    packs = True
    scores_in_train_mode = False

    @abstractmethod
    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen: ...

    @abstractmethod
    def expects(self, at: At) -> Expects: ...

    def wants(self, table: Table, at: At) -> Tensor:
        import torch

        return torch.empty(0, dtype=torch.int64)

    def fresh(self, at: At) -> bool:
        return False

    def candidates(self, at: At) -> float:
        return 1.0

    def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> Keep:
        import torch

        return Keep(torch.ones_like(ids_G, dtype=torch.bool), torch.ones(len(ids_G), dtype=torch.float64))

    def series(self, table: Table) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        return


def chosen(ids_M: Tensor) -> Chosen:
    """These samples, all with weight 1."""
    import torch

    return Chosen(ids_M, torch.ones(len(ids_M), dtype=torch.float64))
