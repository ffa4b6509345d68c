"""The list of evaluations, when they are made, and when BatchNorm's statistics are estimated again for them."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.types import Stage
from fewer.plan.compile import compile_plan
from fewer.plan.evaluations import Reestimation, evaluations_of, reestimation_of, validated_stages
from planning import facts, recipe

SMALL, LARGE = Stage(0, 0, 3, 16, 8), Stage(1, 3, 2, 32, 8)
TO_LARGE = Stage(0, 0, 3, 16, 8, evaluation_side_px=32)


def test_a_run_is_evaluated_as_far_as_it_has_images_and_averages() -> None:
    def names(val: bool, test: bool, averaged: bool) -> list[str]:
        return [evaluate.name for evaluate in evaluations_of([SMALL, LARGE], 1, val, test, averaged)]

    assert names(True, True, True) == ["val", "val/best", "test", "test/last", "test/raw"]
    assert names(False, True, False) == ["test", "test/last"]
    assert names(True, False, True) == ["val", "val/best"]
    plan = compile_plan(recipe(train={"ema": "1ep"}, out={"evaluate_every": 3}), facts(val_images=10))
    assert [(evaluate.name, evaluate.every, evaluate.side_px) for evaluate in plan.evaluations] == [
        *(("val", 3, None), ("val/best", 0, 32), ("test", 0, 32), ("test/last", 0, 32), ("test/raw", 0, 32))
    ]


@pytest.mark.parametrize(("every", "stages"), [(0, [1]), (1, [0, 0, 0, 1, 1]), (2, [0, 1, 1]), (5, [1]), (9, [1])])
def test_the_last_epoch_is_always_validated(every: int, stages: list[int]) -> None:
    assert [stage.index for stage in validated_stages([SMALL, LARGE], every)] == stages


def test_statistics_come_from_as_many_images_as_guards_ask_for() -> None:
    def found(select: dict[str, Any], own: str = "", batchnorm: bool = True) -> Reestimation:
        return reestimation_of(recipe(select=select), facts(train_images=3000, batchnorm=batchnorm), own)

    guarded: dict[str, Any] = {"method": "dbpd", "threshold": 0.3, "guards": {"batchnorm_images": 300}}
    assert found(guarded) == Reestimation(300, guards=True)
    assert found({"method": "dbpd", "threshold": 0.3, "guards": {"batchnorm_images": 9000}}).images == 3000
    assert found({"method": "dbpd", "threshold": 0.3, "guards": "off"}) == Reestimation(2048, guards=False)
    assert found({"method": "random"}) == Reestimation(2048, guards=False)
    assert found(guarded, "Ours") == Reestimation(300, guards=False)
    assert found(guarded, batchnorm=False) == Reestimation(0, guards=False)


def test_the_published_model_comes_from_a_stage_that_is_evaluated_at_the_last_side() -> None:
    always = Reestimation(10, guards=False)
    assert [always.at_side(stage) for stage in (SMALL, LARGE, TO_LARGE)] == [False, False, True]
    assert always.at_published_side([TO_LARGE, LARGE], has_val=True) == (False, True)
    assert always.at_published_side([TO_LARGE, LARGE], has_val=False) == (False, False)
    assert always.at_published_side([TO_LARGE], has_val=True) == (True, True)
    assert always.at_published_side([SMALL, LARGE], has_val=True) == (False, False)
    assert not Reestimation(0, guards=False).at_side(TO_LARGE)
    assert always.kept_sides_px([TO_LARGE, LARGE], has_val=True) == (16, 32)
    assert always.kept_sides_px([TO_LARGE, LARGE], has_val=False) == (32,)
    assert always.kept_sides_px([SMALL, LARGE], has_val=True) == (32,)
