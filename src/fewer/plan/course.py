"""A run whose length changes on its way: the schedule goes on from where it stands, faster or slower, to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
    """

    begins: float
    start: float
    epochs: int
    planned: int

    def progress(self, past: float) -> float:
        """Where in the whole schedule the run stands after so many epochs, in [0, 1]: straight on to its end."""
        return self.start + (1 - self.start) * (past - self.begins) / (self.epochs - self.begins)


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


def shortened(stages: Sequence[Stage], budget: Budget, epochs: int) -> tuple[tuple[Stage, ...], Budget]:
    """Stages and budget of a run that ends after so many epochs, within its last stage."""
    last = replace(stages[-1], epochs=epochs - stages[-1].first_epoch)
    names = ("training_flops", "scoring_flops", "feature_flops", "shown_images")
    return (*stages[:-1], last), replace(budget, **{name: getattr(budget, name)[:epochs] for name in names})
