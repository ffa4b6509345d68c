"""What does not fit the facts is refused, all of it at once; what costs too much is warned of."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.plan.checks import exceeds_plain_cost, mismatches
from fewer.plan.cost_model import budget_of
from fewer.plan.evaluations import Reestimation
from fewer.plan.facts import Reference
from fewer.plan.stages import stages_of
from planning import facts, recipe


def found(sections: dict[str, Any], **known: Any) -> list[str]:
    asked = recipe(**sections)
    return mismatches(asked, facts(**known), stages_of(asked, 32))


@pytest.mark.parametrize(
    ("sections", "known", "said"),
    [
        ({"train": {"batch_size": 2000}}, {}, "train.batch_size = 2000 is larger than the 1000 training images"),
        ({"train": {"batch_size": 4, "accumulate": 3}}, {}, "use 6 or more"),
        ({"train": {"batch_size": 6}}, {"processes": 4}, "over 4 workers and 1 micro-batches"),
        ({"train": {"batch_size": 6}, "sync": {"workers": 4}}, {}, "use 8 or more"),
        ({"sync": {"workers": 3}}, {"processes": 2}, "cannot be shared evenly by 2 processes; use 4"),
        ({"stages": [{"epochs": 1, "batch_size": 1001}]}, {}, "stages.0.batch_size = 1001"),
        ({}, {"classes": ("only",)}, "1 class"),
        ({}, {"scoring_side_px": 64}, "the selector's scoring_side_px = 64 is larger"),
        ({"select": {"method": "dbpd", "score": "fresh", "scorer_side_px": 64}}, {"scoring_side_px": 64},
         "select.scorer_side_px = 64 is larger than the images that are trained on (32 px)"),
        ({}, {"problems": ("the model takes no such side",)}, "the model takes no such side"),
    ],
)  # fmt: skip
def test_a_mismatch_names_what_would_do(sections: dict[str, Any], known: dict[str, Any], said: str) -> None:
    (problem,) = found(sections, **known)
    assert said in problem


def test_what_fits_is_not_complained_of() -> None:
    assert not found({"train": {"batch_size": 8, "accumulate": 2}}, processes=2, scoring_side_px=32)


def test_all_mismatches_come_at_once() -> None:
    stages = [{"epochs": 1, "side_px": 9}, {"epochs": 1, "batch_size": 5000}]
    problems = found({"stages": stages}, classes=("only",), problems=("the model takes no such side",))
    assert len(problems) == 3


def test_reference_losses_that_make_a_run_cost_more_than_plain_training_are_warned_of() -> None:
    asked = recipe(train={"epochs": 4})
    costly = facts(reference=Reference(32, {"flops": 3 * 32 * 32 * 1000}))
    budget = budget_of(costly, stages_of(asked, 32), None, Reestimation(0, guards=False))
    said = exceeds_plain_cost(costly, budget, {"flops": (5.0 * costly.plain_epoch_flops,) * 2})
    assert "costs more than plain training: 5.00 FEE > 4.00" in said
    assert not exceeds_plain_cost(costly, budget, {"flops": (4.0 * costly.plain_epoch_flops,) * 2})
    assert not exceeds_plain_cost(facts(), budget, {"flops": (5.0 * costly.plain_epoch_flops,) * 2})
