"""Workers that are left to the number of processes (`sync.workers` left out), where each has weights of its own.

Their number becomes a part of the run's recipe when it begins: a run that goes on with fewer processes simulates them.
"""

from __future__ import annotations

from fewer.recipe.schema import Recipe
from fewer.sync.methods import SYNC_METHODS

KEY = "sync.workers"


def differ(recipe: Recipe) -> bool:
    """Whether workers go their own ways between exchanges, so that a run cannot change their number."""
    return not getattr(SYNC_METHODS.module(recipe.sync.method), "EVERY_STEP", False)


def counted(recipe: Recipe, processes: int) -> Recipe:
    """The recipe with a number of workers, where several processes begin it and their workers will differ.

    Args:
        recipe: What the user asked.
        processes: Processes that train together.
    """
    if processes == 1 or recipe.sync.workers or not differ(recipe):
        return recipe
    said = f"{KEY} became {processes}, one a process: a resumed run keeps them, on any number of processes"
    sync = recipe.sync.model_copy(update={"workers": processes})
    return recipe.model_copy(update={"sync": sync}).with_notes([*recipe.notes, said])


__all__ = ["KEY", "counted", "differ"]
