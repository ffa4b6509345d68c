"""Stages: without gap or overlap, at a side within reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
