"""Learning rates of stages: by the batch size, dampened at their start, and with a schedule of their own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.plan.compile import compile_plan
from fewer.plan.plan import Plan
from fewer.plan.rates import batch_factor
from planning import facts, recipe

CONSTANT = {"schedule": "constant", "warmup": "0%"}


def planned(stages: list[dict[str, Any]], images: int = 1000, **train: Any) -> Plan:
    return compile_plan(recipe(stages=stages, train=train), facts(train_images=images))


def rates(plan: Plan, *moments: float) -> list[float]:
    """Learning rates after so many epochs."""
    lr = plan.recipe.train.lr
    found = [(plan.at(int(past)).epoch, past / plan.epochs) for past in moments]
    return [lr * plan.lr_factor(progress, plan.stage(epoch)) for epoch, progress in found]


@pytest.mark.parametrize(
    ("batch_size", "keys", "lr"),
    [
        (512, {}, 0.1),
        (128, {"lr_scaling": "linear"}, 0.05),
        (512, {"lr_scaling": "linear"}, 0.2),
        (4096, {"lr_scaling": "linear"}, 0.4),
        (1024, {"lr_scaling": "sqrt"}, 0.2),
    ],
)
def test_the_rate_follows_the_batch_up_to_a_cap(batch_size: int, keys: dict[str, Any], lr: float) -> None:
    """As the reference system has it: min(0.1 B / 256, 0.4)."""
    cap = {"lr_batch_size": 256, "lr_max": 0.4} if keys else {}
    train = recipe(train={"lr": 0.1, **keys, **cap}).train
    assert 0.1 * batch_factor(train, batch_size) == pytest.approx(lr)


def test_stages_and_runs_without_are_scaled_alike() -> None:
    keys = {"lr": 0.1, "lr_scaling": "linear", "lr_batch_size": 64, **CONSTANT}
    stages = [{"epochs": 1, "batch_size": 32}, {"epochs": 1, "batch_size": 128, "lr_scale": 0.5}]
    assert rates(planned(stages, **keys), 0.5, 1.5) == pytest.approx([0.05, 0.1])
    assert rates(planned([], epochs=2, batch_size=128, **keys), 0.5) == pytest.approx([0.2])
    own = {**keys, "lr_batch_size": None}
    assert rates(planned(stages, batch_size=32, **{k: v for k, v in own.items() if v}), 0.5) == pytest.approx([0.1])


def test_the_plan_says_what_the_batches_make_of_the_rate() -> None:
    stages = [{"epochs": 1, "batch_size": 32}, {"epochs": 1, "batch_size": 128}]
    meant = 'train.lr_scaling = "sqrt": train.lr is meant for batches of 128; '
    note = f"{meant}those of 32 take 0.5 times it, 128 take 1 times it"
    assert note in planned(stages, lr=0.1, lr_scaling="sqrt", lr_batch_size=128, **CONSTANT).notes
    assert "lr_scaling" not in str(planned(stages, lr=0.1, **CONSTANT).notes)


@pytest.mark.parametrize("ramp", ["0.5ep", "25%", "5step"])
def test_a_ramp_rises_in_a_straight_line_at_the_start_of_its_stage(ramp: str) -> None:
    stages = [{"epochs": 1}, {"epochs": 2, "batch_size": 100, "lr_ramp": ramp, "lr_ramp_start": 0.2}]
    plan = planned(stages, lr=0.1, **CONSTANT)
    assert rates(plan, 0.0, 0.99, 1.0, 1.25, 1.5, 2.9) == pytest.approx([0.1, 0.1, 0.02, 0.06, 0.1, 0.1])


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.sampled_from(["linear", "cosine", "one_cycle"]))
@settings(max_examples=20, deadline=None)
def test_a_schedule_over_each_stage_is_that_of_a_run_of_its_length(lengths: list[int], schedule: str) -> None:
    keys = {"lr": 0.1, "schedule": schedule, "warmup": "20%"} if schedule != "one_cycle" else {"schedule": schedule}
    plan = planned([{"epochs": length} for length in lengths], schedule_over="stage", **keys)
    for stage in plan.stages:
        alone = planned([{"epochs": stage.epochs}], **keys)
        for part in range(8):
            progress = (stage.first_epoch + stage.epochs * part / 8) / plan.epochs
            assert plan.lr_factor(progress, stage) == pytest.approx(alone.lr_factor(part / 8, alone.stages[0]))
            ours, theirs = plan.momentum(progress, stage), alone.momentum(part / 8, alone.stages[0])
            assert ours == pytest.approx(theirs) if theirs is not None else ours is None


def test_one_stage_is_the_run() -> None:
    keys = {"lr": 0.1, "schedule": "cosine"}
    over_run, over_stage = (planned([{"epochs": 7}], schedule_over=over, **keys) for over in ("run", "stage"))
    for part in range(50):
        assert over_run.lr_factor(part / 50, over_run.stages[0]) == over_stage.lr_factor(
            part / 50, over_stage.stages[0]
        )


@pytest.mark.parametrize(
    ("stage", "train", "said"),
    [
        ({"lr_ramp": "3ep"}, {}, 'stages.0.lr_ramp = "3ep" is longer than the stage, which has 2 epochs; shorten it'),
        ({"lr_ramp": "17step"}, {}, "which has 2 epochs, 2.12 of them; shorten it"),
        ({"lr_ramp": "3min"}, {}, "cannot be known in epochs beforehand"),
        ({}, {"lr_max": 0.4}, 'train.lr_max = 0.4 has no effect with train.lr_scaling = "none"'),
    ],
)
def test_what_does_nothing_or_does_not_fit_is_refused(stage: dict[str, Any], train: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as found:
        planned([{"epochs": 2, **stage}], **train)
    assert said in str(found.value)
