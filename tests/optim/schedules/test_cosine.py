"""The cosine schedule against torch's own."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from torch.optim import lr_scheduler

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from torch_schedules import STEPS, close, optimizer, rate, stepped


@pytest.mark.parametrize("up", [0, 8])
def test_cosine_equals_torchs_behind_its_warm_up(up: int) -> None:
    sgd = optimizer()
    schedule: Any = lr_scheduler.CosineAnnealingLR(sgd, T_max=STEPS - up, eta_min=0.05)
    if up:
        rising = lr_scheduler.LinearLR(sgd, 0.2, 1.0, up)
        schedule = lr_scheduler.SequentialLR(sgd, [rising, schedule], [up])
    cosine = rate("cosine", STEPS, warmup=f"{up}ep", warmup_start=0.2, final=0.05)
    assert [cosine(k / STEPS) for k in range(STEPS)] == close([lr for lr, _ in stepped(sgd, schedule)])
    assert cosine(1.0) == pytest.approx(0.05)


@pytest.mark.parametrize("span", [10, 30, 55, 200])
def test_a_span_is_torchs_t_max_also_beyond_the_run_and_short_of_it(span: int) -> None:
    """With 10 of 40 the rate falls, rises and falls again; with 55 and 200 it never comes down to `final`."""
    sgd = optimizer()
    schedule = lr_scheduler.CosineAnnealingLR(sgd, T_max=span, eta_min=0.05)
    cosine = rate("cosine", STEPS, warmup="0ep", schedule_span=f"{span}ep", final=0.05)
    assert [cosine(k / STEPS) for k in range(STEPS)] == close([lr for lr, _ in stepped(sgd, schedule)])
    if span < STEPS:
        assert cosine(span / STEPS) == pytest.approx(0.05)
        assert cosine((span + 5) / STEPS) > 0.06, "the rate rises again"
    else:
        assert cosine(1.0) > 0.1, "the run ends before the cosine does"


def test_a_span_begins_behind_the_warm_up_and_may_be_a_share_of_the_run() -> None:
    cosine = rate("cosine", 10, warmup="2ep", schedule_span="80%")
    whole = rate("cosine", 10, warmup="2ep")
    assert [cosine(k / 10) for k in range(11)] == close([whole(k / 10) for k in range(11)])
    assert rate("cosine", 10, warmup="2ep", schedule_span="4ep")(0.6) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"schedule": "cosine", "schedule_span": "0ep"}, r'schedule_span = "0ep": a cosine takes more than no time'),
        ({"schedule": "cosine", "schedule_span": 100}, "a duration needs a unit"),
        ({"schedule": "cosine", "schedule_span": "50step"}, 'only "ep" and "%"'),
        ({"schedule": "linear", "schedule_span": "20ep"}, r'belongs to train\.schedule = "cosine"'),
    ],
)
def test_spans_that_are_none_are_refused(train: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train})


def test_a_recipe_keeps_a_span_that_is_longer_than_its_run() -> None:
    train = {"epochs": 10, "schedule": "cosine", "schedule_span": "20ep"}
    recipe = parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": train})
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe
