"""An epoch in numbers and in words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fewer.core.ledger import Ledger
from fewer.core.protocols import Task
from fewer.session.build import Session
from fewer.training.loop import Row


class EpochSums:
    """Means over an epoch's rows."""

    def __init__(self, session: Session) -> None:
        self.ledger, self.loss = session.run.ledger, 0.0
        self.metrics = dict.fromkeys((metric.name for metric in session.task.step_metrics), 0.0)
        self.kept = self.candidates = 0
        self.since = time.monotonic()

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

    def line(self) -> dict[str, Any]:
        kept = max(1, self.kept)
        return {
            "loss": self.loss / kept,
            **{name: value / kept for name, value in self.metrics.items()},
            "kept_share": self.kept / self.ledger.train_images,
            "images_per_second": self.candidates / max(1e-9, time.monotonic() - self.since),
            **costs(self.ledger),
        }


def costs(ledger: Ledger) -> dict[str, float]:
    return {
        "seconds": ledger.total_seconds,
        "fee": ledger.full_epoch_equivalents,
        "effective_epochs": ledger.effective_epochs,
    }


def in_words(line: dict[str, Any], task: Task, epochs: int) -> str:
    """An epoch in one line; EE never without FEE and seconds."""
    parts = {"loss": f"{line['loss']:.4f}"}
    parts |= {f"train {metric.label}": metric.text(line[metric.name]) for metric in task.step_metrics}
    validated = line.get(f"val_{task.primary.name}")
    if validated is not None:
        parts[f"val {task.primary.label}"] = task.primary.text(validated)
    costs = {"kept": f"{line['kept_share']:.0%}", "EE": f"{line['effective_epochs']:.2f}", "FEE": f"{line['fee']:.2f}"}
    figures = "  ".join(f"{name} {value}" for name, value in {**parts, **costs}.items())
    speed = f"{line['seconds']:.0f} s  {line['images_per_second']:,.0f} images/s"
    return f"epoch {line['epoch'] + 1:>3}/{epochs}  {figures}  {speed}"
