"""Budgets become epochs: the most that stay within them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.core.types import At, Expectation
from fewer.plan.compile import compile_plan
from fewer.plan.plan import Plan
from fewer.plan.spending import fitted
from fewer.recipe.schema import Recipe
from planning import facts, recipe

EPOCH = 1000 * 3 * 32 * 32  # FLOPs of a plain epoch of these facts


def plan_of(recipe: Recipe) -> Plan:
    return compile_plan(recipe, facts())


def plan(**sections: Any) -> Plan:
    return fitted(recipe(**sections), plan_of)


@pytest.mark.parametrize(
    ("budget", "epochs"), [("0.6", 12), ("1", 20), ("2.5", 50), (f"{7.9 * EPOCH:.0f}flop", 7), ("0.05", 1)]
)
def test_plain_training_takes_the_epochs_that_are_paid_for(budget: str, epochs: int) -> None:
    found = plan(train={"epochs": 20, "budget": budget})
    assert found.epochs == found.recipe.epochs == epochs
    assert f'train.budget = "{budget}" became {epochs} epoch' in found.notes[-1]
    asked = plan_of(recipe(train={"epochs": epochs}))
    assert found.digest == asked.digest, "it is the run that asks for these epochs"
    assert found.recipe == asked.recipe


@settings(max_examples=25)
@given(
    budget=st.floats(0.3, 3.0),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    sides=st.lists(st.sampled_from([16, 24, 32]), min_size=3, max_size=3),
)
def test_stages_take_the_most_epochs_within_the_budget(budget: float, lengths: list[int], sides: list[int]) -> None:
    stages = [{"epochs": length, "side_px": side} for length, side in zip(lengths, sides, strict=False)]
    total = 8 * sum(lengths)
    share = float(f"{budget:.3f}")
    found = plan(train={"budget": str(share)}, stages=[{**stage, "epochs": 8 * stage["epochs"]} for stage in stages])
    spent = share * total * found.plain_epoch_flops
    assert found.predicted["flops"][1] <= spent * (1 + 1e-9)
    for stage, length in zip(found.stages, lengths, strict=True):
        assert abs(stage.epochs - 8 * length * found.epochs / total) < 1, "in proportion"
    most = max(stage.side_px for stage in found.stages)
    # Another epoch could not be paid: it costs at most one at the largest side, and rounding may move one a stage.
    assert spent - found.predicted["flops"][1] < len(stages) * 1000 * 3 * most * most + 1


def test_selection_that_keeps_less_trains_longer_for_the_same_cost() -> None:
    def half(at: At) -> Expectation:
        return Expectation(0.5, 0.5)

    asked = recipe(train={"epochs": 10, "budget": "1"}, select={"method": "random"})
    found = fitted(asked, lambda each: compile_plan(each, facts(), half))
    assert found.epochs == 20
    assert found.predicted["full_epoch_equivalents"] == (10.0, 10.0)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"epochs": 20, "budget": "0.01"}, r"one epoch costs .*; ask for more"),
        ({"epochs": 20, "budget": "1e29flop"}, "more than 32767 epochs cost"),
        ({"epochs": 20, "budget": "0.2", "warmup": "5ep"}, 'train.budget = "0.2", which is 4 epochs: .*longer than'),
    ],
)
def test_what_cannot_be_fitted_is_refused(train: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        plan(train=train)


def test_stages_need_an_epoch_each() -> None:
    with pytest.raises(RecipeError, match=r"too few for 2 stages|one epoch of each of 2 stages"):
        plan(train={"budget": "0.1"}, stages=[{"epochs": 1, "side_px": 32}, {"epochs": 9, "side_px": 32}])


def test_a_plan_without_the_fit_is_refused() -> None:
    with pytest.raises(RecipeError, match="not in epochs yet"):
        plan_of(recipe(train={"epochs": 20, "budget": "0.6"}))
