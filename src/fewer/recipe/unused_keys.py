"""Which keys of `[train]` and `[task]` have an effect beside each other; optimizers, schedules and losses have some."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fewer import optim
from fewer.optim import schedules
from fewer.tasks.classify import losses

if TYPE_CHECKING:
    from fewer.recipe.schema import TaskRecipe, TrainRecipe


def without_effect(train: TrainRecipe) -> dict[str, str]:
    """The keys that do nothing in a recipe: key to the reason."""
    reasons: dict[str, str] = {}
    own = optim.keys(train.optimizer)
    for name in optim.names():
        for key in optim.keys(name):
            if key not in own:
                reasons[key] = f'with train.optimizer = "{train.optimizer}"; it belongs to "{name}"'
    for name, keys in schedules.KEYS.items():
        if name != train.schedule:
            reasons |= dict.fromkeys(keys, f'with train.schedule = "{train.schedule}"; it belongs to "{name}"')
    if train.schedule == "one_cycle":
        reasons["warmup"] = 'with train.schedule = "one_cycle", whose rate rises until train.cycle_peak'
        if train.cycle_momentum != "off" and "momentum" in own:
            reasons["momentum"] = 'beside train.cycle_momentum; set that to "off" for a constant momentum'
    if train.schedule == "step" and train.step_at:
        reasons["step_every"] = "beside train.step_at, which says when the rate drops"
    return reasons


def without_effect_in_task(task: TaskRecipe) -> dict[str, str]:
    """The keys of `[task]` that do nothing in a recipe: key to the reason."""
    reasons = {
        key: f'with task.loss = "{task.loss}"; it belongs to "{name}"'
        for name in losses.names()
        if name != task.loss
        for key in losses.keys(name)
    }
    if task.class_weights != "effective_number":
        reasons["class_beta"] = f'with task.class_weights = "{task.class_weights}"; it belongs to "effective_number"'
    if task.class_weights == "none":
        reasons["reweight_from"] = 'with task.class_weights = "none"'
    return reasons


def misplaced(train: TrainRecipe, given: Iterable[str]) -> list[tuple[tuple[str, ...], str]]:
    """Problems with keys that were given: path of the key, and a sentence with the fix.

    Args:
        train: The section, checked key by key.
        given: The keys that the recipe or the command line holds.
    """
    given = set(given)
    problems: list[tuple[tuple[str, ...], str]] = [
        (("train", key), f"train.{key} has no effect {reason}; leave it out")
        for key, reason in without_effect(train).items()
        if key in given
    ]
    if train.optimizer == "adamw" and "lr" not in given:
        problems.append(
            (
                ("train", "optimizer"),
                f'train.lr is missing: its default, {train.lr:g}, is meant for "sgd"; '
                'add one for "adamw", e.g. train.lr = 0.001',
            )
        )
    if train.cycle_momentum != "off" and train.cycle_momentum[0] > train.cycle_momentum[1]:
        low, high = train.cycle_momentum
        text = f"train.cycle_momentum = [{low:g}, {high:g}]: the lower one comes first; write [{high:g}, {low:g}]"
        problems.append((("train", "cycle_momentum"), text))
    if "step_every" not in without_effect(train) and not train.step_every.value:
        text = f'train.step_every = "{train.step_every}": more than nothing must lie between drops; try "30%"'
        problems.append((("train", "step_every"), text))
    return problems
