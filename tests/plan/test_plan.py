"""Plans: stages without gaps, batches of even size, closed-form schedules, prices that add up."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fewer.core.clock import Duration
from fewer.core.errors import RecipeError
from fewer.core.types import Expectation
from fewer.plan.plan import Facts, Flops, compile_plan, even_sizes, shares, stages_of
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe


def facts(**changed: Any) -> Facts:
    sides = {side: (Flops(0, side * side, 2 * side * side),) for side in range(8, 257)}
    known: dict[str, Any] = {
        "train_images": 1000,
        "val_images": 0,
        "test_images": 100,
        "classes": ("a", "b"),
        "native_side_px": 32,
        "flops": sides,
        "plain_sample_flops": 3 * 32 * 32,
        "parameters": 10,
    }
    return Facts(**{**known, **changed})


def recipe(**sections: Any) -> Recipe:
    return parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, **sections})


stage_lists = st.lists(
    st.fixed_dictionaries(
        {"epochs": st.integers(1, 9), "side_px": st.integers(16, 64), "batch_size": st.integers(8, 500)}
    ),
    min_size=1,
    max_size=5,
)


@given(stage_lists)
@settings(max_examples=40, deadline=None)
def test_stages_cover_the_epochs_without_gap_or_overlap(stages: list[dict[str, int]]) -> None:
    plan = compile_plan(recipe(stages=stages), facts(plain_sample_flops=3 * 64 * 64))
    covered = [epoch for s in plan.stages for epoch in range(s.first_epoch, s.first_epoch + s.epochs)]
    assert covered == list(range(plan.epochs))
    for epoch in covered:
        stage = plan.stage(epoch)
        assert stage.first_epoch <= epoch < stage.first_epoch + stage.epochs


@given(stage_lists)
@settings(max_examples=40, deadline=None)
def test_the_price_of_a_run_is_the_sum_over_its_stages(stages: list[dict[str, int]]) -> None:
    plan = compile_plan(recipe(stages=stages), facts())
    flops = sum(s["epochs"] * 1000 * 3 * s["side_px"] ** 2 for s in stages)
    assert plan.predicted["flops"] == (flops, flops)
    assert plan.predicted["samples_backpropagated"][0] == 1000 * plan.epochs
    steps = sum(s["epochs"] * math.ceil(1000 / s["batch_size"]) for s in stages)
    assert plan.predicted["optimizer_steps"] == (steps, steps)


def test_plain_training_costs_one_full_epoch_equivalent_an_epoch() -> None:
    plan = compile_plan(recipe(train={"epochs": 7}), facts())
    assert plan.predicted["full_epoch_equivalents"] == (7.0, 7.0)
    assert plan.predicted["effective_epochs"] == (7.0, 7.0)


def test_scoring_everything_costs_a_third_more() -> None:
    plan = compile_plan(recipe(train={"epochs": 6}), facts(), lambda at: Expectation(0.25, 0.5, scored=1.0))
    low, high = plan.predicted["full_epoch_equivalents"]
    assert (low, high) == (pytest.approx(6 * (0.25 + 1 / 3)), pytest.approx(6 * (0.5 + 1 / 3)))


@given(st.integers(1, 5000), st.integers(1, 300))
def test_even_sizes_add_up_and_differ_by_at_most_one(total: int, parts: int) -> None:
    sizes = even_sizes(total, parts)
    assert sum(sizes) == total
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@given(st.integers(0, 200), st.integers(1, 9))
def test_no_worker_gets_one_sample_alone(total: int, parts: int) -> None:
    sizes = shares(total, parts)
    assert sum(sizes) == total
    assert len(sizes) == parts
    assert 1 not in sizes or total == 1


@given(st.integers(2, 3000), st.integers(2, 400), st.booleans())
@settings(deadline=None)
def test_batches_hold_every_sample_and_no_more_than_asked(samples: int, size: int, packs: bool) -> None:
    plan = compile_plan(recipe(train={"batch_size": size}), facts(train_images=3000))
    sizes = plan.batch_sizes(samples, plan.stages[0], packs)
    assert sum(sizes) == samples
    assert min(sizes) > 1, "never one sample alone"
    assert max(sizes) <= size or (size == 2 and max(sizes) == 3), "three samples are not two and one"
    most = samples if size == 1 else max(1, samples // 2)
    assert len(sizes) == min(most, math.ceil((samples if packs else 3000) / size))


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
        assert plan.lr_factor(step / steps) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        schedule.step()
    assert plan.lr_factor(1.0) == pytest.approx(final)


def test_the_digest_ignores_seed_output_and_paths_and_nothing_else() -> None:
    base = compile_plan(recipe(), facts()).digest
    same = parse_recipe(
        {
            "model": {"name": "lenet5"},
            "out": {"dir": "elsewhere", "keep": 9},
            "train": {"seed": 5},
            "data": {"processes": 1, "source": "digits"},
        }
    )
    assert compile_plan(same, facts()).digest == base
    for change in ({"train": {"lr": 0.3}}, {"augment": {"flip": "random"}}, {"select": {"method": "random"}}):
        assert compile_plan(recipe(**change), facts()).digest != base
    tar = {"model": {"name": "lenet5"}}
    one, other = (parse_recipe({**tar, "data": {"source": f"tar:{path}"}}) for path in ("/a/x.tar", "/b/y.tar"))
    assert compile_plan(one, facts()).digest == compile_plan(other, facts()).digest


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"train": {"batch_size": 2000}}, "1000 training images"),
        ({"train": {"batch_size": 4, "accumulate": 3}}, "fewer than two images"),
    ],
)
def test_what_does_not_fit_the_facts_is_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        compile_plan(recipe(**sections), facts())


def test_all_misfits_come_at_once() -> None:
    stages = [{"epochs": 1, "side_px": 9}, {"epochs": 1, "batch_size": 5000}]
    with pytest.raises(RecipeError) as caught:
        compile_plan(recipe(stages=stages), facts(classes=("only",), problems=("the model takes no such side",)))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(("native", "side"), [(8, 32), (28, 32), (32, 32), (64, 64), (300, 128)])
def test_without_stages_the_side_follows_the_data_within_reason(native: int, side: int) -> None:
    assert stages_of(recipe(), native)[0].side_px == side


@pytest.mark.parametrize("text", ["5", "ep", "-1ep", "101%", "3 epochs", ""])
def test_a_duration_needs_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit|percentage"):
        Duration.parse(text)


@given(st.floats(0, 100) | st.integers(0, 10**9).map(float), st.sampled_from(["ep", "%", "step", "min"]))
def test_durations_read_back_what_they_write(value: float, unit: str) -> None:
    """To the last digit: a resumed run reads its schedule from what was written."""
    duration = Duration(value, unit)  # type: ignore[arg-type]
    assume(unit != "%" or value <= 100)
    assert Duration.parse(str(duration)) == duration


def test_durations_are_written_as_people_do() -> None:
    assert [str(Duration.parse(text)) for text in ("2ep", "12.5%", "1000000step", "0.10ep", "33.33333333%")] == [
        *("2ep", "12.5%", "1000000step", "0.1ep", "33.33333333%")
    ]
    with pytest.raises(ValueError, match="at most 1,000,000,000"):
        Duration.parse("9" * 400 + "step")
