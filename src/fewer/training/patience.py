"""The patience of a run: which validation was the best so far, and what happens when none has been better for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.evaluation import Metric
from fewer.plan.course import Course, patience_of

if TYPE_CHECKING:
    from fewer.training.run import Run


def follow(run: Run, metric: Metric, value: float) -> str:
    """Takes in a validation; where patience is out, the run's plan becomes shorter.

    What it decides by is a part of the run's state and equal on every rank. Validations of stages before the last do
    not count: they may have seen images of another size.

    Args:
        run: A run that stands between two epochs.
        metric: What decides.
        value: Its value in this validation.

    Returns:
        Why the run ends early, in words; empty where it goes on as planned.
    """
    patience, plan, past = patience_of(run.plan.recipe), run.plan, run.cursor.epoch
    best = run.validation.patience
    if patience is None or "epochs" in best or past <= plan.stages[-1].first_epoch:
        return ""
    if not best or metric.sign * value > metric.sign * best["value"]:
        run.validation.patience = {"value": value, "epoch": past}
        return ""
    if past - best["epoch"] < patience or past + patience >= plan.epochs:
        return ""
    ending = Course(past, plan.at(past).progress, past + patience, plan.scheduled_epochs)
    run.validation.patience = {**best, "begins": past, "epochs": ending.epochs, "planned": plan.epochs}
    run.plan = plan.following(ending)
    reason = f"no better val {metric.label} than {metric.text(best['value'])} of epoch {best['epoch']}"
    run.amendments["train.epochs"] = {"old": str(plan.epochs), "new": str(ending.epochs), "reason": reason}
    return (
        f"patience is out: {reason}, {past - best['epoch']} epochs ago; the rest of the schedule takes {patience} "
        f"epoch{'s' if patience > 1 else ''}, and the run ends after epoch {ending.epochs} of {plan.epochs}"
    )
