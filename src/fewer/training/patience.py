"""The patience of a run: which validation was the best so far, and what happens when none has been better for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.evaluation import Metric
from fewer.plan.ending import Ending, patience_of

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
    if patience is None or plan.ending or past <= plan.stages[-1].first_epoch:
        return ""
    best = run.validation.patience
    if not best or metric.sign * value > metric.sign * best["value"]:
        run.validation.patience = {"value": value, "epoch": past}
        return ""
    if past - best["epoch"] < patience or past + patience >= plan.epochs:
        return ""
    ending = Ending(begins=past, epochs=past + patience, planned=plan.epochs)
    run.validation.patience = {**best, "begins": ending.begins, "epochs": ending.epochs, "planned": ending.planned}
    run.plan = plan.ended_by(ending)
    reason = f"no better val {metric.label} than {metric.text(best['value'])} of epoch {best['epoch']}"
    run.amendments["train.epochs"] = {"old": str(ending.planned), "new": str(ending.epochs), "reason": reason}
    return (
        f"patience is out: {reason}, {past - best['epoch']} epochs ago; the rest of the schedule takes {patience} "
        f"epoch{'s' if patience > 1 else ''}, and the run ends after epoch {ending.epochs} of {ending.planned}"
    )


def restore(run: Run) -> None:
    """Brings a loaded run's plan into the form that its patience has given it.

    A run that is asked for another number of epochs than it was planned for follows the new plan from here on.
    """
    seen = run.validation.patience
    if "planned" not in seen:
        return
    if seen["planned"] == run.plan.epochs:
        run.plan = run.plan.ended_by(Ending(seen["begins"], seen["epochs"], seen["planned"]))
    else:
        run.validation.patience = {}
        run.amendments.pop("train.epochs", None)
