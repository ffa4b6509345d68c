"""`fewer lr-find`: the finder for the stages of a recipe, its findings as a document and as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.core.errors import RecipeError
from fewer.core.types import Stage
from fewer.machine.determinism import deterministic
from fewer.optim.lr_curve import smoothed
from fewer.plan.plan import Plan
from fewer.recipe.schema import Recipe
from fewer.runs.record import publish, write_json, writing
from fewer.session.build import make_plan, open_data, open_session
from fewer.session.lr_finder import Found, find
from fewer.tune.lr_figure import figure

FILES = ("lr-find.json", "lr-find.csv", "lr-find.png")
_COLUMNS = ("stage", "sweep", "lr", "loss", "smoothed_loss")


@dataclass(frozen=True)
class Wish:
    """What of a recipe's stages is wanted, and how.

    Attributes:
        stage: Number of one stage, from 1; 0: all of them.
        steps: Steps of a sweep.
        repeats: Sweeps of a stage.
        fresh: What was found earlier will not do.
    """

    stage: int = 1
    steps: int = 100
    repeats: int = 3
    fresh: bool = False


def lr_find(
    recipe: Recipe, wish: Wish, folder: Path, plan: Plan | None = None, note: Callable[[str], None] = print
) -> dict[str, Any]:
    """Finds learning rates and writes `FILES`.

    Args:
        recipe: What the user asked.
        wish: For which stages.
        folder: Where the files go; older ones are replaced.
        plan: The recipe's plan, where it is compiled already.
        note: Told what goes on, in words.

    Returns:
        The content of `lr-find.json`.

    Raises:
        RecipeError: The recipe, or a stage that it does not have; or no rate was found.
        DivergedError: The loss is not finite at any rate.
        DataError, ResourceError: As in training.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with deterministic(recipe.train.deterministic):
        splits = open_data(recipe)
        session = open_session(recipe, splits, plan=plan or make_plan(recipe, splits))
        try:
            found = []
            for stage in _wanted(session.plan, wish.stage):
                note(f"stage {stage.index + 1}: {stage.side_px} px, batches of {stage.batch_size} ...")
                found.append(find(session, stage, wish.steps, wish.repeats, not wish.fresh))
        finally:
            session.close()
    document = {
        "schema": 1,
        "source": recipe.data.source,
        "model": recipe.model.name,
        "optimizer": recipe.train.optimizer,
        "stages": [_stage(each, session.plan) for each in found],
    }
    publish(folder / FILES[1], "".join(f"{','.join(map(str, row))}\n" for row in [_COLUMNS, *_points(found)]))
    publish(folder / FILES[2], figure(found, f"{recipe.model.name}, {recipe.train.optimizer}, {recipe.data.source}"))
    write_json(folder / FILES[0], document)
    return document


def _wanted(plan: Plan, number: int) -> Sequence[Stage]:
    if not number:
        return plan.stages
    if number > len(plan.stages):
        stages = f"{len(plan.stages)} stage{'s' if len(plan.stages) > 1 else ''}"
        raise RecipeError(f"--stage {number}: the recipe has {stages}, counted from 1; give a smaller number")
    return plan.stages[number - 1 : number]


def _stage(found: Found, plan: Plan) -> dict[str, Any]:
    """What was found for a stage, as the document has it."""
    stage, counts = found.stage, found.counts(("flops", "samples_backpropagated", "optimizer_steps"))
    sweeps = [
        {
            "lr": reading and reading.lr,
            "steepest_lr": reading and reading.steepest_lr,
            "steps": sweep.steps,
            "skipped_steps": sweep.skipped,
            "points": len(sweep.rates),
            "ended_early": sweep.diverged,
        }
        for sweep, reading in zip(found.sweeps, found.readings, strict=True)
    ]
    return {
        "stage": stage.index + 1,
        "side_px": stage.side_px,
        "batch_size": stage.batch_size,
        "lr": found.lr,
        "low": found.low,
        "high": found.high,
        "train_lr": found.peak_lr,
        "lr_scale": stage.lr_scale,
        "range": [found.rates.low, found.rates.high],
        "at_largest_rate": found.is_at_end,
        "sweeps": sweeps,
        **counts,
        "full_epoch_equivalents": counts["flops"] / plan.plain_epoch_flops,
        "seconds": found.seconds,
        "cached": found.cached,
    }


def _points(found: Sequence[Found]) -> Iterator[tuple[object, ...]]:
    """All points of all sweeps, with the smoothed loss beside each."""
    for each in found:
        for number, sweep in enumerate(each.sweeps, start=1):
            if len(sweep.rates) > 2:
                curve = smoothed(sweep.rates, sweep.losses).tolist()
                for point in zip(sweep.rates, sweep.losses, curve, strict=True):
                    yield (each.stage.index + 1, number, *(f"{value:.6g}" for value in point))
