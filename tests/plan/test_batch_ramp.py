"""Batches that grow in place of a falling rate: sizes, rates, price and refusals, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.plan.batch_ramp import halved
from fewer.plan.compile import compile_plan
from fewer.plan.plan import Plan
from fewer.plan.table import table
from planning import facts, recipe

FALLING = {"schedule": "linear", "warmup": "0%", "lr": 0.4, "epochs": 8, "batch_size": 50}
DROPS = {"schedule": "step", "warmup": "0%", "step_at": ["2ep", "3ep"], "step_gamma": 0.1}


def planned(stages: list[dict[str, Any]] | None = None, images: int = 1200, **train: Any) -> Plan:
    train = train if stages is None else {key: value for key, value in train.items() if key != "epochs"}
    return compile_plan(recipe(stages=stages or [], train=train), facts(train_images=images))


def sizes(plan: Plan) -> list[int]:
    """Images of a full batch, epoch by epoch."""
    found = [max(plan.batch_sizes(plan.shown_images(epoch), epoch)) for epoch in range(plan.epochs)]
    assert found == list(plan.budget.batch_sizes), "the price is that of the batches"
    return found


def first_rates(plan: Plan) -> list[float]:
    """The rate of each epoch's first step."""
    return [plan.peak_lr * plan.lr_factor(plan.at(e).progress, plan.stage(e)) for e in range(plan.epochs)]


def test_batches_double_where_the_schedule_has_halved_the_rate() -> None:
    """Straight from 0.4 to 0 in eight epochs: halved before epoch 5, again before 7, a third time before 8."""
    plan, plain = planned(**FALLING, batch_ramp=400), planned(**FALLING)
    assert sizes(plan) == [50, 50, 50, 50, 100, 100, 200, 400]
    assert first_rates(plain) == pytest.approx([0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05])
    assert first_rates(plan) == pytest.approx([0.4, 0.35, 0.3, 0.25, 0.4, 0.3, 0.4, 0.4])
    assert plan.budget.steps(4, 1200) == 12


def test_rate_per_image_is_that_of_the_schedule_throughout() -> None:
    plan, plain = planned(**FALLING, batch_ramp=400), planned(**FALLING)
    for epoch in range(8):
        for batch in range(5):
            at, stage = plan.at(epoch, batch, 5), plan.stage(epoch)
            each = plan.lr_factor(at.progress, stage) / stage.batch_size_at(epoch)
            assert each == pytest.approx(plain.lr_factor(at.progress, plain.stages[0]) / 50)


def test_growth_ends_at_the_largest_batch_and_the_rate_falls_from_there() -> None:
    plan = planned(**FALLING, batch_ramp=399)
    assert sizes(plan) == [50, 50, 50, 50, 100, 100, 200, 200], "400 would be too large"
    assert first_rates(plan)[-1] == pytest.approx(0.2)
    assert any("50 from epoch 1, 100 from epoch 5, 200 from epoch 7" in note for note in plan.notes)


def test_a_warm_up_lets_nothing_grow_and_a_drop_by_ten_is_three_doublings() -> None:
    plan = planned(**{**FALLING, **DROPS, "warmup": "1ep", "epochs": 4}, batch_ramp=100_000, images=12_800)
    assert sizes(plan) == [50, 50, 400, 3200]
    assert first_rates(plan) == pytest.approx([0.04, 0.4, 0.4 * 0.8, 0.4 * 0.64])


def test_the_peak_may_lie_within_an_epoch() -> None:
    """Up to 1 at half of the first epoch; before the second it is back at 0.6, and before the third at 0.45."""
    assert halved(lambda at: 1 - abs(at * 4 - 0.5) * 0.8 if at < 0.5 else 0.45, 4) == [0, 0, 1, 1]
    assert halved(lambda at: 0.0, 2) == [10**6] * 2


def test_adam_and_its_kin_take_the_root() -> None:
    """As Seesaw has it: where the rate would halve, it is divided by the root of two."""
    plan = planned(**FALLING, batch_ramp=100, lr_scaling="sqrt")
    assert sizes(plan)[4] == 100
    assert first_rates(plan)[4] == pytest.approx(0.4 / math.sqrt(2))


def test_a_stages_own_batch_is_what_doubles() -> None:
    stages = [{"epochs": 4}, {"epochs": 4, "batch_size": 100, "lr_scale": 0.5}]
    plan = planned(stages, **FALLING, batch_ramp=400)
    assert sizes(plan) == [50, 50, 50, 50, 200, 200, 400, 400]
    assert first_rates(plan)[4:] == pytest.approx([0.2, 0.15, 0.2, 0.1])


def test_schedules_over_stages_let_each_grow_from_its_start() -> None:
    plan = planned([{"epochs": 4}, {"epochs": 4}], **FALLING, batch_ramp=400, schedule_over="stage")
    assert sizes(plan) == [50, 50, 100, 200] * 2


def test_the_table_has_both_ends() -> None:
    plan = planned(**FALLING, batch_ramp=400)
    (row,) = list(table(plan))[1:]
    assert row[3:5] == ("50-400", "24 → 3")


def test_off_is_as_before() -> None:
    plan = planned(**FALLING)
    assert plan.stages[0].batch_growth == ()
    assert plan.digest == planned(**FALLING, batch_ramp="off").digest != planned(**FALLING, batch_ramp=400).digest


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"batch_ramp": 99}, "train.batch_ramp = 99 leaves batches of 50 no room to double; use 100 or more"),
        (
            {"batch_ramp": 4096, "images": 150},
            "train.batch_ramp = 4096 makes batches of 200 in epoch 7, which has 150 training images; use at most 150",
        ),
        ({"batch_ramp": 400, "schedule": "one_cycle"}, 'raises the momentum; set that to "off"'),
        ({"batch_ramp": 400, "patience": "2ep"}, 'train.patience = "2ep" may move the schedule on'),
        ({"batch_ramp": 400, "budget": "10min"}, 'train.budget = "10min" moves the schedule by the clock'),
    ],
)
def test_refusals(keys: dict[str, Any], message: str) -> None:
    own = {key: value for key, value in FALLING.items() if key != "warmup" or keys.get("schedule") != "one_cycle"}
    with pytest.raises(RecipeError) as error:
        planned(**{**own, **keys})
    assert message in str(error.value)


def test_a_schedule_that_never_halves_is_warned_of() -> None:
    plan = planned(**{**FALLING, "schedule": "constant"}, batch_ramp=400)
    assert sizes(plan) == [50] * 8
    assert any("changes nothing, as the schedule halves the rate before no epoch" in note for note in plan.notes)
