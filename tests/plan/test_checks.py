"""What does not fit the facts is refused, all of it at once; what costs too much is warned of."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.plan.checks import exceeds_plain_cost, mismatches, unusual_lr
from fewer.plan.compile import compile_plan
from fewer.plan.cost_model import budget_of
from fewer.plan.evaluations import Reestimation
from fewer.plan.facts import Preparation
from fewer.plan.flops import Flops
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
        ({"sync": {"workers": 3}}, {"processes": 2}, "by 2 processes; start 1 process, or a number that divides 3"),
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
    costly = facts(preparation=Preparation((32,), {"flops": (3 * 32 * 32 * 1000,) * 2}))
    budget = budget_of(costly, stages_of(asked, 32), None, Reestimation(0, guards=False))
    said = exceeds_plain_cost(costly, budget, {"flops": (5.0 * costly.plain_epoch_flops,) * 2})
    assert "costs more than plain training: 5.00 FEE > 4.00" in said
    assert not exceeds_plain_cost(costly, budget, {"flops": (4.0 * costly.plain_epoch_flops,) * 2})
    assert not exceeds_plain_cost(facts(), budget, {"flops": (5.0 * costly.plain_epoch_flops,) * 2})


@pytest.mark.parametrize(
    ("train", "weights", "said"),
    [
        ({"optimizer": "adamw", "lr": 0.1}, "", 'far too high for "adamw" from random weights; 0.0003 to 0.005 is'),
        ({"optimizer": "adamw", "lr": 0.01}, "", ""),
        ({"optimizer": "adamw", "lr": 0.01}, "abc", 'far too high for "adamw" with first weights from elsewhere'),
        ({"optimizer": "muon", "lr": 0.24}, "", 'far too high for "muon"'),
        ({"optimizer": "muon", "lr": 0.24, "adjust_lr": "original", "renormalise_every_steps": 1}, "", ""),
        ({"lr": 0.5}, "abc", "0.001 to 0.05 is usual, e.g. train.lr=0.007"),
        ({"lr": 0.0001}, "", 'far too low for "sgd"'),
        ({"lr": 4.0, "batch_size": 128}, "", "far too high"),
        ({"lr": 4.0, "batch_size": 1024}, "", ""),
        ({}, "", ""),
    ],
)
def test_a_rate_far_from_the_usual_is_warned_of(train: dict[str, Any], weights: str, said: str) -> None:
    warning = unusual_lr(recipe(train=train), facts(weights=weights))
    assert said in warning
    assert bool(said) == bool(warning)


@pytest.mark.parametrize(("images", "warned"), [(0, False), (2, True), (19, True), (20, False)])
def test_a_handful_of_validation_images_that_choose_the_best_epoch_is_warned_of(images: int, warned: bool) -> None:
    notes = compile_plan(recipe(), facts(val_images=images)).notes
    assert any("the best epoch is chosen by" in note for note in notes) is warned


def test_a_single_image_tells() -> None:
    notes = compile_plan(recipe(), facts(val_images=1)).notes
    assert any("is chosen by 1 validation image, which tells an accuracy" in note for note in notes)


@pytest.mark.parametrize("asked", ["no", "yes"])
def test_waiting_for_the_compiler_is_announced(asked: str) -> None:
    notes = compile_plan(recipe(train={"compile": asked}), facts()).notes
    assert any("waits for the compiler" in note for note in notes) is (asked == "yes")


@pytest.mark.parametrize(
    ("known", "share", "said"),
    [
        (
            {"class_images": (990, 10)},
            0.09,
            'stages.0.data_share = 0.09 leaves class "b" empty in some epochs, as it has 10 training images; use 0.1 '
            "or more",
        ),
        ({"class_images": (999, 1)}, 0.9, "leave it out"),
        (
            {"class_images": (500, 500)},
            0.1,
            "train.batch_size = 128 is larger than the 100 training images that stages.0.data_share = 0.1 shows; use "
            "at most 100",
        ),
    ],
)
def test_a_share_of_the_images_that_is_too_small_is_refused(known: dict[str, Any], share: float, said: str) -> None:
    stages = [{"epochs": 1, "data_share": share, **({} if share < 0.5 else {"batch_size": 16})}]
    with pytest.raises(RecipeError) as found:
        compile_plan(recipe(stages=stages), facts(**known))
    assert said in str(found.value).replace("stages.0.batch_size", "train.batch_size")


def test_freezing_is_priced_and_refused_where_it_saves_next_to_nothing() -> None:
    known: dict[str, Any] = {
        "flops": {32: (Flops(0, 100, 200), Flops(0, 100, 190, 1), Flops(0, 100, 50, 3))},
        "plain_sample_flops": 300,
        "layers": ("a", "b", "c", "head"),
        "frozen_layers": (0, 1, 3),
    }
    stages: list[dict[str, Any]] = [{"epochs": 1}, {"epochs": 1, "frozen": "a"}, {"epochs": 2, "frozen": ["c"]}]
    assert found({"stages": stages}, **{**known, "frozen_layers": (0, 3, 3)}) == []
    asked = recipe(stages=stages)
    with pytest.raises(RecipeError, match="saves") as refused:
        compile_plan(asked, facts(**known))
    assert str(refused.value) == (
        'stages.1.frozen = ["a"] saves 3.3% of the stage\'s FLOPs (1 of 4 layers), less than 5%; freeze more, or set '
        "stages.1.frozen_anyway = true"
    )
    stages[1]["frozen_anyway"] = True
    plan = compile_plan(recipe(stages=stages), facts(**known))
    assert [plan.sample_flops(epoch).training for epoch in range(4)] == [300, 290, 150, 150]
    assert plan.frozen(plan.stages[2]) == ("a", "b", "c")
    assert plan.notes[-2:] == (
        "stage 3 freezes a to c (3 of 4 layers): 50% fewer FLOPs",
        "freezing saves 25.8% of the run's FLOPs",
    )
    assert plan.predicted["full_epoch_equivalents"] == (pytest.approx(890 / 300),) * 2
