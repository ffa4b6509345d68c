"""Overview of many run folders: state, metric, cost and time of each, as far as files can be read. Free of torch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.core.errors import printable
from fewer.report.load import document
from fewer.report.metrics import metrics_of
from fewer.report.values import dig, mapping, number, whole
from fewer.runs.folder import RESOLVED, planned_epochs, state_now

_TAIL_BYTES = 1 << 16  # of rows.jsonl, which hold its last rows


@dataclass(frozen=True)
class RunSummary:
    """One run in a few numbers; what its files do not say is None.

    Attributes:
        run: Path of its folder.
        state: That of `status.json`; `killed` where it says `running` and no process holds the folder; `unknown`.
        metric: Name of the metric, such as `test/top1`.
        value: The metric of the published model, or the best so far.
        epochs: Epochs that are done.
        planned_epochs: Epochs that were planned.
        full_epoch_equivalents: Cost so far.
        seconds: Time so far.
        changed: When its state last changed, in seconds since 1970.
        label: The metric as the field writes it, such as `top-1`.
    """

    run: str
    state: str
    metric: str | None
    value: float | None
    epochs: int | None
    planned_epochs: int | None
    full_epoch_equivalents: float | None
    seconds: float | None
    changed: float | None
    label: str = ""

    @property
    def text(self) -> str:
        """The metric as a person reads it: `test top-1 93.10%`."""
        if self.metric is None or self.value is None:
            return ""
        metric = metrics_of({})[self.metric]
        label = self.label or metric.label
        return printable(f"{self.metric.partition('/')[0]} {label} {metric.text(self.value)}")


def run_folders(root: Path) -> Iterator[Path]:
    """Run folders at and below a folder, by path; what lies inside of one is its own."""
    for path, folders, files in os.walk(root):
        if RESOLVED in files:
            folders.clear()
            yield Path(path)
        folders.sort()


def summaries(root: Path) -> list[RunSummary]:
    """All runs at and below a folder, the one that changed last at the end."""
    return sorted(map(summary, run_folders(root)), key=lambda run: run.changed or 0.0)


def summary(folder: Path) -> RunSummary:
    """One run; a file that is missing or damaged leaves its numbers out."""
    status, result, plan = (document(folder / f"{name}.json") for name in ("status", "result", "plan"))
    row = {} if result else _last_row(folder / "rows.jsonl")
    ledger = mapping(result.get("ledger"))
    metric, value = _metric(status, result, plan)
    return RunSummary(
        run=str(folder),
        state=_state(folder, status, result),
        metric=metric,
        value=value,
        epochs=whole(result.get("epochs", status.get("epoch"))),
        planned_epochs=planned_epochs(result) or whole(plan.get("epochs")),
        full_epoch_equivalents=number(ledger.get("full_epoch_equivalents", row.get("fee"))),
        seconds=number(dig(ledger, "seconds", "total") if ledger else row.get("seconds")),
        changed=_changed(folder),
        label=metrics_of(plan)[metric].label if metric else "",
    )


def _state(folder: Path, status: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    state = state_now(folder, status.get("state"), bool(result))
    return printable(state)[:20] if isinstance(state, str) else "done" if result else "unknown"


def _metric(
    status: Mapping[str, Any], result: Mapping[str, Any], plan: Mapping[str, Any]
) -> tuple[str | None, float | None]:
    """The primary metric on test, else on validation; of an unfinished run the best so far."""
    metrics = mapping(result.get("metrics"))
    primary = metrics_of(plan).primary.name
    found = ((f"{split}/{primary}", number(metrics.get(f"{split}/{primary}"))) for split in ("test", "val"))
    best = status.get("best") if not metrics else None
    so_far = (str(dig(best, "metric")), number(dig(best, "value")))
    return next(((name, value) for name, value in (*found, so_far) if value is not None), (None, None))


def _last_row(path: Path) -> Mapping[str, Any]:
    """The last row of the record that says what has been spent."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            row = mapping(json.loads(line))
        except (ValueError, RecursionError):
            continue  # torn, or the end of a line that began before the tail
        if "fee" in row:
            return row
    return {}


def _changed(folder: Path) -> float | None:
    for name in ("status.json", RESOLVED):
        try:
            return (folder / name).stat().st_mtime
        except OSError:
            continue
    return None


def moment(seconds: float | None) -> str:
    """A time of day as a person reads it, in local time."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
