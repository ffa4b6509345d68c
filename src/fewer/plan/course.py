"""A run whose length changes on its way: the schedule goes on from where it stands, faster or slower, to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fewer.core.clock import Duration
from fewer.core.types import Stage

if TYPE_CHECKING:
    from fewer.recipe.schema import Recipe
    from fewer.select.budget import Budget


@dataclass(frozen=True, slots=True)
class Course:
    """How the schedule's clock goes on from a moment at which the length of the run has changed.

    Attributes:
        begins: Epochs that were past at that moment; a part of one where it lay within an epoch.
        start: Where in the whole schedule the run stood then, in [0, 1].
        epochs: All epochs of the run from then on.
        planned: The epochs that the schedule is drawn over: those that the run was planned for at first.
        last: The share of the last epoch's batches that the run has time for.
    """

    begins: float
    start: float
    epochs: int
    planned: int
    last: float = 1.0

    def progress(self, past: float) -> float:
        """Where in the whole schedule the run stands after so many epochs, in [0, 1]: straight on to its end."""
        return self.start + (1 - self.start) * self._length(past) / self._length(self.epochs)

    def _length(self, past: float) -> float:
        """Epochs from the beginning of the course on, of which the last is as long as the part that is trained."""
        into_last = max(0.0, past - max(self.begins, self.epochs - 1))
        return past - self.begins - into_last * (1 - self.last)


def patience_of(recipe: Recipe) -> int | None:
    """Epochs without improvement that end a run, which are also the epochs of its ending; None: it never ends early."""
    asked = recipe.train.patience
    return asked.whole_epochs(recipe.epochs) if isinstance(asked, Duration) else None


def earliest_end(recipe: Recipe, stages: Sequence[Stage]) -> int:
    """The fewest epochs that a run may have: where its first validation in the last stage stays the best.

    The first stages are always trained: their models do not compare with those of the last, which may see other images.
    """
    patience, every, planned = patience_of(recipe), recipe.evaluate.every, stages[-1].first_epoch + stages[-1].epochs
    if patience is None or not every:
        return planned
    first = (stages[-1].first_epoch // every + 1) * every
    out = -(-(first + patience) // every) * every
    return min(out + patience, planned)


def of_epochs(stages: Sequence[Stage], budget: Budget, epochs: int) -> tuple[tuple[Stage, ...], Budget]:
    """Stages and budget of a run of so many epochs, which ends earlier or later within its last stage."""
    last, more = replace(stages[-1], epochs=epochs - stages[-1].first_epoch), max(0, epochs - budget.epochs)
    names = ("training_flops", "scoring_flops", "feature_flops", "shown_images", "step_flops", "batch_sizes")
    resized: dict[str, Any] = {
        name: (*values, *values[-1:] * more)[:epochs] for name in names if (values := getattr(budget, name)) is not None
    }
    return (*stages[:-1], last), replace(budget, **resized)
