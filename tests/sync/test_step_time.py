"""The time of a step, worked out by hand."""

from __future__ import annotations

import pytest

from fewer.sync.step_time import Added, StepTime

STEP, SYNC = Added(0.01, 0.2, 0.1, 100, 1), Added(0.05, 2.0, 1.9, 1300, 3)


def test_a_round_of_local_steps() -> None:
    time = StepTime.of_round(1.0, [(STEP, SYNC), (STEP, SYNC), (STEP, Added(9, 9, 9, 9, 9))])
    assert time.each == STEP
    assert time.sync.sent_bytes == pytest.approx(1200)
    assert time.seconds(2) == pytest.approx(1.0 + (0.11 + 1.95) / 2)
    assert time.added(12).sent_bytes == pytest.approx(100 + 1200 / 12)
    assert time.seconds(10_000) == pytest.approx(1.11, abs=1e-3)


def test_a_method_that_syncs_at_every_step() -> None:
    time = StepTime.of_round(1.0, [(SYNC,), (SYNC,)])
    assert time.added() == SYNC
    assert time.seconds() == pytest.approx(2.95)


def test_what_another_process_computes_longer() -> None:
    time = StepTime.of_round(1.0, [(STEP, SYNC)])
    assert time.with_own(*time.own_seconds) == time
    slower = time.with_own(1.5, 0.02, 0.04)
    assert slower.seconds(2) - time.seconds(2) == pytest.approx(0.5 + 0.01)


def test_no_number_falls_below_nothing() -> None:
    assert STEP.plus(SYNC, -1.0) == Added()
