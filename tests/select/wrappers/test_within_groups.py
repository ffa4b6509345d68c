"""Losses and scores within groups: every group keeps its share, its order stays, and one group changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer import select
from fewer.core import rng
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.table import Table
from fewer.core.types import At
from fewer.select.method_params import ScoredParams
from fewer.select.wrappers.within_groups import Quantiles, WithinGroups, within_groups
from fewer.testing import check_selector
from stories import BARE, build_on

VALUES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=80)
DENSE = Population(3, torch.tensor([0, 1, 2, -1] * 30), 3, groups_are_classes=False)


def crowded(population: Population) -> Table:
    """A table in which losses are far apart between groups: 0 to 1 in the first, 10 to 11 in the second, and so on."""
    ids = (population.group_N >= 0).nonzero().flatten()
    loss = rng.uniform(ids, 1, "loss") + 10 * population.group_N[ids]
    table = Table(len(population.group_N))
    table.observe("trained", Observed.of(ids, loss, torch.exp(-loss), loss < 0.5), 0)
    return table


@given(VALUES)
def test_order_within_a_group_stays_and_numbers_are_those_of_all(drawn: list[tuple[int, int]]) -> None:
    value_K, group_K = (torch.tensor(column) for column in zip(*drawn, strict=True))
    found_K = Quantiles(value_K, group_K).of_all(value_K, group_K)
    assert found_K.min() >= value_K.min()
    assert found_K.max() <= value_K.max()
    for group in group_K.unique():
        mine = group_K == group
        order = value_K[mine].argsort(stable=True)
        assert (found_K[mine][order].diff() >= 0).all()
        same = value_K[mine][order].diff() == 0
        assert (found_K[mine][order].diff()[same] == 0).all(), "equal values stay equal"


@given(VALUES)
def test_one_group_changes_nothing(drawn: list[tuple[int, int]]) -> None:
    value_K = torch.tensor([float(value) for value, _ in drawn])
    group_K = torch.zeros(len(value_K), dtype=torch.int64)
    assert Quantiles(value_K, group_K).of_all(value_K, group_K).tolist() == pytest.approx(value_K.tolist())


@given(st.lists(st.integers(1, 25), min_size=1, max_size=5), st.integers(0, 10_000), st.floats(0.05, 0.95))
@settings(max_examples=60)
def test_every_group_keeps_its_share_at_any_cut(sizes: list[int], seed: int, share: float) -> None:
    """Of distinct values a cut takes the same share of each group, to within one sample."""
    group_K = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    value_K = rng.uniform(torch.arange(len(group_K)), seed, "value") + 100 * group_K
    found_K = Quantiles(value_K, group_K).of_all(value_K, group_K)
    taken = found_K.argsort(descending=True, stable=True)[: round(share * len(group_K))]
    cut = len(taken) / len(group_K)
    for group, size in enumerate(sizes):
        assert abs(int((group_K[taken] == group).sum()) - cut * size) <= 1.0 + 1e-9


def test_what_was_not_known_is_placed_among_what_was() -> None:
    of = Quantiles(torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]), torch.tensor([0] * 4 + [1] * 4))
    found = of.of_all(torch.tensor([2.5, 25.0, 0.0, 99.0, torch.nan, 5.0]), torch.tensor([0, 1, 0, 1, 0, 7]))
    assert found[0] == found[1] == 7.0, "both are in the middle of their groups: of all that is between 4 and 10"
    assert found[2:4].tolist() == [1.0, 40.0], "below and above all of their groups"
    assert found[4].isnan()
    assert found[5] == 5.0, "nothing is known of its group"


TOP_K: list[dict[str, Any]] = [
    {"method": "orderdp", "cost": 0.5},
    {"method": "kakurenbo", "hidden": 0.5, "cost": 0.5, "milestones": [1.0, 1.0, 1.0]},
    {"method": "dbpd", "cost": 0.5},
    {"method": "selective_backprop", "cost": 0.5},
    {"method": "infobatch"},
]


@pytest.mark.parametrize("content", TOP_K, ids=lambda content: content["method"])
def test_methods_no_longer_go_by_the_size_of_a_group_s_losses(content: dict[str, Any]) -> None:
    """The losses of the third group are all higher than those of the others."""
    taken = {}
    for rank_within in ("all", "groups"):
        selector = build_on({**BARE, **content, "rank_within": rank_within}, DENSE)
        pool = (DENSE.group_N >= 0).nonzero().flatten()
        chosen = selector.select(crowded(DENSE), pool, At(2, 6, 0.3, 0.5))
        taken[rank_within] = (DENSE.group_N[chosen.ids_M].bincount(minlength=3) / 30).tolist()
    assert max(taken["all"]) - min(taken["all"]) > 0.25
    assert max(taken["groups"]) - min(taken["groups"]) < 0.25


def test_it_is_on_where_groups_are_no_classes_and_can_be_asked_for() -> None:
    classes = replace(DENSE, groups_are_classes=True)

    def is_on(population: Population, **keys: Any) -> bool:
        guarded: Any = build_on({**BARE, "method": "dbpd", **keys}, population)
        return isinstance(guarded.selector, WithinGroups)

    assert [is_on(DENSE), is_on(DENSE, rank_within="all")] == [True, False]
    assert [is_on(classes), is_on(classes, rank_within="groups")] == [False, True]
    one = replace(DENSE, group_N=DENSE.group_N.clamp(max=0), groups=1)
    assert not is_on(one, rank_within="groups"), "there is nothing to compare within"


SCORED = [name for name in select.names() if issubclass(select.params(name), ScoredParams)]


@pytest.mark.parametrize("name", SCORED)
def test_every_method_within_groups_keeps_the_contract(name: str) -> None:
    def build(population: Population) -> Any:
        return build_on({"method": name, "rank_within": "groups"}, replace(population, groups_are_classes=False))

    check_selector(build)


@pytest.mark.parametrize("name", ["dbpd", "selective_backprop", "stratified"])
def test_choices_in_the_batch_keep_the_contract(name: str) -> None:
    check_selector(lambda population: build_on({"method": name, "score": "fresh", "rank_within": "groups"}, population))


def test_in_a_batch_samples_are_placed_by_what_was_known_before_the_epoch() -> None:
    """A batch of one crowded image and one of background: the crowded one has the higher loss, the other is harder."""
    table = crowded(DENSE)
    selector = build_on({**BARE, "method": "dbpd", "score": "fresh", "cost": 0.5}, DENSE)
    pool = (DENSE.group_N >= 0).nonzero().flatten()
    at = At(1, 6, 0.2, 0.5)
    selector.select(table, pool, at)
    low, high = int(pool[DENSE.group_N[pool] == 2][0]), int(pool[DENSE.group_N[pool] == 0][0])
    loss = torch.tensor([20.01, 0.99])
    seen = Observed.of(torch.tensor([low, high]), loss, torch.exp(-loss), torch.tensor([False, False]))
    assert selector.keep(seen, at).mask_G.tolist() == [False, True]
    twin = build_on({**BARE, "method": "dbpd", "score": "fresh", "cost": 0.5}, DENSE)
    twin.load_state_dict(selector.state_dict())
    assert twin.keep(seen, at).mask_G.tolist() == [False, True], "the state holds what was known"
    other = build_on({**BARE, "method": "dbpd"}, replace(DENSE, group_N=DENSE.group_N[:60]))
    with pytest.raises(ValueError, match="a state of 120 samples does not fit a set of 60"):
        other.load_state_dict(selector.state_dict())


def test_reference_losses_are_compared_within_groups_too() -> None:
    """An image whose loss has the quantile of its reference loss has no excess, however crowded it is."""
    table = crowded(DENSE)
    population = within_groups(replace(DENSE, reference_loss_N=table.loss_N))
    assert population.reference_loss_N is not None
    selector = build_on({**BARE, "method": "rho", "share": 0.5}, replace(DENSE, reference_loss_N=table.loss_N))
    excess = selector.series(table)["excess_loss_per_class"]
    assert excess.abs().max() < 1e-5
    assert within_groups(DENSE) is DENSE
