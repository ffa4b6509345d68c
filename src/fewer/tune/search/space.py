"""Search space: a recipe, and the keys that are searched with their values, all checked before anything is trained."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewer import tasks
from fewer.core.errors import RecipeError, printable
from fewer.core.evaluation import Metric
from fewer.core.messages import KeyPath
from fewer.recipe.base import Base, one_of_many
from fewer.recipe.parse import override
from fewer.recipe.paths import all_absolute
from fewer.recipe.schema import Recipe
from fewer.recipe.search_section import SECTION, Axis, axes_asked, axes_of
from fewer.select.methods.proxy import NOT_ITS_OWN
from fewer.select.methods.proxy import Params as ProxyParams

_SAME_IMAGES = "all trials are judged on the same images"
_FIXED = {
    "out": "no key of [out] changes what is trained",
    "evaluate": "all trials are judged alike",
    **dict.fromkeys(("train.seed", "train.data_seed"), "the best seed is luck, and says nothing of the next"),
    **dict.fromkeys(("data.source", "data.val", "data.test", "data.split_seed"), _SAME_IMAGES),
}
Values = Mapping[str, str]  # key to value, as `key=value` takes them


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        base: The recipe's content, without its section `[search]`.
        recipe: The recipe without a search.
        axes: The keys that are searched.
    """

    base: Base
    recipe: Recipe
    axes: tuple[Axis, ...]

    @classmethod
    def read(cls, path: Path, overrides: Sequence[str] = (), search: Sequence[str] = ()) -> Space:
        """Reads a recipe and its search; an axis of the command line takes the place of the recipe's own.

        Args:
            path: The recipe's file.
            overrides: `key=value` texts for all trials.
            search: Axes, such as `train.lr=log:1e-3..1`.

        Raises:
            RecipeError: With all that is wrong with them.
        """
        base = Base.read(path, overrides)
        section = base.content.get(SECTION, {})
        base = replace(base, content={key: value for key, value in base.content.items() if key != SECTION})
        recipe = base.recipe(base.content, {})

        def place(key: KeyPath) -> str:
            line = next((base.lines[key[:end]] for end in range(len(key), 0, -1) if key[:end] in base.lines), None)
            return f"{path}:{line}" if line else str(path)

        asked = axes_asked(search)
        keys = {axis.key for axis in asked}
        axes = (*(axis for axis in axes_of(section, place, path.resolve().parent) if axis.key not in keys), *asked)
        if problems := [*_refused(recipe, axes, overrides)]:
            raise RecipeError(problems)
        space = cls(base, recipe, axes)
        space = replace(space, axes=tuple(replace(axis, whole=space._takes_whole_numbers(axis)) for axis in axes))
        space._check()
        return space

    @property
    def metric(self) -> Metric:
        """The metric that decides, of the validation images."""
        task, best = tasks.module(self.recipe.task.name), self.recipe.evaluate.best
        known: Sequence[Metric] = task.METRICS
        primary: Metric = task.PRIMARY
        return primary if best == "auto" else next(metric for metric in known if metric.name == best)

    @property
    def combinations(self) -> int | None:
        """How many there are; None where a range has any number."""
        return math.prod(len(axis.choices) for axis in self.axes) if all(axis.choices for axis in self.axes) else None

    def grid(self) -> Iterator[dict[str, str]]:
        """Every combination of lists."""
        keys = [axis.key for axis in self.axes]
        for values in itertools.product(*(axis.choices for axis in self.axes)):
            yield dict(zip(keys, values, strict=True))

    def content(self, values: Values) -> dict[str, Any]:
        """The recipe's content with values, and with absolute paths, as a file for any folder has it."""
        content = all_absolute(copy.deepcopy(self.base.content), self.base.path.resolve().parent)
        override(content, self._texts(values), {})
        found: dict[str, Any] = content
        return found

    def recipe_of(self, values: Values, place: str = "") -> Recipe:
        """The recipe with values.

        Args:
            values: Some of the searched keys.
            place: What to call their place in messages.

        Raises:
            RecipeError: They do not fit.
        """
        content, places = copy.deepcopy(self.base.content), dict[KeyPath, str]()
        if problems := override(content, self._texts(values), places, place):
            raise RecipeError(problems)
        return self.base.recipe(content, places)

    def _texts(self, values: Values) -> list[str]:
        """Values as `key=value` texts; a proxy keeps the recipe's own, so that one serves all trials."""
        texts = [f"{key}={value}" for key, value in values.items()]
        if not isinstance(chosen := self.recipe.select, ProxyParams):
            return texts
        train = self.recipe.train.model_dump(mode="json", exclude_none=True)
        names = [key.removeprefix("train.") for key in values if key.startswith("train.")]
        own = [name for name in names if name in train and name not in (*NOT_ITS_OWN, *chosen.proxy.train)]
        return texts + [f"select.proxy.train.{name}={json.dumps(train[name])}" for name in own]

    def trial(self, values: Values) -> Recipe:
        """The recipe of a trial: it keeps few files, and leaves the test images alone."""
        return as_trial(self.recipe_of(values), self.base.content.get("out", {}))

    def _takes_whole_numbers(self, axis: Axis) -> bool:
        """Whether a range has whole ends, and its key refuses what lies between."""
        if axis.choices or axis.low != int(axis.low) or axis.high != int(axis.high):
            return False
        try:
            self.recipe_of({axis.key: f"{axis.low + 0.5}{axis.unit}"})
        except RecipeError:
            return True
        return False

    def _check(self) -> None:
        """Tries every value of a list and both ends of a range, one by one, and every combination of lists."""
        problems: list[str] = []
        tried = [({axis.key: value}, axis.place) for axis in self.axes for value in axis.ends]
        for values, place in tried:
            problems += self._problems(values, place)
        if not problems and self.combinations is not None:
            for values in self.grid():
                named = ", ".join(f"{key}={value}" for key, value in values.items())
                problems += self._problems(values, f"the combination {named}")
        if problems:
            raise RecipeError(list(dict.fromkeys(map(printable, problems))))

    def _problems(self, values: Values, place: str) -> list[str]:
        try:
            self.recipe_of(values, place)
        except RecipeError as error:  # a key that clashes with another one is named at its own place
            return [problem if place in problem else f"{place}: {problem}" for problem in error.problems]
        return []


def as_trial(recipe: Recipe, given: Mapping[str, object]) -> Recipe:
    """The recipe of one run of a search.

    Args:
        recipe: The recipe.
        given: The keys of `[out]` that the user sets.
    """
    untested = recipe.evaluate.model_copy(update={"test": False})
    return one_of_many(recipe, given).model_copy(update={"evaluate": untested})


def _refused(recipe: Recipe, axes: Sequence[Axis], overrides: Sequence[str]) -> Iterator[str]:
    """Searches that mean nothing, or two things."""
    if not axes:
        yield "nothing to search: give --search train.lr=log:1e-3..1, or a section [search] in the recipe"
    if recipe.data.val == "none":
        yield (
            'data.val = "none": settings are chosen by validation images, and there are none; '
            'set data.val = "10%", and train on all images with what was found'
        )
    given = {text.partition("=")[0].strip() for text in overrides}
    for axis in axes:
        if reason := _FIXED.get(axis.key) or _FIXED.get(axis.key.partition(".")[0]):
            yield f"{axis.place}: {axis.key} cannot be searched: {reason}; leave it out"
        if axis.key in given:
            yield f"{axis.place}: {axis.key} is searched, and given as {axis.key}=...; leave one of the two out"
