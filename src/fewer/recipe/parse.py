"""From TOML and `key.sub=value` overrides to a checked recipe.

Unknown keys are refused with the nearest known one, and all problems come at once, each with its place, the value,
what is allowed, and one fix.
"""

from __future__ import annotations

import copy
import difflib
import re
import reprlib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fewer import models, select
from fewer.core.errors import RecipeError, printable
from fewer.recipe import checks
from fewer.recipe.schema import Recipe

_LINE_MAX = 600  # characters of a message
_OWNERS_MAX = 8  # methods or models that a message names
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


@dataclass(frozen=True)
class _Choice:
    """A section with a key that names a file, which says what the other keys are."""

    key: str
    default: str
    params: Callable[[str], type[BaseModel]]
    names: Callable[[], list[str]]
    hint: Callable[[str], str]
    is_required: bool = False
    """Whether the name must be given; the default then only stands in while other problems are looked for."""


_CHOICES = {
    "select": _Choice("method", "everything", select.params, select.names, lambda name: nearest(name, select.names())),
    "model": _Choice("name", "lenet5", models.params, models.names, models.hint, is_required=True),
}


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a TOML recipe and applies overrides such as `train.epochs=20` or `stages.0.side_px=24`.

    Relative paths of sources are resolved against the recipe's own folder.

    Raises:
        RecipeError: With every problem found, each with file and line or the override it comes from.
    """
    path = Path(path)
    content, lines = read_toml(path)
    return parse_recipe(content, overrides, origin=str(path), lines=lines, base=path.resolve().parent)


def read_toml(path: Path, noun: str = "recipe") -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """Content of a TOML file, and the line number of each key path, for messages.

    Args:
        path: The file.
        noun: What it holds, for messages.

    Raises:
        RecipeError: The file cannot be read, or is no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the {noun}: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: the {noun} must be UTF-8 text, this file is not; save it as UTF-8") from None
    try:
        return tomllib.loads(text), _lines(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}; strings need quotes, see recipes/") from None


def parse_recipe(
    content: dict[str, Any],
    overrides: Sequence[str] = (),
    *,
    origin: str = "recipe",
    lines: dict[tuple[str, ...], int] | None = None,
    base: Path | None = None,
    places: Mapping[tuple[str, ...], str] | None = None,
) -> Recipe:
    """Checks a recipe given as nested dicts; arguments and errors as for `load_recipe`.

    Args:
        content: The recipe's content.
        overrides: `key.sub=value` texts, later ones win.
        origin: What to call the recipe in messages.
        lines: Line number of each key path, for messages.
        base: Folder that relative source paths are resolved against; the current one if left out.
        places: What to call the place of a key path that is neither in a file nor an override.
    """
    content = copy.deepcopy(content)
    said = dict(places or {})
    problems = override(content, overrides, said)

    def place(path: tuple[str, ...]) -> str:
        for length in range(len(path), 0, -1):
            if path[:length] in said:
                return said[path[:length]]
            if lines and path[:length] in lines:
                return f"{origin}:{lines[path[:length]]}"
        # A section that is wrong as a whole, of which a key was given.
        return next((where for other, where in said.items() if path and other[: len(path)] == path), origin)

    chosen = {}
    for section in _CHOICES:
        chosen[section], found = _chosen(section, content, place)
        problems += found
    try:
        recipe = Recipe.model_validate({**content, **chosen})
    except ValidationError as error:
        problems += _explanations(error.errors(), content, place)
        raise RecipeError(list(map(_readable, problems))) from None
    if recipe.stages and "epochs" not in content.get("train", {}):
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": recipe.epochs})})
    recipe, path_problems = _with_absolute_paths(recipe, base or Path.cwd())
    problems += [f"{place(path)}: {text}" for path, text in path_problems + checks.problems(recipe, content)]
    if problems:
        raise RecipeError(list(map(_readable, problems)))
    return recipe


def override(
    content: dict[str, Any], overrides: Sequence[str], seen: dict[tuple[str, ...], str], called: str = ""
) -> list[str]:
    """Puts `key.sub=value` texts into a recipe's content.

    Args:
        content: The content, which is changed.
        overrides: The texts, later ones win.
        seen: Takes the place of each key path, for messages.
        called: What to call that place; after the text itself if left out.

    Returns:
        Problems, one line each.
    """
    problems = []
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
        except (ValueError, RecursionError):
            value = raw  # a bare word is a string: data.source=digits
        node: Any = content
        if path[0] == "stages" and len(path) > 1:
            content.setdefault("stages", [])
        try:
            for part in path[:-1]:
                node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
            if isinstance(node, list):
                node[int(path[-1])] = value
            else:
                node[path[-1]] = value
            seen[path] = where
        except (IndexError, ValueError):
            said = f"no such entry in {'.'.join(path[:-1])}; give the whole list"
            if path[0] == "stages":
                said = f"no such entry: the recipe has {len(content['stages'])} [[stages]]; add one to the recipe"
            problems.append(f"{where}: {said}")
        except (TypeError, AttributeError):
            problems.append(f'{where}: "{path[-2]}" is a value, not a section; see docs for the keys')
    return problems


def foreign_keys(section: str, content: Mapping[str, Any]) -> list[str]:
    """Keys of `[select]` or `[model]` that what the section names does not have; none where nothing has that name."""
    choice, values = _CHOICES[section], content.get(section)
    if not isinstance(values, dict):
        return []
    try:
        known = choice.params(str(values.get(choice.key, choice.default))).model_fields
    except KeyError:
        return []
    return [key for key in values if key not in known]


def _chosen(section: str, content: dict[str, Any], place: Any) -> tuple[Any, list[str]]:
    """A section whose keys depend on what it names, checked by the named thing's own file."""
    choice, values = _CHOICES[section], content.get(section)
    fallback = choice.params(choice.default)()
    if not isinstance(values, dict):
        if values is None and choice.is_required:
            return fallback, [_explained({"type": "missing", "loc": (section,)}, content, place)]
        wrong = values is not None
        message = f'{place((section,))}: "{section}" is a section, not a value; write [{section}] and its keys below'
        return fallback, [message] if wrong else []
    if choice.key not in values and choice.is_required:
        return fallback, [_explained({"type": "missing", "loc": (section, choice.key)}, content, place)]
    name = values.get(choice.key, choice.default)
    try:
        params = choice.params(str(name))
    except KeyError:
        return fallback, [
            f'{place((section, choice.key))}: unknown {section}.{choice.key} "{name}"; {choice.hint(str(name))}'
        ]
    try:
        return params.model_validate(values), []
    except ValidationError as error:
        details = [{**detail, "loc": (section, *detail["loc"])} for detail in error.errors()]
        return fallback, _explanations(details, {section: values}, place)


def _explanations(details: Iterable[Any], content: Any, place: Any) -> list[str]:
    """One line for each value: what the branches of a union say of it is one sentence."""
    joined: dict[tuple[str, ...], Any] = {}
    for detail in details:
        path = _path(detail)
        if path in joined:
            also = detail["msg"].removeprefix("Input should be ")
            detail = {**joined[path], "msg": f"{joined[path]['msg']}, or {also}"}
        joined[path] = detail
    return [_explained(detail, content, place) for detail in joined.values()]


def _path(detail: Any) -> tuple[str, ...]:
    """The key of a pydantic error; pydantic names the branch of a union in the place, a person wrote none."""
    branches = ("function-", "literal[", "constrained-", "tuple[")
    return tuple(str(part) for part in detail["loc"] if part != "int" and not str(part).startswith(branches))


def _explained(detail: Any, content: Any, place: Any) -> str:
    """One line for one pydantic error."""
    path = _path(detail)
    name = ".".join(path)
    if detail["type"] == "extra_forbidden":
        keys = list(_fields_at(path[:-1], content))
        advice = _owners(path) or nearest(path[-1], keys, prefix=path[:-1])
        return f'{place(path)}: unknown key "{name}"; {advice}'
    if detail["type"] == "missing" and path[-1].isdigit():
        field = _fields_at(path[:-2], content).get(path[-2])
        example = "" if field is None else f", e.g. {_written(field.get_default())}"
        return f'{place(path[:-1])}: "{".".join(path[:-1])}" is a list with more values than this{example}'
    if detail["type"] == "missing":
        return f'{place(path[:-1])}: "{name}" is missing and has no default; add it, e.g. {_example(name)}'
    if detail["type"] in ("model_type", "model_attributes_type"):
        return f'{place(path)}: "{name}" is a section, not a value; write [{name}] and its keys below'
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    message = message.replace("a valid tuple", "a list in square brackets")
    field = _fields_at(path[:-1], content).get(path[-1])
    is_known = field is not None and not field.is_required() and not isinstance(field.default, BaseModel)
    fix = f"; the default is {_written(field.get_default())}" if field is not None and is_known else ""
    fix = "; or leave it out" if field is not None and field.get_default() is None else fix
    fix = _share(detail) or fix
    return f"{place(path)}: {name} = {_REPR.repr(detail['input'])}: {message}{fix}"


def _owners(path: tuple[str, ...]) -> str:
    """Which methods or models have a key that the chosen one has not."""
    choice = _CHOICES.get(path[0])
    if choice is None or len(path) != 2:
        return ""
    owners = [name for name in choice.names() if path[1] in choice.params(name).model_fields]
    shown = ", ".join(owners[:_OWNERS_MAX]) + (", ..." if len(owners) > _OWNERS_MAX else "")
    return f"it belongs to {path[0]}.{choice.key} = {shown}" if owners else ""


def _share(detail: Any) -> str:
    """How a share is written where a number stands for a text, or a percentage for a number."""
    value = detail["input"]
    if detail["type"] == "string_type" and isinstance(value, float) and 0 < value < 1:
        return f'; a share is written "{100 * value:g}%" here'
    percentage = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    if percentage and detail["type"] in ("float_parsing", "float_type"):
        return f"; a share is written {float(percentage[1]) / 100:g} here"
    return ""


def _written(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return str(value) if isinstance(value, (int, float)) else f'"{value}"'


def _readable(problem: str) -> str:
    """One line without control characters, and not longer than a person reads."""
    line = printable(problem)
    return line if len(line) <= _LINE_MAX else f"{line[: _LINE_MAX // 2]} … {line[-_LINE_MAX // 2 :]}"


def _example(name: str) -> str:
    return {"data": '[data] source = "digits"', "model": '[model] name = "lenet5"'}.get(
        name, {"data.source": '"digits"', "model.name": '"lenet5"'}.get(name, "see recipes/")
    )


def _fields_at(path: tuple[str, ...], content: Any) -> dict[str, FieldInfo]:
    """The keys that a section allows, with their defaults."""
    if path[:1] and path[0] in _CHOICES:
        choice = _CHOICES[path[0]]
        section = content.get(path[0], {}) if isinstance(content, dict) else {}
        model: type[BaseModel] = choice.params(section.get(choice.key, choice.default))
        path = path[1:]
    else:
        model = Recipe
    for part in path:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        found = [
            kind
            for kind in (annotation, *get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not found:
            return {}
        model = found[0]
    return dict(model.model_fields)


def nearest(name: str, known: Sequence[str], prefix: Sequence[str] = ()) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    dotted = [".".join((*prefix, key)) for key in (close or known)]
    return f'did you mean "{dotted[0]}"?' if close else f"allowed: {', '.join(dotted)}"


def _with_absolute_paths(recipe: Recipe, base: Path) -> tuple[Recipe, list[tuple[tuple[str, ...], str]]]:
    from fewer.data import sources

    problems: list[tuple[tuple[str, ...], str]] = []
    updates: dict[str, Any] = {}
    data = recipe.data
    for name, text in (("source", data.source), ("test", data.test), ("val", data.val)):
        try:
            updates[name] = sources.absolute(text, base)
        except (OSError, ValueError, RuntimeError) as error:
            problems.append((("data", name), f'data.{name} = "{text}": no path: {error}; check it'))

    def placed(text: str, *path: str) -> str:
        try:
            return str((base / Path(text).expanduser()).resolve())
        except (OSError, ValueError, RuntimeError) as error:
            problems.append((path, f'{".".join(path)} = "{text}": no path: {error}; check it'))
            return text

    if data.labels:
        csv = placed(data.labels.csv, "data", "labels", "csv")
        updates["labels"] = data.labels.model_copy(update={"csv": csv})
    model, chosen = recipe.model, recipe.select
    if model.weights not in ("none", "default"):
        model = model.model_copy(update={"weights": placed(model.weights, "model", "weights")})
    if reference := getattr(chosen, "reference", None):
        chosen = chosen.model_copy(update={"reference": placed(reference, "select", "reference")})
    if "\0" in recipe.out.dir:
        problems.append((("out", "dir"), "out.dir: a path cannot hold a null byte; check it"))
    changed = {"data": data.model_copy(update=updates), "model": model, "select": chosen}
    return recipe.model_copy(update=changed), problems


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Line number of every key and section of a TOML text; nearly right suffices, it is for messages."""
    found: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    arrays: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            section = tuple(part.strip(" \"'") for part in header[2].split("."))
            if header[1] == "[[":
                arrays[header[2]] = arrays.get(header[2], -1) + 1
                section = (*section, str(arrays[header[2]]))
            found.setdefault(section, number)
        elif entry := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            path = tuple(part.strip("\"'") for part in entry[1].split("."))
            found.setdefault((*section, *path), number)
    return found
