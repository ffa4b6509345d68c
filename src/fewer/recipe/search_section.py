"""`[search]` of a recipe, and `--search`: the keys that `fewer tune` looks through, and their values. Free of torch.

A value is a list, `64,128,256`, or a range, `0.8..0.99`, `log:1e-3..1`, `5ep..20ep`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.core.errors import RecipeError, printable
from fewer.core.messages import KeyPath, Place, no_section
from fewer.recipe.paths import all_absolute
from fewer.recipe.values import as_argument, split_values

SECTION = "search"
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(log:)?\s*({_NUMBER})([a-z%]*)\s*\.\.\s*({_NUMBER})([a-z%]*)")
_LIKE_A_RANGE = re.compile(r"log:|[\d.+-]*\d[\w%.+-]*\.\.")  # no range, but meant as one
_EXAMPLES = "e.g. train.lr=log:1e-3..1, train.momentum=0.8..0.99 or train.batch_size=64,128,256"


@dataclass(frozen=True)
class Axis:
    """A key that is searched, and what it may be: one of `choices`, or a number between `low` and `high`.

    Attributes:
        key: The key, such as `train.lr`.
        place: Where it was given, for messages.
        text: Its values as they were written.
        choices: Values of a list, as `key=value` takes them; empty for a range.
        low, high: Ends of a range, both included.
        unit: Of both ends, such as "ep" or "%"; often none.
        log: Whether a range is searched by ratios.
        whole: Whether its values are whole numbers.
    """

    key: str
    place: str
    text: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    log: bool = False
    whole: bool = False

    def written(self, value: float | str) -> str:
        """A value as `key=value` takes it: of a range in four digits, within its ends."""
        if isinstance(value, str):
            return value
        short = int(value) if self.whole else min(max(float(f"{value:.4g}"), self.low), self.high)
        return f"{short:.10g}{self.unit}"

    @property
    def ends(self) -> tuple[str, ...]:
        """The values that show whether a key takes an axis at all: all choices, or both ends."""
        return self.choices or (self.written(self.low), self.written(self.high))


def axes_of(section: Any, place: Place, base: Path) -> list[Axis]:
    """The axes of a section `[search]`.

    Args:
        section: Its content; keys are dotted, quoted or in tables of their own.
        place: Where a key was given, for messages.
        base: Folder that relative paths in its lists start at.

    Raises:
        RecipeError: With all that is wrong with its values.
    """
    if not isinstance(section, Mapping):
        raise RecipeError(f"{place((SECTION,))}: {no_section(SECTION)}")
    problems: list[str] = []
    found = []
    for key, value in _leaves(section):
        where = f"{place((SECTION, *key.split('.')))}: search.{key} = {printable(json.dumps(value, default=str))}"
        try:
            found.append(_axis_of_value(key, value, where, base))
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return found


def axes_asked(texts: Sequence[str]) -> list[Axis]:
    """The axes of `--search` arguments.

    Args:
        texts: Such as `train.lr=log:1e-3..1`.

    Raises:
        RecipeError: With all that is wrong with them.
    """
    problems: list[str] = []
    found: list[Axis] = []
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        place = printable(f"--search {text}")
        try:
            if not equals or not all(key.split(".")):
                raise RecipeError(f"{place}: a search is a key and its values, {_EXAMPLES}")
            found.append(_axis_of_text(key, values, place))
        except RecipeError as error:
            problems += error.problems
    keys = [axis.key for axis in found]
    problems += [
        f"{axis.place}: {axis.key} is searched twice; leave one of the two out"
        for index, axis in enumerate(found)
        if axis.key in keys[:index]
    ]
    if problems:
        raise RecipeError(problems)
    return found


def _leaves(section: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield ".".join((*above, key)), value


def _axis_of_value(key: str, value: Any, place: str, base: Path) -> Axis:
    if isinstance(value, str):
        return _axis_of_text(key, value, place)
    if not isinstance(value, list):
        raise RecipeError(f'{place}: give a list such as [0.1, 0.2], or a range such as "0.1..1"')
    path = tuple(key.split("."))
    choices = tuple(as_argument(all_absolute(each, base, path)) for each in value)
    return _checked(Axis(key, place, ",".join(choices), choices))


def _axis_of_text(key: str, text: str, place: str) -> Axis:
    if match := _RANGE.fullmatch(text):
        log, low, unit, high, other = match.groups()
        if unit and unit != other:
            raise RecipeError(f"{place}: both ends of a range have one unit; write {low}{unit}..{high}{unit}")
        return _checked(Axis(key, place, text, (), float(low), float(high), other, log is not None))
    if _LIKE_A_RANGE.match(text):
        raise RecipeError(f"{place}: no range; write two numbers, such as 0.8..0.99, or log:1e-3..1 by ratios")
    return _checked(Axis(key, place, text, tuple(split_values(text))))


def _checked(axis: Axis) -> Axis:
    """Refuses an axis without values, or with values that cannot be drawn."""
    if axis.choices or not axis.text:
        if not axis.choices or not all(axis.choices):
            raise RecipeError(f"{axis.place}: a value is missing; {_EXAMPLES}")
        twice = [value for index, value in enumerate(axis.choices) if value in axis.choices[:index]]
        if twice:
            raise RecipeError(f"{axis.place}: {twice[0]} is given twice; leave one of the two out")
        return axis
    if not (math.isfinite(axis.low) and math.isfinite(axis.high)):
        raise RecipeError(f"{axis.place}: an end is too large for a number; give smaller ones")
    if axis.low >= axis.high:
        low, high = (f"{end:g}{axis.unit}" for end in (axis.high, axis.low))
        fix = f"write {low}..{high}" if axis.low > axis.high else f"for one value write {axis.key}={low}"
        raise RecipeError(f"{axis.place}: an empty range; {fix}")
    if axis.log and axis.low <= 0:
        raise RecipeError(f"{axis.place}: a range by ratios (log:) begins above 0; write log:1e-4..{axis.high:g}")
    return axis
