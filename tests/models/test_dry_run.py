"""Dry run of a model: the images that it does not take."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from fewer import models, tasks
from fewer.core.errors import RecipeError
from fewer.models import dry_run
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data
from fewer.testing.harness import trained


@pytest.mark.parametrize(
    ("model", "sides", "said"),
    [
        ({"name": "vit_b_32"}, [100], "does not take images of 100 px.*set side_px = 96"),
        ({"name": "vit_b_32"}, [32, 64], "one side, here 64 px.*side_px = 64"),
        ({"name": "inception_v3"}, [64], "set side_px = 75"),
        ({"name": "lenet5"}, [12], "does not take images of 12 px"),
        ({"name": "vgg11", "stem": "small"}, [64], "no first layer that reduces"),
        ({"name": "vit_b_32", "stem": "small"}, [64], "patches of 32 px"),
        ({"name": "resnet18", "dropout": 0.1}, [64], "resnet18.*no dropout"),
    ],
)
def test_what_a_model_cannot_do_is_said_with_a_fix(model: dict[str, Any], sides: list[int], said: str) -> None:
    stages = [{"epochs": 1, "side_px": side} for side in sides]
    recipe = parse_recipe({"data": {"source": "digits"}, "model": model, "stages": stages})
    with pytest.raises(RecipeError, match=said):
        make_plan(recipe, open_data(recipe))


@pytest.mark.parametrize(("name", "low", "high"), [("resnet18", 0, 0), ("mobilenet_v2", 0.3, 0.4)])
def test_numbers_of_depthwise_convolutions_are_counted(name: str, low: float, high: float) -> None:
    task, params = tasks.module("classify").plain(("a", "b")), models.params(name)(name=name)
    share = dry_run.depthwise_share(dry_run.take(params, 2, [64], task), 64, task)
    assert low <= share <= high


def test_a_depthwise_convolution_that_halves_gives_a_quarter_of_its_input() -> None:
    """16 x 64 x 64, then 16 x 32 x 32, then ten classes."""
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, 2, 1, groups=16), nn.Flatten(), nn.Linear(16 * 32 * 32, 10)
    ).to("meta")
    task = tasks.module("classify").plain(tuple(map(str, range(10))))
    assert dry_run.depthwise_share(model, 64, task) == 16 * 32**2 / (16 * 64**2 + 16 * 32**2 + 10)


def test_nets_so_narrow_that_onednn_fails_on_them_are_trained_with_their_channels_first() -> None:
    content: dict[str, Any] = {
        "data": {"source": "digits", "test": "93%", "val": "none"},
        "model": {"name": "resnet18_cifar", "width": 0.125},
        "train": {"batch_size": 31},  # two threads share an odd batch: what failed first
        "stages": [{"epochs": 2, "side_px": 16}],
    }
    plan = trained(content).run.plan
    assert (plan.facts.model.narrow_strides, plan.channels_last) == (True, False)
    for change, warned in (({"channels_last": "yes"}, True), ({"channels_last": "no"}, False)):
        recipe = parse_recipe({**content, "train": {**content["train"], **change}})
        assert any("oneDNN" in note for note in make_plan(recipe, open_data(recipe)).notes) == warned
    wider = parse_recipe({**content, "model": {"name": "resnet18_cifar", "width": 0.25}})
    assert make_plan(wider, open_data(wider)).channels_last
