"""Variants of a recipe, from axes (`--vary`) or from a file, and its plain baseline. Free of torch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewer.core.errors import RecipeError, printable
from fewer.core.messages import KeyPath, nearest
from fewer.recipe.base import Base, Content
from fewer.recipe.parse import foreign_keys, override
from fewer.recipe.paths import all_absolute
from fewer.recipe.schema import Recipe, flat
from fewer.recipe.toml_file import read_toml
from fewer.recipe.values import split_values

PLAIN = "plain"
NAMED_BY = {"select": "method", "model": "name"}  # the key that selects a section's other keys
_SAME_IMAGES = "all are judged on the same images"
_JUDGING = ("val", "test", "split_seed", "strata", "ignore_index", "difficult", "class_level")  # keys of [data]
_FIXED = {
    "out": "no key of [out] changes what is trained",
    "train.seed": "seeds come from --seeds",
    **dict.fromkeys(("evaluate.every", "train.patience"), "all runs are evaluated once, at the end"),
    **dict.fromkeys(("evaluate.test", *(f"data.{key}" for key in _JUDGING)), _SAME_IMAGES),
}


@dataclass(frozen=True)
class Variant:
    """A recipe under a name.

    Attributes:
        name: Its name, different from the others'.
        recipe: The whole recipe.
        changes: Keys whose value differs from the baseline's, with that value; without defaults.
        content: The recipe as nested dicts, before it was checked.
        left_out: Keys of the recipe that the variant's own method does not have.
    """

    name: str
    recipe: Recipe
    changes: Mapping[str, Any]
    content: Content = field(repr=False)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """Changes that make a variant, not yet applied to the recipe: a table, then `key=value` texts."""

    name: str
    place: str
    table: Content = field(default_factory=dict)
    texts: tuple[str, ...] = ()


def changes_of(vary: Sequence[str], file: Path | None) -> list[Change]:
    """The changes of all variants: the grid of all axes; a file of variants is one more axis.

    Args:
        vary: Texts such as `select.threshold=0.3,0.5`.
        file: A TOML file with a table `[variants.NAME]` for each.

    Raises:
        RecipeError: An axis or the file holds nothing, or cannot be read.
    """
    axes = [] if file is None else [_from_file(file)]
    problems: list[str] = []
    names = [text.partition("=")[0].strip() for text in vary]
    for text, key in zip(vary, names, strict=True):
        _, equals, listed = text.partition("=")
        values = list(split_values(listed))
        if not equals or not key or not all(values):
            problems.append(f"--vary {text}: an axis is a key and its values, e.g. --vary select.threshold=0.3,0.5")
        elif names.count(key) > 1:
            problems.append(f"--vary {text}: {key} is given twice; put all values into one --vary")
        else:
            is_short = [name.rpartition(".")[2] for name in names].count(key.rpartition(".")[2]) == 1
            axes.append([_point(key, value, is_short) for value in values])
    if problems:
        raise RecipeError(list(dict.fromkeys(map(printable, problems))))
    return [_together(combination) for combination in itertools.product(*axes)] if axes else []


def _point(key: str, value: str, is_short: bool) -> Change:
    shown = value.strip("\"'")
    name = shown if key == "select.method" else f"{key.rpartition('.')[2] if is_short else key}={shown}"
    return Change(name, f"--vary {key}={value}", texts=(f"{key}={value}",))


def _from_file(file: Path) -> list[Change]:
    content, _ = read_toml(file, "variants")
    tables = content.pop("variants", None)
    if content or not isinstance(tables, dict) or not tables:
        found = f'holds "{next(iter(content))}"' if content else "has no variants"
        raise RecipeError(
            f"{printable(f'{file}: {found}')}: a file of variants has a table for each and nothing else, e.g. "
            '[variants."dbpd stale"] with select.method = "dbpd" below it'
        )
    bad = [name for name, table in tables.items() if not isinstance(table, dict) or not table or not name.strip()]
    if bad:
        where = printable(f'{file}, variant "{bad[0]}"')
        raise RecipeError(f'{where}: a variant is a table of keys, e.g. select.method = "dbpd"; add some, or remove it')
    folder = file.resolve().parent
    return [Change(name, f'{file}, variant "{name}"', all_absolute(table, folder)) for name, table in tables.items()]


def _together(changes: Sequence[Change]) -> Change:
    """One point of the grid."""
    if len(changes) == 1:
        return changes[0]
    tables = [change.table for change in changes if change.table]
    names, places = (", ".join(getattr(change, key) for change in changes) for key in ("name", "place"))
    texts = tuple(text for change in changes for text in change.texts)
    return Change(names, places, tables[0] if tables else {}, texts)


def variants_of(base: Base, changes: Sequence[Change]) -> tuple[Variant, list[Variant]]:
    """The baseline and the variants, all checked.

    Args:
        base: The recipe.
        changes: The changes of each variant; none: the recipe itself is the only variant.

    Raises:
        RecipeError: With every problem of every variant, two that are the same, and those that change nothing.
    """
    plain, problems, found, places = plain_of(base), [], [], []
    itself = Change(str(_method(base.content)), str(base.path))
    for change in changes or [itself]:
        try:
            found.append(_variant(base, plain, change))
            places.append(change.place)
        except RecipeError as error:
            problems += error.problems
    if not problems:
        problems = [*_unused(base, found), *_idle(plain, found, places, bool(changes))]
    if problems:
        raise RecipeError(list(dict.fromkeys(map(printable, problems))))
    return plain, found


def plain_of(base: Base) -> Variant:
    """The baseline: the recipe without selection."""
    content = {**copy.deepcopy(base.content), "select": {"method": "full"}}
    return Variant(PLAIN, base.recipe(content, {}), {}, content)


def _variant(base: Base, plain: Variant, change: Change) -> Variant:
    content = copy.deepcopy(base.content)
    places: dict[KeyPath, str] = {}
    _merge(content, change.table, places, change.place)
    if problems := override(content, change.texts, places, change.place):
        raise RecipeError(problems)
    for path in places:
        if reason := _FIXED.get(".".join(path)) or _FIXED.get(path[0]):
            raise RecipeError(f"{change.place}: {'.'.join(path)} cannot be varied: {reason}; leave it out")
    left_out = tuple(_leave_foreign(base.content, content, places))
    recipe = base.recipe(content, places)
    for key, reason in _FIXED.items():  # changed by a whole table, such as train={lr=0.1, seed=3}
        section, _, name = key.partition(".")
        if name and getattr(getattr(recipe, section), name) != getattr(getattr(plain.recipe, section), name):
            raise RecipeError(f"{change.place}: {key} cannot be varied: {reason}; leave it as it is")
    given, before = flat(content), flat(plain.content)
    changes = {key: value for key, value in given.items() if before.get(key) != value}
    return Variant(change.name, recipe, changes, content, left_out)


def _merge(content: Content, table: Content, places: dict[KeyPath, str], place: str, above: KeyPath = ()) -> None:
    for key, value in table.items():
        path = (*above, key)
        if isinstance(value, dict):
            if not isinstance(content.get(key), dict):
                content[key] = {}
            _merge(content[key], value, places, place, path)
        else:
            content[key] = value
        places[path] = place


def _leave_foreign(before: Content, content: Content, places: Mapping[KeyPath, str]) -> Iterator[str]:
    """Removes the recipe's keys that this variant's method (or model) lacks, and yields their names."""
    for section, name in NAMED_BY.items():
        old, new = before.get(section), content.get(section)
        if not isinstance(old, dict) or not isinstance(new, dict) or old.get(name) == new.get(name):
            continue
        for key in foreign_keys(section, content):
            if key in old and not any(path[:2] == (section, key) for path in places):
                del content[section][key]
                yield f"{section}.{key}"


def _unused(base: Base, variants: Sequence[Variant]) -> Iterator[str]:
    """Keys of the recipe that no variant's method has: typing errors."""
    for section in NAMED_BY:
        for key in foreign_keys(section, base.content):
            if all(f"{section}.{key}" in variant.left_out for variant in variants):
                known = {name for variant in variants for name in type(getattr(variant.recipe, section)).model_fields}
                place = base.places.get((section, key), str(base.path))
                hint = nearest(key, sorted(known), prefix=(section,))
                yield f'{place}: unknown key "{section}.{key}": no variant has it; {hint}'


def _idle(plain: Variant, variants: Sequence[Variant], places: Sequence[str], asked: bool) -> Iterator[str]:
    """Variants that would repeat the training of another one."""
    seen: dict[str, str] = {}
    for variant, place in zip(variants, places, strict=True):
        key = variant.recipe.model_dump_json()
        is_plain = key == plain.recipe.model_dump_json()
        if variant.name == PLAIN:
            yield f'{place}: the name "{PLAIN}" is the baseline\'s; give another'
        elif is_plain and not asked:
            yield (
                f"{place}: plain training is the baseline, there is nothing to compare it with; vary a key, e.g. "
                "--vary select.method=dbpd,infobatch"
            )
        elif is_plain:
            yield f"{place}: changes nothing: it is plain training, which is always run as the baseline; leave it out"
        elif key in seen:
            yield f'{place}: the same recipe as variant "{seen[key]}"; leave one of the two out'
        seen.setdefault(key, variant.name)
        if [other.name for other in variants].count(variant.name) > 1 and not is_plain:
            yield f'{place}: the name "{variant.name}" is given twice; give another'


def _method(content: Content) -> object:
    chosen = content.get("select")
    return chosen.get("method", "full") if isinstance(chosen, dict) else "full"


__all__ = ["PLAIN", "Base", "Change", "Content", "Variant", "changes_of", "plain_of", "split_values", "variants_of"]
