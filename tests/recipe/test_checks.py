"""Keys that are right one by one but not together."""

from __future__ import annotations

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe

DIGITS = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}


def test_two_crops_and_turned_bounds_are_refused_together() -> None:
    augment = {"crop": "random_resized", "crop_padding_px": 2, "crop_scale": [0.5, 0.1], "crop_ratio": [2.0, 1.0]}
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**DIGITS, "augment": augment})
    message = str(caught.value)
    assert "crop_padding_px = 2" in message
    assert "crop_scale = [0.5, 0.1]" in message
    assert "crop_ratio = [2, 1]" in message
