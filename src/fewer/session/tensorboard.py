"""TensorBoard's event file of a run: a mirror of `rows.jsonl`, whose rows remain the record.

A resumed run rewrites the mirror from the rows that it kept. So the curves have neither a fork nor a gap, whatever was
lost in the kill, and a run that is given its mirror late has it from the first step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from fewer.core.errors import RecipeError
from fewer.core.evaluation import Metric
from fewer.runs.record import writing

# Tag and key of what a row says, by the row's kind.
_STEP = {
    "train/loss": "loss", "schedule/lr": "lr", "schedule/momentum": "momentum",
    "schedule/side_px": "side_px",
}  # fmt: skip
_EPOCH = {
    "train/epoch_loss": "loss", "select/epoch_kept_share": "kept_share",
    "cost/images_per_second": "images_per_second",
}  # fmt: skip
_COSTS = {"cost/fee": "fee", "cost/effective_epochs": "effective_epochs", "cost/seconds": "seconds"}
_SUFFIX = "fewer"  # marks the files that are ours to replace


def require() -> None:
    """Asks for the package that the mirror is written with.

    Raises:
        RecipeError: It is not installed.
    """
    if find_spec("tensorboard") is None:
        raise RecipeError(
            "out.tensorboard = true: the package tensorboard is missing; "
            "pip install tensorboard, or set out.tensorboard = false"
        )


def scalars(row: Mapping[str, Any], step_metrics: Sequence[Metric]) -> dict[str, float]:
    """What a row of the record shows in TensorBoard: values by their tag, none for rows of other kinds."""
    kind = row.get("kind")
    if kind == "evaluation":
        return {f"{row['split']}/{name}": value for name, value in row["scalars"].items() if value is not None}
    tags = {"step": _STEP | _COSTS, "epoch": _EPOCH}.get(str(kind), {})
    prefix = {"step": "train/", "epoch": "train/epoch_"}.get(str(kind))
    if prefix:
        tags = tags | {f"{prefix}{metric.name}": metric.name for metric in step_metrics}
    found = {tag: row[key] for tag, key in tags.items() if row.get(key) is not None}
    if kind == "step":
        found["select/kept_share"] = row["kept"] / max(1, row["candidates"])
    return found


@final
class TensorBoardWriter:
    """Writes rows as TensorBoard scalars over the optimizer's steps.

    Args:
        folder: Where the event file lies; one of an earlier process is replaced.
        rows: What the run has recorded so far.
        seconds: What the run has taken so far: TensorBoard's clock shows the run's own seconds.
        step_metrics: The task's metrics of training.

    Raises:
        ImportError: The package tensorboard does not work.
        ResourceError: The disk is full or cannot be written.
    """

    def __init__(
        self, folder: Path, rows: Iterable[Mapping[str, Any]], seconds: float, step_metrics: Sequence[Metric]
    ) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event: Callable[..., Any] = Event
        self._folder, self._step, self._metrics = folder, 0, step_metrics
        self._began = time.time() - seconds
        with writing(folder):
            folder.mkdir(exist_ok=True)
            for old in folder.glob(f"events.out.tfevents.*.{_SUFFIX}"):
                # A TensorBoard that reads a file never gets beyond it once it is gone; beyond an empty one it does.
                os.truncate(old, 0) if old.stat().st_size else old.unlink()
            # The nanoseconds put this file behind any that a TensorBoard that is already looking has read.
            now = time.time_ns()
            file = (folder / f"events.out.tfevents.{now // 10**9:010d}.{now % 10**9:09d}.{_SUFFIX}").open("wb")
        self._records = RecordWriter(file)
        self._write(Event(wall_time=self._began, file_version="brain.Event:2"))
        # Tells such a TensorBoard to drop what it has: all of it follows.
        self._write(Event(wall_time=self._began, step=0, session_log=SessionLog(status=SessionLog.START)))
        for row in rows:
            self._add(row)
        self._flush()

    def add(self, row: Mapping[str, Any]) -> None:
        """Writes a row, so that whoever looks sees it at once.

        Raises:
            ResourceError: The disk is full or cannot be written.
        """
        self._add(row)
        self._flush()

    def close(self) -> None:
        """Ends the file.

        Raises:
            ResourceError: The disk is full or cannot be written.
        """
        with writing(self._folder):
            self._records.close()

    def _add(self, row: Mapping[str, Any]) -> None:
        values, step = scalars(row, self._metrics), row.get("step", 0)
        if not values or (row["kind"] == "step" and step <= self._step):  # nothing was kept: there was no step
            return
        self._step = step
        event = self._event(wall_time=self._began + row.get("seconds", 0.0), step=step)
        for tag, value in values.items():
            event.summary.value.add(tag=tag, simple_value=value)
        self._write(event)

    def _write(self, event: Any) -> None:
        with writing(self._folder):
            self._records.write(event.SerializeToString())

    def _flush(self) -> None:
        with writing(self._folder):
            self._records.flush()
