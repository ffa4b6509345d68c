"""The question that an evaluation answers: which model, on which images, with which keys changed; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewer import tasks
from fewer.core.errors import DataError, RecipeError
from fewer.core.messages import nearest
from fewer.core.text import command
from fewer.data.sources import is_source
from fewer.recipe.deprecated import current
from fewer.recipe.parse import override, parse_recipe
from fewer.recipe.places import require_data
from fewer.recipe.schema import Recipe
from fewer.runs.folder import RunFolder
from fewer.runs.published import model_folder, run_of
from fewer.session.resume import recipe_of

# Where the run's own images lie now; that they are the same, their manifest tells.
MOVABLE = ("data.source", "data.val", "data.labels.csv")
# Keys that an evaluation may change, beside some of the task's; all others belong to the model.
CHANGEABLE = ("data.test", "data.class_level", "data.damaged", "data.cache", "train.precision", *MOVABLE)
OF_OTHERS = ("data.difficult",)  # beside them where it looks at other images: a run's own are as the run has read them
OTHERS = "or evaluate other images with data.test=folder:PATH"


@dataclass(frozen=True)
class Question:
    """A model, images and changed keys.

    Attributes:
        folder: The published model.
        run: The run that it lies in; None for a model on its own.
        source: Where the images come from; empty for the run's own.
        split: Which images of the run, "test" or "val".
        overrides: `key=value` texts.
    """

    folder: Path
    run: Path | None
    source: str
    split: str
    overrides: tuple[str, ...]

    @classmethod
    def asked(cls, path: Path, overrides: Sequence[str], split: str) -> Question:
        """A question as the user puts it.

        Raises:
            RecipeError: No model at this path, or nothing to evaluate it on.
            CheckpointError: The run has published no model yet.
        """
        folder = model_folder(path)
        content: dict[str, Any] = {}
        override(content, [text for text in overrides if _key(text) == "data.test"], {})
        source = str(content["data"]["test"]) if content else ""
        if source and not is_source(source):
            raise RecipeError(f'data.test = "{source}": an evaluation takes a source, such as folder:PATH')
        run = run_of(folder)
        if run is None and not source:
            raise RecipeError(
                f"{folder}: this model lies outside its run; say what to evaluate on: data.test=folder:PATH"
            )
        return cls(folder, run, source, split, tuple(overrides))

    def recipe(self, alone: Mapping[str, Any] | None = None) -> Recipe:
        """The run's recipe with the changed keys, or that of a model on its own, whose content is given.

        Raises:
            RecipeError: A key cannot change, or has a wrong value.
            DataError: Images are not there.
        """
        if self.run is not None:
            before, _ = recipe_of(RunFolder(self.run, writes=False))
            content = before.model_dump(mode="json", exclude_none=True)
        else:
            content = dict(alone or {})
        keys = tasks.module(content["task"]["name"]).EVALUATION_KEYS
        others = OF_OTHERS if self.source else ()
        self._require_changeable((*CHANGEABLE, *others, *(f"task.{key}" for key in keys)))
        recipe = parse_recipe(content, self.overrides)
        if not self.source:
            try:
                require_data(recipe, f"if it has moved, add KEY=PLACE to {command('fewer', 'eval', self.run)}")
            except DataError as error:
                raise DataError(f"{error}; {OTHERS}") from None
        return recipe

    def own_recipe(self) -> Recipe:
        """The run's recipe with those changed keys that concern its own images, whatever is to be evaluated.

        Raises:
            RecipeError, DataError: As `recipe`.
        """
        others = ("data.test", "data.class_level", *OF_OTHERS) if self.source else ()
        own = tuple(text for text in self.overrides if ".".join(current(tuple(_key(text).split(".")))) not in others)
        return replace(self, source="", split="test", overrides=own).recipe()

    def _require_changeable(self, changeable: Sequence[str]) -> None:
        keys = [".".join(current(tuple(_key(text).split(".")))) for text in self.overrides]
        problems = [
            f'argument "{text}": an evaluation does not change {key}; '
            + ("add data.test=SOURCE, whose images it then reads so" if key in OF_OTHERS else nearest(key, changeable))
            for key, text in zip(keys, self.overrides, strict=True)
            if "=" in text and key not in changeable
        ]
        if "data.test" in keys and self.split != "test":
            problems.append(f"--split {self.split}: data.test names the images already; leave one of the two out")
        if problems:
            raise RecipeError(problems)


def _key(text: str) -> str:
    return text.partition("=")[0].strip()
