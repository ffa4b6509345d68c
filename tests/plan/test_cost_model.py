"""Predicted ledgers by hand: stages, scoring, statistics of BatchNorm, decoding, reference losses."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.types import At, Expectation
from fewer.plan.cost_model import MOMENTS_IMAGES, CostModel, Costs, budget_of
from fewer.plan.evaluations import Reestimation, evaluations_of
from fewer.plan.facts import Facts, Preparation
from fewer.plan.stages import stages_of
from fewer.recipe.schema import Recipe
from planning import facts, recipe

stage_lists = st.lists(
    st.fixed_dictionaries(
        {"epochs": st.integers(1, 9), "side_px": st.integers(16, 64), "batch_size": st.integers(8, 500)}
    ),
    min_size=1,
    max_size=5,
)


NEVER = Reestimation(0, guards=False)


def everything(at: At) -> Expectation:
    return Expectation(1.0, 1.0)


def half(at: At) -> Expectation:
    return Expectation(0.5, 0.5)


def predicted(
    recipe: Recipe,
    facts: Facts,
    expected: Any = everything,
    *,
    in_memory: bool = True,
    batchnorm: Reestimation = NEVER,
    packs: bool = True,
) -> Costs:
    """What is predicted without any plan."""
    stages, data = stages_of(recipe, facts.data.native_side_px), facts.data
    budget = budget_of(facts, stages, None, batchnorm, packs=packs)
    evaluations = evaluations_of(stages, recipe.evaluate.every, data.val_images > 0, data.test_images > 0, False)
    return CostModel(recipe, facts, stages, budget, evaluations, batchnorm, in_memory).predicted(expected)


@given(stage_lists)
@settings(max_examples=40, deadline=None)
def test_the_price_of_a_run_is_the_sum_over_its_stages(stages: list[dict[str, int]]) -> None:
    costs = predicted(recipe(stages=stages), facts())
    flops = sum(s["epochs"] * 1000 * 3 * s["side_px"] ** 2 for s in stages)
    assert costs["flops"] == (flops, flops)
    assert costs["samples_backpropagated"][0] == 1000 * sum(s["epochs"] for s in stages)
    steps = sum(s["epochs"] * math.ceil(1000 / s["batch_size"]) for s in stages)
    assert costs["optimizer_steps"] == (steps, steps)


def test_plain_training_costs_one_full_epoch_equivalent_an_epoch() -> None:
    costs = predicted(recipe(train={"epochs": 7}), facts())
    assert costs["full_epoch_equivalents"] == (7.0, 7.0)
    assert costs["effective_epochs"] == (7.0, 7.0)


def test_scoring_everything_costs_a_third_more() -> None:
    costs = predicted(recipe(train={"epochs": 6}), facts(), lambda at: Expectation(0.25, 0.5, scored=1.0))
    low, high = costs["full_epoch_equivalents"]
    assert (low, high) == (pytest.approx(6 * (0.25 + 1 / 3)), pytest.approx(6 * (0.5 + 1 / 3)))
    assert costs["samples_loaded"] == (6000 + 1500, 6000 + 3000), "a pass of its own loads its images"
    fresh = recipe(train={"epochs": 6}, select={"method": "dbpd", "score": "fresh"})
    costs = predicted(fresh, facts(), lambda at: Expectation(0.25, 0.5, scored=1.0))
    assert costs["samples_loaded"] == (6000, 6000), "what is scored is what is trained on, loaded once"


def test_workers_that_choose_in_the_batch_may_load_again_what_another_has_scored() -> None:
    def loaded(facts: Facts, **sections: Any) -> tuple[float, float]:
        asked = recipe(train={"epochs": 1}, select={"method": "dbpd", "score": "fresh"}, **sections)
        return predicted(asked, facts, lambda at: Expectation(0.5, 0.5, scored=1.0))["samples_loaded"]

    assert loaded(facts()) == (1000, 1000)
    assert loaded(facts(processes=2)) == (1000, 2000)
    assert loaded(facts(), sync={"workers": 4}) == (1000, 2000)


def test_where_batches_shrink_there_are_as_many_steps_as_in_plain_training() -> None:
    asked = recipe(train={"epochs": 2, "batch_size": 100})
    assert predicted(asked, facts(), half)["optimizer_steps"] == (10, 10)
    assert predicted(asked, facts(), half, packs=False)["optimizer_steps"] == (20, 20)


def test_statistics_of_batchnorm_are_paid_once_and_loaded_by_every_process() -> None:
    asked, two, guarded = recipe(train={"epochs": 2}), facts(processes=2), Reestimation(200, guards=True)
    without, paid = predicted(asked, two, half), predicted(asked, two, half, batchnorm=guarded)
    more = {key: paid[key][0] - without[key][0] for key in ("flops", "samples_forwarded", "samples_loaded")}
    assert more == {"flops": 200 * 32 * 32, "samples_forwarded": 200, "samples_loaded": 400}
    assert predicted(asked, two, batchnorm=guarded) == predicted(asked, two), "nothing is left out"
    assert predicted(asked, two, half, batchnorm=Reestimation(200, guards=False)) == without, "nobody asks for them"
    perhaps = predicted(asked, two, lambda at: Expectation(0.5, 1.0), batchnorm=guarded)["samples_forwarded"]
    assert perhaps == (1000, 2200), "only where the last epoch turns out to leave something out"


def test_a_budget_keeps_back_what_batchnorm_will_cost() -> None:
    """200 forwards at 32 px after the last epoch: surely where its side is another, else where it leaves images out."""
    same, small = (
        stages_of(recipe(stages=[{"epochs": 2, "side_px": side, "evaluation_side_px": 32}]), 32) for side in (32, 16)
    )
    renewed = 200 * 32 * 32

    def after(stages: Any, guards: bool, images: int = 200) -> tuple[float, float]:
        budget = budget_of(facts(), stages, 0.5, Reestimation(images, guards))
        return budget.after_flops, budget.after_partial_flops

    assert after(same, guards=True) == (0, renewed)
    assert after(same, guards=False) == (0, 0)
    assert after(small, guards=True) == (renewed, 0)
    assert after(small, guards=False) == (renewed, 0)
    assert after(small, guards=True, images=0) == (0, 0)


def test_the_unit_is_an_epoch_of_all_images_at_the_largest_side() -> None:
    """Epochs at 16 px cost a quarter of one at 32 px, in whatever order."""
    for sides in ((16, 32), (32, 16)):
        asked = recipe(stages=[{"epochs": 4, "side_px": side} for side in sides])
        costs = predicted(asked, facts())
        assert costs["full_epoch_equivalents"] == (4 + 4 / 4,) * 2
        assert costs["effective_epochs"] == (8, 8)


def test_statistics_for_another_side_are_paid_at_that_side() -> None:
    def forwards(stages: list[dict[str, int]], **known: Any) -> tuple[float, float]:
        costs = predicted(recipe(stages=stages), facts(**known), batchnorm=Reestimation(200, guards=False))
        trained, plain = (
            sum(1000 * stage["epochs"] * cost for stage, cost in zip(stages, each, strict=True))
            for each in ([1] * len(stages), [3 * stage["side_px"] ** 2 for stage in stages])
        )
        low, high = (found - trained for found in costs["samples_forwarded"])
        assert costs["flops"] == (plain + 32 * 32 * low, plain + 32 * 32 * high)
        return low, high

    small = {"epochs": 2, "side_px": 16, "evaluation_side_px": 32}
    large = {"epochs": 1, "side_px": 32}
    assert forwards([small]) == (200, 200)
    assert forwards([small, large]) == (0, 0), "the last model is the published one"
    assert forwards([small, large], val_images=30) == (0, 200), "the best may come from the first stage"
    assert forwards([small, small], val_images=30) == (200, 200)
    assert forwards([{"epochs": 2, "side_px": 16}, large], val_images=30) == (0, 0), "it does not compete"


@pytest.mark.parametrize(
    ("sides", "crop", "times"),
    [((32,), "shift", 1), ((16, 32), "shift", 2), ((16, 32, 16), "shift", 3), ((16, 32), "random_resized", 1)],
)
def test_in_memory_all_is_decoded_once_a_side(sides: tuple[int, ...], crop: str, times: int) -> None:
    asked = recipe(stages=[{"epochs": 2, "side_px": side} for side in sides], augment={"crop": crop})
    decoded = predicted(asked, facts(val_images=30, processes=2))["samples_decoded"]
    once = 2 * (times * 1000 + len(sides) * 30 + 100)
    # Of whole pictures of up to 64 px, JPEGs may be decoded again at 1/2 and at 1/4.
    fractions = sum(64 // n >= min(sides) for n in (2, 4, 8)) if crop == "random_resized" else 0
    assert decoded == (once, once + 2 * fractions * 1000), "each stage is validated at its own side"


def test_statistics_for_another_side_keep_that_side_decoded() -> None:
    small, renewed = {"epochs": 3, "side_px": 16, "evaluation_side_px": 32}, Reestimation(200, guards=False)
    stages = [small, {"epochs": 1, "side_px": 32}]

    def decoded(stages: list[dict[str, int]], **known: Any) -> float:
        low, high = predicted(recipe(stages=stages), facts(**known), batchnorm=renewed)["samples_decoded"]
        assert low == high
        return low

    assert decoded(stages, val_images=30) == 2 * 1000 + 30 + 100
    assert decoded([small], val_images=30) == 2 * 1000 + 30 + 100
    assert decoded([small]) == 2 * 1000 + 100, "for the published model alone"
    assert decoded([small, {"epochs": 1, "side_px": 24}], val_images=30) == 3 * 1000 + 2 * 30 + 100


def test_annotations_that_are_held_against_the_model_are_decoded_for_it() -> None:
    """Of whole pictures only: those of one side are decoded already in memory, from disk they are once more."""
    other = [{"epochs": 3, "side_px": 64, "evaluation_side_px": 96}]

    def decoded(in_memory: bool, suspects: bool, aspect: float | None, images: int = 1000) -> float:
        asked = recipe(stages=other, out={"suspects": suspects, "previews": False})
        return predicted(asked, facts(aspect=aspect, train_images=images), in_memory=in_memory)["samples_decoded"][0]

    for in_memory in (True, False):
        assert decoded(in_memory, True, 1.5) - decoded(in_memory, False, 1.5) == 1000
        assert decoded(in_memory, True, None) == decoded(in_memory, False, None)
    assert decoded(False, True, 1.5, 9000) - decoded(False, False, 1.5, 9000) == 2000, "at most"


def test_from_disk_all_is_decoded_whenever_it_is_looked_at() -> None:
    asked = recipe(train={"epochs": 4}, out={"evaluate_every": 2, "previews": False})
    decoded = predicted(asked, facts(), in_memory=False)["samples_decoded"]
    assert decoded == (4 * 1000 + 100 + min(MOMENTS_IMAGES, 1000),) * 2
    low, high = predicted(asked, facts(val_images=30), in_memory=False)["samples_decoded"]
    assert low == 4 * 1000 + 3 * 30 + 100 + 1000, "two validations, and that of the published model"
    assert high == low + 100, "the last model is tested, too, where it is not the best"
    guarded = predicted(asked, facts(val_images=30), in_memory=False, batchnorm=Reestimation(200, guards=True))
    assert guarded["samples_decoded"] == (low, high + 3 * 200), "statistics of two validations and the last model"
    shown = predicted(recipe(train={"epochs": 4}, out={"evaluate_every": 2}), facts(), in_memory=False)
    assert shown["samples_decoded"][0] == decoded[0] + 8 * (1 + 4) + 64
    stages = [{"epochs": 2, "side_px": 16}, {"epochs": 2, "side_px": 32}]
    bare, watched = (
        predicted(recipe(stages=stages, out={"previews": each}), facts(val_images=100), in_memory=False)
        for each in (False, True)
    )
    more = watched["samples_decoded"][0] - bare["samples_decoded"][0]
    assert more == 2 * 8 * (1 + 2) + 64 + 2 * 16, "views of both stages, the worst, and watched images at both sides"


def test_reference_losses_are_added_to_what_training_costs() -> None:
    reference = Preparation((32,), {"flops": (5000, 5000), "samples_loaded": (10, 10), "samples_forwarded": (10, 10)})
    plain, more = (predicted(recipe(), facts(preparation=found)) for found in (None, reference))
    assert more["flops"][0] - plain["flops"][0] == 5000
    assert more["samples_loaded"][0] - plain["samples_loaded"][0] == 10
    assert more["optimizer_steps"] == plain["optimizer_steps"]
    assert budget_of(facts(preparation=reference), stages_of(recipe(), 32), None, NEVER).before_flops == 5000
