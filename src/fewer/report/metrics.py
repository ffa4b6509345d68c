"""A run's metrics: which one decides, and how each is named, shown and compared. Read from `task` in `plan.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer import tasks
from fewer.core.evaluation import Metric
from fewer.report.values import mapping, sequence

_MOST = 8  # metrics of an epoch that are read
_BEFORE = "classify"  # the task of records that name none


class Metrics:
    """Metrics by name; of a name that the record does not know, what the name suggests.

    Args:
        task: What `fewer.tasks.description` gives, from a file that may be damaged; empty in old files.
    """

    def __init__(self, task: Mapping[str, Any]) -> None:
        task = task or tasks.description(_BEFORE)
        self.task = str(task.get("name", ""))
        known = map(_metric, map(mapping, sequence(task.get("metrics"))))
        self._known = {metric.name: metric for metric in known}
        self.primary = self[str(task.get("primary", "loss"))]
        self.validated = [self[str(name)] for name in sequence(task.get("validation_metrics"))[:_MOST]]

    def __getitem__(self, name: str) -> Metric:
        """A metric by its name, behind its split or without one: `top1`, `val/top1`, `test/raw/top1`."""
        key = name.rpartition("/")[2]
        return self._known.get(key) or _metric({"name": key})


def metrics_of(plan: Mapping[str, Any]) -> Metrics:
    """The metrics of a run, by its `plan.json`."""
    return Metrics(mapping(plan.get("task")))


def _metric(entry: Mapping[str, Any]) -> Metric:
    name = str(entry.get("name", ""))
    higher, share = (bool(entry.get(key, "loss" not in name)) for key in ("higher_is_better", "is_share"))
    counts = bool(entry.get("counts_images", False))
    return Metric(name, str(entry.get("label", name.replace("_", " "))), higher, share, counts)
