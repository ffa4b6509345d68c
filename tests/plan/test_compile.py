"""Compiling: what does not fit is refused, what `auto` became is written down, the user is told what matters."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.core.types import At, Expectation
from fewer.plan.compile import compile_plan
from fewer.plan.facts import Preparation
from planning import facts, recipe


def at_share(at: At) -> Expectation:
    share = 1.0 if at.share is None else at.share
    return Expectation(share, share)


def test_auto_becomes_what_the_machine_does_best() -> None:
    def found(asked: str, **known: Any) -> tuple[str, bool, str]:
        plan = compile_plan(recipe(train={"precision": asked}), facts(**known))
        assert plan.recipe.train.precision == plan.precision, "a resumed run keeps it elsewhere"
        return plan.precision, plan.channels_last, plan.recipe.train.channels_last

    assert found("auto") == ("fp32", True, "yes")
    assert found("auto", bf16=True) == ("bf16", True, "yes")
    assert found("auto", device="cuda") == ("fp16", True, "yes")
    assert found("auto", bf16=True, depthwise_share=0.4) == ("fp32", True, "yes")
    assert found("bf16", bf16=True, depthwise_share=0.4) == ("bf16", True, "yes")
    assert found("fp64", bf16=True) == ("fp64", False, "no")


@pytest.mark.parametrize(
    ("select", "expected", "said"),
    [
        ({"method": "random", "cost": 0.5}, lambda at: Expectation(1.0, 1.0), "cannot do with less than 1 of the full"),
        ({"method": "random"}, lambda at: Expectation(0.0, 0.001), "keeps 1 of the 1000 training images in epoch 1"),
    ],
)
def test_what_cannot_be_paid_or_trained_on_is_refused(select: dict[str, Any], expected: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        compile_plan(recipe(select=select), facts(), expected)


def test_a_cost_is_met_by_the_prediction() -> None:
    asked = recipe(select={"method": "random", "cost": 0.4}, train={"epochs": 5})
    plan = compile_plan(asked, facts(), at_share)
    assert plan.predicted["full_epoch_equivalents"] == (pytest.approx(0.4 * 5, rel=0.01),) * 2
    assert plan.budget.cost == 0.4
    ours = compile_plan(asked, facts(), at_share, own_selector="Ours")
    assert ours.budget.cost is None, "a selector of the caller's own is not asked for a cost"
    assert ours.predicted["full_epoch_equivalents"] == (5.0, 5.0)


def test_a_note_says_what_a_worker_gets_of_a_batch() -> None:
    stages = [{"epochs": 1, "batch_size": size} for size in (64, 50, 64)]
    asked = recipe(stages=stages, sync={"workers": 4})
    parts = "64 images make 16 each, 50 images make 12 to 13 each; they agree by every_step"
    assert f"batches are shared by 4 workers: {parts}" in compile_plan(asked, facts()).notes
    assert "batches are shared" not in str(compile_plan(recipe(stages=stages), facts()).notes)


def test_notes_say_what_becomes_of_the_images_and_what_comes_first() -> None:
    reference = Preparation((32,), {"flops": (3 * 32 * 32 * 500,) * 2, "samples_loaded": (1000, 1000)})
    stages = [{"epochs": 1, "side_px": side} for side in (16, 32, 64)]
    known = facts(notes=("of the data",), preparation=reference)
    notes = compile_plan(recipe(stages=stages), known).notes
    assert "costs more than plain training: 5.75 FEE > 5.25" in notes[-1]
    assert notes[1:-1] == (
        "of the data",
        "images of 32 px are reduced to 16 px and enlarged to 64 px",
        "reference losses come first, by the given model: 0.50 FEE",
    )
