"""The argument of `train` and `plan`: a recipe's file, or a source, for which a recipe is chosen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fewer.core.errors import RecipeError, printable
from fewer.core.text import command

if TYPE_CHECKING:
    from fewer.plan.plan import Plan
    from fewer.recipe.schema import Recipe
    from fewer.session.one_line import Choice
    from fewer.session.probe import Outlook


@dataclass(frozen=True)
class Given:
    """A recipe, checked.

    Attributes:
        recipe: The recipe.
        text: As it was written, or chosen.
        name: What its run folder is called after.
        plan: Its plan, where a choice has compiled it.
        outlook: What the plan will take, where a choice has timed it.
    """

    recipe: Recipe
    text: str
    name: str
    plan: Plan | None = None
    outlook: Outlook | None = None

    @contextmanager
    def kept(self, place: str) -> Iterator[str]:
        """A file with this recipe for as long as other processes read it: its own, or one for a choice.

        Args:
            place: What was given.
        """
        if self.plan is None:
            yield place
            return
        with tempfile.TemporaryDirectory(prefix="fewer-") as folder:
            chosen = Path(folder, f"{self.name}.toml")
            chosen.write_text(self.text, encoding="utf-8")
            yield str(chosen)

    def left(self, overrides: Sequence[str]) -> list[str]:
        """Those of the user's keys that are not in the text."""
        return [text for text in overrides if self.plan is None or text.startswith("stages.")]


def recipe_given(place: str, overrides: Sequence[str], processes: int = 1, probes: bool = True) -> Given:
    """The recipe in a file, or the choice for a source, which is explained on stderr.

    Args:
        place: A file, a source such as `digits` or `folder:PATH`, or the path of a folder or a tar of images.
        overrides: `key=value` texts.
        processes: Processes that will train together.
        probes: Whether a choice may time the machine.
    """
    from fewer.data import sources

    path, source = Path(place), sources.named(place, Path.cwd())
    if os.path.isfile(path / "recipe.resolved.toml"):
        raise RecipeError(
            f"{place}: a run folder, no recipe and no images; {command('fewer', 'resume', place)} goes on with it"
        )
    if not sources.is_source(source) or (os.path.isfile(path) and source == place):
        from fewer.cli.options import present_recipe
        from fewer.recipe.toml_file import read_text

        if not os.path.exists(path) and path.suffix != ".toml":
            raise RecipeError(sources.neither(place))
        return Given(present_recipe(path, overrides), read_text(path), path.stem)
    choice = chosen(source, overrides, processes, probes)
    kind, _, within = source.partition(":")
    name = Path(within).resolve().stem if within else kind
    return Given(choice.recipe, choice.text, name, choice.plan, choice.outlook)


def chosen(source: str, overrides: Sequence[str], processes: int = 1, probes: bool = True) -> Choice:
    """The choice for a source, which is explained on stderr; arguments as for `recipe_given`."""
    import sys

    from fewer.recipe.fitting import require_fitting

    require_fitting(source, overrides)
    look_at(source)
    from fewer.report.units import roughly_between
    from fewer.session.one_line import choose
    from fewer.sync.place import is_rank

    choice = choose(source, overrides, processes, timed=probes and not is_rank())
    time = roughly_between(*choice.seconds) + " with loading" if choice.seconds[1] else "not timed"
    for line in choice.lines(time) if not is_rank() else ():
        print(printable(line), file=sys.stderr, flush=True)
    return choice


def look_at(source: str) -> None:
    """Says that a source will be looked at, which takes seconds, once something lies there."""
    import sys

    from fewer.recipe.parse import parse_recipe
    from fewer.recipe.places import require_present

    require_present(parse_recipe({"data": {"source": source}, "model": {"name": "lenet5"}}))
    print(f"looking at {printable(source)} ...", file=sys.stderr, flush=True)
