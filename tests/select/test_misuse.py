"""Selection that is asked for wrongly: each gets one clear line before training, or a fallback that is counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer import select
from fewer.core.errors import RecipeError
from fewer.core.observation import Observed
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At, Population
from fewer.recipe.parse import parse_recipe
from fewer.testing.harness import Content, session_of, trained

DIGITS: Content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "train": {"epochs": 12}}
SMALL: Content = {
    "data": {"source": "digits", "val": "none", "test": "60%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 6, "batch_size": 32, "lr": 0.05},
}
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
        ([DBPD, "select.guards.noise_cap=2"], "less than or equal to 1, or 'auto'; the default is 0.05"),
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


@pytest.mark.parametrize("score", ["stale", "fresh"])
def test_the_smallest_cost_that_is_named_is_met(score: str) -> None:
    """A thousandth less than what the refusal says to use is refused; that itself is what the run then costs."""
    chosen: dict[str, Any] = {"method": "dbpd", "score": score, "cost": 0.1}
    with pytest.raises(RecipeError, match="use 0") as caught:
        session_of({**SMALL, "select": chosen})
    least = float(str(caught.value).partition("; use ")[2].partition(" ")[0])
    with pytest.raises(RecipeError, match=f"use {least:g} or more"):
        session_of({**SMALL, "select": {**chosen, "cost": round(least - 0.001, 3)}})
    session = trained({**SMALL, "select": {**chosen, "cost": least}})
    spent = session.run.ledger.full_epoch_equivalents / session.plan.epochs
    assert spent == pytest.approx(least, rel=0.01)


def test_a_cost_that_goes_into_scoring_is_warned_of() -> None:
    def notes(**chosen: Any) -> list[str]:
        warned = session_of({**SMALL, "select": {"method": "dbpd", **chosen}}).plan.notes
        return [note for note in warned if "buys more scoring than training" in note]

    assert len(notes(score="fresh", cost=0.6)) == 1, "a third of an epoch for looking, less for what is trained on"
    assert not notes(score="fresh", cost=0.95)
    assert not notes(score="fresh", threshold=0.1), "no cost was asked"
    assert not notes(cost=0.6), "stored scores cost nothing"


def test_a_number_may_begin_with_its_point() -> None:
    assert parse_recipe(DIGITS, [DBPD, "select.threshold=.25"]).select.model_dump()["threshold"] == 0.25


@pytest.mark.parametrize("chosen", [{"share": 1e-4}, {"cost": 1e-5}], ids=str)
def test_an_epoch_of_less_than_two_images_is_refused_before_training(chosen: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r'"random" keeps [01] of the \d+ training images in epoch 1; an epoch needs'):
        session_of({**SMALL, "select": {"method": "random", **chosen}})


def test_a_table_of_another_set_does_not_fit() -> None:
    with pytest.raises(ValueError, match="a table of 7 samples does not fit a set of 8"):
        Table(8).load_state_dict(Table(7).state_dict())


def build(content: dict[str, Any], labels: list[int], epochs: int = 10) -> Selector:
    population = Population(0, torch.tensor(labels), max(labels) + 1)
    return select.build(select.params(content["method"]).model_validate(content), population, epochs)


@pytest.mark.parametrize("method", [name for name in select.names() if "guards" in select.params(name).model_fields])
def test_losses_that_are_no_numbers_are_counted_and_never_a_reason_to_drop(method: str) -> None:
    """Sample 0's loss and score are NaN: methods that rank or compare keep it; those that draw may not."""
    selector, table, pool = build({"method": method}, [0, 1] * 10), Table(20), torch.arange(20)
    loss = torch.linspace(0.01, 3.0, 20)
    loss[0] = torch.nan
    for epoch in range(8):
        ids = selector.select(table, pool, At(epoch, 10, epoch / 10)).ids_M
        assert len(ids) >= 2
        if epoch and method != "auto":  # picks everything here, around which no guards stand
            assert selector.counts()["guard.not_a_number"] == 1.0
        if method not in ("apd", "orderdp", "periodic_full", "seta", "smrd", "warmup_random"):
            assert 0 in ids, f"epoch {epoch}"
        table.observe("trained", Observed.of(pool, loss, torch.exp(-loss), loss < 1), epoch)
        table.observe("scored", Observed.of(pool, loss, torch.exp(-loss), loss < 1), epoch)


def test_alternate_keeps_its_list_under_a_stated_cost() -> None:
    """What the first of two epochs has taught must not turn the second one's list around."""
    selector = build({"method": "alternate", "cost": 0.5, "guards": "off"}, [0] * 8)
    table, pool = Table(8), torch.arange(8)
    scored = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    table.observe("scored", Observed.of(pool, -scored.log(), scored, scored > 0.5), 2)
    for epoch in (2, 3):
        ids = selector.select(table, pool, At(epoch, 10, epoch / 10, share=0.5)).ids_M
        assert ids.sort().values.tolist() == [0, 1, 2, 3]
        learnt = torch.full((len(ids),), 0.99)
        table.observe("trained", Observed.of(ids, -learnt.log(), learnt, learnt > 0.5), epoch)


def test_no_label_is_suspected_where_samples_are_drawn_at_random() -> None:
    """A uniform draw within each class does not prefer high losses; leaving some out would bias its weights."""
    score = torch.linspace(0.01, 0.9, 20)
    table = Table(20)
    table.observe("trained", Observed.of(torch.arange(20), -score.log(), score, torch.zeros(20, dtype=torch.bool)), 4)
    for take, suspects in (("hardest", 2.0), ("random", None)):
        selector = build({"method": "stratified", "take": take, "guards": {"noise_cap": 0.1}}, [0, 1] * 10)
        selector.select(table, torch.arange(20), At(5, 10, 0.5))
        assert selector.counts().get("guard.suspects") == suspects


def test_a_raised_learning_rate_counts_what_guards_have_put_back() -> None:
    """KAKURENBO hides all ten of class 1, of which the floor puts back five: 15 of 20 train, not 10."""
    content = {"method": "kakurenbo", "hidden": 0.5, "milestones": [1.0, 1.0, 1.0], "guards": {"class_floor": 0.5}}
    selector, table, pool = build(content, [0, 1] * 10), Table(20), torch.arange(20)
    score = torch.where(pool % 2 == 1, 0.9, 0.1)
    table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.5), 4)
    chosen = selector.select(table, pool, At(5, 10, 0.5))
    assert len(chosen.ids_M) == 15
    assert chosen.lr_scale == pytest.approx(20 / 15)


def test_under_a_stated_cost_others_take_the_place_of_suspected_labels() -> None:
    """Half of twenty is ten, though two of the hardest are suspected."""
    content = {"method": "dbpd", "guards": {"noise_cap": 0.1, "class_floor": 0.0, "never_empty": False}}
    selector, table, pool = build(content, [0, 1] * 10), Table(20), torch.arange(20)
    score = torch.linspace(0.01, 0.9, 20)
    table.observe("trained", Observed.of(pool, -score.log(), score, torch.zeros(20, dtype=torch.bool)), 4)
    ids = selector.select(table, pool, At(5, 10, 0.5, share=0.5)).ids_M
    assert ids.sort().values.tolist() == list(range(2, 12))
