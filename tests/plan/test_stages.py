"""Stages: without gap or overlap, at a side within reason."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.types import Request
from fewer.plan.stages import stage_of, stages_of
from planning import recipe

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
    asked = recipe(stages=stages)
    found = stages_of(asked, 32)
    covered = [epoch for s in found for epoch in range(s.first_epoch, s.first_epoch + s.epochs)]
    assert covered == list(range(asked.epochs))
    for epoch in covered:
        stage = stage_of(found, epoch)
        assert stage.first_epoch <= epoch < stage.first_epoch + stage.epochs
        assert (stage.side_px, stage.batch_size) == tuple(stages[stage.index][k] for k in ("side_px", "batch_size"))


def test_a_stage_takes_what_it_does_not_state_from_data_and_recipe() -> None:
    (stage,) = stages_of(recipe(train={"batch_size": 48}, stages=[{"epochs": 2}]), 64)
    assert (stage.side_px, stage.batch_size) == (64, 48)


@given(st.integers(2, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
def test_a_strength_that_changes_does_so_in_equal_steps(epochs: int, low: float, high: float, before: int) -> None:
    stages = [{"epochs": before, "strength": 0.5}] * (before > 0) + [{"epochs": epochs, "strength": [low, high]}]
    stage = stages_of(recipe(stages=stages), 32)[-1]
    found = [stage.strength_at(before + epoch) for epoch in range(epochs)]
    assert (found[0], found[-1]) == (low, high)
    assert found == pytest.approx([low + (high - low) * epoch / (epochs - 1) for epoch in range(epochs)])
    requested = Request.training(stage, before + epochs // 2, torch.arange(3))
    assert requested.strength == found[epochs // 2]
    if before:
        assert {stages_of(recipe(stages=stages), 32)[0].strength_at(epoch) for epoch in range(before)} == {0.5}


@pytest.mark.parametrize(("native", "side"), [(8, 32), (28, 32), (32, 32), (64, 64), (300, 128)])
def test_without_stages_the_side_follows_the_data_within_reason(native: int, side: int) -> None:
    assert stages_of(recipe(), native)[0].side_px == side


def test_one_key_sets_the_side_and_a_stage_goes_before_it() -> None:
    train = {"side_px": 96}
    assert [stage.side_px for stage in stages_of(recipe(train=train), 300)] == [96]
    asked = recipe(train=train, stages=[{"epochs": 1, "side_px": 64}, {"epochs": 1}])
    assert [(stage.side_px, stage.evaluation_side_px) for stage in stages_of(asked, 300)] == [(64, 64), (96, 96)]
    train["evaluation_side_px"] = 128
    assert [stage.evaluation_side_px for stage in stages_of(recipe(train=train), 300)] == [128]
    asked = recipe(train=train, stages=[{"epochs": 1, "evaluation_side_px": 80}, {"epochs": 1}])
    assert [stage.evaluation_side_px for stage in stages_of(asked, 300)] == [80, 128]
