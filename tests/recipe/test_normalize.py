"""`data.normalize` as a word or as numbers."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.normalize import NormalizeRecipe
from fewer.recipe.parse import parse_recipe

GREY = [0.5, 0.5, 0.5]


def normalize(value: Any, *overrides: str) -> Any:
    data = {"source": "digits", **({} if value is None else {"normalize": value})}
    return parse_recipe({"data": data, "model": {"name": "lenet5"}}, overrides).data.normalize


def test_numbers_come_from_the_recipe_or_the_command_line() -> None:
    asked = NormalizeRecipe(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert normalize({"mean": GREY, "std": [0.25] * 3}) == asked
    assert normalize(None, "data.normalize={ mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }") == asked
    assert normalize(None) == "auto"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("imagnet", "input should be 'auto', 'dataset' or 'imagenet'"),
        (GREY, "input should be 'auto', 'dataset' or 'imagenet'"),
        ({"mean": GREY}, '"data.normalize.std" is missing'),
        ({"mean": GREY, "std": [0.2, 0.2]}, "data.normalize.std = [0.2, 0.2]: 2 numbers for 3 channels"),
        ({"mean": [123.675, 116.28, 103.53], "std": GREY}, "divide by 255, e.g. 0.485"),
        ({"mean": GREY, "std": [0, 1, 1]}, "data.normalize.std.0 = 0: input should be greater than 0"),
        ({"mean": GREY, "stdd": GREY, "std": GREY}, 'did you mean "data.normalize.std"?'),
    ],
)
def test_a_problem_is_told_of_what_was_meant(value: Any, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        normalize(value)
    assert said in str(caught.value)
    assert "branch" not in str(caught.value)


def test_an_unknown_key_may_look_like_a_type() -> None:
    with pytest.raises(RecipeError, match='unknown key "int"'):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "int": 3})
