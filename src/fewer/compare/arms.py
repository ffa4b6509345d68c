"""Arms of a comparison: the baseline, the variants, and plain and random training at several budgets. Free of torch."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fewer.compare.variants import NAMED_BY, PLAIN, Variant
from fewer.core.allocation import split
from fewer.core.clock import Duration
from fewer.core.errors import RecipeError
from fewer.recipe.base import Base, Content, one_of_many
from fewer.recipe.schema import Recipe, flat

if TYPE_CHECKING:
    from fewer.session.ladder import Rung

Kind = Literal["baseline", "variant", "plain", "random"]
Curve = Literal["runs", "ladder"]
LADDER: Curve = "ladder"
COOLDOWN = Duration(20, "%")  # of each budget of a ladder
BUDGETS = "25%,50%,75%,100%"
SMALLEST_CURVE = 2  # points


@dataclass(frozen=True)
class Arm:
    """One recipe that is trained once for each seed.

    Attributes:
        kind: The baseline, a variant, or a point of one of the two curves of plain and of random training.
        epochs: Epochs that plain training has for this budget; of points of the curves only.
        trunk: What its runs branch off from, where the curve is a ladder; its own run for each seed.
        rung: Where they branch off.
    """

    kind: Kind
    variant: Variant
    epochs: int = 0
    trunk: Arm | None = None
    rung: Rung | None = None

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def recipe(self) -> Recipe:
        return self.variant.recipe

    @property
    def own_share(self) -> float:
        """The share of a run that is not its trunk's."""
        return self.rung.cooldown / self.rung.epochs if self.rung else 1.0

    @property
    def key(self) -> str:
        """Hash of a run's recipe without seed and folder; keys at their default are left out."""
        without: Any = {"out": True, "train": {"seed"}, "select": True, "model": True}
        content = self.recipe.model_dump(mode="json", exclude_defaults=True, exclude=without)
        for section, name in NAMED_BY.items():
            chosen = getattr(self.recipe, section)
            recorded = chosen.named_parts[name].recorded(getattr(chosen, name))
            content[section] = {**chosen.model_dump(mode="json", exclude_defaults=True), name: recorded}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]

    def folder(self, runs: Path) -> Path:
        """Folder of its runs, also if it was made under another name."""
        slug = re.sub(r"[^a-z0-9.=]+", "-", self.name.lower()).strip("-.")[:40]
        return next(iter(sorted(runs.glob(f"*{self.key}"))), runs / f"{slug}{'-' if slug else ''}{self.key}")


def epochs_of(budgets: str, epochs: int) -> list[int]:
    """The budgets of the curves in epochs of plain training, ascending, each once.

    Args:
        budgets: Such as `25%,50%,100%` or `3,6,12`.
        epochs: Of the recipe.

    Raises:
        RecipeError: A budget is neither a share of the recipe's epochs nor a number of epochs.
    """
    found = set()
    for text in budgets.split(","):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|ep)?\s*", text)
        value = float(match[1]) * (epochs / 100 if match[2] == "%" else 1) if match else 0.0
        if not 0 < value <= 32_767 or (match and match[2] != "%" and value != int(value)):
            raise RecipeError(
                f'--budgets {budgets}: "{text}" is no budget; give shares of the recipe\'s {epochs} epochs, or epochs: '
                f"--budgets {BUDGETS}"
            )
        found.add(max(1, math.floor(value + 0.5)))
    return sorted(found)


def arms_of(
    base: Base, plain: Variant, variants: Sequence[Variant], budgets: Sequence[int], curve: Curve = "runs"
) -> list[Arm]:
    """All arms that are trained.

    Args:
        base: The recipe, for the shortened ones.
        plain: The baseline.
        variants: Compared with it.
        budgets: Epochs of the curves' points; empty for no curves.
        curve: Whether plain training at smaller budgets has runs of its own, or branches off one trunk.

    Raises:
        RecipeError: The recipe cannot be shortened to a budget.
    """
    problems: list[str] = []
    total = plain.recipe.epochs
    others = [epochs for epochs in budgets if epochs != total]  # that is the baseline itself
    ladder = _ladder(plain, others) if curve == "ladder" and others else {}
    curves = []
    for epochs in others:
        try:
            curves.append(ladder.get(epochs) or Arm("plain", _shortened(base, plain, epochs), epochs))
            if epochs < total:
                curves.append(Arm("random", _random(base, plain, epochs / total), epochs))
        except RecipeError as error:
            problems += [f"--budgets, {epochs} epochs: {problem}" for problem in error.problems]
    if problems:
        raise RecipeError([*problems, "give other --budgets, or durations as shares of the run (5%), or --no-curve"])
    if budgets and 1 + sum(arm.kind == "plain" for arm in curves) < SMALLEST_CURVE:
        raise RecipeError("--budgets: one budget makes no curve; give two or more, or --no-curve")
    return [Arm("baseline", plain), *(Arm("variant", variant) for variant in variants), *curves]


def _ladder(plain: Variant, budgets: Sequence[int]) -> dict[int, Arm]:
    """Plain training at all budgets, by their epochs: the longest at a constant rate, which the others branch off.

    Raises:
        RecipeError: The recipe makes no ladder of these lengths.
    """
    from fewer.session.ladder import alone, rung_of, trunk_of

    total = plain.recipe.epochs
    try:
        rungs = [rung_of(epochs / total, COOLDOWN, total) for epochs in budgets]
        trunk = trunk_of(plain.recipe, rungs)
    except (RecipeError, ValueError) as error:
        raise RecipeError(f"--curve {LADDER}: {error}; or give --curve runs") from None
    longest = Arm("plain", _rung(plain, trunk), rungs[-1].epochs)
    points = [Arm("plain", _rung(plain, alone(trunk, rung)), rung.epochs, longest, rung) for rung in rungs[:-1]]
    return {arm.epochs: arm for arm in (*points, longest)}


def _rung(plain: Variant, recipe: Recipe) -> Variant:
    changes = {f"train.{key}": getattr(recipe.train, key) for key in ("epochs", "schedule")}
    return Variant(f"{_in_epochs(recipe.epochs)}, cooldown", recipe, changes, plain.content)


def _in_epochs(epochs: int) -> str:
    return f"{PLAIN}, {epochs} epoch{'' if epochs == 1 else 's'}"


def _shortened(base: Base, plain: Variant, epochs: int) -> Variant:
    """Plain training, annealed to its end, in fewer (or more) epochs."""
    content = copy.deepcopy(plain.content)
    if plain.recipe.stages:
        lengths = split([stage.epochs for stage in plain.recipe.stages], epochs)
        if not all(lengths):
            raise RecipeError(f"too few for {len(lengths)} stages of an epoch or more")
        content["stages"] = [
            {**stage, "epochs": length} for stage, length in zip(content["stages"], lengths, strict=True)
        ]
        content.get("train", {}).pop("epochs", None)
    else:
        content["train"] = {**content.get("train", {}), "epochs": epochs}
    return _checked(base, _in_epochs(epochs), content, {"train.epochs": epochs})


def _random(base: Base, plain: Variant, cost: float) -> Variant:
    select = {"method": "random", "cost": cost}
    content = {**copy.deepcopy(plain.content), "select": select}
    return _checked(base, f"random, cost {cost:.4g}", content, flat({"select": select}))


def _checked(base: Base, name: str, content: Content, changes: Mapping[str, object]) -> Variant:
    return Variant(name, base.recipe(content, {}), changes, content)


def at_end(recipe: Recipe) -> Recipe:
    """The recipe, evaluated once, at the end of training.

    The best of all epochs by the images that judge is too good, and the more so the more epochs there are: shortened
    plain training would get less of that lift than the variant that it is compared with. Early stopping, which looks at
    them too, is off.
    """
    return recipe.model_copy(
        update={
            "evaluate": recipe.evaluate.model_copy(update={"every": 0}),
            "train": recipe.train.model_copy(update={"patience": "off"}),
        }
    )


def with_seed(recipe: Recipe, seed: int, given: Mapping[str, object]) -> Recipe:
    """The recipe of one run. It keeps few files, as there are many runs, unless the recipe sets the keys itself.

    Args:
        recipe: The arm's recipe.
        seed: The run's seed.
        given: The keys of `[out]` that the recipe sets.
    """
    recipe = at_end(one_of_many(recipe, given))
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})


def distinct(arms: Sequence[Arm]) -> Iterator[Arm]:
    """Each recipe once: a variant may also be a point of a curve."""
    seen = set()
    for arm in arms:
        if arm.key not in seen:
            seen.add(arm.key)
            yield arm
