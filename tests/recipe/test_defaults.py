"""Defaults that depend on what else a recipe says."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.recipe.defaults import FINE_TUNING, FROM_SCRATCH
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.recipe.schema import Recipe

RANDOM = {"name": "lenet5"}
GIVEN = {"name": "lenet5", "weights": "elsewhere.pt"}


def recipe(model: dict[str, Any], **train: Any) -> Recipe:
    return parse_recipe({"data": {"source": "digits"}, "model": model, "train": train})


def test_given_weights_are_fine_tuned_and_the_recipe_says_so() -> None:
    found = recipe(GIVEN)
    assert found.train.optimizer == "adamw"
    taken = {key: str(value) for key, value in FINE_TUNING["adamw"].items()}
    assert {key: str(getattr(found.train, key)) for key in taken} == taken
    (note,) = found.notes
    assert "train.lr is left out" in note
    assert 'optimizer = "adamw"' in note
    assert "lr = 0.001" in note


@pytest.mark.parametrize(
    ("model", "train", "optimizer", "lr"),
    [
        (RANDOM, {}, "sgd", 0.1),
        (RANDOM, {"optimizer": "adamw"}, "adamw", FROM_SCRATCH["adamw"]["lr"]),
        (GIVEN, {"lr": 0.03}, "sgd", 0.03),
        (GIVEN, {"optimizer": "sgd"}, "sgd", FINE_TUNING["sgd"]["lr"]),
        (GIVEN, {"optimizer": "muon"}, "muon", FROM_SCRATCH["muon"]["lr"]),
        (GIVEN, {"momentum": 0.8}, "sgd", FINE_TUNING["sgd"]["lr"]),
        (GIVEN, {"schedule": "one_cycle"}, "adamw", FINE_TUNING["adamw"]["lr"]),
    ],
)
def test_what_is_stated_decides_which(model: dict[str, Any], train: dict[str, Any], optimizer: str, lr: float) -> None:
    found = recipe(model, **train)
    assert (found.train.optimizer, found.train.lr) == (optimizer, lr)
    assert all(getattr(found.train, key) == value for key, value in train.items()), "what is given stays"


def test_a_stated_rate_leaves_all_other_defaults_alone() -> None:
    assert not recipe(GIVEN, lr=0.03).notes
    assert recipe(GIVEN, lr=0.03).train == recipe(RANDOM, lr=0.03).train


def test_single_keys_win_over_the_set(tmp_path: Any) -> None:
    found = recipe(GIVEN, batch_size=7, head_lr_scale=1.0)
    assert (found.train.batch_size, found.train.head_lr_scale) == (7, 1.0)
    (tmp_path / "resolved.toml").write_text(found.to_toml())
    again = load_recipe(tmp_path / "resolved.toml")
    assert (again.train, again.notes) == (found.train, ()), "a run folder's recipe says all that was taken"
