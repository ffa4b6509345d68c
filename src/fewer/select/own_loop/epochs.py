"""The epochs of a foreign loop, one after another: entered, scored beforehand, ended, and paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

from fewer.core.errors import UsageError
from fewer.core.protocols import Comm
from fewer.core.types import At, Selection, State
from fewer.select.budget import Budget
from fewer.select.epoch import EpochSelection, Order
from fewer.select.observations import Observations
from fewer.select.own_loop.observation import gather_finite

if TYPE_CHECKING:
    from torch import Tensor


@final
class Epochs:
    """Where a foreign loop stands, and what it has observed and spent.

    Args:
        selection: The selection that it works on.
        budget: What epochs cost, in forwards.
        epochs: All epochs of the run.
        method: The method's name, for messages.
        needs_losses: Whether the method chooses by losses, so that an epoch without observations is a mistake.
        needs_scores: Whether the method has samples scored before epochs.

    Attributes:
        at: The moment of the epoch that was begun last.
        wanted: The samples that were named for scoring before the next epoch; None where nobody has asked.
        scored: What has been observed of them.
        spent: Samples trained on, and samples scored.
        added: Samples that the epoch trains on, because the method asked for their scores and nobody gave them.
        has_kept: Whether a choice was made in the batch in this epoch.
    """

    def __init__(
        self,
        selection: EpochSelection,
        budget: Budget,
        epochs: int,
        method: str,
        needs_losses: bool,
        needs_scores: bool,
    ) -> None:
        self.selection, self.budget, self.method = selection, budget, method
        self.needs_losses, self.needs_scores = needs_losses, needs_scores
        self.at = At(0, epochs, 0.0)
        self.wanted: Tensor | None = None
        self.scored = Observations(selection.selector.columns)
        self.spent = {"trained": 0, "scored": 0}
        self.added, self.has_kept = 0, False

    def has_begun(self, epoch: int) -> bool:
        """Whether this epoch is under way."""
        return self.selection.order is not None and epoch == self.at.epoch

    def require_next(self, epoch: int) -> None:
        """Raises UsageError unless this epoch may begin now."""
        if not self.at.epoch <= epoch < self.at.epochs:
            raise UsageError(
                f"epoch {epoch} cannot begin: epoch {self.at.epoch} of {self.at.epochs} was the last to begin "
                "(counted from 0); epochs go forward, and Chooser(epochs=...) says how many there are"
            )

    def enter(self, epoch: int, comm: Comm) -> None:
        """Ends the epoch before, if that has not been done, and moves to this one; every rank must call it."""
        self.end(comm)
        self.wanted = self.wanted if epoch == self.at.epoch else None
        spent = float(3 * self.spent["trained"] + self.spent["scored"])
        level = self.budget.affordable_level(self.selection.selector.expected, epoch, spent)
        self.at = self.budget.at(epoch, level)

    def name_wanted(self) -> Tensor:
        """The samples to be scored before the epoch, ascending."""
        self.wanted = self.selection.ids_to_score(self.at).sort().values
        return self.wanted

    def begin(self, comm: Comm) -> Order | None:
        """Draws the epoch's samples; None where the method keeps nothing."""
        unscored = self._unscored(comm)
        own = self.selection.select(self.at)
        selected = _including(own, unscored)
        if not len(selected.ids_M):
            return None
        self.wanted, self.added, self.has_kept = None, len(selected.ids_M) - len(own.ids_M), False
        return self.selection.begin(selected, self.at)

    def end(self, comm: Comm) -> None:
        """Brings the table up to date with the epoch that was under way, if one was; every rank must call it."""
        if self.selection.order is None:
            return
        self.gather(comm)
        epoch, listed = self.at.epoch, len(self.selection.order.samples)
        is_observed = self._is_observed
        if self.needs_losses and not is_observed:
            raise UsageError(
                f"nothing was observed in epoch {epoch}, and {self.method} chooses by losses: call "
                "chooser.observe(id_B, loss_B, logits_BC) after every training batch"
            )
        observed = self.selection.end(comm, epoch)
        self.spent["trained"] += observed if is_observed else listed

    @property
    def _is_observed(self) -> bool:
        """Whether the epoch has been observed; some methods can do without."""
        return len(self.selection.observations.rows["ids"]) > 0

    def gather(self, comm: Comm) -> None:
        """Brings together what ranks have observed; every rank must call it."""
        gather_finite(self.selection.observations, comm, self.at.epoch)

    def effective(self, samples: int, is_drawn: bool) -> dict[str, float]:
        """Epochs of samples trained on, and with a third for each scoring forward, as far as observations are gathered.

        Args:
            samples: Samples of an epoch on everything.
            is_drawn: Whether the epoch that is under way has been drawn.
        """
        trained, scored = self.spent["trained"] + len(self.selection.observations.counted), self.spent["scored"]
        order = self.selection.order
        if order is not None and is_drawn and not self._is_observed and not self.needs_losses:
            trained += len(order.samples)
        return {"effective_epochs": trained / samples, "full_epoch_equivalents": (3 * trained + scored) / 3 / samples}

    def state_dict(self) -> State:
        """Where the loop stands, and what it has spent."""
        return {"epoch": self.at.epoch, "share": self.at.share, "spent": dict(self.spent)}

    def load(self, epoch: int, share: float | None, spent: dict[str, int]) -> None:
        """Goes on from a saved epoch, nothing of whose successor has been scored."""
        self.at = At(epoch, self.at.epochs, epoch / self.at.epochs, share)
        self.spent = dict(spent)
        self.scored.clear()
        self.wanted = None

    def _unscored(self, comm: Comm) -> Tensor:
        """Writes down what was scored before the epoch; returns what the method asked for where nobody scored it."""
        if self.wanted is None:
            if self.needs_scores:
                raise UsageError(
                    f"{self.method} has samples scored before epochs: call ids = chooser.ids_to_score(epoch) before "
                    'every chooser.begin(epoch), and observe(..., kind="scored") for them; refresh_every = 0 goes '
                    "without, where that is what asks for it"
                )
            return self.selection.ids_to_score(self.at)
        gather_finite(self.scored, comm, self.at.epoch)
        lacking = self.wanted[~torch.isin(self.wanted, self.scored.rows["ids"])]
        if len(lacking):
            raise UsageError(
                f"{len(lacking)} of {len(self.wanted)} samples of chooser.ids_to_score({self.at.epoch}) were not "
                f'scored, such as {int(lacking[0])}; observe(..., kind="scored") them all, each on its rank'
            )
        self.spent["scored"] += self.scored.write(self.selection.table, "scored", self.at.epoch)
        return lacking


def _including(selection: Selection, ids: Tensor) -> Selection:
    """A selection together with further samples, which weigh 1."""
    more = ids[~torch.isin(ids, selection.ids_M)]
    weight_M = torch.cat([selection.weight_M, torch.ones(len(more), dtype=torch.float64)])
    return Selection(torch.cat([selection.ids_M, more]), weight_M, selection.lr_scale)
