"""The places of what a recipe needs from outside (images, labels, weights): whether they are there, or have moved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewer.core.errors import DataError, RecipeError, printable
from fewer.core.messages import KeyPath
from fewer.data.sources import SOURCES as KINDS
from fewer.data.sources import allowed, form_of, is_source
from fewer.recipe.paths import FILES, NO_FILE, SOURCES, absolute
from fewer.recipe.schema import Recipe

KEYS = tuple(".".join(path) for path in (*SOURCES, *FILES))


def missing(content: Mapping[str, Any], base: Path) -> dict[str, str]:
    """What is not where a recipe's content says, key to a whole message; values that are no text are left out.

    Args:
        content: A recipe's content, checked or not.
        base: The folder that relative paths start from.
    """
    found = {}
    for path in (*SOURCES, *FILES):
        key, text = ".".join(path), _text(content, path)
        try:
            there = absolute(path, text, base)
        except (OSError, ValueError, RuntimeError):
            continue  # no path at all, which is a problem of its own
        if key == "data.source" and text and not is_source(there):
            found[key] = f'unknown {key} "{text}"; {allowed(text)}'
        elif (place := _needed(path, there)) and not os.path.exists(place):
            found[key] = f'{key} = "{text}": {place} does not exist; fix: check the path'
    return {key: printable(problem) for key, problem in found.items()}


def require_present(recipe: Recipe, moved: str = "") -> None:
    """Refuses a recipe that names sources or files that are not there, all of them at once; needs no torch.

    Args:
        recipe: The recipe.
        moved: What to do where something has moved, for messages; holds KEY for the key.

    Raises:
        DataError: Images or labels are missing.
        RecipeError: Weights are missing.
    """
    problems = missing(recipe.model_dump(mode="json"), Path.cwd())
    if problems:
        kind = DataError if any(key.startswith("data.") for key in problems) else RecipeError
        raise kind(_joined(problems, moved))


def require_data(recipe: Recipe, moved: str = "") -> None:
    """As `require_present`, for what does without weights."""
    problems = missing(recipe.model_dump(mode="json", include={"data"}), Path.cwd())
    if problems:
        raise DataError(_joined(problems, moved))


def is_move(key: str, old: object, new: object) -> bool:
    """Whether a changed key may name the same images or file in another place; fingerprints tell whether it does."""
    path = tuple(key.split("."))
    if not (isinstance(old, str) and isinstance(new, str)):
        return False
    if path in SOURCES:
        return is_source(old) and is_source(new) and form_of(old) == form_of(new)
    return path in FILES and not {old, new} & set(NO_FILE)


def follow(content: dict[str, Any], before: Path, now: Path) -> dict[str, tuple[str, str]]:
    """Lets paths that do not exist any more follow a folder that has moved, where something lies at the new place.

    Args:
        content: A recipe's content with absolute paths, which is changed.
        before: Where the folder lay when these paths were right.
        now: Where it lies.

    Returns:
        Key to the old and the new value of what has changed.
    """
    changed = {}
    for path in (*SOURCES, *FILES):
        text = _text(content, path)
        kind, colon, place = text.partition(":") if path in SOURCES else ("", "", text)
        if not os.path.isabs(place) or os.path.exists(place):
            continue
        there = os.path.normpath(now / os.path.relpath(place, before))
        if os.path.exists(there):
            node = content
            for part in path[:-1]:
                node = node[part]
            node[path[-1]] = f"{kind}{colon}{there}"
            changed[".".join(path)] = (text, node[path[-1]])
    return changed


def _joined(problems: Mapping[str, str], moved: str) -> str:
    advice = f"; {moved}" if moved else ""
    return "\n".join(f"{text}{advice.replace('KEY', key)}" for key, text in problems.items())


def _text(content: Mapping[str, Any], path: KeyPath) -> str:
    node: Any = content
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, str) else ""


def _needed(path: KeyPath, text: str) -> str:
    """The path that has to exist; "" where a value names none, or one that may still come into being."""
    if path in FILES:
        return "" if text in NO_FILE else text
    kind, _, place = text.partition(":")
    return place if is_source(text) and f"{kind}:PATH" in KINDS.module(kind).FORMS else ""
