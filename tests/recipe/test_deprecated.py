"""Deprecated keys: read as today's with a note, with the same digest, and never silently lost."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data

BASE: dict[str, Any] = {"data": {"source": "digits"}, "model": {"name": "cnn", "width": 0.1}}
GUARDED: dict[str, Any] = {"method": "dbpd", "threshold": 0.3}
THEN = {"noise_cap": 0.05}  # defaults of 0.1 that have changed, and results with them
BEFORE: dict[str, Any] = {**GUARDED, "refresh_every": 0, "guards": THEN}


def digest(content: dict[str, Any]) -> str:
    recipe = parse_recipe({**BASE, **content}, ["train.precision=fp32"])  # "auto" depends on the machine
    return make_plan(recipe, open_data(recipe)).digest


def test_old_keys_are_read_with_a_note() -> None:
    old = parse_recipe({**BASE, "out": {"evaluate_every": 3}, "select": {**GUARDED, "guards": {"batchnorm_images": 9}}})
    assert (old.evaluate.every, old.evaluate.batchnorm_images) == (3, 9)
    assert [note.partition(": ")[2] for note in old.notes] == [
        "out.evaluate_every is now called evaluate.every",
        "select.guards.batchnorm_images is now called evaluate.batchnorm_images",
    ]
    assert parse_recipe({**BASE, "evaluate": {"every": 3}}).notes == ()


@pytest.mark.parametrize(("old", "new"), [(True, "flip"), (False, "none")])
def test_mirror_images_are_one_of_several_views_now(old: bool, new: str) -> None:
    asked = parse_recipe({**BASE, "task": {"flip_tta": old}})
    assert asked.task.tta == new  # type: ignore[attr-defined]
    assert [note.partition(": ")[2] for note in asked.notes] == ["task.flip_tta is now called task.tta"]
    assert parse_recipe({**BASE, "task": {"tta": "flip_and_shift"}}, [f"task.flip_tta={str(old).lower()}"]) == asked


def test_the_metric_that_decides_may_be_asked_for_under_out() -> None:
    asked = parse_recipe(BASE, ["out.best_by=macro_f1"])
    assert asked.evaluate.best == "macro_f1"
    assert asked.notes[0].endswith("out.best_by is now called evaluate.best")


def test_a_wrong_value_is_reported_at_the_place_where_it_was_written() -> None:
    with pytest.raises(RecipeError, match=r'argument "out.evaluate_every=-1": evaluate.every = -1'):
        parse_recipe(BASE, ["out.evaluate_every=-1"])


def test_a_key_in_both_forms_is_an_unknown_one() -> None:
    with pytest.raises(RecipeError, match=r'unknown key "out\.evaluate_every"'):
        parse_recipe({**BASE, "out": {"evaluate_every": 3}, "evaluate": {"every": 2}})


@pytest.mark.parametrize(
    ("content", "overrides"),
    [
        ({"evaluate": {"every": 2}}, ["out.evaluate_every=3"]),
        ({"out": {"evaluate_every": 2}}, ["evaluate.every=3"]),
        ({}, ["evaluate.every=2", "out.evaluate_every=3"]),
        ({}, ["out.evaluate_every=2", "evaluate.every=3"]),
    ],
)
def test_an_override_wins_over_an_earlier_value_in_the_other_spelling(
    content: dict[str, Any], overrides: list[str]
) -> None:
    assert parse_recipe({**BASE, **content}, overrides).evaluate.every == 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "5739d437e8121142"),
        ({"out": {"evaluate_every": 3}}, "5739d437e8121142"),
        ({"select": BEFORE}, "93a1a8052760b050"),
        ({"select": {**BEFORE, "guards": {**THEN, "batchnorm_images": 9}}}, "87e600af8e93e0f3"),
        ({"select": BEFORE, "evaluate": {"batchnorm_images": 9}}, "87e600af8e93e0f3"),
        ({"select": {**BEFORE, "guards": "off"}}, "6dd74498024fbd07"),
        ({"select": {**BEFORE, "guards": {**THEN, "batchnorm_images": 0}}}, "5742ec8665a5cb5f"),
    ],
)
def test_digests_are_those_of_version_0_1(content: dict[str, Any], expected: str) -> None:
    assert digest(content) == expected


def test_what_decides_what_is_published_is_part_of_the_digest() -> None:
    assert len({digest({}), digest({"evaluate": {"best": "loss"}}), digest({"evaluate": {"batchnorm_images": 9}})}) == 3


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r'evaluate\.best = "top2": there is no such metric; did you mean "top'):
        digest({"evaluate": {"best": "top2"}})


def test_the_note_of_a_deprecated_spelling_names_the_argument() -> None:
    recipe = parse_recipe(BASE, ["select.method=everything"])
    assert recipe.notes == ('argument "select.method=everything": select.method = "everything" is now called "full"',)
    assert recipe == parse_recipe(BASE)
    assert make_plan(recipe, open_data(recipe)).notes[:1] == recipe.notes, "shown with the plan"
