"""Axes of a search: lists and ranges, on the command line and in a recipe's `[search]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe
from fewer.recipe.search_section import axes_asked, axes_of

RECIPE = '[data]\nsource = "digits"\n[model]\nname = "lenet5"\n[train]\nlr = 0.05\n[search]\n'


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("train.batch_size=64, 128,256", ("64", "128", "256")),
        ("train.schedule=cosine,linear", ("cosine", "linear")),
        ("train.schedule_span=100ep,150ep", ("100ep", "150ep")),
        ("train.cycle_momentum=[0.8,0.9],[0.85,0.95]", ("[0.8,0.9]", "[0.85,0.95]")),
        ("model.weights=../a.safetensors,../b.safetensors", ("../a.safetensors", "../b.safetensors")),
        ("train.lr=0.1", ("0.1",)),
    ],
)
def test_lists(text: str, choices: tuple[str, ...]) -> None:
    (axis,) = axes_asked([text])
    assert axis.choices == choices == axis.ends


@pytest.mark.parametrize(
    ("text", "low", "high", "unit", "log"),
    [
        ("train.lr=log:1e-3..1e0", 0.001, 1.0, "", True),
        ("train.momentum=.8 .. 0.99", 0.8, 0.99, "", False),
        ("train.epochs=5..20", 5.0, 20.0, "", False),
        ("train.warmup=1ep..5ep", 1.0, 5.0, "ep", False),
        ("train.warmup=0..20%", 0.0, 20.0, "%", False),
    ],
)
def test_ranges(text: str, low: float, high: float, unit: str, log: bool) -> None:
    (axis,) = axes_asked([text])
    assert (axis.choices, axis.low, axis.high, axis.unit, axis.log) == ((), low, high, unit, log)


def test_drawn_values_are_written_in_four_digits_within_their_ends() -> None:
    (axis,) = axes_asked(["train.lr=log:0.0010004..0.99999"])
    assert [axis.written(value) for value in (0.012345678, 0.00100041, 0.999989)] == ["0.01235", "0.0010004", "0.99999"]
    (axis,) = axes_asked(["train.warmup=1ep..5ep"])
    assert axis.written(2.34567) == "2.346ep"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.lr", "a search is a key and its values"),
        ("=3", "a search is a key and its values"),
        ("train.lr=", "a value is missing"),
        ("train.lr=1,,2", "a value is missing"),
        ("train.lr=0.1,0.1", "0.1 is given twice"),
        ("train.lr=1..0", r"an empty range; write 0\.\.1"),
        ("train.lr=1..1", r"an empty range; for one value write train\.lr=1"),
        ("train.lr=log:0..1", r"begins above 0; write log:1e-4\.\.1"),
        ("train.lr=log:0.1,0.2", r"no range; write two numbers"),
        ("train.lr=1e-3..", r"no range; write two numbers"),
        ("train.warmup=1ep..3%", r"have one unit; write 1ep\.\.3ep"),
        ("train.lr=0..1e999", "too large"),
    ],
)
def test_axes_that_are_none_are_refused(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=rf"^--search .*{said}"):
        axes_asked([text])


def test_a_key_is_searched_once() -> None:
    with pytest.raises(RecipeError, match=r"train\.lr is searched twice"):
        axes_asked(["train.lr=0.1,0.2", "train.lr=log:1e-3..1"])


@pytest.mark.parametrize(
    "text",
    [
        '"train.lr" = "log:1e-3..1"\n"train.schedule" = ["cosine", "linear"]\n',
        'train.lr = "log:1e-3..1"\ntrain.schedule = ["cosine", "linear"]\n',
        '[search.train]\nlr = "log:1e-3..1"\nschedule = ["cosine", "linear"]\n',
    ],
)
def test_a_section_and_the_command_line_say_the_same(text: str, tmp_path: Path) -> None:
    import tomllib

    section = tomllib.loads(RECIPE + text)["search"]
    found = axes_of(section, lambda path: "here", tmp_path)
    asked = axes_asked(["train.lr=log:1e-3..1", "train.schedule=cosine,linear"])
    assert [(a.key, a.text, a.choices, a.low, a.log) for a in found] == [
        (a.key, a.text, a.choices, a.low, a.log) for a in asked
    ]


def test_values_of_a_section_that_need_quotes_have_them_and_paths_start_at_the_recipe(tmp_path: Path) -> None:
    section: Any = {"model.weights": ["a.safetensors", "default"], "x.y": ["two words", True, 3, "3", {"a": [1, "b"]}]}
    weights, other = axes_of(section, lambda path: "here", tmp_path)
    assert weights.choices == (str(tmp_path / "a.safetensors"), "default")
    assert other.choices == ('"two words"', "true", "3", '"3"', '{ "a" = [1, "b"] }')


def test_training_says_that_a_search_is_not_its_own(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE + '"train.lr" = "log:1e-3..1"\n')
    recipe = load_recipe(file)
    assert recipe.train.lr == 0.05
    assert recipe.notes == (f"{file}:7: [search] is for `fewer tune`; here the recipe's own values are taken",)
    assert "search" not in recipe.to_toml()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('train.lr = "log:0..1"\n', r'recipe\.toml:8: search\.train\.lr = "log:0\.\.1": a range by ratios'),
        ("train.lr = 0.1\n", r"recipe\.toml:8: search\.train\.lr = 0\.1: give a list"),
        ("train.lr = []\n", r"search\.train\.lr = \[\]: a value is missing"),
    ],
)
def test_a_wrong_search_is_refused_wherever_the_recipe_is_read(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE + text)
    with pytest.raises(RecipeError, match=said):
        load_recipe(file)
    with pytest.raises(RecipeError, match='"search" is a section'):
        load_recipe(file, ["search=3"])
