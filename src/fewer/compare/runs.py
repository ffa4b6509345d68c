"""Trains what is missing: every arm with every seed, each an ordinary run folder that can be resumed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fewer.compare.arms import Arm, with_seed
from fewer.core.errors import DivergedError, FewerError, RecipeError, ResourceError, Stopped, printable
from fewer.recipe.schema import Recipe
from fewer.report.load import document
from fewer.runs.folder import RESOLVED
from fewer.runs.record import publish, writing

if TYPE_CHECKING:
    from fewer.session.progress import Display

State = Literal["done", "failed", "begun", "missing"]
FINAL = (DivergedError.exit_code, RecipeError.exit_code)  # what failed like this would fail again


@dataclass(frozen=True)
class Cell:
    """One run: an arm with a seed.

    Attributes:
        state: `begun`: it can be resumed. `failed`: with an error that another try would meet again.
        result: The content of its `result.json`, if it is done.
        message: Why it failed.
        exit_code: That of the error.
    """

    arm: Arm
    seed: int
    folder: Path
    state: State
    result: Mapping[str, Any]
    message: str = ""
    exit_code: int = 0


class Watch(Protocol):
    """Whoever is told how far a comparison is."""

    def training(self, title: str) -> AbstractContextManager[Display | None]: ...

    def ended(self, cell: Cell, done: int, total: int) -> None: ...


def look(arm: Arm, seed: int, runs: Path) -> Cell:
    """What is there of a run."""
    folder = arm.folder(runs) / f"seed{seed}"
    result, status = document(folder / "result.json"), document(folder / "status.json")
    if result.get("epochs") == arm.recipe.epochs and isinstance(result.get("metrics"), dict):
        return Cell(arm, seed, folder, "done", result)
    if status.get("state") == "failed" and status.get("exit_code") in FINAL:
        return Cell(arm, seed, folder, "failed", {}, printable(str(status.get("message", ""))), status["exit_code"])
    return Cell(arm, seed, folder, "begun" if (folder / RESOLVED).is_file() else "missing", {})


def complete(
    arms: Sequence[Arm], seeds: Sequence[int], runs: Path, out: Mapping[str, object], watch: Watch
) -> Iterator[Cell]:
    """Trains what is missing and yields every run, done or failed.

    Seeds come one after the other, so that an early look compares all arms; within a seed the order turns, so that
    what slows the machine down, or warms it up, falls on no arm alone.

    Args:
        arms: Each once, the baseline first.
        seeds: The seeds.
        runs: Folder of the run folders.
        out: The keys of `[out]` that the recipe gives.
        watch: Who is told.

    Raises:
        Stopped: By a signal; what was trained is saved.
        ResourceError: The disk is full, or cannot be written.
        FewerError: The first run of the baseline failed: there is nothing to compare with. It has that run's exit code.
    """
    total, done = len(arms) * len(seeds), 0
    for turn, seed in enumerate(seeds):
        start = turn % len(arms)
        for arm in (*arms[start:], *arms[:start]):
            cell = look(arm, seed, runs)
            if cell.state in ("missing", "begun"):
                with watch.training(f"{done + 1}/{total}  {arm.name}, seed {seed}") as display:
                    cell = _trained(cell, with_seed(arm.recipe, seed, out), display)
            done += 1
            watch.ended(cell, done, total)
            if cell.state == "failed" and arm.kind == "baseline" and not turn:
                raise _nothing_to_compare_with(cell)
            yield cell


def _nothing_to_compare_with(cell: Cell) -> FewerError:
    error = FewerError(
        f"{cell.folder}: plain training itself failed, so there is nothing to compare with: {cell.message}; "
        "mend the recipe, and give another --out"
    )
    error.exit_code = cell.exit_code
    return error


def _trained(cell: Cell, recipe: Recipe, display: Display | None) -> Cell:
    """Trains a run, or goes on with it; whatever goes wrong with this one must not end the others."""
    from fewer.session.fit import fit, resume

    try:
        if cell.state == "begun":
            result = resume(cell.folder, display=display)
        else:
            result = fit(recipe, cell.folder, display=display)
    except (Stopped, ResourceError):  # a full disk is no variant's fault, and the next run would meet it, too
        raise
    except FewerError as error:
        return replace(cell, state="failed", message=str(error), exit_code=error.exit_code)
    except Exception as error:  # a bug: where it happened must not be lost with it
        with writing(cell.folder.parent):
            cell.folder.parent.mkdir(parents=True, exist_ok=True)
        publish(cell.folder.with_name(f"{cell.folder.name}.traceback.txt"), traceback.format_exc())
        return replace(cell, state="failed", message=printable(f"{type(error).__name__}: {error}"), exit_code=1)
    return replace(cell, state="done", result=result)
