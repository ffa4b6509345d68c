"""The pace of a run: the live rate ends as the epoch's own, and the time left follows the arithmetic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fewer.core.clock import Cursor
from fewer.select.budget import Budget
from fewer.session.epoch_metrics import EpochSums
from fewer.session.pace import Pace


class Clock:
    """A ledger whose seconds a test sets."""

    training_seconds = total_seconds = 0.0

    def spend(self, training: float, other: float = 0.0) -> None:
        self.training_seconds += training
        self.total_seconds += training + other


def session_of(ledger: Clock, *flops: int, cursor: Cursor | None = None) -> Any:
    plan = SimpleNamespace(epochs=len(flops), budget=Budget(100, flops, flops))
    run = SimpleNamespace(ledger=ledger, cursor=cursor or Cursor())
    return SimpleNamespace(plan=plan, run=run, task=SimpleNamespace(step_metrics=()))


def row_of(epoch: int, batch: int, candidates: int = 50) -> Any:
    recorded = {"loss": 1.0, "kept": candidates}
    ends = batch == 1
    return SimpleNamespace(
        epoch=epoch, batch=batch, batches=2, candidates=candidates, epoch_end=ends, recorded=lambda: recorded
    )


def test_the_rate_of_an_epochs_last_batch_is_the_epochs_own_without_evaluation() -> None:
    ledger = Clock()
    session = session_of(ledger, 1, 1)
    pace, epoch = Pace(session), EpochSums(session)
    for number in (0, 1):
        for batch in (0, 1):
            ledger.spend(training=1.0 + batch + number)
            pace.add(row_of(number, batch))
            epoch.add(row_of(number, batch))
        assert pace.images_per_second == pytest.approx(epoch.images_per_second) == pytest.approx(100 / (3 + 2 * number))
        epoch = EpochSums(session)
        ledger.spend(training=0.0, other=100.0)


def test_time_left_counts_evaluations_and_weighs_epochs_by_their_arithmetic() -> None:
    ledger = Clock()
    pace = Pace(session_of(ledger, 1, 3, 3))
    ledger.spend(training=1.0, other=1.0)
    pace.add(row_of(0, 0))
    assert pace.seconds_left == pytest.approx(2 * 6.5 / 0.5)
    ledger.spend(training=1.0, other=1.0)
    pace.add(row_of(0, 1))
    assert pace.seconds_left == pytest.approx(4 * 6)


def test_a_resumed_process_knows_its_own_time_only() -> None:
    ledger = Clock()
    ledger.spend(training=1000.0)
    pace = Pace(session_of(ledger, 1, 1, 1, 1, cursor=Cursor(epoch=2)))
    ledger.spend(training=3.0)
    pace.add(row_of(2, 1))
    assert pace.seconds_left == pytest.approx(3)
