"""Parsing of recipes: from TOML and `key.sub=value` overrides to a checked recipe.

Unknown keys are refused with the nearest known one, and all problems come at once, each with its place, the value,
what is allowed, and one fix.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fewer.core import sections
from fewer.core.config import Section
from fewer.core.errors import RecipeError
from fewer.core.messages import KeyPath, Place, explain, readable
from fewer.core.sections import parse_section, section_of
from fewer.core.spelling import closest
from fewer.models import ModelParams
from fewer.recipe import checks, defaults, paths
from fewer.recipe.deprecated import drop_other_spelling, moved
from fewer.recipe.schema import Recipe, SyncRecipe, TaskRecipe, TrainRecipe
from fewer.recipe.search_section import SECTION, axes_of
from fewer.recipe.toml_file import backslash_problem, read_toml
from fewer.select import MethodParams

# Sections whose keys depend on the parts that they name.
_COMPOSED: dict[str, type[Section]] = {
    "select": MethodParams,
    "model": ModelParams,
    "task": TaskRecipe,
    "train": TrainRecipe,
    "sync": SyncRecipe,
}
_EXAMPLES = {"data": '[data] source = "digits"', "data.source": '"digits"'}


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a TOML recipe and applies overrides such as `train.epochs=20` or `stages.0.side_px=24`.

    Relative paths in the recipe start at its own folder, those in overrides at the current one.

    Raises:
        RecipeError: With every problem found, each with file and line or the override it comes from.
    """
    path = Path(path)
    content, lines = read_toml(path)
    return parse_recipe(content, overrides, origin=str(path), lines=lines, base=path.resolve().parent)


def parse_recipe(
    content: dict[str, Any],
    overrides: Sequence[str] = (),
    *,
    origin: str = "recipe",
    lines: dict[KeyPath, int] | None = None,
    base: Path | None = None,
    places: Mapping[KeyPath, str] | None = None,
) -> Recipe:
    """Checks a recipe given as nested dicts; arguments and errors as for `load_recipe`.

    Args:
        content: The recipe's content.
        overrides: `key.sub=value` texts, later ones win.
        origin: What to call the recipe in messages.
        lines: Line number of each key path, for messages.
        base: Folder that relative paths in the content start at; the current one if left out.
        places: What to call the place of a key path that is neither in a file nor an override.
    """
    content = copy.deepcopy(content)
    origins = dict(places or {})
    problems = override(content, overrides, origins)
    before = {new: old for old, new in moved(content).items()}
    filled = defaults.fill(content, lambda train: not sections.foreign_keys(TrainRecipe, train))

    def place(path: KeyPath) -> str:
        path = before.get(path, path)
        for length in range(len(path), 0, -1):
            if path[:length] in origins:
                return origins[path[:length]]
            if lines and path[:length] in lines:
                return f"{origin}:{lines[path[:length]]}"
        # A section that is wrong as a whole, of which a key was given.
        return next((where for other, where in origins.items() if path and other[: len(path)] == path), origin)

    notes = [f"{place(new)}: {'.'.join(old)} is now called {'.'.join(new)}" for new, old in before.items()]
    if (searched := content.pop(SECTION, None)) is not None:
        problems += _search_problems(searched, place, base)
        notes.append(f"{place((SECTION,))}: [search] is for `fewer tune`; here the recipe's own values are taken")
    notes += [filled] if filled else []
    chosen, wrong = {}, set()
    for name, base_class in _COMPOSED.items():
        parsed = parse_section(base_class, content.get(name), name, place)
        problems += parsed.problems
        notes += parsed.notes
        chosen[name] = parsed.section
        if parsed.section is None:  # another stands in while other problems are looked for
            wrong.add(name)
            chosen[name] = section_of(base_class, **({"name": "lenet5"} if name == "model" else {}))
    try:
        recipe = Recipe.model_validate({**content, **chosen})
    except ValidationError as error:
        problems += explain(error.errors(), Recipe, place, examples=_EXAMPLES)
        raise _refusal(problems, content, base, place) from None
    if recipe.stages and "epochs" not in recipe.train.model_fields_set:
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": recipe.epochs})})
    recipe, path_problems = _with_absolute_paths(recipe, base or Path.cwd())
    if wrong <= {"select", "model"}:
        path_problems += checks.problems(recipe, content)
    problems += [f"{place(path)}: {text}" for path, text in path_problems]
    if problems:
        raise _refusal(problems, content, base, place)
    return recipe.with_notes(notes)


def _search_problems(section: Any, place: Place, base: Path | None) -> list[str]:
    try:
        axes_of(section, place, base or Path.cwd())
    except RecipeError as error:
        return error.problems
    return []


def _refusal(problems: list[str], content: dict[str, Any], base: Path | None, place: Place) -> RecipeError:
    """All that is wrong with a recipe: also what it names and is not there."""
    from fewer.recipe.places import missing

    for key, problem in missing(content, base or Path.cwd()).items():
        if not any(key in line for line in problems):
            problems = [*problems, f"{place(tuple(key.split('.')))}: {problem}"]
    return RecipeError(list(map(readable, problems)))


def override(
    content: dict[str, Any], overrides: Sequence[str], seen: dict[KeyPath, str], called: str = ""
) -> list[str]:
    """Puts `key.sub=value` texts into a recipe's content. Relative paths in them start at the current folder.

    `key.sub=` with no value takes the key, or the whole section, out of the content: its default holds again.

    Args:
        content: The content, which is changed.
        overrides: The texts, later ones win.
        seen: Takes the place of each key path, for messages.
        called: What to call that place; after the text itself if left out.

    Returns:
        Problems, one line each.
    """
    problems = []
    if "=" in overrides[1:-1]:
        at = overrides.index("=", 1)
        key, value = overrides[at - 1], overrides[at + 1]
        return [f'arguments "{key} = {value}": a key and its value are one word; write {key}={value}']
    for text in overrides:
        where = called or f'argument "{text}"'
        name, equals, raw = text.partition("=")
        path = tuple(name.strip().split("."))
        if not equals or not all(path):
            problems.append(f"{where}: an override is written key.sub=value, e.g. train.epochs=20")
            continue
        try:
            written = re.sub(r"^\s*([+-]?)(\.\d+)\s*$", r"\g<1>0\2", raw)  # .5 is a number to all but TOML
            value = tomllib.loads(f"value = {written}")["value"]
        except (ValueError, RecursionError) as error:
            if raw.lstrip().startswith(("{", "[")):
                problems.append(f"{where}: no valid TOML: {error}; close all brackets and quotes")
                continue
            value = raw  # a bare word is a string: data.source=digits
        value = paths.all_absolute(value, Path.cwd(), path)
        node: Any = content
        if path[0] == "stages" and len(path) > 1:
            content.setdefault("stages", [])
        try:
            for part in path[:-1]:
                node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
            if not raw.strip():
                if problem := _take_out(node, path[-1], name.strip()):
                    problems.append(f"{where}: {problem}")
            elif isinstance(node, list):
                node[int(path[-1])] = value
            else:
                node[path[-1]] = value
            drop_other_spelling(content, path)
            seen[path] = where
        except (IndexError, ValueError):
            problem = f"no such entry in {'.'.join(path[:-1])}; give the whole list"
            if path[0] == "stages":
                problem = f"no such entry: the recipe has {len(content['stages'])} [[stages]]; add one to the recipe"
            problems.append(f"{where}: {problem}")
        except (TypeError, AttributeError):
            problems.append(f'{where}: "{path[-2]}" is a value, not a section; see docs for the keys')
    return problems


def _take_out(node: Any, key: str, name: str) -> str:
    """Removes an entry of a list, or a key; says what is wrong where there is no such key."""
    if isinstance(node, list):
        del node[int(key)]
    elif key in node:
        del node[key]
    else:
        meant = closest(key, list(node))
        return f"the recipe has no {name} to take out{f'; nearest: {meant}' if meant else ''}"
    return ""


def foreign_keys(section: str, content: Mapping[str, Any]) -> list[str]:
    """Keys of a section that the parts which it names do not have; none where nothing has such a name."""
    values = content.get(section)
    return sections.foreign_keys(_COMPOSED[section], values) if isinstance(values, dict) else []


def _with_absolute_paths(recipe: Recipe, base: Path) -> tuple[Recipe, list[tuple[KeyPath, str]]]:
    problems: list[tuple[KeyPath, str]] = []

    def placed(text: str, *path: str) -> str:
        try:
            found = paths.absolute(path, text, base)
        except (OSError, ValueError, RuntimeError) as error:
            problems.append((path, f'{".".join(path)} = "{text}": no path: {error}; check it'))
            return text
        if any("\ud800" <= letter <= "\udfff" for letter in found):
            problems.append(
                (path, f'{".".join(path)} = "{text}": the path is no UTF-8 text; rename the folder, or link to it')
            )
        if problem := backslash_problem(text, found):
            problems.append((path, f'{".".join(path)} = "{text}": {problem}'))
        return found

    data = recipe.data
    updates: dict[str, Any] = {name: placed(getattr(data, name), "data", name) for name in ("source", "test", "val")}
    if data.labels:
        csv = placed(data.labels.csv, "data", "labels", "csv")
        updates["labels"] = data.labels.model_copy(update={"csv": csv})
    model, chosen = recipe.model, recipe.select
    model = model.model_copy(update={"weights": placed(model.weights, "model", "weights")})
    if reference := getattr(chosen, "reference", None):
        chosen = chosen.model_copy(update={"reference": placed(reference, "select", "reference")})
    if "\0" in recipe.out.dir:
        problems.append((("out", "dir"), "out.dir: a path cannot hold a null byte; check it"))
    changed = {"data": data.model_copy(update=updates), "model": model, "select": chosen}
    return recipe.model_copy(update=changed), problems
