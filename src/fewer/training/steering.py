"""The steering of a run by the clock: with `train.budget = "30min"` its schedule comes to its end when the time is out.

Behind every epoch of the last stage the rest of the schedule is drawn over the epochs that there is time for, at the
seconds that the last epoch took, evaluation and checkpoints included. The last of them may be a part of an epoch. The
course is a part of the run's state: a resumed run goes on by it, and the same courses give the same run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fewer.core.spending import seconds_of
from fewer.plan.course import Course

if TYPE_CHECKING:
    from fewer.training.run import Run

_MOST_EPOCHS = 32_767  # the score table stores epochs in 16 bits
_NEGLIGIBLE = 0.005  # of the budget: no epoch is begun for less


def begin(run: Run, seconds: float) -> None:
    """Begins a sitting: what came before its first batch is paid for, and is no part of an epoch's pace.

    Args:
        run: A run, fresh or loaded.
        seconds: What it has taken so far, earlier sittings included.
    """
    if seconds_of(run.plan.recipe.train.budget) is None:
        return
    seconds = _of_rank_0(run, seconds)
    before = run.changes.steered
    run.changes.steered = {"seconds": before["seconds"] + seconds - before["saved"] if "saved" in before else seconds}


def follow(run: Run, seconds: float) -> Course | None:
    """Takes in how long the run has taken; every process must call it, and follows the clock of process 0.

    Args:
        run: A run that stands between two epochs.
        seconds: What it has taken so far, earlier sittings included.

    Returns:
        The new course; None where the run has no budget of time, or this epoch changes nothing.
    """
    budget, plan, past = seconds_of(run.plan.recipe.train.budget), run.plan, run.cursor.epoch
    if budget is None:
        return None
    seconds = _of_rank_0(run, seconds)
    took, run.changes.steered = seconds - run.changes.steered["seconds"], {"seconds": seconds}
    if past <= plan.stages[-1].first_epoch or past >= plan.epochs:
        return None
    left = max(0.0, budget - seconds) / max(took, 1e-9)  # in epochs
    whole, part = math.floor(left), left - math.floor(left)
    if part * took < _NEGLIGIBLE * budget and whole:
        part = 0.0
    epochs = min(_MOST_EPOCHS, past + whole + (part > 0 or not whole))
    course = Course(past, plan.progress(past), epochs, plan.scheduled_epochs, part if part else 1.0 if whole else 1e-9)
    run.plan = plan.following(course)
    asked, reason = plan.recipe.epochs, f"{budget - seconds:.0f} s were left behind epoch {past}"
    run.amendments.pop("train.epochs", None)
    if epochs != asked:
        run.amendments["train.epochs"] = {"old": str(asked), "new": str(epochs), "reason": reason}
    return course


def _of_rank_0(run: Run, seconds: float) -> float:
    """Clocks differ: the seconds of process 0."""
    mine = torch.tensor([seconds if run.comm.rank == 0 else 0.0], dtype=torch.float64)
    run.comm.all_reduce(mine)
    return float(mine)
