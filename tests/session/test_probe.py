"""The probe of how fast this machine trains."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fewer.machine.memory import resident_bytes
from fewer.plan.plan import Plan
from fewer.plan.savings import together
from fewer.recipe.parse import parse_recipe
from fewer.session import probe as probing
from fewer.session.build import make_plan, open_data
from fewer.session.probe import Outlook, _seconds, outlook, probe
from fewer.session.step_bytes import largest_step_bytes


def planned(*stages: dict[str, object]) -> Plan:
    content = {"data": {"source": "digits"}, "model": {"name": "lenet5", "width": 0.25}, "stages": list(stages)}
    recipe = parse_recipe(content, ["train.batch_size=16"])
    return make_plan(recipe, open_data(recipe))


def test_each_kind_of_stage_is_timed_and_the_run_takes_longer_than_its_stages() -> None:
    plan = planned({"epochs": 2, "side_px": 28}, {"epochs": 1, "side_px": 32})
    found = outlook(plan)
    assert len(found.stages) == 2
    assert all(0 < fast <= slow for fast, slow in (*found.stages, found.seconds, found.plain))
    assert found.seconds[0] > sum(fast for fast, _ in found.stages), "evaluations come on top"
    assert Outlook((1.0, 2.0), 0.0).stages == ()


def test_seconds_follow_the_flops_of_each_stage_and_plain_training_those_of_the_largest() -> None:
    plan = planned({"epochs": 2, "side_px": 28}, {"epochs": 1, "side_px": 32})
    found = _seconds(plan, [2e-9, 1e-9], 0)
    assert found.stages == pytest.approx([plan.stage_costs[0].low_flops * 2e-9, plan.stage_costs[1].low_flops * 1e-9])
    assert found.plain == pytest.approx(together(plan.stage_costs).plain_flops * 1e-9)
    frozen = planned({"epochs": 1, "side_px": 32, "frozen": "all but the head"}, {"epochs": 1, "side_px": 28})
    assert _seconds(frozen, [5e-9, 1e-9], 0).plain == pytest.approx(together(frozen.stage_costs).plain_flops * 1e-9)


def test_the_first_step_which_warms_up_is_not_timed_however_slow_steps_are(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0, 0, 5, 10, 10, 11, 12, 12, 13, 15, 15])  # a beginning; start, forward and end of each step; a look
    monkeypatch.setattr(probing, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    plan = planned({"epochs": 1, "side_px": 28})
    found = probe(plan, plan.stages[0])
    assert found.slow_seconds_per_flop / found.seconds_per_flop == pytest.approx(3 / 2)


def test_the_memory_is_that_of_the_largest_step_whatever_was_probed_before() -> None:
    large = planned({"epochs": 1, "side_px": 64})
    both = planned({"epochs": 1, "side_px": 20}, {"epochs": 1, "side_px": 64})
    assert largest_step_bytes(both) == largest_step_bytes(large)
    frozen = planned({"epochs": 1, "side_px": 64, "frozen": "all but the head"})
    assert largest_step_bytes(frozen) < 0.9 * largest_step_bytes(large)
    small = planned({"epochs": 1, "side_px": 20})
    outlook(large)
    assert outlook(small).memory_bytes < resident_bytes() + 2 * largest_step_bytes(small)
    train = large.recipe.train.model_copy(update={"accumulate": 4})
    recipe = large.recipe.model_copy(update={"train": train})
    assert largest_step_bytes(replace(large, recipe=recipe)) < largest_step_bytes(large)
