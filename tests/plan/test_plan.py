"""Plans as data: look-ups by epoch and by progress, the schedule in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.types import At
from fewer.plan.compile import compile_plan
from fewer.plan.flops import Flops
from planning import facts, recipe

STAGES = [{"epochs": 2, "side_px": 16}, {"epochs": 3, "side_px": 24, "batch_size": 50}]


@pytest.mark.parametrize(
    ("augment", "stages", "shares"),
    [
        ({}, [{"epochs": 3}], [0, 0, 0]),
        ({"mixup_alpha": 0.2}, [{"epochs": 3}], [1, 1, 1]),
        ({"mixup_alpha": 0.2, "mix_share": 0.5}, [{"epochs": 1}, {"epochs": 2, "mix": 0.5}], [0.5, 0.25, 0.25]),
        ({"cutmix_alpha": 1.0}, [{"epochs": 3, "strength": [0.0, 1.0]}], [0, 0.5, 1]),
        ({"cutmix_alpha": 1.0}, [{"epochs": 3, "strength": [0.0, 1.0], "mix": 1.0}], [1, 1, 1]),
        ({"mixup_alpha": 0.2}, [{"epochs": 2}, {"epochs": 1, "mix": 0.0}], [1, 1, 0]),
        ({"mixup_alpha": 0.2, "mix_until": "2ep"}, [{"epochs": 3}], [1, 1, 0]),
        ({"mixup_alpha": 0.2, "mix_until": "90%"}, [{"epochs": 3}], [1, 1, 1]),
        ({"mixup_alpha": 0.2, "mix_share": 0.0}, [{"epochs": 3}], [0, 0, 0]),
    ],
)
def test_epochs_are_mixed_as_stages_strength_and_clock_have_it(
    augment: dict[str, Any], stages: list[dict[str, Any]], shares: list[float]
) -> None:
    plan = compile_plan(recipe(augment=augment, stages=stages), facts())
    rules = [plan.mix_rule(plan.at(epoch)) for epoch in range(3)]
    assert [rule.share if rule else 0 for rule in rules] == shares


def test_mixing_ends_within_an_epoch_where_it_was_asked_to() -> None:
    plan = compile_plan(recipe(augment={"mixup_alpha": 0.2, "mix_until": "90%"}, stages=[{"epochs": 3}]), facts())
    mixed = [plan.mix_rule(plan.at(epoch, batch, 10)) is not None for epoch in range(3) for batch in range(10)]
    assert mixed == [True] * 27 + [False] * 3


def test_what_an_epoch_is_and_costs_is_looked_up() -> None:
    flops = {16: (Flops(0, 1, 2), Flops(1, 1, 1)), 24: (Flops(0, 4, 8), Flops(3, 4, 4)), 20: (Flops(0, 2, 4),)}
    plan = compile_plan(recipe(stages=STAGES), facts(flops=flops, scoring_side_px=None))
    assert (plan.epochs, plan.largest_side_px, plan.evaluation_side_px) == (5, 24, 24)
    assert [plan.stage(epoch).index for epoch in range(5)] == [0, 0, 1, 1, 1]
    assert [plan.sample_flops(epoch).training for epoch in range(5)] == [3, 2, 12, 8, 8]
    assert plan.budget.training_flops == (3, 2, 12, 8, 8)
    assert plan.scoring_flops(2) == 4
    scored_small = compile_plan(recipe(stages=STAGES), facts(flops={**flops, 12: flops[20]}, scoring_side_px=12))
    assert [scored_small.scoring_flops(epoch) for epoch in (0, 2)] == [2, 2]
    assert scored_small.budget.scoring_flops == (2,) * 5


def test_a_moment_lies_between_the_epochs() -> None:
    plan = compile_plan(recipe(stages=STAGES), facts())
    assert plan.at(2, batch=1, batches=4, share=0.3) == At(2, 5, 2.25 / 5, 0.3)
    assert plan.at(1) == plan.budget.at(1)


@given(st.integers(2, 3000), st.integers(2, 400), st.booleans())
@settings(deadline=None)
def test_batches_hold_every_sample_and_no_more_than_asked(samples: int, size: int, packs: bool) -> None:
    plan = compile_plan(recipe(train={"batch_size": size}), facts(train_images=3000))
    sizes = plan.batch_sizes(samples, 0, packs)
    assert sum(sizes) == samples
    assert min(sizes) > 1, "never one sample alone"
    assert max(sizes) <= size or (size == 2 and max(sizes) == 3), "three samples are not two and one"
    most = samples if size == 1 else max(1, samples // 2)
    assert len(sizes) == min(most, math.ceil((samples if packs else 3000) / size))


def test_candidate_batches_are_wider() -> None:
    plan = compile_plan(recipe(train={"batch_size": 100}), facts())
    assert plan.batch_sizes(1000, 0, candidates=2.5) == [250] * 4
    assert plan.batch_sizes(3, 0, candidates=0.001) == [1, 1, 1]


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25])
def test_the_linear_schedule_equals_torchs(warmup: float) -> None:
    """Parity with LinearLR, then LinearLR, chained by SequentialLR."""
    steps, start, final = 40, 0.2, 0.1
    plan = compile_plan(
        recipe(train={"epochs": 1, "warmup": f"{warmup:.0%}", "warmup_start": start, "final": final}), facts()
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    up = round(warmup * steps)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, final, steps - up)
    schedule: Any = falling
    if up:
        rising = torch.optim.lr_scheduler.LinearLR(optimizer, start, 1.0, up)
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], [up])
    for step in range(steps):
        assert plan.lr_factor(step / steps, plan.stages[0]) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        schedule.step()
    assert plan.lr_factor(1.0, plan.stages[0]) == pytest.approx(final)
