"""A recipe for another number of epochs."""

from __future__ import annotations

from fewer.core.allocation import split
from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe


def of_length(recipe: Recipe, epochs: int, why: str, budget: str = "off") -> Recipe:
    """The recipe for so many epochs, those of its stages in proportion.

    Args:
        recipe: The recipe.
        epochs: Epochs of the whole run.
        why: What asks for them; begins every error.
        budget: Its `train.budget` from now on.

    Raises:
        RecipeError: Something in the recipe does not fit so many epochs.
    """
    content = recipe.model_dump(mode="json", exclude_none=True)
    content["train"] |= {"epochs": epochs, "budget": budget}
    if recipe.stages:
        lengths = split([stage.epochs for stage in recipe.stages], epochs)
        if not all(lengths):
            raise RecipeError(f"{why}: {epochs} epochs are too few for {len(lengths)} stages; ask for more")
        for stage, length in zip(content["stages"], lengths, strict=True):
            stage["epochs"] = length
    try:
        return parse_recipe(content).with_notes(recipe.notes)
    except RecipeError as error:
        raise RecipeError([f"{why}, which is {epochs} epochs: {problem}" for problem in error.problems]) from None
