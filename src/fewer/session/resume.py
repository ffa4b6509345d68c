"""The changes that a resumed run may bring, and the checks of what must be as it was; needs no torch."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from fewer import report
from fewer.core.errors import CheckpointError, DataError, FewerError, RecipeError, printable
from fewer.core.text import command
from fewer.data.listing.manifest import PackedManifest, difference
from fewer.recipe import places
from fewer.recipe.parse import foreign_keys, override, parse_recipe
from fewer.recipe.recorded import read_recorded
from fewer.recipe.schema import Recipe, changed_keys
from fewer.runs.folder import MANIFEST, RESOLVED, STATUS, RunFolder, planned_epochs
from fewer.runs.record import read_object
from fewer.select import METHODS
from fewer.session import workers

if TYPE_CHECKING:
    from fewer.core.protocols import Selector
    from fewer.data.listing.splits import Splits
    from fewer.plan.plan import Plan

# Keys that a resumed run may change, beside the places of what it reads.
RESUMABLE = ("out.*", "evaluate.every", "data.in_memory", "data.processes", "data.cache", "train.epochs")

_STAGE_LENGTH = re.compile(r"stages\.\d+\.epochs=")
_WEIGHTS = ("model.weights", "select.reference")


@dataclass(frozen=True)
class Reopened:
    """A run that is to go on.

    Attributes:
        before: Its recipe so far, with paths as they are now.
        recipe: Its recipe from now on.
        moved: Key to the old and the new place of what it reads.
        result: The result, if it stands at its end already.
    """

    before: Recipe
    recipe: Recipe
    moved: dict[str, tuple[str, str]]
    result: dict[str, Any] | None


def reopened(folder: RunFolder, overrides: Sequence[str] = ()) -> Reopened:
    """Opens a run that is to go on, and finds at once whatever can be found without reading images.

    Raises:
        RecipeError: The folder is no run, a key may not change, or weights are missing.
        DataError: Images or labels are missing.
    """
    if not (folder.path / RESOLVED).is_file():
        raise RecipeError(
            f"{folder.path}: not a run folder: it has no {RESOLVED}; give the folder that `fewer train` made"
        )
    before, moved = recipe_of(folder)
    recipe = extended(before, overrides)
    result = finished(folder, recipe)
    if result is None:
        places.require_present(recipe, f"if it has moved, add KEY=PLACE to {command('fewer', 'resume', folder.path)}")
    given = {key: (old, new) for key, old, new in changed_keys(before, recipe) if key in places.KEYS}
    return Reopened(before, recipe, moved | given, result)


def recipe_of(folder: RunFolder) -> tuple[Recipe, dict[str, tuple[str, str]]]:
    """A run's recipe; paths that are gone follow the run folder, where it has moved together with what they name.

    Returns:
        The recipe, and the key of each path that followed, with its old and its new value.
    """
    content, lines = read_recorded(folder.path / RESOLVED)
    before, now = folder.recorded_place(), folder.path.resolve()
    moved = places.follow(content, before, now) if before and before != now else {}
    return parse_recipe(content, origin=str(folder.path / RESOLVED), lines=lines, base=now), moved


def moves_in_words(moved: dict[str, tuple[str, str]]) -> list[str]:
    """A sentence for each place that has changed, once it has been found to hold the same."""
    return [printable(f"{key}: {old} is now {new}, the same by content") for key, (old, new) in moved.items()]


def finished(folder: RunFolder, recipe: Recipe) -> dict[str, Any] | None:
    """The result of a run that stands at its end."""
    try:
        result = read_object(folder.result)
    except (OSError, ValueError):
        return None
    return result if planned_epochs(result) == recipe.epochs else None


def complete_folder(folder: RunFolder, result: dict[str, Any]) -> None:
    """Writes what a run that was killed behind its result has left out: the status "done", and the report."""
    try:
        is_done = read_object(folder.path / STATUS).get("state") == "done"
    except (OSError, ValueError):
        is_done = False
    if is_done and (folder.path / "report.html").exists():
        return
    with suppress(FewerError):  # a disk that cannot be written takes nothing from the result; nor does a second process
        folder.lock()
        folder.status("done", epoch=result["epochs"], batch=0, step=result.get("steps"), best=result.get("best"))
        report.write(folder.path)
    folder.release()


def extended(before: Recipe, overrides: Sequence[str]) -> Recipe:
    """A run's recipe with the changes that a resumed run may take.

    With `[[stages]]`, `train.epochs` is the new total: the last stage becomes longer or shorter.
    """
    recipe = with_total(before, overrides)
    refused = [
        f"{key} = {new!r}: a resumed run keeps its {key} = {old!r}; only paths to the same data or weights, "
        f"{', '.join(RESUMABLE)} may change; start a new run with `fewer train`, or a branch with `fewer branch`"
        for key, old, new in changed_keys(before, recipe)
        if not any(fnmatch(key, pattern) for pattern in (*RESUMABLE, f"stages.{len(before.stages) - 1}.epochs"))
        and not places.is_move(key, old, new)
        and not (key == workers.KEY and old is None and workers.differ(before))  # the checkpoint knows their number
    ]
    if refused:
        raise RecipeError(refused)
    return recipe


def with_total(before: Recipe, overrides: Sequence[str]) -> Recipe:
    """A run's recipe with other keys; `train.epochs` is the new total, also where there are stages.

    Keys of a schedule, or another part of `[train]`, that is replaced go with it.
    """
    content = before.model_dump(mode="json", exclude_none=True)
    changed, given = copy.deepcopy(content), {text.partition("=")[0].strip() for text in overrides}
    override(changed, overrides, {})
    for key in foreign_keys("train", changed):
        if f"train.{key}" not in given:
            content["train"].pop(key, None)
    if before.stages:
        whole = any(text.startswith("train.epochs=") for text in overrides)
        lengths = [text for text in overrides if _STAGE_LENGTH.match(text)]
        if lengths and not whole:
            raise RecipeError(f"{lengths[0]}: a resumed run is given its new length as a whole; write train.epochs=N")
        if not whole:
            return parse_recipe(content, overrides)
        free = [text for text in overrides if not text.startswith("stages.")]
        asked = parse_recipe({**content, "stages": []}, free).epochs
        earlier = before.epochs - before.stages[-1].epochs
        if asked <= earlier:
            raise RecipeError(
                f"train.epochs = {asked}: the stages before the last take {earlier} epochs; ask for more than that"
            )
        content["stages"][-1]["epochs"] = asked - earlier
        content["train"]["epochs"] = asked
    return parse_recipe(content, overrides)


def require_selector(folder: RunFolder, selector: Selector | None) -> None:
    """A run that began with a selector of the caller's own cannot go on without it."""
    try:
        method = read_object(folder.path / "plan.json")["select"]["method"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    own = type(selector).__qualname__ if selector else ""
    if METHODS.canonical(method) not in METHODS.names() and method != own:
        raise RecipeError(
            f"{folder.path}: the run began with a selector of its own, {method}; "
            "resume it from Python with fewer.resume(path, selector=...)"
        )


def refuse_other_weights(folder: RunFolder, plan: Plan, moved: dict[str, tuple[str, str]]) -> None:
    """A run whose first weights, or reference, have changed since would no longer follow from its recipe."""
    try:
        content = read_object(folder.path / "plan.json")
        before = content["model"].get("weights", "")
        reference = (content.get("preparation") or content.get("reference") or {}).get("weights", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        if key := next((key for key in _WEIGHTS if key in moved), ""):
            raise CheckpointError(
                f"{folder.path}: plan.json cannot be read, so {key} cannot be compared; put the file back where it was"
            ) from None
        return
    chosen, now = plan.recipe.select.model_dump(mode="json"), plan.facts.preparation
    for key, path, old, new in (
        (_WEIGHTS[0], plan.recipe.model.weights, before, plan.facts.model.weights),
        (_WEIGHTS[1], chosen.get("reference"), reference, now.weights if now else ""),
    ):
        if (old or key in moved) and old != new:
            raise RecipeError(
                f'{key} = "{path}": not the weights that the run began with; put the file back, or start a new run'
            )


def refuse_other_store(folder: RunFolder, plan: Plan) -> None:
    """A run that began with pictures of a store, or without one, goes on with the same."""
    from fewer.plan.stores import require_store

    with suppress(OSError, ValueError):
        require_store(read_object(folder.path / "plan.json").get("store"), plan.facts.data.store)


def refuse_other_data(folder: RunFolder, splits: Splits) -> None:
    try:
        changed = difference(PackedManifest(folder.path / MANIFEST), splits.manifest())
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{folder.path / MANIFEST}: cannot be read ({error}), so the data cannot be compared") from None
    if changed:
        raise DataError(
            f"{splits.train.source.name}: not the data that the run began with: {changed}; "
            "put the files back, or start a new run"
        )
