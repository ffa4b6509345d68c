"""A run that is given another length on its way: its schedule goes on from where it stands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fewer.core.errors import RecipeError
from fewer.plan.course import Course

if TYPE_CHECKING:
    from fewer.core.types import State
    from fewer.plan.plan import Plan
    from fewer.training.run import Run


def restore(run: Run, state: State, epochs_before: int) -> str:
    """Brings a loaded run's plan onto the course that it was on, or onto one that leads to its new end.

    Args:
        run: The run, loaded, with the plan of its recipe.
        state: What it was loaded from.
        epochs_before: The epochs that it was planned for so far, where the state does not say.

    Returns:
        What becomes of the schedule where the length is new, in words; empty where it is not.
    """
    before, course = int(state.get("epochs", epochs_before)), _course_of(state, run)
    if before == run.plan.recipe.epochs:
        run.plan = run.plan.following(course) if course else run.plan
        return ""
    run.validation.patience = {}
    run.amendments.pop("train.epochs", None)
    past = run.cursor.epoch + (run.cursor.batch / len(run.selection.order.sizes) if run.selection.order else 0.0)
    return _replan(run, past, before, course)


def _replan(run: Run, past: float, before: int, course: Course | None) -> str:
    """Draws the rest of the old schedule over the epochs that are left, unless the new plan does not change the rate.

    Stages before the last keep their pace, as they keep their length.
    """
    plan, here = run.plan, max(past, float(run.plan.stages[-1].first_epoch))
    stood = course.progress(here) if course and here >= course.begins else here / before
    what = f"train.epochs = {before} became {plan.epochs}"
    if here >= plan.epochs:
        return f"{what}: the run is over"
    if stood >= 1 - 1e-9:
        return f"{what}: the schedule was at its end and begins again at {past / plan.epochs:.0%} of the new run"
    replanned = plan.following(Course(here, stood, plan.epochs, course.planned if course else before))
    if not _same_rate(replanned, plan, here):
        if plan.recipe.train.batch_ramp != "off":
            raise RecipeError(
                f"{what}, and train.batch_ramp = {plan.recipe.train.batch_ramp} has planned the batches of every "
                f"epoch; leave train.epochs = {before}, or train a new run"
            )
        run.plan = replanned
        return f"{what}: the schedule goes on from where it stands, to its end in epoch {plan.epochs}"
    return f"{what}: the schedule is that of the new length, which is the same so far"


def _same_rate(one: Plan, other: Plan, past: float) -> bool:
    """Whether two plans have the same learning rate and momentum at a moment."""
    stage, first, second = one.stages[-1], one.progress(past), other.progress(past)
    rates = math.isclose(one.lr_factor(first, stage), other.lr_factor(second, stage), rel_tol=1e-9, abs_tol=1e-12)
    return rates and one.momentum(first, stage) == other.momentum(second, stage)


def _course_of(state: State, run: Run) -> Course | None:
    """The course that a state was on; once only runs whose patience was out had one."""
    if "course" in state:
        course = Course(**state["course"])
        if not (0 <= course.start <= 1 and 0 <= course.begins < course.epochs and course.planned > 0):
            raise ValueError(f"course = {state['course']!r}")
        return course
    old = run.validation.patience
    if "planned" in old:
        return Course(old["begins"], old["begins"] / old["planned"], old["epochs"], old["planned"])
    return None
