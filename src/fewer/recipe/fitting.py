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

# Those that a source alone is given: the others are asked for by name.
CHOSEN = ("photos-finetune", "photos-standard", "small-standard", "tiny-standard")


def asked_for(overrides: Sequence[str], source: str = "") -> dict[str, Any]:
    """The user's keys, and a source, as a recipe's content.

    Raises:
        RecipeError: A text is not of the form `key=value`.
    """
    asked: dict[str, Any] = {"data": {"source": source}} if source else {}
    if problems := override(asked, overrides, {}):
        raise RecipeError(problems)
    return asked


def left_out(name: str, overrides: Sequence[str]) -> dict[KeyPath, Any]:
    """Keys of a shipped recipe that have no place beside the user's, such as those of another model; None for each."""
    asked, content = asked_for(overrides), tomllib.loads(shipped.text(name))
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
    problems = []
    for name in names:
        values = {("data", "source"): source, **left_out(name, overrides)}
        try:
            parse_recipe(tomllib.loads(shipped.fitted(shipped.text(name), values)), overrides, base=Path.cwd())
        except RecipeError as error:
            problems.append(error)
        else:
            return
    raise problems[0]
