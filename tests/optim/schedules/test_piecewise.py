"""Straight lines from point to point, against numpy's interpolation and the schedules that they can be."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from torch_schedules import close, rate

PROGRESS = [k / 97 for k in range(98)]


def test_it_is_numpys_interpolation() -> None:
    points = [["5%", 0.3], ["20ep", 1.0], ["60%", 0.4], ["90%", 0.05]]
    ours = rate("piecewise", 50, schedule_points=points)
    assert [ours(p) for p in PROGRESS] == close(list(np.interp(PROGRESS, [0.05, 0.4, 0.6, 0.9], [0.3, 1, 0.4, 0.05])))
    assert ours(0.0) == 0.3
    assert ours(1.0) == 0.05


def test_by_default_it_is_the_linear_schedule() -> None:
    ours, linear = rate("piecewise", 40), rate("linear", 40)
    assert [ours(p) for p in PROGRESS] == close([linear(p) for p in PROGRESS])


def test_two_points_at_one_moment_are_a_drop() -> None:
    """At the moment itself the rate has dropped, as with `step`, whatever the rounding of the quotient."""
    ours = rate("piecewise", 30, schedule_points=[["0%", 1.0], ["9ep", 1.0], ["30%", 0.1]])
    step = rate("step", 30, warmup="0%", step_at=["9ep"], step_gamma=0.1)
    at = [(epoch + batch / 7) / 30 for epoch in range(30) for batch in range(7)]
    assert [ours(p) for p in at] == close([step(p) for p in at])


def test_one_point_is_a_constant() -> None:
    assert {rate("piecewise", 10, schedule_points=[["50%", 0.7]])(p) for p in PROGRESS} == {0.7}


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([["3ep", 1.0], ["20%", 0.0]], r'schedule_points.*: "20%" comes before "3ep" in 10 epochs'),
        ([], r"schedule_points = \[\]: one point or more"),
        ([["0%", 1.5]], "less than or equal to 1"),
        ([["0%", 1.0], ["12ep", 0.0]], "longer than the run of 10 epochs"),
        ([["5step", 1.0]], 'only "ep" and "%"'),
        ([["soon", 1.0]], "a duration needs a unit"),
    ],
)
def test_points_that_make_no_schedule_are_refused(points: list[Any], said: str) -> None:
    train = {"epochs": 10, "schedule": "piecewise", "schedule_points": points}
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train})


def test_a_recipe_keeps_its_points() -> None:
    train = {"epochs": 10, "schedule": "piecewise", "schedule_points": [["0%", 0.2], ["1.5ep", 1.0]]}
    recipe = parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train})
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe
