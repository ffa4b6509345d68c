"""A recipe as a whole."""

from __future__ import annotations

from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe

BASE = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}


def test_a_recipe_made_of_sections_is_whole() -> None:
    recipe = parse_recipe(BASE, ["train.schedule=cosine"])
    assert isinstance(recipe, Recipe)
    assert recipe.model_dump()["train"]["warmup"] == "5%"
    assert recipe.model_dump(exclude={"train": {"warmup"}}, exclude_defaults=True)["train"] == {"schedule": "cosine"}
