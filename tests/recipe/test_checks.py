"""Keys that are right one by one but not together."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe

DIGITS = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"augment": {"mix_share": 0.5}}, "augment.mix_share = 0.5 has no effect without augment.mixup_alpha or"),
        ({"augment": {"cutmix_alpha": 1.0, "cutmix_share": 0.7}}, "only one of them has an alpha; leave it out"),
        ({"augment": {"mixup_alpha": -1.0}}, "augment.mixup_alpha"),
        ({"augment": {"mixup_alpha": 0.2, "mix_until": "5step"}}, 'only "ep" and "%" are known before training'),
        ({"augment": {"mixup_alpha": 0.2, "mix_until": "99ep"}}, "longer than the run of 10 epochs"),
        ({"augment": {"mixup_alpha": 0.2}, "task": {"loss": "focal"}}, 'task.loss = "focal" is defined for one label'),
        ({"stages": [{"epochs": 2}, {"epochs": 2, "mix": 0.5}]}, "stages.1.mix = 0.5 has no effect"),
        ({"augment": {"mixup_alpha": 0.2}, "stages": [{"epochs": 2, "mix": 1.5}]}, "stages.0.mix = 1.5"),
        ({"stages": [{"epochs": 1, "strength": [0.5, 1.0]}]}, "the stage has one; give it epochs = 2 or more"),
        ({"stages": [{"epochs": 2, "strength": 1.5}]}, "stages.0.strength = 1.5"),
        ({"stages": [{"epochs": 2, "strength": [0.5]}]}, "a number from 0 to 1, or two"),
        ({"stages": [{"epochs": 2, "strength": [0.5, 2.0]}]}, "stages.0.strength"),
        ({"stages": [{"epochs": 2, "strength": True}]}, "stages.0.strength"),
    ],
)
def test_mixing_that_cannot_be_is_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**DIGITS, **content})
    assert [said in problem for problem in caught.value.problems] == [True]


def test_two_crops_and_turned_bounds_are_refused_together() -> None:
    augment = {"crop": "random_resized", "crop_padding_px": 2, "crop_scale": [0.5, 0.1], "crop_ratio": [2.0, 1.0]}
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**DIGITS, "augment": augment})
    message = str(caught.value)
    assert "crop_padding_px = 2" in message
    assert "crop_scale = [0.5, 0.1]" in message
    assert "crop_ratio = [2, 1]" in message


def test_averages_that_cannot_follow_syncs_are_refused_with_local_methods() -> None:
    content = {**DIGITS, "train": {"lookahead": {}, "ema": "1ep"}, "sync": {"method": "local_sgd"}}
    with pytest.raises(RecipeError, match=r"train\.lookahead needs equal weights behind every step") as caught:
        parse_recipe(content)
    assert len(caught.value.problems) == 1
    parse_recipe({**content, "train": {"ema": "1ep"}})
