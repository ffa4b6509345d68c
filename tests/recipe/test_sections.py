"""Sections that are composed of the keys of the parts that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.core.config import Section
from fewer.core.errors import RecipeError
from fewer.core.sections import compose, parse_section
from fewer.optim import AVERAGES, OPTIMIZERS, SCHEDULES
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.recipe.schema import Recipe, TrainRecipe
from fewer.select import METHODS, MethodParams
from fewer.session.build import make_plan, open_data

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
        "train.epochs: train.epochs = 0: input should be greater than or equal to 1; the default is 10",
        "train.momentum: train.momentum = 2.0: input should be less than 1; the default is 0.9",
    ]


def test_a_key_of_a_section_that_stands_alone_is_checked_as_in_a_recipe() -> None:
    parsed = parse_section(MethodParams, {"method": "dbpd", "treshold": 0.3}, "select", lambda path: "here")
    assert parsed.problems == ['here: unknown key "select.treshold"; did you mean "select.threshold"?']
    parsed = parse_section(MethodParams, 3, "select", lambda path: "here")
    assert parsed.problems == ['here: "select" is a section, not a value; write [select] and its keys below']


# As version 0.1 wrote them into run folders: keys without effect left out, the first spelling of `full`.
OF_BEFORE = """
[data]
source = "digits"
[model]
name = "lenet5"
[task]
name = "classify"
loss = "cross_entropy"
class_weights = "none"
flip_tta = false
[select]
method = "everything"
revision = "0ep"
[sync]
method = "every_step"
"""


@pytest.mark.parametrize(
    "train",
    [
        'optimizer = "sgd"\nmomentum = 0.9\nnesterov = true\nschedule = "linear"\nwarmup = "5%"\nema = "off"',
        'optimizer = "adamw"\nlr = 0.1\nbetas = [0.9, 0.999]\neps = 1e-8\nschedule = "constant"\nfinal = 0.0',
        'schedule = "step"\nwarmup = "5%"\nfinal = 0.0\nstep_at = ["50%"]\nlookahead = {start = "3ep"}',
        'schedule = "one_cycle"\nnesterov = true\nfinal = 0.0\ncycle_peak = "30%"\ncycle_momentum = [0.85, 0.95]',
        'schedule = "one_cycle"\nmomentum = 0.9\nwarmup_start = 0.1\ncycle_momentum = "off"\nema = "1ep"',
    ],
)
def test_recipes_that_run_folders_hold_are_read(tmp_path: Path, train: str) -> None:
    path = tmp_path / "recipe.resolved.toml"
    path.write_text(f"{OF_BEFORE}[train]\n{train}\n")
    recipe = load_recipe(path)
    assert recipe.select == METHODS.params("full")()
    path.write_text(recipe.to_toml())
    again = load_recipe(path)
    assert again == recipe
    assert recipe.notes == (f'{path}:12: select.method = "everything" is now called "full"',)
    assert again.notes == (), "what is written out has today's spelling"


def test_the_note_of_a_deprecated_spelling_names_the_argument() -> None:
    recipe = parse_recipe(BASE, ["select.method=everything"])
    assert recipe.notes == ('argument "select.method=everything": select.method = "everything" is now called "full"',)
    assert recipe == parse_recipe(BASE)
    assert make_plan(recipe, open_data(recipe)).notes[:1] == recipe.notes, "shown with the plan"


def test_durations_anywhere_in_a_section_must_fit_into_the_run() -> None:
    keys = ["train.lookahead.start=20ep", "train.schedule=step", 'train.step_at=["1ep", "30ep"]', "train.ema=5min"]
    with pytest.raises(RecipeError) as caught:
        parse_recipe(BASE, keys)
    said = [problem.partition(": ")[2].partition(" = ")[0] for problem in caught.value.problems]
    assert said == ["train.step_at.1", "train.ema", "train.lookahead.start"]


def test_a_recipe_made_of_sections_is_whole() -> None:
    recipe = parse_recipe(BASE, ["train.schedule=cosine"])
    assert isinstance(recipe, Recipe)
    assert recipe.model_dump()["train"]["warmup"] == "5%"
    assert recipe.model_dump(exclude={"train": {"warmup"}}, exclude_defaults=True)["train"] == {"schedule": "cosine"}
