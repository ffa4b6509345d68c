"""Plots of a run that is still going: their budget of time."""

from __future__ import annotations

from fewer.report.live import Budget


def test_drawing_takes_a_twentieth_of_the_run() -> None:
    budget = Budget()
    assert not budget.allows(59)
    assert budget.allows(60)
    budget.spent, budget.last = 10.0, 2.0
    assert not budget.allows(239)
    assert budget.allows(240)
