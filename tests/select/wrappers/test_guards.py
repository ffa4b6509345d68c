"""Guards: each changes what happens, and switched off it does not; a stated cost is met."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

import fewer
from fewer import report, select
from fewer.core.errors import RecipeError
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At
from fewer.data.sources import open_source
from fewer.select.method_params import Guards
from fewer.testing.harness import Content, session_of, trained
from stories import build

EPOCHS = 10
AT = At(5, EPOCHS, 0.5)
DIGITS: Content = {
    "data": {"source": "digits", "val": "none"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 6, "batch_size": 64, "lr": 0.05},
}


def guarded(labels: list[int], **guards: Any) -> Selector:
    content = {
        "method": "dbpd",
        "threshold": 0.5,
        "guards": {"noise_cap": 0.0, "class_floor": 0.0, "never_empty": False, **guards},
    }
    population = Population(0, torch.tensor(labels), max(labels) + 1)
    return select.build(select.params("dbpd").model_validate(content), population, EPOCHS)


def table_of(score: list[float], right: list[bool] | None = None) -> Table:
    table, values = Table(len(score)), torch.tensor(score)
    said = torch.tensor(right) if right is not None else values > 0.5
    table.observe("trained", Observed.of(torch.arange(len(score)), -values.log(), values, said), 4)
    return table


def kept(selector: Selector, table: Table) -> list[int]:
    return selector.select(table, torch.arange(len(table)), AT).ids_M.sort().values.tolist()


def test_the_class_floor_holds_a_class_that_would_disappear() -> None:
    """Class 1 has been learnt: without a floor it is gone; with one its two hardest stay, ids 5 and 7."""
    labels, table = [0] * 4 + [1] * 4, table_of([0.1, 0.2, 0.9, 0.3, 0.9, 0.6, 0.95, 0.7])
    assert kept(guarded(labels), table) == [0, 1, 3]
    selector = guarded(labels, class_floor=0.5)
    assert kept(selector, table) == [0, 1, 3, 5, 7]
    assert (selector.select(table, torch.arange(8), AT).weight_M == 1).all(), "what is added weighs 1"
    assert selector.counts() == {"guard.class_floor": 2.0}


def test_the_noise_cap_leaves_out_the_wrong_of_highest_loss() -> None:
    """Of five of a class, a cap of 20 % suspects one, the hardest of those that are wrong: 0; and 5, as 1 is right."""
    score = [0.01, 0.02, 0.03, 0.4, 0.45, 0.2, 0.9, 0.8, 0.9, 0.9]
    table = table_of(score, [False, True, False, False, False, False, True, True, True, True])
    labels = [0, 1] * 5
    assert kept(guarded(labels), table) == [0, 1, 2, 3, 4, 5]
    selector = guarded(labels, noise_cap=0.2)
    assert kept(selector, table) == [1, 2, 3, 4]
    assert selector.counts() == {"guard.suspects": 2.0, "guard.noise_cap": 0.2}
    early = At(1, EPOCHS, 0.1)
    assert len(selector.select(table, torch.arange(10), early).ids_M) == 6, "early on nobody is suspected"


def test_a_rare_class_is_not_taken_for_noise() -> None:
    """Two of 42 are of class 1, both predicted wrongly, as rare classes are at first: neither is suspected."""
    score, labels = [0.3] * 40 + [0.01, 0.02], [0] * 40 + [1, 1]
    selector = guarded(labels, noise_cap=0.1)
    assert {40, 41} <= set(kept(selector, table_of(score)))
    assert selector.counts()["guard.suspects"] == 4.0, "a tenth of class 0"


def test_an_epoch_is_never_empty() -> None:
    labels, table = [0, 0, 0, 1, 1, 1], table_of([0.9, 0.8, 0.99, 0.7, 0.95, 0.97])
    assert kept(guarded(labels), table) == []
    assert kept(guarded(labels, never_empty=True), table) == [0, 1, 3, 4], "two for each class, the hardest of all"


def test_guards_hold_in_the_batch_too() -> None:
    """Over an epoch of two batches each class gets its floor, and suspects are left out."""
    content = {
        "method": "dbpd",
        "score": "fresh",
        "threshold": 0.5,
        "guards": {"class_floor": 0.5, "noise_cap": 0.4, "never_empty": False},
    }
    labels = torch.tensor([0] * 5 + [1] * 5)
    selector = select.build(select.params("dbpd").model_validate(content), Population(0, labels, 2), EPOCHS)
    known = table_of([0.01, 0.02, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8])
    selector.select(known, torch.arange(10), AT)
    score = torch.tensor([0.01, 0.02, 0.3, 0.9, 0.9, 0.9, 0.9, 0.95, 0.9, 0.8])
    found = []
    for ids in (torch.tensor([0, 2, 4, 6, 8]), torch.tensor([1, 3, 5, 7, 9])):
        keep = selector.keep(Observed.of(ids, -score[ids].log(), score[ids], score[ids] > 0.5), AT)
        found += ids[keep.mask_G].tolist()
    label_of_found = labels[found]
    assert {0, 1}.isdisjoint(found), "suspects"
    assert (label_of_found == 1).sum() >= 3, "half of class 1"
    assert 2 in found, "what the method keeps stays"


def test_guards_do_nothing_where_nothing_is_left_out() -> None:
    content = {"method": "dbpd", "threshold": 1.0, "refresh_every": 0, "guards": {"noise_cap": 0.5}}
    population = Population(0, torch.tensor([0, 1] * 5), 2)
    selector = select.build(select.params("dbpd").model_validate(content), population, EPOCHS)
    table = table_of([0.01] * 10)
    assert kept(selector, table) == list(range(10))
    later = [selector.ids_to_score(table, At(epoch, EPOCHS, 0.5)) for epoch in range(6, EPOCHS)]
    assert not sum(map(len, later)), "nobody is out, so nobody is looked at again"
    assert not len(selector.suspected())


def test_by_default_labels_are_suspected_on_evidence_only() -> None:
    """Of 100 samples of two classes 30 stand apart, in two looks; on clean data nobody is suspected, however hard."""
    stream = torch.Generator().manual_seed(0)
    apart = torch.cat([torch.rand(70, generator=stream) * 0.4, 3 + torch.randn(30, generator=stream).abs() * 0.3])
    clean = torch.rand(100, generator=stream) * 4
    for loss, expected in ((apart, list(range(70, 100))), (clean, [])):
        table = table_of(torch.exp(-loss).tolist(), (loss < 1).tolist())
        for guards in ({}, {"noise_cap": "auto"}):
            selector = guarded([0, 1] * 50, **({"noise_cap": Guards().noise_cap} | guards))
            kept(selector, table)
            assert not len(selector.suspected()), "one look is no evidence"
            left = kept(selector, table)
            assert selector.suspected().tolist() == expected
            assert set(left).isdisjoint(expected)
            assert selector.counts().get("guard.noise_cap", 0.0) == pytest.approx(len(expected) / 100)


def test_an_epoch_that_is_chosen_in_the_batch_is_never_empty() -> None:
    content = {
        "method": "dbpd",
        "score": "fresh",
        "threshold": 0.5,
        "guards": {"noise_cap": 0.0, "class_floor": 0.0},
    }
    population = Population(0, torch.arange(10) % 2, 2)
    selector = select.build(select.params("dbpd").model_validate(content), population, EPOCHS)
    selector.select(Table(10), torch.arange(10), AT)
    score, found = torch.linspace(0.7, 0.99, 10), []
    for ids in torch.arange(10).split(5):
        score_G = score[ids]
        found += ids[selector.keep(Observed.of(ids, -score_G.log(), score_G, score_G > 0.5), AT).mask_G].tolist()
    assert found == [0, 1, 5, 6], "two for each class in all, the hardest of what each batch has"


def test_what_the_floor_adds_in_the_batch_is_another_draw_in_every_epoch() -> None:
    """Of 400 samples, all learnt, a floor of 5 % brings 20 a class and epoch, whichever the lots fall on."""
    content = {"method": "smrd", "published": True, "threshold": 0.3, "guards": {"never_empty": False}}
    population = Population(0, torch.arange(400) % 2, 2)
    selector = select.build(select.params("smrd").model_validate(content), population, 30)
    ids, table, added = torch.arange(400), Table(400), []
    loss, score, right = torch.full((400,), 0.1), torch.full((400,), 0.9), torch.ones(400, dtype=torch.bool)
    for epoch in range(1, 11):
        at = At(epoch, 30, epoch / 30)
        selector.select(table, ids, at)
        for part in ids.split(100):
            added += part[selector.keep(Observed.of(part, loss[part], score[part], right[part]), at).mask_G].tolist()
    assert len(added) == 200
    assert len(set(added)) > 120, "200 lots among 400"


@pytest.mark.parametrize(
    "chosen",
    [
        {"method": "dbpd", "cost": 0.55, "revision": "1ep"},
        {"method": "dbpd", "cost": 0.7, "refresh_every": 3},
        {"method": "dbpd", "score": "fresh", "cost": 0.75},
        {"method": "dbpd", "score": "fresh", "cost": 0.75, "guards": {"noise_cap": 0.3}},
        {"method": "periodic_full", "every_effective_epochs": 1.9, "cost": 0.6},
        {"method": "srd", "decay": "logarithmic", "cost": 0.6},
        {"method": "auto", "cost": 0.5},
    ],
    ids=str,
)
def test_a_stated_cost_is_met_within_one_percent(chosen: dict[str, Any]) -> None:
    session = trained({**DIGITS, "select": chosen})
    spent = session.run.ledger.full_epoch_equivalents / session.plan.epochs
    assert spent == pytest.approx(chosen["cost"], rel=0.01)
    low, high = session.plan.predicted["full_epoch_equivalents"]
    assert low == pytest.approx(high, rel=0.01)
    assert high / session.plan.epochs == pytest.approx(chosen["cost"], rel=0.01)


def test_the_floor_of_a_method_of_random_draws_is_random_too() -> None:
    """Two of 20 of a class are wrong labels: for a method that prefers none, they come up by chance only."""
    labels, table = [0] * 20 + [1] * 20, table_of([0.01, 0.02] + [0.9] * 18 + [0.3] * 20)
    taken = 0
    for seed in range(40):
        population = Population(seed, torch.tensor(labels), 2)
        content = {"method": "smrd", "threshold": 0.025, "guards": {"class_floor": 0.1}}
        selector = select.build(select.params("smrd").model_validate(content), population, EPOCHS)
        taken += len({0, 1} & set(kept(selector, table)))
    assert taken < 25, "the hardest two in every epoch would be 80; by chance it is about 8"


def test_a_cost_that_cannot_be_met_names_the_smallest_that_can() -> None:
    with pytest.raises(RecipeError, match=r"cannot do with less than 0\.\d+ of the full cost.*use 0\.\d+ or more"):
        session_of({**DIGITS, "select": {"method": "dbpd", "cost": 0.1, "revision": "2ep"}})


def test_suspected_labels_are_listed_and_most_are_wrong(tmp_path: Path) -> None:
    """Every fifth label is that of the next class: the list names mostly those, the worst first."""
    source = open_source("digits")
    wrong = {name: (int(label) + 1) % 10 for name, label in list(zip(source.names, source.labels, strict=True))[::5]}
    labels = {name: wrong.get(name, int(label)) for name, label in zip(source.names, source.labels, strict=True)}
    csv_file = tmp_path / "labels.csv"
    csv_file.write_text("file,label\n" + "".join(f"{name},{label}\n" for name, label in labels.items()))
    content = {
        **DIGITS,
        "data": {**DIGITS["data"], "labels": {"csv": str(csv_file), "column": "label"}},
        "train": {**DIGITS["train"], "epochs": 12},
        "select": {"method": "dbpd", "threshold": 0.5, "guards": {"noise_cap": 0.2}},
        "out": {"plots": False},
    }
    result = fewer.fit(fewer.parse_recipe(content), tmp_path / "run", progress=False)
    listed = list(csv.DictReader((tmp_path / "run" / "suspects.csv").read_text().splitlines()))
    assert len(listed) == result["suspected_labels"] > 100
    assert sum(line["name"] in wrong for line in listed) > 0.6 * len(listed), "by chance it would be 0.2"
    losses = [float(line["loss"]) for line in listed]
    assert losses == sorted(losses, reverse=True)
    found = [line for line in listed if line["name"] in wrong]
    assert sum(line["predicted_class"] == line["name"].partition("/")[0] for line in found) > 0.6 * len(found)
    assert all(0 < float(line["predicted_probability"]) <= 1 for line in listed)
    page = report.write(tmp_path / "run").read_text()
    assert "labels are suspected to be wrong" in page
    first = result["tables"]["suspects"][0]
    assert (first["name"], first["label"]) == (listed[0]["name"], listed[0]["label"].removeprefix("'"))
    assert first["predicted"].split()[0] == listed[0]["predicted_class"]
    assert f"of {len(listed):,} training images whose labels look wrong" in page
    assert page.count("<figure>") >= min(60, len(listed))
    assert (tmp_path / "run" / first["thumbnail"]).is_file()


@pytest.mark.parametrize("method", [name for name in select.names() if "guards" in select.params(name).model_fields])
def test_losses_that_are_no_numbers_are_counted_and_never_a_reason_to_drop(method: str) -> None:
    """Sample 0's loss and score are NaN: methods that rank or compare keep it; those that draw may not."""
    selector, pool = build({"method": method}, [0, 1] * 10, epochs=10), torch.arange(20)
    table, loss = Table(20, selector.columns), torch.linspace(0.01, 3.0, 20)
    loss[0] = torch.nan
    for epoch in range(8):
        ids = selector.select(table, pool, At(epoch, 10, epoch / 10)).ids_M
        assert len(ids) >= 2
        if epoch and method != "auto":  # picks everything here, around which no guards stand
            assert selector.counts()["guard.not_a_number"] == 1.0
        if method not in ("apd", "orderdp", "periodic_full", "proxy", "seta", "smrd", "warmup_random"):
            assert 0 in ids, f"epoch {epoch}"
        table.observe("trained", Observed.of(pool, loss, torch.exp(-loss), loss < 1), epoch)
        table.observe("scored", Observed.of(pool, loss, torch.exp(-loss), loss < 1), epoch)


def test_no_label_is_suspected_where_samples_are_drawn_at_random() -> None:
    """A uniform draw within each class does not prefer high losses; leaving some out would bias its weights."""
    score = torch.linspace(0.01, 0.9, 20)
    table = Table(20)
    table.observe("trained", Observed.of(torch.arange(20), -score.log(), score, torch.zeros(20, dtype=torch.bool)), 4)
    for take, suspects in (("hardest", 2.0), ("random", None)):
        selector = build({"method": "stratified", "take": take, "guards": {"noise_cap": 0.1}}, [0, 1] * 10, epochs=10)
        selector.select(table, torch.arange(20), At(5, 10, 0.5))
        assert selector.counts().get("guard.suspects") == suspects


def test_a_raised_learning_rate_counts_what_guards_have_put_back() -> None:
    """KAKURENBO hides all ten of class 1, of which the floor puts back five: 15 of 20 train, not 10."""
    content = {"method": "kakurenbo", "hidden": 0.5, "milestones": [1.0, 1.0, 1.0], "guards": {"class_floor": 0.5}}
    selector, table, pool = build(content, [0, 1] * 10, epochs=10), Table(20), torch.arange(20)
    score = torch.where(pool % 2 == 1, 0.9, 0.1)
    table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.5), 4)
    chosen = selector.select(table, pool, At(5, 10, 0.5))
    assert len(chosen.ids_M) == 15
    assert chosen.lr_scale == pytest.approx(20 / 15)


def test_under_a_stated_cost_others_take_the_place_of_suspected_labels() -> None:
    """Half of twenty is ten, though two of the hardest are suspected."""
    content = {"method": "dbpd", "guards": {"noise_cap": 0.1, "class_floor": 0.0, "never_empty": False}}
    selector, table, pool = build(content, [0, 1] * 10, epochs=10), Table(20), torch.arange(20)
    score = torch.linspace(0.01, 0.9, 20)
    table.observe("trained", Observed.of(pool, -score.log(), score, torch.zeros(20, dtype=torch.bool)), 4)
    ids = selector.select(table, pool, At(5, 10, 0.5, share=0.5)).ids_M
    assert ids.sort().values.tolist() == list(range(2, 12))


def test_a_class_floor_is_rounded_up_and_two_images_at_least() -> None:
    """Everything is learnt. Of 41, 10 and 1 images 5 % are 2.05, 0.5 and 0.05: 3, 2, and the one that there is."""
    labels = [0] * 41 + [1] * 10 + [2]
    found = kept(guarded(labels, class_floor=0.05), table_of([0.9] * 52))
    assert torch.tensor(labels)[found].bincount().tolist() == [3, 2, 1]


def test_what_a_floor_adds_in_the_batch_weighs_one() -> None:
    """Two of eight are drawn, with weight 4; the floor, half of each class, adds two more."""
    content = {"method": "smrd", "score": "fresh", "weights": "inclusion"}
    guards = {"class_floor": 0.5, "never_empty": False}
    selector = build({**content, "guards": guards}, [0] * 4 + [1] * 4, epochs=10)
    selector.select(Table(8), torch.arange(8), AT)
    score = torch.tensor([0.1, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9])
    keep = selector.keep(Observed.of(torch.arange(8), -score.log(), score, score > 0.5), AT)
    assert sorted(keep.weight_G[keep.mask_G].tolist()) == [1.0, 1.0, 4.0, 4.0]
    assert keep.mask_G[:4].sum() == keep.mask_G[4:].sum() == 2


def test_a_quarter_of_the_suspects_is_scored_again_before_each_epoch() -> None:
    score = torch.tensor([0.01, 0.9] * 400)
    labels = [0, 0, 1, 1] * 200
    selector = guarded(labels, noise_cap=0.5)
    kept(selector, table_of(score.tolist()))
    assert len(selector.suspected()) == 400
    again = [set(selector.ids_to_score(Table(800), At(epoch, 20, epoch / 20)).tolist()) for epoch in range(6, 16)]
    assert all(70 <= len(ids) <= 130 for ids in again)
    assert all(ids <= set(selector.suspected().tolist()) for ids in again)
    assert len(set().union(*again)) > 350, "others in every epoch"


def test_what_is_expected_counts_suspects_from_their_first_epoch_on() -> None:
    """UCB keeps half; a fifth may be suspected from epoch 2 of ten on, and a quarter of these is scored again."""
    guards = {"noise_cap": 0.2, "class_floor": 0.0, "never_empty": False}
    selector = build({"method": "ucb", "share": 0.5, "guards": guards}, [0, 1] * 50, epochs=10)
    low = [round(selector.expected(At(epoch, 10, epoch / 10)).kept_low, 6) for epoch in range(4)]
    assert low == [1.0, 0.5, 0.4, 0.4]
    scored = [round(selector.expected(At(epoch, 10, epoch / 10, share=0.5)).scored, 6) for epoch in range(1, 5)]
    assert scored == [0.0, 0.0, 0.05, 0.05]
