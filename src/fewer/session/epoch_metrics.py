"""An epoch in numbers and in words."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fewer import tasks
from fewer.core.evaluation import Metric
from fewer.core.ledger import Ledger
from fewer.optim.groups import trust_ratios
from fewer.session import rank_speeds

if TYPE_CHECKING:
    from fewer.core.protocols import Task
    from fewer.recipe.schema import Recipe
    from fewer.session.build import Session
    from fewer.training.loop import Row
    from fewer.training.run import Run


def layer_stats(run: Run) -> dict[str, Any]:
    """Of an epoch's last step, by parameter and as a median: trust ratios, and changes relative to the weights.

    Optimizers without trust ratios have none, and a last step that overflowed, or was none, changed nothing.
    """
    found: dict[str, dict[str, float]] = {
        "trust_ratio": trust_ratios(run.workers[0].optimizer),
        "update_norm": norms.relative() if (norms := run.workers[0].update_norms) else {},
    }
    lines = ({name: statistics.median(each.values()), f"{name}s": each} for name, each in found.items() if each)
    return {key: value for line in lines for key, value in line.items()}


class EpochSums:
    """Means over an epoch's rows."""

    def __init__(self, session: Session) -> None:
        self.ledger, self.loss = session.run.ledger, 0.0
        self.metrics = dict.fromkeys((metric.name for metric in session.task.step_metrics), 0.0)
        self.kept = self.candidates = 0
        self.begin()

    def begin(self) -> None:
        """The epoch's seconds begin here."""
        self.since_s = self.ledger.training_seconds

    def add(self, row: Row) -> None:
        """Adds a batch's means."""
        self.restore(row.recorded())
        self.candidates += row.candidates

    def restore(self, row: Mapping[str, Any]) -> None:
        """Adds the record of a batch that an earlier process trained on: it has no part in this one's speed."""
        self.loss += (row["loss"] or 0.0) * row["kept"]
        for name in self.metrics:
            self.metrics[name] += (row[name] or 0.0) * row["kept"]
        self.kept += row["kept"]

    @property
    def images_per_second(self) -> float:
        """Candidates of this process over the seconds that their batches took; evaluations take none of these."""
        return self.candidates / max(1e-9, self.ledger.training_seconds - self.since_s)

    def line(self) -> dict[str, Any]:
        kept = max(1, self.kept)
        return {
            "loss": self.loss / kept,
            **{name: value / kept for name, value in self.metrics.items()},
            "kept_share": self.kept / self.ledger.train_images,
            "images_per_second": self.images_per_second,
            **costs(self.ledger),
        }


def costs(ledger: Ledger) -> dict[str, float]:
    return {
        "seconds": ledger.total_seconds,
        "fee": ledger.full_epoch_equivalents,
        "effective_epochs": ledger.effective_epochs,
    }


def decisive_metric(recipe: Recipe, task: Task) -> Metric:
    """The metric that the best model is chosen by."""
    if recipe.evaluate.best == "auto":
        return task.primary
    metrics: tuple[Metric, ...] = tasks.module(task.name).METRICS
    return next(metric for metric in metrics if metric.name == recipe.evaluate.best)


def validation_metrics(recipe: Recipe, task: Task) -> tuple[Metric, ...]:
    """The metrics of a validation that an epoch's line shows: the task's own, and the one that decides."""
    shown: tuple[Metric, ...] = tasks.module(task.name).VALIDATION_METRICS
    return tuple(dict.fromkeys((*shown, decisive_metric(recipe, task))))


def in_words(line: Mapping[str, Any], session: Session) -> str:
    """An epoch in one line; EE never without FEE and seconds."""
    task, recipe = session.task, session.plan.recipe
    parts = {"loss": f"{line['loss']:.4f}"}
    parts |= {f"train {metric.label}": metric.text(line[metric.name]) for metric in task.step_metrics}
    parts |= validated(line, validation_metrics(recipe, task))
    parts |= {"lr": f"{line['lr']:.4g}", "momentum": f"{line['momentum']:.4g}"}
    costs = {"kept": f"{line['kept_share']:.0%}", "EE": f"{line['effective_epochs']:.2f}", "FEE": f"{line['fee']:.2f}"}
    figures = "  ".join(f"{name} {value}" for name, value in {**parts, **costs}.items())
    speed = f"{line['seconds']:.0f} s  {line['images_per_second']:,.0f} images/s"
    words = [figures, speed, *([rank_speeds.in_words(line["ranks"])] if line.get("ranks") else [])]
    return f"epoch {line['epoch'] + 1:>3}/{session.plan.epochs}  {'  '.join(words)}"


def validated(line: Mapping[str, Any], metrics: Sequence[Metric]) -> dict[str, str]:
    """An epoch's validation in words, by name; empty where there was none."""
    found = ((metric, line.get(f"val_{metric.name}")) for metric in metrics)
    return {f"val {metric.label}": metric.text(value) for metric, value in found if value is not None}
