"""What is known of every sample: the one table from which methods choose.

Two views of a sample are kept apart: `trained` numbers come from the augmented view in a training step, `scored` ones
from a forward-only pass. `loss_N`, `score_N` and `right_N` are those of whichever came last. 24 bytes a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

import torch

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["trained", "scored"]
_NEVER = -1


@final
class Table:
    """Last loss, score and correctness of each id.

    Args:
        size: Number of ids of the source, N.

    Attributes:
        visits_N: How often a sample was trained on, int16, saturating.
    """

    def __init__(self, size: int) -> None:
        self._columns: dict[str, Tensor] = {}
        for kind in ("trained", "scored"):
            self._columns[f"{kind}.loss"] = torch.full((size,), torch.nan)
            self._columns[f"{kind}.score"] = torch.full((size,), torch.nan)
            self._columns[f"{kind}.right"] = torch.zeros(size, dtype=torch.bool)
            self._columns[f"{kind}.epoch"] = torch.full((size,), _NEVER, dtype=torch.int16)
        self.visits_N = torch.zeros(size, dtype=torch.int16)

    def __len__(self) -> int:
        return len(self.visits_N)

    def observe(self, kind: Kind, ids_B: Tensor, loss_B: Tensor, score_B: Tensor, right_B: Tensor, epoch: int) -> None:
        """Records what one epoch said of some samples; a sample listed twice leaves its last entry.

        Args:
            kind: Which of the two views was looked at.
            ids_B: Sample ids, int64.
            loss_B: Mean loss of each sample.
            score_B: Score of each sample, in [0, 1].
            right_B: Whether each was predicted correctly.
            epoch: The epoch of the weights that were used.
        """
        last_B = _last_entries(ids_B)
        ids = ids_B[last_B]
        self._columns[f"{kind}.loss"][ids] = loss_B[last_B].float()
        self._columns[f"{kind}.score"][ids] = score_B[last_B].float()
        self._columns[f"{kind}.right"][ids] = right_B[last_B]
        self._columns[f"{kind}.epoch"][ids] = epoch
        if kind == "trained":
            visits = torch.bincount(ids_B, minlength=len(self)) + self.visits_N
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
        return self._newest("loss")

    @property
    def score_N(self) -> Tensor:
        """Newest score of either kind, NaN for none."""
        return self._newest("score")

    @property
    def right_N(self) -> Tensor:
        """Newest correctness of either kind, False for none."""
        return self._newest("right")

    def column(self, kind: Kind, name: Literal["loss", "score", "right", "epoch"]) -> Tensor:
        """One column of one kind."""
        return self._columns[f"{kind}.{name}"]

    def _newest(self, name: str) -> Tensor:
        # An epoch's scoring pass comes before its training: at equal epochs the trained entry is newer.
        scored_is_newer = self._columns["scored.epoch"] > self._columns["trained.epoch"]
        return torch.where(scored_is_newer, self._columns[f"scored.{name}"], self._columns[f"trained.{name}"])

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
