"""Facts as they are gathered: what the model cannot do is a problem, not an error; free memory may be known already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotated import mask
from dense_data import box_data, mask_data
from fewer.core.errors import DataError, RecipeError
from fewer.plan.facts import DataFacts
from fewer.plan.gather import data_facts, gather_facts, machine_facts
from fewer.plan.model_facts import model_facts
from fewer.recipe.parse import parse_recipe
from fewer.session.build import build_model, build_optimizer, make_plan, open_data
from planning import recipe

DIGITS = DataFacts(100, 0, 0, tuple("0123456789"), 8)


def test_facts_of_digits() -> None:
    asked = recipe(stages=[{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 24}])
    found = gather_facts(asked, open_data(asked), processes=2, available=1000, scoring_side_px=20)
    assert found.data == data_facts(open_data(asked))
    assert sum(found.data.class_images) == found.data.train_images
    assert (found.data.native_side_px, len(found.data.classes)) == (8, 10)
    assert set(found.model.flops) == {16, 20, 24}
    assert found.model.plain_sample_flops == found.model.sample_flops(24, 0).training
    assert found.model.scoring_flops(24, 0) == found.model.flops[20][0].forward
    assert (found.machine.processes, found.machine.available_bytes) == (2, 1000)
    assert found.preparation is None


@pytest.mark.parametrize("sides", [(16, 24), (24, 16)])
def test_the_unit_of_cost_is_a_step_at_the_largest_side(sides: tuple[int, int]) -> None:
    asked = recipe(stages=[{"epochs": 1, "side_px": side, "evaluation_side_px": 32} for side in sides])
    found = model_facts(asked, DIGITS, None, None)
    unit = {side: entries[0].training for side, entries in found.flops.items()}
    assert found.plain_sample_flops == unit[24] != unit[16]
    assert set(unit) == {16, 24, 32}, "an evaluation's side is known too"


def test_threads_are_shared_among_processes() -> None:
    cores = machine_facts(1).cores
    assert machine_facts(2).threads == max(1, cores // 2)
    assert machine_facts(10 * cores).threads == 1


def test_a_side_that_the_model_does_not_take_is_a_problem() -> None:
    asked = recipe(stages=[{"epochs": 1, "side_px": 9}])
    (problem,) = model_facts(asked, DIGITS, None, None).problems
    assert problem.startswith('model.name = "lenet5": ')


def test_rates_that_fall_with_depth_are_told_and_reach_the_optimizer() -> None:
    asked = recipe(train={"lr": 0.1, "layer_lr_decay": 0.5, "head_lr_scale": 3.0}, stages=[{"epochs": 1}])
    plan = make_plan(asked, open_data(asked))
    assert "learning rates fall with depth over 5 blocks: from 1 at the head to 0.062" in plan.notes
    groups = build_optimizer(plan, build_model(plan)).param_groups
    rates = {name: group["base_lr"] for group in groups for name in group["names"]}
    head = next(reversed(plan.facts.model.layers))
    assert (rates["conv1.weight"], rates[f"{head}.weight"]) == pytest.approx((0.1 / 16, 0.3))


def test_a_name_that_no_layer_has_is_a_problem() -> None:
    asked = recipe(stages=[{"epochs": 1, "frozen": "conv11"}, {"epochs": 1, "frozen": "conv1"}])
    found = model_facts(asked, DIGITS, None, None)
    assert found.problems == ('stages.0.frozen: no layer of this model is called "conv11"; did you mean "conv1"?',)
    assert found.frozen_layers == (0, 1)
    assert found.sample_flops(32, 0, 1).training < found.sample_flops(32, 0).training


def test_a_task_that_data_model_or_sides_do_not_fit_says_what_would(tmp_path: Path) -> None:
    boxes = box_data(tmp_path, 6).split.source.name
    asked = {"data": {"source": boxes, "val": "none", "test": "none"}, "model": {"name": "ssdlite_mobilenet_v2"}}
    found = parse_recipe({**asked, "task": {"name": "segment"}, "train": {"side_px": 100, "batch_size": 2}})
    with pytest.raises(RecipeError) as caught:
        make_plan(found, open_data(found))
    model, data, side = caught.value.problems
    assert 'is made to detect, and task.name = "segment"; take one of its own: ' in model
    assert 'learns from masks, and data.source has boxes; set task.name = "detect", or' in data
    assert "steps of 32 px; use 96 or 128" in side


def test_an_id_of_masks_may_be_called_void(tmp_path: Path) -> None:
    source = mask_data(tmp_path, 6).split.source.name
    asked = {"data": {"source": source, "val": "none", "test": "none"}, "task": {"name": "segment"}}
    asked["model"] = {"name": "lraspp_mobilenet_v2"}
    plain, void = (
        open_data(parse_recipe({**asked, "data": {**asked["data"], **more}})) for more in ({}, {"ignore_index": 0})
    )
    assert (plain.classes, void.classes) == (["bee", "fly\u202e"], ["fly\u202e"])
    before, after = plain.train.source.read_mask(0), void.train.source.read_mask(0)
    assert ((before == 0) == (after == 255))[1:].all()
    assert ((before == 1) == (after == 0)).all()
    assert plain.fingerprint != void.fingerprint


def test_a_loss_that_weighs_classes_knows_their_pixels(tmp_path: Path) -> None:
    def pixels(content: dict[str, Any]) -> tuple[int, ...]:
        asked = parse_recipe(content)
        return make_plan(asked, open_data(asked)).facts.data.class_pixels

    data = mask_data(tmp_path, 6)
    content: dict[str, Any] = {
        "data": {"source": data.split.source.name, "val": "none", "test": "none"},
        "model": {"name": "lraspp_mobilenet_v2"},
        "task": {"name": "segment", "class_weights": "inverse"},
        "train": {"side_px": 64, "batch_size": 2},
    }
    masks = [data.split.source.read_mask(id) for id in range(6)]
    by_mask = [[int((mask_HW == each).sum()) for each in range(2)] for mask_HW in masks]
    assert pixels(content) == tuple(map(sum, zip(*by_mask, strict=True)))

    (tmp_path / "masks" / "5.png").write_bytes(mask([[0, 77]]))
    with pytest.raises(DataError, match="77"):
        pixels(content)
    content["data"]["damaged"] = "quarantine"
    assert pixels(content) == tuple(map(sum, zip(*by_mask[:5], strict=True)))


def test_a_net_is_counted_once_and_anew_where_something_that_counts_differs() -> None:
    asked = recipe(stages=[{"epochs": 1, "side_px": 16}])
    found = model_facts(asked, DIGITS, None, None)
    assert model_facts(recipe(train={"seed": 7}, stages=[{"epochs": 1, "side_px": 16}]), DIGITS, None, None) is found
    for other in (recipe(stages=[{"epochs": 1, "side_px": 20}]), recipe(model={"name": "cnn", "width": 0.1})):
        assert model_facts(other, DIGITS, None, None).plain_sample_flops != found.plain_sample_flops
    fewer_classes = replace(DIGITS, classes=DIGITS.classes[:3])
    assert model_facts(asked, fewer_classes, None, None).parameters < found.parameters
    assert set(model_facts(asked, DIGITS, None, 24).flops) == {16, 24}
