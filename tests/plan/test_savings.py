"""Savings by stages: a sample costs three FLOPs a pixel, 32 px are the largest side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fewer.core.types import At, Expectation
from fewer.plan.compile import compile_plan
from fewer.plan.flops import Flops
from fewer.plan.plan import Plan
from fewer.plan.savings import of_length, together
from planning import facts, recipe

PLAIN = 1000 * 3 * 32 * 32


def planned(*stages: dict[str, Any], **changed: Any) -> Plan:
    return compile_plan(recipe(stages=list(stages)), facts(**changed))


def test_each_stage_is_measured_against_plain_epochs_at_the_largest_side() -> None:
    plan = planned({"epochs": 4, "side_px": 16}, {"epochs": 2, "side_px": 32, "data_share": 0.5}, {"epochs": 2})
    first, second, last = plan.stage_costs
    assert (first.low_flops, first.high_flops, first.plain_flops) == (PLAIN, PLAIN, 4 * PLAIN)
    assert [cost.saved[0] for cost in plan.stage_costs] == pytest.approx([0.75, 0.5, 0.0])
    assert second.low_flops == PLAIN
    assert together(plan.stage_costs).saved == pytest.approx((0.5, 0.5))
    assert sum(cost.low_flops for cost in plan.stage_costs) == plan.predicted["flops"][0]
    assert last.plain_flops == 2 * PLAIN


def test_what_a_net_freezes_by_itself_saves_plain_training_too() -> None:
    """The plain run of `cnn` with its whitening layer is cheaper than as many full epochs."""
    flops = {side: (Flops(0, side**2, 2 * side**2), Flops(1, side**2, side**2)) for side in (16, 32)}
    plan = planned({"epochs": 1, "side_px": 16}, {"epochs": 2, "side_px": 32}, flops=flops)
    assert [cost.plain_flops for cost in plan.stage_costs] == [PLAIN, 4 / 3 * PLAIN]
    assert plan.stage_costs[1].saved == (0.0, 0.0)


def test_frozen_stages_save_and_selection_makes_an_interval() -> None:
    entries = {16: (Flops(0, 256, 512),), 32: (Flops(0, 1024, 2048), Flops(0, 1024, 512, 3))}
    stages = [{"epochs": 1, "side_px": 32}, {"epochs": 1, "side_px": 32, "frozen": "50%"}]
    known = facts(flops=entries, layers=tuple("abcdef"), frozen_layers=(0, 3))
    plan = compile_plan(recipe(stages=stages), known, lambda at: Expectation(0.5, 0.8))
    assert plan.stage_costs[1].saved == pytest.approx((1 - 0.8 * 0.5, 1 - 0.5 * 0.5))


def test_a_shorter_stage_costs_in_proportion() -> None:
    plan = planned({"epochs": 4, "side_px": 16}, {"epochs": 2, "side_px": 32})
    shorter = (plan.stages[0], replace(plan.stages[1], epochs=1))
    first, last = of_length(plan.stage_costs, plan.stages, shorter)
    assert first == plan.stage_costs[0]
    assert (last.low_flops, last.plain_flops) == (PLAIN, PLAIN)


def warned(plan: Plan) -> list[str]:
    return [note for note in plan.notes if "the stages save" in note]


def test_a_curriculum_that_saves_next_to_nothing_is_warned_of() -> None:
    [note] = warned(planned({"epochs": 1, "side_px": 28}, {"epochs": 19, "side_px": 32}))
    assert "save 1.2% of the FLOPs of plain training, 20 epochs at 32 px: less than 5%" in note
    assert not warned(planned({"epochs": 5, "side_px": 16}, {"epochs": 15, "side_px": 32}))
    assert not warned(planned({"epochs": 5, "lr_scale": 0.5}, {"epochs": 15})), "stages that are for something else"


def test_the_warning_is_of_the_stages_not_of_the_method() -> None:
    stages = [{"epochs": 1, "side_px": 28}, {"epochs": 19, "side_px": 32}]

    def half(at: At) -> Expectation:
        return Expectation(0.5, 0.5)

    assert warned(compile_plan(recipe(stages=stages), facts(), half))
