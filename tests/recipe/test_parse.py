"""Whatever stands in a recipe or on the command line: a recipe, or a `RecipeError` that names what is wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.recipe.schema import Recipe
from fewer.select import METHODS

KEYS = st.sampled_from(
    [*Recipe.model_fields, "source", "name", "epochs", "lr", "method", "share", "warmup", "dir", "0", "ema", "val"]
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.sampled_from(["digits", "lenet5", "random", "dbpd", "5%", "0%", "1ep", "0ep", "9ep", "folder:\0", "folder:~x"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, st.text(max_size=9)), inner)),
    max_leaves=8,
)
CONTENT = st.dictionaries(st.one_of(KEYS, st.text(max_size=9)), VALUES, max_size=5)
OVERRIDES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.builds("{}.{}={}".format, KEYS, KEYS, st.one_of(st.text(max_size=9), SCALARS)),
        st.builds("{}={}".format, KEYS, st.sampled_from(["3", "[]", "{}", "[{}]", "[[]]", "''", "{a=", "inf", "nan"])),
        st.builds("stages.{}.{}=3".format, st.one_of(st.integers(), st.text(max_size=3)), KEYS),
    ),
    max_size=3,
)
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def checked(content: dict[str, Any], overrides: list[str]) -> None:
    problems: list[str] = []
    try:
        recipe = parse_recipe(content, overrides)
        assert parse_recipe(recipe.model_dump(mode="json", exclude_none=True)) == recipe
    except RecipeError as error:
        problems = error.problems
    assert all(problem.isprintable() and 0 < len(problem) < 1000 for problem in problems), problems


@MANY
@given(CONTENT, OVERRIDES)
def test_any_content(content: dict[str, Any], overrides: list[str]) -> None:
    checked(content, overrides)


@MANY
@given(st.sampled_from(["data", "model", "train", "select", "stages", "out", "augment"]), VALUES, OVERRIDES)
def test_one_section_of_a_sound_recipe(section: str, value: Any, overrides: list[str]) -> None:
    checked({"data": {"source": "digits"}, "model": {"name": "lenet5"}, section: value}, overrides)


@MANY
@given(st.dictionaries(KEYS, SCALARS, max_size=2), st.sampled_from(["data", "train", "select", "model", "out"]))
def test_single_values_in_a_sound_recipe(values: dict[str, Any], section: str) -> None:
    sound = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}
    checked({**sound, section: {**sound.get(section, {}), **values}}, [])


@MANY
@given(text=st.one_of(st.text(), st.binary(max_size=60)))
def test_any_file(tmp_path_factory: Any, text: str | bytes) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "any.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    with contextlib.suppress(RecipeError):
        load_recipe(path)


@pytest.mark.parametrize(
    ("section", "override"),
    [
        ({"source": "folder:\0"}, ""),
        ({"source": "folder:~nobody-here/x"}, ""),
        ({"source": "x" * 100_000}, ""),
        ({"source": "a\nb"}, ""),
        ({"k" * 100_000: 1}, ""),
        ({"a\n\x1b[31mb": 1}, ""),
        ({}, "train.lr=" + "[" * 20_000),
        ({}, "train.lr=" + "9" * 5_000),
        ({}, "train.epochs=" + "9" * 400),
        ({}, "train.epochs=1000000000"),
        ({}, "train.warmup=" + "9" * 400 + "ep"),
        ({}, "train.lr=\ud800"),
        ({}, "a." * 5_000 + "b=1"),
        ({}, 'out.dir="\\u0000"'),
        ({}, 'train.epochs="3"'),
        ({}, "train.batch_size=true"),
        ({}, "train.nesterov=1"),
        ({}, 'train.lr="0.1"'),
        ({}, "data.split_seed=-1"),
    ],
)
def test_malicious_values_get_one_readable_line(section: dict[str, Any], override: str) -> None:
    content = {"data": {"source": "digits", **section}, "model": {"name": "lenet5"}}
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content, [override] if override else [])
    assert all(problem.isprintable() and len(problem) < 1000 for problem in caught.value.problems)


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
    assert recipe.notes == (
        f"{path}:10: task.flip_tta is now called task.tta",
        f'{path}:12: select.method = "everything" is now called "full"',
    )
    assert again.notes == (), "what is written out has today's spelling"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lookahead=", {"lookahead": None, "lr": 0.5}),  # a section, which cannot be given as a value
        ("train.lr=", {"lr": None}),
        ("train=", {"lr": None, "lookahead": None}),
    ],
)
def test_nothing_behind_a_key_takes_it_out(override: str, expected: dict[str, Any]) -> None:
    content = {
        "data": {"source": "digits"},
        "model": {"name": "lenet5"},
        "train": {"lr": 0.5, "lookahead": {"every_steps": 2}},
    }
    plain = parse_recipe({"data": content["data"], "model": content["model"]})
    train = parse_recipe(content, [override]).train
    for key, value in expected.items():
        assert getattr(train, key) == (getattr(plain.train, key) if value is None else value)
    assert content["train"] == {"lr": 0.5, "lookahead": {"every_steps": 2}}


@pytest.mark.parametrize("override", ["train.lookahed=", "trian=", "sync.method=", "data.source.x="])
def test_what_is_not_there_cannot_be_taken_out(override: str) -> None:
    content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": {"lookahead": {}}}
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content, [override])
    assert override in str(caught.value)
    assert ("nearest: " in str(caught.value)) == (override in ("train.lookahed=", "trian="))


def test_stages_are_taken_out_one_by_one() -> None:
    stages = [{"epochs": 1, "side_px": 24}, {"epochs": 2, "side_px": 32}]
    content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "stages": stages}
    assert [stage.epochs for stage in parse_recipe(content, ["stages.0="]).stages] == [2]
    assert not parse_recipe(content, ["stages="]).stages
    with pytest.raises(RecipeError, match="no such entry"):
        parse_recipe(content, ["stages.7="])


@pytest.mark.parametrize("value", ["1e308", "inf", "nan"])
def test_a_number_that_overflows_fp32_is_refused(value: str) -> None:
    with pytest.raises(RecipeError, match=r"train.lr = .*(numbers go up to 1e\+30|finite number)"):
        parse_recipe({"data": {"source": "digits"}}, [f"train.lr={value}"])
