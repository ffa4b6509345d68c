"""`fewer data bench`: what each part of training an image takes, which change would help most, and whether it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fewer.core.types import Stage
from fewer.data.pictures.build import Order, build
from fewer.data.pictures.sources import default_path
from fewer.plan.plan import Plan
from fewer.plan.stores import store_side_px
from fewer.recipe.schema import Recipe
from fewer.runs.record import publish, write_json, writing
from fewer.session.build import make_plan, open_data
from fewer.session.data_costs import PARTS, Costs, Together, costs, together
from fewer.tune.data_advice import Change, best_of, changes, images_per_second, limit_of, path_of, ranked, spare_threads
from fewer.tune.data_figure import figure

FILES = ("data-bench.json", "data-bench.csv", "data-bench.png")
_COLUMNS = ("stage", "side_px", "batch_size", "part", "milliseconds_per_image")
_PARTS_OF = 10  # a part is timed for so much less time than all together
_CHECKED = 2  # rounds in turn, of which the faster counts


def data_bench(
    recipe: Recipe,
    folder: Path,
    name: str,
    seconds: float = 4.0,
    checks: bool = False,
    plan: Plan | None = None,
    note: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measures the data path of a recipe and writes `FILES`.

    Args:
        recipe: What the user asked.
        folder: Where the files go; older ones are replaced.
        name: What to call the recipe in commands.
        seconds: For how long a stage is trained to see all parts together.
        checks: Whether the best change is made and measured.
        plan: The recipe's plan, where it is compiled already.
        note: Told what goes on, in words.

    Returns:
        The content of `data-bench.json`.

    Raises:
        RecipeError, DataError, ResourceError: As in training.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    splits = open_data(recipe)
    plan = plan or make_plan(recipe, splits)
    measured = dict[tuple[int, int, int], tuple[Costs, Together]]()
    for stage in plan.stages:
        if _shape(stage) not in measured:
            note(f"stage {stage.index + 1}: {stage.side_px} px, batches of {stage.batch_size} ...")
            parts = costs(plan, splits, stage, seconds / _PARTS_OF)
            measured[_shape(stage)] = parts, together(recipe, plan, stage, plan.loading, seconds)
    found = [measured[_shape(stage)] for stage in plan.stages]
    listed = changes(plan, [parts for parts, _ in found], name)
    if threads := spare_threads(plan):
        stage, now = _largest(plan), measured[_shape(_largest(plan))][1]
        note(f"{threads} of {plan.facts.machine.threads} threads ...")
        gain = together(recipe, plan, stage, plan.loading, seconds, threads).images_per_second / now.images_per_second
        listed = ranked([*listed, Change("threads", f"OMP_NUM_THREADS={threads}", path_of(plan), gain, False, threads)])
    best = best_of(listed)
    document: dict[str, Any] = {
        "schema": 1,
        "source": recipe.data.source,
        "model": recipe.model.name,
        "machine": {"device": plan.facts.machine.device, "cores": plan.facts.machine.cores},
        "loading": asdict(plan.loading) | {"store": plan.facts.data.store.path if plan.facts.data.store else None},
        "stages": [_stage(plan, stage, *each) for stage, each in zip(plan.stages, found, strict=True)],
        "changes": [_change(change) for change in _one_a_kind(listed)],
        "best": _change(best) if best else None,
        "checked": _checked(recipe, plan, best, seconds, note) if best and checks else None,
    }
    rows = [
        (each["stage"], each["side_px"], each["batch_size"], part, f"{each['milliseconds'][part]:.6g}")
        for each in document["stages"]
        for part in PARTS
    ]
    publish(folder / FILES[1], "".join(f"{','.join(map(str, row))}\n" for row in [_COLUMNS, *rows]))
    publish(folder / FILES[2], figure(document))
    write_json(folder / FILES[0], document)
    return document


def _reading(recipe: Recipe, store: str) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"store": store})})


def _largest(plan: Plan) -> Stage:
    """The stage that shows most images."""
    return max(plan.stages, key=lambda stage: stage.epochs * stage.data_share)


def _shape(stage: Stage) -> tuple[int, int, int]:
    return stage.side_px, stage.batch_size, stage.frozen_layers


def _stage(plan: Plan, stage: Stage, parts: Costs, seen: Together) -> dict[str, Any]:
    path = path_of(plan)
    return {
        "stage": stage.index + 1,
        "side_px": stage.side_px,
        "batch_size": stage.batch_size,
        "milliseconds": {part: 1e3 * getattr(parts, part) for part in PARTS},
        "milliseconds_from_store": 1e3 * parts.from_store,
        "milliseconds_of_step": {str(size): 1e3 * value for size, value in parts.step_of.items()},
        "limit": limit_of(parts, path, plan),
        "predicted_images_per_second": images_per_second(parts, path, plan),
        "images_per_second": seen.images_per_second,
        "waiting": seen.waiting,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "name": change.name,
        "how": change.how,
        "predicted_gain": change.gain,
        "changes_result": change.changes_result,
    }


def _one_a_kind(listed: Sequence[Change]) -> list[Change]:
    """The best of each kind; they are sorted."""
    kinds: dict[str, Change] = {}
    for change in listed:
        kinds.setdefault(change.name, change)
    return list(kinds.values())


def _checked(recipe: Recipe, plan: Plan, best: Change, seconds: float, note: Callable[[str], None]) -> dict[str, Any]:
    """Makes the change and trains with and without it in turn, on the stage with the most images."""
    stage = _largest(plan)
    after, after_stage = recipe, replace(stage, batch_size=best.path.batch_size or stage.batch_size)
    if best.name == "store":
        source, side_px = open_data(recipe).train.source, store_side_px(recipe, plan.stages)
        path = default_path(source, side_px)
        note(f"building the store {path} ...")
        build(Order(source, side_px, path, "raw", depth=plan.facts.data.depth, cache=recipe.data.cache == "auto"))
        after, recipe = _reading(recipe, str(path)), _reading(recipe, "none")
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(_CHECKED):
        note(f"checking {best.how}: round {number + 1} of {_CHECKED} ...")
        rates[0].append(together(recipe, plan, stage, plan.loading, seconds).images_per_second)
        rates[1].append(together(after, plan, after_stage, best.path.loading, seconds, best.threads).images_per_second)
    return {"before": max(rates[0]), "after": max(rates[1]), "gain": max(rates[1]) / max(rates[0])}
