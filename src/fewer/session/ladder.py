"""Trunk and rungs of a ladder: one run at a constant rate, off which shorter runs branch with a cooldown each.

A rung is, bit for bit, the run of its length with that cooldown that would be trained alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fewer.core.clock import Duration
from fewer.core.errors import RecipeError
from fewer.recipe.schema import Recipe
from fewer.runs import checkpoint
from fewer.session.branch import branch_off
from fewer.session.resume import with_total


@dataclass(frozen=True)
class Rung:
    """One budget of a ladder.

    Attributes:
        share: The share of the recipe's epochs.
        epochs: So many epochs.
        cooldown: The last of them, in which the rate falls.
    """

    share: float
    epochs: int
    cooldown: int

    @property
    def begins(self) -> int:
        """Epochs of the trunk before the cooldown."""
        return self.epochs - self.cooldown

    @property
    def name(self) -> str:
        return f"budget-{self.share:g}"


def rung_of(share: float, cooldown: Duration, epochs: int) -> Rung:
    """The rung of a share of so many epochs.

    Raises:
        ValueError: It is no share of a run, or the cooldown leaves nothing before it.
    """
    if not 0 < share <= 100:
        raise ValueError(f"{share:g} is no share of a run")
    whole = max(1, round(share * epochs))
    falling = max(1, round(cooldown.in_epochs(whole)))
    if falling >= whole:
        raise ValueError(f"a cooldown of {cooldown} leaves nothing of {whole} epochs; train longer, or cool less")
    return Rung(share, whole, falling)


def trunk_of(recipe: Recipe, rungs: Sequence[Rung]) -> Recipe:
    """The trunk: the longest run of the ladder, whose checkpoints stay where cooldowns begin.

    It is evaluated once, at its end: the best of many epochs would favour long runs.

    Raises:
        RecipeError: The recipe has stages or a budget, or its warm-up is not over when the first cooldown begins.
    """
    if recipe.stages:
        raise RecipeError("a ladder needs a recipe without [[stages]], which say how many epochs each takes")
    if recipe.train.budget != "off":
        raise RecipeError(f'train.budget = "{recipe.train.budget}": the budgets of a ladder are shares of train.epochs')
    warmup = getattr(recipe.train, "warmup", Duration(5, "%")).in_epochs(recipe.epochs)
    first, last = rungs[0], rungs[-1]
    if warmup > first.begins:
        raise RecipeError(
            f"a warm-up of {warmup:g} epochs is not over when the first cooldown begins, behind {first.begins}; "
            "shorten train.warmup, or leave small budgets out"
        )
    keys = {"schedule": "cooldown", "cooldown": f"{last.cooldown}ep", "warmup": f"{warmup:g}ep", "patience": "off"}
    keep = [f"{rung.begins}ep" for rung in rungs[:-1]]
    overrides = [*(f'train.{key}="{value}"' for key, value in keys.items()), f"train.epochs={last.epochs}"]
    return with_total(recipe, [*overrides, f"out.keep_at={keep}", "evaluate.every=0", 'out.dir=""'])


def alone(trunk: Recipe, rung: Rung) -> Recipe:
    """The recipe of a rung: what it branches off to, and what would be trained alone."""
    return with_total(trunk, _keys(rung))


def cool_down(trunk: Path, rung: Rung, out: Path) -> Path:
    """Makes the run folder of a rung, which `resume` trains.

    Args:
        trunk: The trunk's run folder.
        rung: The rung.
        out: The new run folder.

    Raises:
        RecipeError: The trunk has no checkpoint where the cooldown begins.
    """
    return branch_off(f"{trunk}@{checkpoint.name_of(rung.begins)}", _keys(rung), out)


def has_checkpoint(trunk: Path, rung: Rung) -> bool:
    """Whether a trunk has the checkpoint that a rung begins with."""
    return (trunk / "checkpoints" / checkpoint.name_of(rung.begins)).is_dir()


def may_branch(trunk: Path, rung: Rung) -> bool:
    """Whether a trunk has the checkpoint that a rung begins with, or has not come so far yet."""
    newest = next(checkpoint.newest_first(trunk / "checkpoints"), None)
    return has_checkpoint(trunk, rung) or newest is None or newest.name < checkpoint.name_of(rung.begins)


def _keys(rung: Rung) -> list[str]:
    return [f"train.epochs={rung.epochs}", f"train.cooldown={rung.cooldown}ep", "out.keep_at=[]"]
