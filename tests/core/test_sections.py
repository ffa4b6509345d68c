"""Sections that are composed of the keys of the parts that they name."""

from __future__ import annotations

import pytest

from fewer.core.config import Section
from fewer.core.errors import RecipeError
from fewer.core.sections import compose, parse_section
from fewer.optim import AVERAGES, OPTIMIZERS, SCHEDULES
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import TrainRecipe
from fewer.select import METHODS, MethodParams

BASE = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}


def test_a_section_is_one_of_each_of_its_parts() -> None:
    train = parse_recipe({**BASE, "train": {"optimizer": "adamw", "lr": 0.01, "schedule": "step", "ema": "1ep"}}).train
    parts = [OPTIMIZERS.params("adamw"), SCHEDULES.params("step"), AVERAGES.params("ema"), TrainRecipe]
    assert all(isinstance(train, part) for part in parts)
    assert not isinstance(train, OPTIMIZERS.params("sgd"))
    assert not hasattr(train, "momentum")
    assert list(type(train).model_fields)[:3] == ["optimizer", "schedule", "epochs"], "what it always has comes first"
    assert type(train) is type(parse_recipe({**BASE, "train": {**train.model_dump(mode="json")}}).train), "cached"


def test_a_section_with_one_part_is_that_part() -> None:
    assert type(parse_recipe({**BASE, "select": {"method": "dbpd"}}).select) is METHODS.params("dbpd")


def test_two_parts_cannot_have_one_key() -> None:
    class Mine(Section):
        momentum: float = 0.5

    with pytest.raises(TypeError, match='both have a key "momentum"'):
        compose(TrainRecipe, OPTIMIZERS.params("sgd"), Mine)


def test_all_problems_of_a_section_come_at_once() -> None:
    values = {"optimizer": "sdg", "momentum": 2.0, "epochs": 0, "schedule": "stepp", "epoch": 3}
    section, problems, _ = parse_section(TrainRecipe, values, "train", ".".join)
    assert section is None
    assert problems == [
        'train.optimizer: unknown train.optimizer "sdg"; did you mean "sgd"?',
        'train.schedule: unknown train.schedule "stepp"; did you mean "step"?',
        "train.epochs: train.epochs = 0: input should be greater than or equal to 1, e.g. 10",
        "train.momentum: train.momentum = 2.0: input should be less than 1, e.g. 0.9",
    ]


def test_a_key_of_a_section_that_stands_alone_is_checked_as_in_a_recipe() -> None:
    parsed = parse_section(MethodParams, {"method": "dbpd", "treshold": 0.3}, "select", lambda path: "here")
    assert parsed.problems == ['here: unknown key "select.treshold"; did you mean "select.threshold"?']
    parsed = parse_section(MethodParams, 3, "select", lambda path: "here")
    assert parsed.problems == [
        'here: "select" is a section, not a value; give its keys, as select.KEY=VALUE or in lines below [select]'
    ]


def test_durations_anywhere_in_a_section_must_fit_into_the_run() -> None:
    keys = ["train.lookahead.start=20ep", "train.schedule=step", 'train.step_at=["1ep", "30ep"]', "train.ema=5min"]
    with pytest.raises(RecipeError) as caught:
        parse_recipe(BASE, keys)
    said = [problem.partition(": ")[2].partition(" = ")[0] for problem in caught.value.problems]
    assert said == ["train.step_at.1", "train.ema", "train.lookahead.start"]
