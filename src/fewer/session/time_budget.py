"""The first guess of a run with a budget of time: how many epochs a probe of this machine says that it pays for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.errors import RecipeError
from fewer.core.spending import seconds_of
from fewer.recipe.lengths import of_length
from fewer.session.build import make_plan
from fewer.session.probe import outlook

if TYPE_CHECKING:
    from collections.abc import Callable

    from fewer.core.protocols import Selector
    from fewer.data.listing.splits import Splits
    from fewer.recipe.schema import Recipe

_MOST_EPOCHS = 10_000


def guessed(
    recipe: Recipe,
    splits: Splits,
    processes: int = 1,
    selector: Selector | None = None,
    agreed: Callable[[int], int] = lambda epochs: epochs,
) -> Recipe:
    """The recipe with the epochs that its time pays for, by a probe; others are left as they are.

    Args:
        recipe: What the user asked.
        splits: Its listed data.
        processes: Processes that train together.
        selector: A selector of the caller's own.
        agreed: Gives every process the number of process 0.

    Raises:
        RecipeError: The time does not pay for one epoch of every stage.
    """
    asked = recipe.train.budget
    seconds = seconds_of(asked)
    if seconds is None:
        return recipe
    fast, slow = outlook(make_plan(recipe, splits, processes, selector)).seconds
    paid = seconds * recipe.epochs / max(1e-9, (fast + slow) / 2)
    # A single epoch cannot be steered: of one and a half or more, the second becomes a part of one.
    epochs = agreed(min(_MOST_EPOCHS, round(paid) if 1 <= paid < 2 else int(paid)))
    key, least = f'train.budget = "{asked}"', max(1, len(recipe.stages))
    if epochs < least:
        one = (fast + slow) / 2 / recipe.epochs
        what = "an epoch takes" if least == 1 else f"an epoch of each of {least} stages takes"
        text = f"{key} is less than {what}, about {one:.2g} s each"
        raise RecipeError(f"{text}; ask for more")
    return of_length(recipe, epochs, key, str(asked))
