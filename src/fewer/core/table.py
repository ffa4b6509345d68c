"""The score table: the last observations of every sample, from which selection methods choose.

Two views of a sample are kept apart: `trained` numbers come from the augmented view in a training step, `scored` ones
from a forward-only pass. `loss_N`, `score_N` and `right_N` are those of whichever came last. 24 bytes a sample, and
what the columns take that a method adds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, final

import torch

from fewer.core.observation import Column, Observed

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["trained", "scored"]
KINDS: tuple[Kind, ...] = ("trained", "scored")
_NEVER = -1


@final
class Table:
    """Last loss, score and correctness of each id, and further columns that a method asks for.

    Args:
        size: Number of ids of the source, N.
        columns: Further columns, float32, NaN where nothing is known.

    Attributes:
        visits_N: How often a sample was trained on, int16, saturating.
    """

    def __init__(self, size: int, columns: Sequence[Column] = ()) -> None:
        self._columns: dict[str, Tensor] = {}
        for kind in KINDS:
            self._columns[f"{kind}.loss"] = torch.full((size,), torch.nan)
            self._columns[f"{kind}.score"] = torch.full((size,), torch.nan)
            self._columns[f"{kind}.right"] = torch.zeros(size, dtype=torch.bool)
            self._columns[f"{kind}.epoch"] = torch.full((size,), _NEVER, dtype=torch.int16)
            for column in columns:
                shape = (size,) if column.width == 1 else (size, column.width)
                self._columns[f"{kind}.{column.name}"] = torch.full(shape, torch.nan)
        self.visits_N = torch.zeros(size, dtype=torch.int16)

    def __len__(self) -> int:
        return len(self.visits_N)

    def observe(self, kind: Kind, seen_B: Observed, epoch: int) -> None:
        """Records the observations of one epoch; a sample listed twice leaves its last entry.

        Args:
            kind: Which of the two views was looked at.
            seen_B: The samples and their columns; columns that the table does not have are left out.
            epoch: The epoch of the weights that were used.
        """
        last_B = _last_entries(seen_B.ids_B)
        ids = seen_B.ids_B[last_B]
        for name, values_B in seen_B.columns.items():
            if (stored := self._columns.get(f"{kind}.{name}")) is not None:
                stored[ids] = values_B[last_B].to(stored.dtype)
        self._columns[f"{kind}.epoch"][ids] = epoch
        if kind == "trained":
            visits = torch.bincount(seen_B.ids_B, minlength=len(self)) + self.visits_N
            self.visits_N = visits.clamp_(max=torch.iinfo(torch.int16).max).to(torch.int16)

    @property
    def seen_N(self) -> Tensor:
        """Whether anything is known of a sample."""
        return self.last_epoch_N != _NEVER

    @property
    def last_epoch_N(self) -> Tensor:
        """Epoch of the newest entry of either kind, -1 for none."""
        return torch.maximum(self._columns["trained.epoch"], self._columns["scored.epoch"])

    @property
    def loss_N(self) -> Tensor:
        """Newest loss of either kind, NaN for none."""
        return self.newest("loss")

    @property
    def score_N(self) -> Tensor:
        """Newest score of either kind, NaN for none."""
        return self.newest("score")

    @property
    def right_N(self) -> Tensor:
        """Newest correctness of either kind, False for none."""
        return self.newest("right")

    def column(self, kind: Kind, name: str) -> Tensor:
        """One column of one kind: `loss`, `score`, `right`, `epoch`, or one that the method asked for."""
        return self._columns[f"{kind}.{name}"]

    def newest(self, name: str) -> Tensor:
        """The newest entry of either kind in one column; what nothing is known of is as the table began with."""
        # An epoch's scoring pass comes before its training: at equal epochs the trained entry is newer.
        scored_is_newer = self._columns["scored.epoch"] > self._columns["trained.epoch"]
        scored, trained = self._columns[f"scored.{name}"], self._columns[f"trained.{name}"]
        return torch.where(scored_is_newer.view(-1, *[1] * (scored.dim() - 1)), scored, trained)

    def replaced(self, name: str, change: Callable[[Tensor], Tensor]) -> Table:
        """A table in which one column of either kind is another; all else is shared, so that it is to be read only."""
        other = copy.copy(self)
        changed = {f"{kind}.{name}": change(self._columns[f"{kind}.{name}"]) for kind in KINDS}
        other._columns = {**self._columns, **changed}
        return other

    def state_dict(self) -> dict[str, Tensor]:
        return {**self._columns, "visits": self.visits_N}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Puts back what `state_dict` gave.

        Raises:
            ValueError: The state is of a set of another size.
        """
        if len(state["visits"]) != len(self):
            raise ValueError(f"a table of {len(state['visits'])} samples does not fit a set of {len(self)}")
        self.visits_N = state["visits"].clone()
        self._columns = {name: state[name].clone() for name in self._columns}


def _last_entries(ids_B: Tensor) -> Tensor:
    """Positions of each id's last entry: writes with repeated indices would leave an arbitrary one."""
    order = torch.argsort(ids_B, stable=True)
    sorted_B = ids_B[order]
    is_last = torch.ones(len(ids_B), dtype=torch.bool)
    is_last[:-1] = sorted_B[1:] != sorted_B[:-1]
    return order[is_last]
