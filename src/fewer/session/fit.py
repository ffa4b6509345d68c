"""`fit` trains a recipe from the start, `resume` goes on with a run folder: the loop with its standard body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from fewer.core.errors import Stopped
from fewer.core.protocols import Comm, Selector
from fewer.machine.determinism import deterministic
from fewer.recipe.schema import Recipe
from fewer.runs.folder import GIVEN, MANIFEST, RESOLVED, RunFolder
from fewer.session import copying, signals, tensorboard
from fewer.session.agreement import refuse_other_ranks
from fewer.session.batch_size import sized
from fewer.session.build import make_plan, open_data, open_session
from fewer.session.fit_loop import FitLoop
from fewer.session.progress import Display, Silent
from fewer.session.resume import (
    complete_folder,
    moves_in_words,
    refuse_other_data,
    refuse_other_store,
    refuse_other_weights,
    reopened,
    require_selector,
)
from fewer.session.time_budget import guessed
from fewer.session.workers import counted
from fewer.sync.comm import SingleProcess, of_rank_0

__all__ = ["Display", "Silent", "fit", "resume"]


def fit(
    recipe: Recipe,
    out: str | Path,
    *,
    given: str = "",
    comm: Comm | None = None,
    selector: Selector | None = None,
    display: Display | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """Trains a recipe from the start in a new run folder.

    Args:
        recipe: What the user asked.
        out: The run folder; it must not exist yet, or be empty.
        given: The recipe's text as the user wrote it, kept beside the resolved one.
        comm: How processes exchange tensors; one process alone if left out.
        selector: A selector of the caller's own, in place of the recipe's.
        display: Where progress is shown; nowhere if left out.
        until: When the sitting ends, by the local clock: the run is saved and stops, and can be resumed.

    Returns:
        The content of `result.json`.

    Raises:
        FewerError: Whatever is wrong with recipe, data, disk or training; see `fewer.core.errors`.
    """
    if recipe.out.tensorboard:
        tensorboard.require()
    comm, display = comm or SingleProcess(), display or Silent()
    folder = RunFolder(Path(out), writes=comm.rank == 0)
    with signals.caught(until) as stop, deterministic(recipe.train.deterministic):
        uploader = copying.claimed(recipe.out, folder, display.note)
        splits = open_data(recipe)
        agreed = partial(of_rank_0, comm)
        plan_of = partial(make_plan, splits=splits, processes=comm.world_size, selector=selector)
        recipe = sized(counted(recipe, comm.world_size), plan_of, comm.world_size, agreed)
        recipe = guessed(recipe, splits, comm.world_size, selector, agreed)
        plan = make_plan(recipe, splits, comm.world_size, selector)
        refuse_other_ranks(comm, plan, splits)
        folder.create()
        with _held(folder, discard=True):
            kept = recipe.out.keep + (2 if recipe.out.remote else 0)  # one is copied, and one waits
            folder.require_space(12 * plan.facts.model.parameters * (2 if plan.precision == "fp64" else 1), kept)
            folder.file(GIVEN, given or recipe.to_toml())
            folder.file(MANIFEST, splits.manifest().packed())
            folder.status("running")
            folder.file(RESOLVED, plan.recipe.to_toml())  # the last: from here on the run can be resumed
            session = open_session(plan.recipe, splits, comm, selector, display.decoding, plan)
            return copying.driven(FitLoop(session, folder, display, stop), uploader)


def resume(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    comm: Comm | None = None,
    selector: Selector | None = None,
    display: Display | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """Goes on with a run from its newest intact checkpoint, bit for bit as if it had never stopped.

    Args:
        path: The run folder.
        overrides: `key=value` texts; only `RESUMABLE` keys may change, and paths to the same data or weights.
        comm: As for `fit`.
        selector: As for `fit`.
        display: As for `fit`.
        until: As for `fit`.

    Raises:
        RecipeError: The folder is no run, or another key than those was changed.
        DataError: The data is no longer what the run began with.
        CheckpointError: There are checkpoints, but none is intact.
    """
    comm, display = comm or SingleProcess(), display or Silent()
    folder = RunFolder(Path(path), writes=comm.rank == 0)
    run = reopened(folder, overrides)
    recipe = run.recipe
    if recipe.out.tensorboard:
        tensorboard.require()
    require_selector(folder, selector)
    if run.result:
        complete_folder(folder, run.result)
        display.note(f"{path}: finished already, nothing to do; train.epochs={2 * recipe.epochs} would train longer")
        return run.result
    folder.lock()
    with signals.caught(until) as stop, _held(folder, discard=False), deterministic(recipe.train.deterministic):
        uploader = copying.claimed(recipe.out, folder, display.note)
        splits = open_data(recipe)
        refuse_other_data(folder, splits)
        plan = make_plan(recipe, splits, comm.world_size, selector)
        refuse_other_ranks(comm, plan, splits)
        refuse_other_weights(folder, plan, run.moved)
        refuse_other_store(folder, plan)
        session = open_session(recipe, splits, comm, selector, display.decoding, plan)
        body = FitLoop(session, folder, display, stop)
        body.restore(run.before, moves_in_words(run.moved))
        return copying.driven(body, uploader)


@contextmanager
def _held(folder: RunFolder, discard: bool) -> Iterator[None]:
    """Releases the folder in the end; removes one that was made for nothing, so that the next try finds it free."""
    try:
        yield
    except Stopped as stop:  # such a run can be resumed: it starts again
        folder.stopped(stop)
        raise
    except BaseException:
        if discard and folder.is_barren():
            folder.discard()
        raise
    finally:
        folder.release()
