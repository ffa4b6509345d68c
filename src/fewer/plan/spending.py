"""The fit of a run to `train.budget`: a share of plain training, or FLOPs, become epochs before the first step.

A budget of time is left to `fewer.training.steering`, which follows the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from fewer.core.errors import RecipeError
from fewer.core.spending import Spending
from fewer.plan.plan import Plan
from fewer.recipe.lengths import of_length
from fewer.recipe.schema import Recipe

_MOST_EPOCHS = 32_767  # the score table stores epochs in 16 bits
_ROUNDS = 8  # of a search along straight lines; costs are nearly straight in the epochs


def fitted(recipe: Recipe, plan_of: Callable[[Recipe], Plan]) -> Plan:
    """The plan with the most epochs that stay within the recipe's budget, by the most FLOPs that it predicts.

    The recipe of the plan has these epochs and no budget: a resumed run keeps them, and its digest is that of a recipe
    that asks for them.

    Args:
        recipe: What the user asked.
        plan_of: Compiles a recipe without a budget.

    Raises:
        RecipeError: The budget does not pay for one epoch of every stage, or for more than can be counted.
    """
    asked = recipe.train.budget
    if not isinstance(asked, Spending) or asked.seconds is not None:
        return plan_of(recipe)
    key = f'train.budget = "{asked}"'

    @cache
    def plan(epochs: int) -> Plan:
        return plan_of(of_length(recipe, epochs, key))

    def cost(epochs: int) -> float:
        return plan(epochs).predicted["flops"][1]

    start = recipe.epochs
    plain = plan(start).plain_epoch_flops
    budget = asked.value if asked.unit == "flop" else asked.value * start * plain
    epochs = _most_epochs(cost, budget, start, least=max(1, len(recipe.stages)), key=key)
    found = plan(epochs)
    return replace(found, notes=(*found.notes, _said(found, key, budget)))


def _most_epochs(cost: Callable[[int], float], budget: float, start: int, least: int, key: str) -> int:
    """The most epochs within the budget: a search along straight lines, then epoch by epoch."""
    if budget * start / cost(start) > 2 * _MOST_EPOCHS:
        raise RecipeError(f"{key} is more than {_MOST_EPOCHS} epochs cost; ask for less")
    epochs, other = start, start + 1 if start < _MOST_EPOCHS else start - 1
    for _ in range(_ROUNDS):
        slope = (cost(other) - cost(epochs)) / (other - epochs)
        guess = epochs + math.floor((budget - cost(epochs)) / slope) if slope > 0 else epochs
        guess = min(_MOST_EPOCHS, max(least, guess))
        if guess == epochs:
            break
        epochs, other = guess, epochs
    while epochs > least and cost(epochs) > budget:
        epochs -= 1
    while epochs < _MOST_EPOCHS and cost(epochs + 1) <= budget:
        epochs += 1
    if cost(epochs) > budget:
        what = "one epoch costs" if least == 1 else f"one epoch of each of {least} stages costs"
        raise RecipeError(f"{key} is {budget:.3g} FLOPs, and {what} {cost(epochs):.3g}; ask for more")
    return epochs


def _said(plan: Plan, key: str, budget: float) -> str:
    plain, (low, high) = plan.plain_epoch_flops, plan.predicted["flops"]
    took = f"{high / plain:.2f}" if low == high else f"{low / plain:.2f} to {high / plain:.2f}"
    epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
    return f"{key} became {epochs}: {took} of {budget / plain:.2f} FEE"
