"""Recipes that come with the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fewer.recipe import shipped
from fewer.recipe.parse import parse_recipe

TEXT = """# Header.
[data]
source = "digits"  # where from

[train]
epochs = 4      # few
# lr = 0.1

[out]
plots = true
"""


@pytest.mark.parametrize("name", shipped.names())
def test_each_is_a_whole_recipe_whose_header_says_what_it_is(name: str) -> None:
    text = shipped.text(name)
    parse_recipe(tomllib.loads(text))
    header = text.partition("\n[")[0]
    assert all(line.startswith("#") for line in header.strip().splitlines())
    assert all(word in header for word in ("fewer train ", "Time:", "Result:"))


def test_an_unknown_one_is_answered_with_the_nearest() -> None:
    with pytest.raises(KeyError, match='did you mean "photos-finetune"'):
        shipped.text("finetune")


def test_values_are_fitted_into_the_text_and_comments_stay(tmp_path: Path) -> None:
    path = 'C:\\photos "new"'
    text = shipped.fitted(
        TEXT,
        {
            ("data", "source"): path,
            ("train", "epochs"): 12,
            ("train", "lr"): 0.5,
            ("augment", "crop_scale"): [0.5, 1.0],
            ("data", "normalize"): {"mean": [0.5, 0.5, 0.5], "std": [0.1, 0.1, 0.1]},
            ("out", "plots"): False,
        },
    )
    assert tomllib.loads(text) == {
        "data": {"source": path, "normalize": {"mean": [0.5] * 3, "std": [0.1] * 3}},
        "train": {"epochs": 12, "lr": 0.5},
        "augment": {"crop_scale": [0.5, 1.0]},
        "out": {"plots": False},
    }
    for comment in ("# Header.", "# where from", "epochs = 12     # few", "# lr = 0.1"):
        assert comment in text
