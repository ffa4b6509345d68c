"""`fewer ladder`: accuracy against cost from one trunk at a constant rate, with a cooldown for every budget.

A cooldown of a part of the run loses next to nothing to a rate that falls all the way (Hägele et al., NeurIPS 2024),
and the trunk before it is the same for every budget: four budgets cost 1.36 runs in place of 2.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewer.core.clock import Duration
from fewer.core.errors import RecipeError, Stopped
from fewer.recipe.parse import load_recipe
from fewer.recipe.schema import Recipe, changed_keys
from fewer.runs.folder import RESOLVED
from fewer.runs.record import publish, write_json, writing
from fewer.session.fit import fit, resume
from fewer.session.ladder import Rung, alone, cool_down, may_branch, rung_of, trunk_of
from fewer.tune.ladder_figure import figure
from fewer.tune.ladder_verdict import verdict

if TYPE_CHECKING:
    from fewer.session.progress import Display

FILES = ("ladder.json", "ladder.png")
SCHEMA = 1
_TRUNK = "trunk"
_APART = ("out.*", "data.in_memory", "data.processes", "data.cache")  # may differ when a ladder goes on


def rungs_of(budgets: str, cooldown: str, epochs: int) -> list[Rung]:
    """The rungs of a ladder, from short to long.

    Args:
        budgets: Shares of the epochs, such as "0.4,0.6,0.8,1".
        cooldown: The part of each in which the rate falls, such as "20%", or so many epochs, such as "3ep".
        epochs: The recipe's.

    Raises:
        RecipeError: A budget or the cooldown is none, two budgets are the same epochs, or there is but one.
    """
    try:
        shares = sorted({float(text) for text in budgets.split(",")})
        length = Duration.parse(cooldown)
        rungs = [rung_of(share, length, epochs) for share in shares]
    except ValueError as error:
        text = f"--budgets {budgets}, --cooldown {cooldown}: {error}"
        raise RecipeError(f'{text}; write 0.4,0.6,0.8,1 and "20%"') from None
    if len(rungs) < 2 or len({rung.epochs for rung in rungs}) < len(rungs):
        listed = ", ".join(str(rung.epochs) for rung in rungs)
        raise RecipeError(f"--budgets {budgets}: {listed} epochs; a ladder has two or more, of different lengths")
    return rungs


def climb(
    recipe: Recipe,
    rungs: Sequence[Rung],
    folder: Path,
    display: Display | None = None,
    note: Callable[[str], None] = print,
    until: datetime | None = None,
) -> dict[str, Any]:
    """Trains a ladder and writes `FILES`; one that was stopped goes on.

    Args:
        recipe: What the user asked.
        rungs: Its budgets, from short to long.
        folder: Where trunk, cooldowns and files go.
        display: Where the progress of a run is shown.
        note: Told what goes on, in words.
        until: When the sitting ends.

    Returns:
        The content of `ladder.json`.

    Raises:
        RecipeError: The recipe makes no ladder, or the folder holds another one.
        Stopped: By a signal or the clock; the same call goes on.
        FewerError: As in training.
    """
    data = recipe.data
    if data.val == "none" and (data.test == "none" or not recipe.evaluate.test):
        raise RecipeError('there are no validation images and no test: nothing to judge by; set data.val = "10%"')
    trunk, place = trunk_of(recipe, rungs), folder / _TRUNK
    _require_same(folder, trunk, rungs)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    total = rungs[-1].epochs + sum(rung.cooldown for rung in rungs[:-1])
    apart = sum(rung.epochs for rung in rungs)
    note(f"{folder}: a trunk of {rungs[-1].epochs} epochs, and cooldowns: {total} epochs in place of {apart}")
    if recipe.train.schedule != "cooldown":
        note(f'train.schedule = "{recipe.train.schedule}" gives way to a constant rate with a cooldown for each budget')
    found = dict[str, dict[str, Any]]()
    try:
        found[rungs[-1].name] = _trained(place, trunk, display, until)
        for rung in rungs[:-1]:
            note(f"{folder}: a budget of {rung.share:g}, {rung.epochs} epochs")
            out = folder / rung.name
            if not (out / RESOLVED).is_file():
                cool_down(place, rung, out)
            found[rung.name] = resume(out, display=display, until=until)
    except Stopped as stop:
        text = f"{folder}: stopped after {len(found)} of {len(rungs)} budgets; the same command goes on"
        raise Stopped(text, stop.exit_code) from None
    document = _document(recipe, rungs, found)
    publish(folder / FILES[1], figure(document))
    write_json(folder / FILES[0], document)
    return document


def _require_same(folder: Path, trunk: Recipe, rungs: Sequence[Rung]) -> None:
    """Refuses a folder whose runs are not those of this ladder, or whose trunk has passed where a rung begins."""
    place, problems = folder / _TRUNK, list[str]()
    if not (place / RESOLVED).is_file():
        return
    if changed := _changes(place, trunk):
        raise RecipeError(f"{folder}: holds the ladder of another recipe: {'; '.join(changed)}; give another --out")
    for rung in rungs[:-1]:
        out = folder / rung.name
        if (out / RESOLVED).is_file():
            problems += [f"{rung.name}: {change}" for change in _changes(out, alone(trunk, rung))]
        elif not may_branch(place, rung):
            problems.append(f"{rung.name}: the trunk has passed epoch {rung.begins}, and kept no checkpoint there")
    if problems:
        raise RecipeError(
            f"{folder}: holds a ladder of other --budgets or --cooldown: {'; '.join(problems)}; give those again, or "
            "another --out"
        )


def _changes(run: Path, recipe: Recipe) -> list[str]:
    """What another recipe would change in a run that there is."""
    return [
        f"{key} was {old}, is {new}"
        for key, old, new in changed_keys(load_recipe(run / RESOLVED), recipe)
        if "auto" not in (old, new) and not any(fnmatch(key, pattern) for pattern in _APART)
    ]


def _trained(place: Path, trunk: Recipe, display: Display | None, until: datetime | None) -> dict[str, Any]:
    """The result of the trunk, which is begun, gone on with, or there already."""
    if not (place / RESOLVED).is_file():
        return fit(trunk, place, display=display, until=until)
    # The trunk may have begun with other budgets, and keeps what those of now begin with.
    keep_at = f"out.keep_at={[str(moment) for moment in trunk.out.keep_at]}"
    return resume(place, [keep_at], display=display, until=until)


def _document(recipe: Recipe, rungs: Sequence[Rung], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of `ladder.json`."""
    split = "val" if any(key.startswith("val/") for key in found[rungs[-1].name]["metrics"]) else "test"
    rows = []
    for rung in rungs:
        result = found[rung.name]
        ledger, origin = result["ledger"], result.get("origin", {})
        rows.append(
            {
                "budget": rung.share,
                "epochs": rung.epochs,
                "cooldown_epochs": rung.cooldown,
                "run": _TRUNK if rung is rungs[-1] else rung.name,
                "full_epoch_equivalents": ledger["full_epoch_equivalents"],
                "seconds": ledger["seconds"]["total"],
                "added_full_epoch_equivalents": ledger["full_epoch_equivalents"]
                - (origin.get("full_epoch_equivalents") or 0.0),
                "metrics": result["metrics"],
                "intervals": result["intervals"],
            }
        )
    spent = sum(row["added_full_epoch_equivalents"] for row in rows)
    return {
        "schema": SCHEMA,
        "source": recipe.data.source,
        "model": recipe.model.name,
        "seed": recipe.train.seed,
        "rungs": rows,
        "full_epoch_equivalents": spent,
        "apart_full_epoch_equivalents": sum(row["full_epoch_equivalents"] for row in rows),
        "runs": spent / rows[-1]["full_epoch_equivalents"],
        **verdict(recipe, rows, split),
    }
