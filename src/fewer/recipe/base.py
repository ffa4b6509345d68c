"""A recipe as the base of many: its content, into which values are put. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.core.errors import RecipeError, printable
from fewer.core.messages import KeyPath
from fewer.recipe.parse import override, parse_recipe
from fewer.recipe.schema import Recipe
from fewer.recipe.toml_file import read_toml

Content = dict[str, Any]
_LEAN = {"plots": False, "previews": False, "suspects": False, "keep": 1}


@dataclass(frozen=True)
class Base:
    """A recipe that is varied, with the place of every key for messages."""

    path: Path
    content: Content
    lines: Mapping[KeyPath, int]
    places: Mapping[KeyPath, str]

    @classmethod
    def read(cls, path: Path, overrides: Sequence[str] = ()) -> Base:
        """Reads a recipe's file and puts `key=value` texts into it.

        Raises:
            RecipeError: The file cannot be read, or a text is no override.
        """
        content, lines = read_toml(path)
        places: dict[KeyPath, str] = {}
        if problems := override(content, overrides, places):
            raise RecipeError([printable(problem) for problem in problems])
        return cls(path, content, lines, places)

    def recipe(self, content: Content, places: Mapping[KeyPath, str]) -> Recipe:
        """Checks a changed content.

        Raises:
            RecipeError: With all its problems.
        """
        every, folder = {**self.places, **places}, self.path.resolve().parent
        return parse_recipe(content, origin=str(self.path), lines=dict(self.lines), base=folder, places=every)


def one_of_many(recipe: Recipe, given: Mapping[str, object]) -> Recipe:
    """The recipe of one run among many: it keeps few files, unless the recipe sets these keys itself.

    Args:
        recipe: The recipe.
        given: The keys of `[out]` that the user sets.
    """
    lean = {key: value for key, value in _LEAN.items() if key not in given}
    return recipe.model_copy(update={"out": recipe.out.model_copy(update={"dir": "", "remote": "", **lean})})
