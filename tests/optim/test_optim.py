"""Optimizers, schedules and averages as choices of a recipe."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer import optim
from fewer.core.errors import RecipeError
from fewer.optim.groups import parameter_groups
from fewer.optim.methods import OPTIMIZERS
from fewer.recipe.parse import parse_recipe
from parameter_kinds import DECAY, SCALE


def test_every_optimizer_is_a_choice_of_the_recipe() -> None:
    model = torch.nn.Linear(3, 1)
    for name in OPTIMIZERS.names():
        train = parse_recipe(
            {"data": {"source": "digits"}, "model": {"name": "lenet5"}}, [f"train.optimizer={name}", "train.lr=0.1"]
        ).train
        assert isinstance(train, OPTIMIZERS.params(name))
        built = optim.build_optimizer(train, parameter_groups(model, train.lr, DECAY, SCALE))
        assert type(built).__name__.lower() == name


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"optimizer": "adamw", "lr": 0.001, "momentum": 0.9},
            'unknown key "train.momentum"; it belongs to train.optimizer = "larc", "lars", "muon", "sgd"; "adamw" has',
        ),
        (
            {"betas": [0.9, 0.99]},
            'unknown key "train.betas"; it belongs to train.optimizer = "adamw", "lamb", "muon"; "sgd" has mom',
        ),
        ({"schedule": "one_cycle", "warmup": "10%"}, "cycle_peak"),
        ({"schedule": "one_cycle", "momentum": 0.8}, 'set that to "off"'),
        ({"schedule": "one_cycle", "cycle_momentum": [0.9, 0.8]}, "lower one comes first"),
        ({"step_gamma": 0.5}, 'belongs to train.schedule = "step"'),
        ({"schedule": "step", "step_every": "0%"}, "more than nothing"),
        ({"schedule": "step", "step_at": ["50%"], "step_every": "20%"}, "beside train.step_at"),
        ({"schedule": "step", "step_at": ["400ep"]}, "longer than the run"),
        ({"optimizer": "muon", "other_momentum": 0.8}, 'other_optimizer = "adamw"; leave it out, or set that to "sgd"'),
        (
            {"optimizer": "muon", "other_optimizer": "sgd", "other_momentum": 0.8, "schedule": "one_cycle"},
            'other_momentum = 0.8 has no effect beside train.cycle_momentum; set that to "off"',
        ),
        ({"optimizer": "adamv"}, 'unknown train.optimizer "adamv"; did you mean "adamw"'),
        ({"schedule": 3}, 'unknown train.schedule "3"; allowed: constant, cooldown, cosine'),
    ],
)
def test_keys_of_other_parts_are_unknown(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": keys})
