"""Keys of a method that are asked for wrongly: each gets one clear line."""

from __future__ import annotations

import tomllib
from typing import get_args

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe
from fewer.select.method_params import InBatchParams, ScoredParams
from fewer.select.registry import METHODS
from fewer.testing.harness import Content

DIGITS: Content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": {"epochs": 12}}
DBPD, FRESH = "select.method=dbpd", "select.score=fresh"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["select.method=dpbd"], 'unknown select.method "dpbd"; did you mean "dbpd"?'),
        ([DBPD, "select.treshold=0.3"], 'did you mean "select.threshold"?'),
        ([DBPD, "select.guards.class_flor=0.1"], 'did you mean "select.guards.class_floor"?'),
        (
            ["select.threshold=0.3"],
            'unknown key "select.threshold"; it belongs to select.method = "adaptive", "al',
        ),
        (
            ["select.method=random", "select.beta=2"],
            'it belongs to select.method = "selective_backprop"; "random" has ',
        ),
        ([DBPD, "select.cost=60%"], "a share is written 0.6 here"),
        (["data.val=0.1"], 'a share is written "10%" here'),
        ([DBPD, "select.threshold=1.5"], "less than or equal to 1"),
        ([DBPD, "select.threshold=nan"], "less than or equal to 1"),
        ([DBPD, "select.threshold=-0.1"], "greater than 0"),
        ([DBPD, "select.threshold=true"], "a valid number"),
        ([DBPD, "select.cost=1.2"], "less than or equal to 1"),
        ([DBPD, "select.guards=on"], 'only "off" is a word for all guards'),
        ([DBPD, "select.guards=false"], '"off" switches all guards off'),
        ([DBPD, "select.guards.noise_cap=2"], "less than or equal to 1, or 'auto'; the default is \"auto\""),
        ([DBPD, "select.guards.noise_from=100step"], 'select.guards.noise_from = "100step": only "ep" and "%"'),
        ([DBPD, "select.guards.noise_from=20ep"], "longer than the run of 12 epochs"),
        ([DBPD, "select.scoring=train"], 'no effect with select.score = "stale"'),
        ([DBPD, "select.scorer_side_px=16"], 'no effect with select.score = "stale"'),
        ([DBPD, FRESH, "select.refresh_every=3"], 'scores again what select.score = "fresh" scores'),
        (["select.method=smrd", "select.published=true", "select.refresh_every=3"], "scores again what"),
        (["select.method=stratified", "select.published=true", "select.balance=0.5"], "select.balance = 0.5 has no"),
        (["select.method=stratified", "select.published=true", "select.cost=0.5"], "select.cost = 0.5 has no effect"),
        (["select.method=stratified", "select.weights=inclusion"], 'select.weights = "inclusion" needs select.take'),
        (["select.method=warmup_random", "select.warmup=20ep"], 'select.warmup = "20ep" is longer than the run of 12'),
        (["select.method=seta", "select.tail=10min"], 'select.tail = "10min": only "ep" and "%"'),
        (["select.method=kakurenbo", "select.milestones=[0.5,0.6]"], "a list with more values than this, e.g. [0.3,"),
        (["select.method=repeat_factor", "select.threshold=few"], "a valid number, or 'auto'; the default"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_one_clear_line(overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(DIGITS, overrides)
    text = str(caught.value)
    assert said in text
    assert text.startswith(f'argument "{overrides[-1]}": ')
    assert "\n" not in text, "one problem, one line"


def test_a_number_may_begin_with_its_point() -> None:
    assert parse_recipe(DIGITS, [DBPD, "select.threshold=.25"]).select.model_dump()["threshold"] == 0.25


def test_every_method_that_scores_in_the_batch_takes_all_kinds_of_scores() -> None:
    """A method with several bases has the key of the one that knows most."""
    for name in METHODS.names():
        found = METHODS.params(name)
        if issubclass(found, ScoredParams):
            kinds = {"stale", "batch", "fresh"} if issubclass(found, InBatchParams) else {"stale", "batch"}
            assert set(get_args(found.model_fields["score"].annotation)) == kinds, name


@pytest.mark.parametrize("method", ["dbpd", "adaptive", "stratified"])
def test_what_averages_batches_is_read_back_from_its_own_text(method: str) -> None:
    recipe = parse_recipe(
        {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "select": {"method": method, "score": "batch"}}
    )
    assert parse_recipe(tomllib.loads(recipe.to_toml())).select == recipe.select
