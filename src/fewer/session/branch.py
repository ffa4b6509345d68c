"""A branch of a run: a run folder of its own that goes on from a checkpoint with other keys, such as a cooldown."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewer import optim
from fewer.core.errors import RecipeError
from fewer.optim.schedules import SCHEDULES
from fewer.recipe import places
from fewer.recipe.schema import AUTO_BATCH, Recipe, changed_keys
from fewer.runs import checkpoint
from fewer.runs.folder import GIVEN, MANIFEST, ORIGIN, RESOLVED, RunFolder
from fewer.runs.record import publish, read_rows, row_line
from fewer.session.restore import position
from fewer.session.resume import RESUMABLE, recipe_of, with_total

if TYPE_CHECKING:
    from fewer.core.types import State

# What a branch takes over from its trunk, and why; whatever else there is may change.
_KEPT = {
    "data.*": "images and split are those that the trunk has learnt from",
    "model.*": "the weights are the trunk's",
    "task.name": "the weights are the trunk's",
    "select.*": "what selection knows of the images is the trunk's",
    "sync.*": "the workers are the trunk's",
    "train.optimizer": "its state is the trunk's",
    "train.precision": "weights and optimizer have that of the trunk",
    "train.budget": "a branch is given its length; write train.epochs=N, its trunk included",
}
_SCHEDULE = ("train.schedule", "train.schedule_over", "train.warmup", "train.warmup_start", "train.final")


def branch_off(place: str, overrides: Sequence[str] = (), out: Path | None = None) -> Path:
    """Makes the folder of a branch, which `resume` goes on with.

    Without changes it is the trunk, going on bit for bit.

    Args:
        place: A run folder, and behind an `@`, if not the newest is meant, one of its checkpoints by name or by the
            epochs that are past: `runs/trunk@8`.
        overrides: `key=value` texts; `train.epochs` counts the trunk's.
        out: The new run folder; beside the trunk if left out.

    Returns:
        The new run folder.

    Raises:
        RecipeError: There is no such run or checkpoint, or a key may not change.
        CheckpointError: The checkpoint is damaged.
    """
    trunk, source = found(place)
    before, _ = recipe_of(trunk)
    recipe = with_total(before, overrides)
    if recipe.out.remote == before.out.remote:  # a copy's place belongs to one run: the trunk
        recipe = recipe.model_copy(update={"out": recipe.out.model_copy(update={"remote": ""})})
    state = checkpoint.load(source)
    changed = changed_keys(before, recipe)
    if problems := [*_refused(before, recipe, changed), *_too_late(recipe, changed, state)]:
        raise RecipeError(problems)
    folder = RunFolder(out or _beside(trunk.path))
    folder.create()
    try:
        _fill(folder, trunk, source, recipe, _changed_state(state, recipe, [key for key, _, _ in changed]))
    except BaseException:
        folder.release()
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    folder.release()
    return folder.path


def found(place: str) -> tuple[RunFolder, Path]:
    """The run folder and the checkpoint that a place names."""
    run, at, name = (place, "", "") if Path(place).is_dir() else place.rpartition("@")
    folder = RunFolder(Path(run), writes=False)
    if not (folder.path / RESOLVED).is_file():
        raise RecipeError(f"{run or place}: not a run folder: it has no {RESOLVED}; write RUN, or RUN@CHECKPOINT")
    kept = sorted(checkpoint.newest_first(folder.checkpoints))
    wanted = checkpoint.name_of(int(name)) if re.fullmatch(r"\d{1,5}", name) else name
    chosen = kept[-1:] if not at else [path for path in kept if path.name == wanted]
    if not chosen:
        listed = ", ".join(path.name for path in kept) or "none"
        what = f"no checkpoint {wanted}" if at else "no checkpoint yet"
        raise RecipeError(f"{run}: {what}; it has {listed}; a trunk's out.keep_at names those that stay")
    return folder, chosen[0]


def _beside(trunk: Path) -> Path:
    from fewer.runs.names import free_number, numbered

    path = trunk.resolve()
    folder = path.with_name(f"{path.name}-branch")
    return numbered(folder, free_number(folder))


def _refused(before: Recipe, recipe: Recipe, changed: Sequence[tuple[str, Any, Any]]) -> list[str]:
    """Keys that a branch cannot change."""
    problems = []
    for key, old, new in changed:
        why = next((why for pattern, why in _KEPT.items() if fnmatch(key, pattern)), "")
        if why and not any(fnmatch(key, pattern) for pattern in RESUMABLE) and not places.is_move(key, old, new):
            problems.append(f"{key} = {new!r}: a branch keeps its trunk's {key} = {old!r}: {why}")
        if key.endswith(".batch_size") and new == AUTO_BATCH:
            problems.append(f'{key} = "auto": a branch is given its batches; write a number')
    was, averages = (", ".join(optim.averages_of(each.train)) or "none" for each in (before, recipe))
    if was != averages:
        problems.append(f"averages of the weights: {averages}; a branch keeps its trunk's: {was}")
    return problems


def _too_late(recipe: Recipe, changed: Sequence[tuple[str, Any, Any]], state: State) -> list[str]:
    """Changes of what is over at the checkpoint."""
    epoch, batch = state["cursor"]["epoch"], state["cursor"]["batch"]
    problems = []
    if (recipe.epochs, 0) < (epoch, batch):
        problems.append(f"train.epochs = {recipe.epochs}: the trunk stands in epoch {epoch + 1} there; ask for more")
    first = 0
    for index, stage in enumerate(recipe.stages):
        keys = [key for key, _, _ in changed if key.startswith(f"stages.{index}.")]
        if keys and (first, 0) < (epoch, batch) and index < len(recipe.stages) - 1:
            problems.append(f"{keys[0]}: that stage has begun at the checkpoint; change a later one")
        first += stage.epochs
    return problems


def _changed_state(state: State, recipe: Recipe, keys: Sequence[str]) -> State:
    """The trunk's state, without its best model, and without a course that another schedule does not follow."""
    state = {**state, "best": {}, "amendments": dict(state.get("amendments", {}))}
    state.pop("patience", None)
    state["amendments"].pop("train.epochs", None)
    if "train.lr" in keys:
        state["amendments"].pop("train.lr", None)
    own = {f"train.{name}" for name in SCHEDULES.module(recipe.train.schedule).Params.model_fields}
    if any(key in own or key in _SCHEDULE for key in keys):
        state.pop("course", None)
        state["epochs"] = recipe.epochs
    return state


def _fill(folder: RunFolder, trunk: RunFolder, source: Path, recipe: Recipe, state: State) -> None:
    """Writes all that a run which stands at the checkpoint has in its folder; the resolved recipe comes last."""
    folder.file(GIVEN, recipe.to_toml())
    for name in (MANIFEST, "plan.json", "env.json", "quarantine.json"):
        with suppress(FileNotFoundError):
            folder.file(name, (trunk.path / name).read_bytes())
    checkpoint.save(state, folder.checkpoints, recipe.out.keep)
    here = state["cursor"]["epoch"], state["cursor"]["batch"]
    rows = [row for row in read_rows(trunk.rows) if (at := position(row)) is not None and at <= here]
    spent: dict[str, Any] = next((row for row in reversed(rows) if "fee" in row), {})
    origin = {
        "run": str(trunk.path.resolve()),
        "checkpoint": source.name,
        **state["cursor"],
        "full_epoch_equivalents": spent.get("fee"),
        "seconds": spent.get("seconds"),
    }
    folder.json(ORIGIN, origin)
    publish(folder.rows, "".join(row_line(row) for row in [*rows, {"kind": "branch", **origin}]))
    folder.status("preempted", **state["cursor"])
    folder.file(RESOLVED, recipe.to_toml())
