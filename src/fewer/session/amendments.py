"""Amendments of a run's plan: whatever changes on the way is said and recorded, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fewer.session.epoch_metrics import decisive_metric
from fewer.training import patience, steering
from fewer.training.run import ACCUMULATE

if TYPE_CHECKING:
    from fewer.session.build import Session
    from fewer.training.run import Run


def place(run: Run) -> dict[str, Any]:
    """Where a run stands, as rows of events have it."""
    return {**run.cursor.state_dict(), "seconds": run.ledger.total_seconds}


class Amendments:
    """Follows what changes a run's plan.

    Args:
        session: The run.
        record: Keeps a row.
        note: Says a line.

    Attributes:
        told: Keys of amendments that have been recorded.
    """

    def __init__(self, session: Session, record: Callable[[dict[str, Any]], None], note: Callable[[str], None]) -> None:
        self.session, self._record, self._note = session, record, note
        self.told: set[str] = set()
        self._parts = session.run.micro_batches

    def restored(self) -> None:
        """What the run's checkpoint knows has been recorded."""
        self.told, self._parts = set(self.session.run.amendments), self.session.run.micro_batches

    def after_batch(self) -> None:
        """Says and records what had to change in the last batch."""
        run = self.session.run
        grown = run.micro_batches != self._parts  # which may happen more than once
        for key in run.amendments.keys() - (self.told - ({ACCUMULATE} if grown else set())):
            change = {"key": key, **run.amendments[key]}
            self._note(f'warning: {key} = "{change["old"]}" became "{change["new"]}": {change["reason"]}')
            self._record({"kind": "amendment", **change, **place(run)})
            self.told.add(key)
        self._parts = run.micro_batches

    def after_epoch(self, scalars: Mapping[str, float]) -> None:
        """Gives the run another length where its patience is out, or where its time says so.

        Args:
            scalars: The metrics of the epoch's validation; empty where there was none.
        """
        run = self.session.run
        if scalars:
            metric = decisive_metric(run.plan.recipe, self.session.task)
            if words := patience.follow(run, metric, scalars[metric.name]):
                self._note(words)
                self._other_length(run.plan.recipe.epochs)
        before = run.plan.epochs
        if course := steering.follow(run, run.ledger.total_seconds):
            self._record({"kind": "course", **asdict(course), **place(run)})
            self._other_length(before)

    def _other_length(self, before: int) -> None:
        run = self.session.run
        self.told.add("train.epochs")
        if before != run.plan.epochs:
            change = {"key": "train.epochs", "old": before, "new": run.plan.epochs}
            self._record({"kind": "amendment", **change, **place(run)})
