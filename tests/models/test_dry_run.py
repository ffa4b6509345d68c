"""Dry run of a model: the images that it does not take."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data


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
