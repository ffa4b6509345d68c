"""Grid of a comparison's runs, arm by seed: each an ordinary run folder; the missing ones are trained."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fewer.compare.arms import Arm, with_seed
from fewer.core.errors import DivergedError, FewerError, RecipeError, ResourceError, Stopped, printable
from fewer.recipe.schema import Recipe
from fewer.report.load import document
from fewer.runs.folder import RESOLVED, planned_epochs
from fewer.runs.record import publish, writing

if TYPE_CHECKING:
    from fewer.session.progress import Display

State = Literal["done", "failed", "begun", "missing"]
FINAL = (DivergedError.exit_code, RecipeError.exit_code)  # such a run would fail again


@dataclass(frozen=True)
class Cell:
    """One run: an arm with a seed.

    Attributes:
        state: `begun`: it can be resumed. `failed`: with an error that would come again.
        result: The content of its `result.json`, if it is done.
        message: Why it failed.
        exit_code: Exit code of the error.
    """

    arm: Arm
    seed: int
    folder: Path
    state: State
    result: Mapping[str, Any]
    message: str = ""
    exit_code: int = 0


class Watch(Protocol):
    """Follower of a comparison's progress."""

    def training(self, title: str) -> AbstractContextManager[Display | None]: ...

    def ended(self, cell: Cell, fee: float, done: int, total: int, left_s: float | None) -> None: ...


def read_cell(arm: Arm, seed: int, runs: Path) -> Cell:
    """The state of a run, read from its folder."""
    folder = arm.folder(runs) / f"seed{seed}"
    result, status = document(folder / "result.json"), document(folder / "status.json")
    if planned_epochs(result) == arm.recipe.epochs and isinstance(result.get("metrics"), dict):
        return Cell(arm, seed, folder, "done", result)
    if status.get("state") == "failed" and status.get("exit_code") in FINAL:
        return Cell(arm, seed, folder, "failed", {}, printable(str(status.get("message", ""))), status["exit_code"])
    return Cell(arm, seed, folder, "begun" if (folder / RESOLVED).is_file() else "missing", {})


def complete(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    runs: Path,
    out: Mapping[str, object],
    watch: Watch,
    left_s: Callable[[Cell], float | None],
    unit_flops: float,
) -> Iterator[Cell]:
    """Trains the missing runs and yields every run, done or failed.

    Seeds come one after the other, so that early results compare all arms. Within a seed the order rotates, so
    that a slow phase of the machine does not hit one arm alone.

    Args:
        arms: Each once, the baseline first.
        seeds: The seeds.
        runs: Folder of the run folders.
        out: The keys of `[out]` that the recipe sets.
        watch: Follows the progress.
        left_s: Told of every run that has ended; gives the seconds that the others will take, None if unknown.
        unit_flops: One plain epoch of the baseline, in which the FEE of all runs are counted.

    Raises:
        Stopped: By a signal; the run is saved.
        ResourceError: The disk is full, or cannot be written.
        FewerError: The first run of the baseline failed: there is nothing to compare with. It has that run's exit code.
    """
    total, done = len(arms) * len(seeds), 0
    for turn, seed in enumerate(seeds):
        start = turn % len(arms)
        for arm in sorted((*arms[start:], *arms[:start]), key=lambda arm: arm.trunk is not None):  # trunks come first
            cell = read_cell(arm, seed, runs)
            if cell.state in ("missing", "begun"):
                with watch.training(f"{done + 1}/{total}  {arm.name}, seed {seed}") as display:
                    cell = _trained(_branched(cell, runs), with_seed(arm.recipe, seed, out), display)
            done += 1
            fee = cell.result.get("ledger", {}).get("flops", 0) / unit_flops
            watch.ended(cell, fee, done, total, left_s(cell))
            if cell.state == "failed" and arm.kind == "baseline" and not turn:
                raise _nothing_to_compare_with(cell)
            yield cell


def _nothing_to_compare_with(cell: Cell) -> FewerError:
    error = FewerError(
        f"{cell.folder}: plain training itself failed, so there is nothing to compare with: {cell.message}; "
        "fix the recipe, and give another --out"
    )
    error.exit_code = cell.exit_code
    return error


def _branched(cell: Cell, runs: Path) -> Cell:
    """A run that stands where it leaves its trunk; where that lacks the checkpoint, it trains alone, to the same."""
    trunk, rung = cell.arm.trunk, cell.arm.rung
    if cell.state != "missing" or trunk is None or rung is None:
        return cell
    from fewer.session.ladder import cool_down, has_checkpoint

    place = trunk.folder(runs) / f"seed{cell.seed}"
    if not has_checkpoint(place, rung):
        return cell
    cool_down(place, rung, cell.folder)
    return replace(cell, state="begun")


def _trained(cell: Cell, recipe: Recipe, display: Display | None) -> Cell:
    """Trains or resumes a run; an error of this one must not end the others."""
    from fewer.session.fit import fit, resume

    try:
        if cell.state == "begun":
            result = resume(cell.folder, display=display)
        else:
            result = fit(recipe, cell.folder, display=display)
    except (Stopped, ResourceError):  # a full disk is no variant's fault, and would stop the next run as well
        raise
    except FewerError as error:
        return replace(cell, state="failed", message=str(error), exit_code=error.exit_code)
    except Exception as error:  # a bug: keep its traceback
        with writing(cell.folder.parent):
            cell.folder.parent.mkdir(parents=True, exist_ok=True)
        publish(cell.folder.with_name(f"{cell.folder.name}.traceback.txt"), traceback.format_exc())
        return replace(cell, state="failed", message=printable(f"{type(error).__name__}: {error}"), exit_code=1)
    return replace(cell, state="done", result=result)
