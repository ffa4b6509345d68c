"""Recipes that come with the package, and the fitting of their text to a user's data: comments stay.

Each is a whole recipe; its header's first sentence says what it is for, `Time:` and `Result:` what was measured.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fewer.core.errors import RecipeError
from fewer.core.messages import KeyPath, nearest, written
from fewer.recipe.toml_file import key_lines

_SUFFIX = ".toml"


@dataclass(frozen=True)
class Card:
    """What the header of a recipe says.

    Attributes:
        name: The recipe's.
        purpose: What it is for.
        time, result: What was measured; "not measured", or "not run here", where nothing was.
    """

    name: str
    purpose: str
    time: str
    result: str


def names() -> list[str]:
    """Their names, sorted."""
    return sorted(each.name.removesuffix(_SUFFIX) for each in files(__name__).iterdir() if each.name.endswith(_SUFFIX))


def text(name: str) -> str:
    """The text of the recipe of this name.

    Raises:
        KeyError: There is none.
    """
    if name not in names():
        raise KeyError(f'no recipe "{name}" comes with the package; {nearest(name, names())}')
    return files(__name__).joinpath(f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def ready_recipe(name: str) -> dict[str, Any]:
    """The content of a recipe that comes with the package, as `parse_recipe` takes it.

    Args:
        name: Its name, such as `cifar-fast`; `fewer recipes` lists them.

    Raises:
        KeyError: There is none of this name.
    """
    return tomllib.loads(text(name))


def card(name: str) -> Card:
    """What the header of the recipe of this name says.

    Raises:
        KeyError: There is none.
    """
    lines = [line.removeprefix("#") for line in text(name).partition("\n[")[0].splitlines()]
    header = "\n".join(lines).strip()
    measured, result = header.partition("Time:")[2].split("Result:")
    return Card(name, *(" ".join(part.split()) for part in (header.partition("\n\n")[0], measured, result)))


def named(name: str) -> list[str]:
    """The recipes that a name means; an ending such as `progressive` means one for every size of images.

    Raises:
        RecipeError: There is none.
    """
    known = names()
    endings = [each for each in known if each.partition("-")[2] == name and not each.startswith("imagenet-")]
    if name not in known and not endings:
        also = sorted({each.partition("-")[2] for each in known})
        raise RecipeError(f"--recipe {name}: there is no such recipe; {nearest(name, [*known, *also])}")
    return [name] if name in known else endings


def fitted(recipe: str, values: Mapping[KeyPath, Any]) -> str:
    """A recipe's text with other values; comments stay, keys that it lacks end their section.

    Args:
        recipe: The text, TOML.
        values: What keys are set to, such as `{("train", "epochs"): 3}`; None takes one out.
    """
    lines = recipe.splitlines()
    for path, value in values.items():
        *section, key = path
        entry, places = f"{key} = {toml(value)}", key_lines("\n".join(lines))
        if path in places:
            at = places[path] - 1
            lines[at : at + 1] = [] if value is None else [_replaced(lines[at], entry)]
        elif value is None:
            continue
        elif not section:  # before all sections
            lines[min(places.values()) - 1 : min(places.values()) - 1] = [entry, ""]
        elif tuple(section) in places:
            lines.insert(_end(lines, places[tuple(section)]), entry)
        else:
            lines += ["", f"[{'.'.join(section)}]", entry]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """A value as TOML has it: a text with its quotes and backslashes escaped, a table in one line."""
    if isinstance(value, str):
        return '"' + re.sub(r'["\\]', r"\\\g<0>", value) + '"'
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml(each)}' for key, each in value.items() if each is not None)} }}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list | tuple) else written(value)


def _replaced(line: str, entry: str) -> str:
    """A line with another entry, and its comment where it was."""
    comment = re.search(r"\s#[^\"]*$", line)
    return f"{entry.ljust(comment.start() if comment else 0)}{comment[0] if comment else ''}"


def _end(lines: list[str], first: int) -> int:
    """The index behind the last entry of the section whose header is line number `first`."""
    end = first
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    return end
