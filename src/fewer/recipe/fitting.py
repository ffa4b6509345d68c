"""A shipped recipe beside a user's keys: what of it has no place there, and whether any of them takes the keys."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewer.core.errors import RecipeError
from fewer.core.messages import KeyPath
from fewer.recipe import shipped
from fewer.recipe.parse import foreign_keys, override, parse_recipe
from fewer.recipe.schema import Recipe

# Those that a source alone is given: the others are asked for by name.
CHOSEN = (
    "photos-finetune", "photos-standard", "small-standard", "tiny-standard", "boxes-standard", "masks-standard",
)  # fmt: skip


def asked_for(overrides: Sequence[str], source: str = "") -> dict[str, Any]:
    """The user's keys, and a source, as a recipe's content; keys of single stages, which are a recipe's, are left out.

    Raises:
        RecipeError: A text is not of the form `key=value`.
    """
    asked: dict[str, Any] = {"data": {"source": source}} if source else {}
    if not any(path == ("stages",) for path in given_paths(overrides)):
        overrides = [text for text in overrides if not text.startswith("stages.")]
    if problems := override(asked, overrides, {}):
        raise RecipeError(problems)
    return asked


def given_paths(overrides: Sequence[str]) -> list[KeyPath]:
    """The keys that `key=value` texts give."""
    return [tuple(text.partition("=")[0].strip().split(".")) for text in overrides]


def left_out(name: str, overrides: Sequence[str]) -> dict[KeyPath, Any]:
    """Keys of a shipped recipe that have no place beside the user's, such as those of another model; None for each."""
    asked, content = asked_for(overrides), shipped.ready_recipe(name)
    override(content, overrides, {})
    found: dict[KeyPath, Any] = {("train", "epochs"): None} if "stages" in asked else {}  # stages say how many
    for section in ("model", "task", "train"):
        foreign = [key for key in foreign_keys(section, content) if key not in asked.get(section, {})]
        found |= {(section, key): None for key in foreign}
    return found


def require_fitting(source: str, overrides: Sequence[str], names: Sequence[str] = CHOSEN) -> None:
    """Refuses keys that no shipped recipe takes, before the data is looked at, which takes seconds.

    Args:
        source: The source.
        overrides: `key=value` texts.
        names: The recipes that it may come to.

    Raises:
        RecipeError: What is wrong with the keys.
    """
    model = asked_for(overrides).get("model", {})
    if isinstance(model, dict) and "weights" in model and "name" not in model:
        # The weights decide which model it is, and with it which keys that has.
        overrides = [text for text in overrides if not text.startswith("model.")]
    failed: list[list[str]] = []
    for name in names:
        values = {("data", "source"): source, **left_out(name, overrides)}
        try:
            parse_recipe(tomllib.loads(shipped.fitted(shipped.text(name), values)), overrides, base=Path.cwd())
        except RecipeError as error:
            failed.append(error.problems)
        else:
            return
    # What is wrong by one recipe alone is a matter of that recipe, which the user has not chosen.
    first, *others = failed
    raise RecipeError([problem for problem in first if all(problem in each for each in others)] or first)


def given(overrides: Sequence[str], recipe: Recipe) -> dict[KeyPath, Any]:
    """The user's keys with their values as the recipe took them, paths absolute."""
    found: dict[KeyPath, Any] = {}
    for path in given_paths(overrides):
        value: Any = recipe.model_dump(mode="json")
        for part in path:
            if isinstance(value, list):
                value = value[int(part)] if part.isdecimal() and int(part) < len(value) else None
            else:
                value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found[path] = value
    return found
