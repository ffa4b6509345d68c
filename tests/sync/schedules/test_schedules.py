"""Schedules of local steps, worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.sections import section_of
from fewer.sync.round import Round, Spread
from fewer.sync.schedules import STEP_SCHEDULES


def schedule(name: str, first: int = 4, **keys: Any) -> Any:
    module = STEP_SCHEDULES.module(name)
    return module.build(section_of(module.Params, **keys), first)


def ended(steps: int = 4, lr: float = 0.1, progress: float = 0.5, loss: float = 1.0, **keys: Any) -> Round:
    return Round(steps, lr, 10 * progress, samples=100, loss=loss, **keys)


def test_fixed_rounds_are_all_alike() -> None:
    assert [schedule("fixed").next(ended(lr=lr)) for lr in (0.1, 0.01, 0.0)] == [4, 4, 4]


def test_the_quadratic_rule_looks_at_the_rate_behind_a_sync() -> None:
    rule = schedule("qsr", qsr_alpha=0.5)
    lengths = [rule.next(ended(lr=lr)) for lr in (0.01, 0.1, 0.3, 0.3, 0.2, 0.1, 0.05)]
    assert lengths == [4, 4, 4, 4, 6, 25, 100], "while the rate rises, rounds stay short"
    assert rule.next(ended(lr=0.0)) == 1_000_000_000


def test_adacomm_shortens_rounds_as_the_loss_falls_and_halves_them_where_it_does_not() -> None:
    rule = schedule("adacomm", first=16, adacomm_epochs=2.0)
    moments = [(0.1, 2.0), (0.2, 2.0), (0.3, 0.4), (0.4, 0.6), (0.6, 0.5), (0.8, 0.5)]
    # First look at epoch 2: a loss of 2. Then at epoch 4: mean 0.5, a quarter; at 6 no lower, so half; at 8 the same.
    assert [rule.next(ended(progress=at, loss=loss)) for at, loss in moments] == [16, 16, 16, 8, 4, 2]


def test_adacomm_looks_once_an_epoch_whatever_the_schedule_does() -> None:
    rule = schedule("adacomm", first=16)
    lengths = [rule.next(Round(4, 0.1, past, samples=100, loss=1.0)) for past in (1.0, 1.5, 2.0, 2.2, 2.9, 3.0)]
    assert lengths == [16, 16, 8, 8, 8, 4]


def test_rounds_grow_with_the_signal_by_moving_averages() -> None:
    rule = schedule("variance", variance_scale=10.0, variance_decay=0.5, longest=30)
    # Rounds of 2 steps: the signal of a step is a quarter of theirs, its noise a half.
    assert rule.next(ended(2, spread=Spread(8.0, 2.0))) == 20
    assert rule.next(ended(2, spread=Spread(8.0, 6.0))) == 8
    assert rule.next(ended(2, spread=Spread(800.0, 6.0))) == 30
    assert rule.next(ended(2, spread=Spread(-8000.0, 6.0))) == 4
    assert rule.next(ended(2)) == 4, "one worker has no spread"


@pytest.mark.parametrize("name", STEP_SCHEDULES.names())
def test_a_saved_schedule_goes_on_as_before(name: str) -> None:
    rounds = [ended(3 + at, 0.1 / (at + 1), at / 8, 2.0 / (at + 1), spread=Spread(1.0 + at, 5.0)) for at in range(8)]
    keys = {"adacomm": {"adacomm_epochs": 1.0}, "variance": {"variance_scale": 30.0}}.get(name, {})
    whole, first, second = (schedule(name, **keys) for _ in range(3))
    lengths = [whole.next(each) for each in rounds]
    for each in rounds[:4]:
        first.next(each)
    second.load_state_dict(first.state_dict())
    assert [second.next(each) for each in rounds[4:]] == lengths[4:]
