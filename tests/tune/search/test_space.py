"""Search spaces: what may be searched, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.recipe.schema import changed_keys
from fewer.tune.search.space import Space
from paths import ROOT


def test_the_command_line_goes_before_the_recipes_own_search(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.read_text() + '[search]\ntrain.lr = "log:1e-3..1"\ntrain.momentum = [0.8, 0.9]\n')
    space = Space.read(file, ["train.epochs=3"], ["train.lr=0.1,0.2", "train.batch_size=30,45"])
    assert [(axis.key, axis.text) for axis in space.axes] == [
        ("train.momentum", "0.8,0.9"),
        ("train.lr", "0.1,0.2"),
        ("train.batch_size", "30,45"),
    ]
    assert space.combinations == 8
    assert len({tuple(values.items()) for values in space.grid()}) == 8
    assert space.recipe.notes == (), "the search is its own here"


def test_a_range_has_whole_numbers_where_its_key_takes_no_others(recipe: Path) -> None:
    asked = ["train.epochs=2..8", "train.weight_decay=0..1", "train.lr=log:1e-3..1", "train.warmup=0ep..1ep"]
    space = Space.read(recipe, [], asked)
    assert [axis.whole for axis in space.axes] == [True, False, False, False]
    assert space.combinations is None
    assert [axis.written(3.7) for axis in space.axes[:2]] == ["3", "1"]


def test_a_trial_keeps_few_files_and_leaves_test_images_alone(recipe: Path) -> None:
    trial = Space.read(recipe, ["out.keep=5"], ["train.lr=0.1,0.2"]).trial({"train.lr": "0.2"})
    assert (trial.train.lr, trial.out.plots, trial.out.keep, trial.evaluate.test) == (0.2, False, 5, False)


def test_the_content_of_a_trial_is_the_recipe_with_its_values(recipe: Path) -> None:
    space = Space.read(recipe, [], ["train.lr=0.1,0.2"])
    assert parse_recipe(space.content({"train.lr": "0.2"})) == space.recipe_of({"train.lr": "0.2"})


def test_one_proxy_serves_all_trials(recipe: Path) -> None:
    """A proxy has what is searched in [train] as the recipe has it, unless it has a value of its own."""
    base = ["select.method=proxy", "train.lr=0.05", "select.proxy.train.momentum=0.8"]
    space = Space.read(recipe, base, ["train.weight_decay=0,0.1", "train.momentum=0.5,0.9", "train.batch_size=30,45"])
    trials = [space.recipe_of(values) for values in space.grid()]
    assert {trial.train.weight_decay for trial in trials} == {0.0, 0.1}
    decay = space.recipe.train.weight_decay
    assert all(t.select.proxy.train == {"momentum": 0.8, "weight_decay": decay} for t in trials)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("overrides", "search", "said"),
    [
        ([], [], "nothing to search: give --search"),
        ([], ["train.lrr=0.1,0.2"], r'--search train\.lrr=0\.1,0\.2: unknown key .*did you mean "train\.lr"'),
        ([], ["train.batch_size=30,none"], r"train\.batch_size = 'none'"),
        ([], ["train.epochs=0..5"], r"train\.epochs = 0: .*greater than or equal to 1"),
        ([], ["train.epochs=1.5..5"], r"train\.epochs = 1\.5"),
        ([], ["train.seed=0,1"], "the best seed is luck"),
        ([], ["out.keep=1,2"], r"no key of \[out\]"),
        ([], ["data.val=5%,10%"], "judged on the same images"),
        ([], ["evaluate.best=loss,top1"], "judged alike"),
        (["train.lr=0.1"], ["train.lr=0.1,0.2"], r"train\.lr is searched, and given"),
        (["data.val=none"], ["train.lr=0.1,0.2"], r'data\.val = "none": settings are chosen by validation images'),
        (
            ["train.schedule=cooldown", "train.epochs=10"],
            ["train.warmup=1ep,8ep", "train.cooldown=1ep,5ep"],
            r"^the combination train\.warmup=8ep, train\.cooldown=5ep: .*longer than the run",
        ),
    ],
)
def test_searches_that_mean_nothing_are_refused(
    recipe: Path, overrides: list[str], search: list[str], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        Space.read(recipe, overrides, search)


@pytest.mark.parametrize(
    ("name", "combinations"), [("lenet5-centralised.toml", 324), ("lenet5-centralised-adamw.toml", 60)]
)
def test_recipes_of_searches_are_searches_of_the_recipes_beside_them(name: str, combinations: int) -> None:
    space, beside = Space.read(ROOT / "recipes" / "tune" / name), load_recipe(ROOT / "recipes" / name)
    assert space.combinations == combinations
    values = {"train.lr": str(beside.train.lr), "train.weight_decay": str(beside.train.weight_decay)}
    found = space.recipe_of({**values, "train.batch_size": "64"})
    keys = [key for key, _, _ in changed_keys(beside, found)]
    assert keys == ["train.bias_weight_decay"], "which no search of another key can follow"
