"""Batch sizes that are left to the machine: how memory, images and parts decide, and that the run has the number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe, tasks
from fewer.compare.comparison import Question, compare
from fewer.core.errors import RecipeError
from fewer.data.listing.splits import Splits
from fewer.machine.memory import USABLE
from fewer.models import dry_run
from fewer.plan.plan import Plan
from fewer.plan.step_memory import StepMemory, step_memory
from fewer.session.batch_size import sized
from fewer.session.branch import branch_off
from fewer.session.build import make_plan, open_data
from fewer.session.fit import fit, resume
from fewer.session.step_bytes import COPIES, OVERHEAD
from fewer.testing.harness import one_thread

AMPLE = 2**50


def content(**train: Any) -> dict[str, Any]:
    return {
        "data": {"source": "digits", "in_memory": "no", "processes": 0},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 1, "batch_size": "auto", "lr": 0.05, "side_px": 16, **train},
        "out": {"plots": False, "previews": False},
    }


@pytest.fixture(scope="module")
def splits() -> Splits:
    return open_data(parse_recipe(content()))


def planned(splits: Splits, available: int, asked: dict[str, Any]) -> Plan:
    return make_plan(parse_recipe(asked), splits, available=available)


def counted(side_px: int) -> StepMemory:
    task = tasks.module("classify").plain(tuple("0123456789"))
    return step_memory(task, dry_run.take(parse_recipe(content()).model, 10, (side_px,), task), side_px)


def memory_for(images: int, side_px: int = 16) -> int:
    """Free memory that holds a step on so many images, and hardly one more."""
    step = counted(side_px)
    return int(OVERHEAD * (COPIES * step.weight_bytes + images * step.image_bytes) / USABLE) + 1


def test_images_decide_where_memory_is_ample(splits: Splits) -> None:
    plan = planned(splits, AMPLE, content())
    assert plan.stages[0].batch_size == plan.recipe.train.batch_size == 64
    assert plan.facts.data.train_images // 64 >= 16 > plan.facts.data.train_images // 128
    told = next(note for note in plan.notes if note.startswith('train.batch_size = "auto"'))
    assert "became 64: larger ones leave fewer than 16 steps of 1,368 images" in told
    assert "train.lr = 0.05 is for that" in told
    scaled = planned(splits, AMPLE, content(lr_scaling="linear", lr_batch_size=128))
    assert scaled.stages[0].lr_scale == 0.5, "the rate is stated for batches of 128"


@pytest.mark.parametrize(("images", "size"), [(63, 32), (32, 32), (31, 16), (8, 8), (1, 8)])
def test_memory_decides_where_it_is_short(splits: Splits, images: int, size: int) -> None:
    plan = planned(splits, memory_for(images), content())
    assert plan.recipe.train.batch_size == size
    assert any(f"a step of {2 * size} images of 16 px does not fit" in note for note in plan.notes)


def test_micro_batches_and_simulated_workers_share_a_batch(splits: Splits) -> None:
    assert planned(splits, memory_for(16), content(accumulate=2)).recipe.train.batch_size == 32
    shared = {**content(), "sync": {"workers": 2}}
    copies = int(OVERHEAD * COPIES * counted(16).weight_bytes / USABLE) + 1  # each worker has a model
    assert planned(splits, memory_for(16) + copies, shared).recipe.train.batch_size == 32
    assert planned(splits, memory_for(16), shared).recipe.train.batch_size == 16


def test_images_that_are_kept_decoded_take_their_part(splits: Splits) -> None:
    asked = content()
    asked["data"]["in_memory"] = "yes"
    kept = planned(splits, AMPLE, asked).loading_bytes
    assert planned(splits, memory_for(32) + int(kept / USABLE) + 1, asked).recipe.train.batch_size == 32
    assert planned(splits, memory_for(32) + int(kept / USABLE / 2), asked).recipe.train.batch_size < 32


def test_each_stage_has_what_its_own_images_allow_and_given_numbers_stay(splits: Splits) -> None:
    asked = content(batch_size=24)
    del asked["train"]["epochs"]
    asked["stages"] = [
        {"epochs": 1, "side_px": 16, "batch_size": "auto"},
        {"epochs": 1, "side_px": 32, "batch_size": "auto", "frozen": "all but the head", "frozen_anyway": True},
        {"epochs": 1, "side_px": 32},
    ]
    plan = planned(splits, memory_for(40), asked)
    assert counted(32).image_bytes > 2 * counted(16).image_bytes
    first, second, third = (stage.batch_size for stage in plan.stages)
    assert (first, third) == (32, 24)
    assert 8 <= second < 32, "as if nothing were frozen"


def test_a_size_for_all_stages_is_that_of_the_largest_images(splits: Splits) -> None:
    asked = content()
    del asked["train"]["epochs"]
    asked["stages"] = [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 32, "data_share": 0.5}]
    plan = planned(splits, memory_for(16, 32), asked)
    assert [stage.batch_size for stage in plan.stages] == [16, 16]
    assert [stage.batch_size for stage in planned(splits, AMPLE, asked).stages] == [32, 32], "half of the images"


def test_every_process_takes_the_number_of_the_first(splits: Splits) -> None:
    recipe = parse_recipe(content())
    found = sized(recipe, lambda each: make_plan(each, splits), agreed=lambda size: size // 2)
    assert found.train.batch_size == 32
    assert sized(found, lambda each: pytest.fail("nothing is left open")) is found


def test_a_run_has_the_number_and_is_the_run_of_that_number(tmp_path: Path) -> None:
    def recipe(size: object) -> Any:
        asked = content(batch_size=size, budget="0.5", epochs=2)
        asked["data"] |= {"subset": 300, "val": "none"}
        return parse_recipe(asked)

    with one_thread():
        fitted, given = fit(recipe("auto"), tmp_path / "fitted"), fit(recipe(16), tmp_path / "given")
    assert (fitted["state"], fitted["digest"]) == (given["state"], given["digest"])
    assert "batch_size = 16\n" in (tmp_path / "fitted" / "recipe.resolved.toml").read_text()
    assert resume(tmp_path / "fitted") == fitted
    with pytest.raises(RecipeError, match="a branch is given its batches; write a number"):
        branch_off(str(tmp_path / "fitted"), ["train.batch_size=auto"])


def test_a_rate_that_follows_needs_the_batch_that_it_is_for() -> None:
    with pytest.raises(RecipeError, match=r"lacks the batch of train\.lr"):
        parse_recipe(content(lr_scaling="linear"))


def test_a_comparison_gives_all_runs_one_size(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(parse_recipe(content()).to_toml())
    question = Question(file, vary=("train.lr=0.1,0.2",), seeds=2, budgets="")
    with pytest.raises(RecipeError, match="memory would choose other batches"):
        compare(question, tmp_path / "out", None)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
