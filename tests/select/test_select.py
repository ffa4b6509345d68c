"""Selectors: every method passes the conformance kit; rules equal hand-worked cases; table and packer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer import select
from fewer.core.observation import Observed
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At, Population
from fewer.recipe.parse import parse_recipe
from fewer.select.packer import Packed, Packer
from fewer.session.build import open_data, open_session, selector_of
from fewer.testing import check_selector
from fewer.training.loop import train

VARIANTS: list[dict[str, Any]] = [
    *({"method": name} for name in select.names()),
    {"method": "random", "share": 0.3, "revision": "2ep"},
    {"method": "dbpd", "score": "stale", "refresh_every": 3, "batches": "shrink"},
    {"method": "dbpd", "score": "fresh", "threshold": 0.6, "revision": "1ep"},
    {"method": "dbpd", "score": "fresh", "threshold": 1.0, "scoring": "train"},
]


def build(content: dict[str, Any], population: Population, epochs: int = 6) -> Selector:
    return select.build(select.params(content["method"]).model_validate(content), population, epochs)


@pytest.mark.parametrize("content", VARIANTS, ids=str)
def test_every_method_keeps_the_contract(content: dict[str, Any]) -> None:
    check_selector(lambda population: build(content, population))


def test_the_conformance_kit_catches_a_selector_that_breaks_it() -> None:
    class Greedy:
        """A selector that chooses samples of other splits."""

        def __init__(self, inner: Selector) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def select(self, table: Table, pool_ids: torch.Tensor, at: At) -> Any:
            return self.inner.select(table, torch.arange(60), at)

    with pytest.raises(AssertionError, match="pool only"):
        check_selector(lambda population: Greedy(build({"method": "full"}, population)))  # type: ignore[arg-type,return-value]


def test_dbpd_by_hand() -> None:
    """Eight samples over three epochs, worked on paper: stale scores with threshold 0.5."""
    population = Population(0, torch.zeros(8, dtype=torch.int64), 2)
    selector = build({"method": "dbpd", "threshold": 0.5, "revision": "1ep", "guards": "off"}, population, epochs=4)
    table, pool = Table(8), torch.arange(8)
    expected = [
        [0, 1, 2, 3, 4, 5, 6, 7],  # nothing is known yet: all
        [0, 3, 6],  # below 0.5 after epoch 0
        [3],  # 0 and 6 have been learnt; the dropped keep their old score
        [0, 1, 2, 3, 4, 5, 6, 7],  # revision
    ]
    scores = [[0.1, 0.9, 0.5, 0.2, 0.7, 0.8, 0.4, 1.0], [0.6, 0.3, 0.9], [0.2]]
    for epoch, ids in enumerate(expected):
        chosen = selector.select(table, pool, At(epoch, 4, epoch / 4))
        assert chosen.ids_M.tolist() == ids
        if epoch < 3:
            score = torch.tensor(scores[epoch])
            table.observe("trained", Observed.of(torch.tensor(ids), -score.log(), score, score > 0.5), epoch)


def test_an_epoch_of_revision_tells_no_counts_of_the_method() -> None:
    content = {"method": "dbpd", "threshold": 0.5, "revision": "1ep", "guards": {"class_floor": 0.5}}
    population = Population(0, torch.tensor([0, 1] * 4), 2)
    selector, table, pool = build(content, population, 3), Table(8), torch.arange(8)
    score, told = torch.tensor([0.1, 0.9] * 4), []
    for epoch in range(3):
        selector.select(table, pool, At(epoch, 3, epoch / 3))
        again = build(content, population, 3)
        again.load_state_dict(selector.state_dict())
        assert again.counts() == selector.counts()
        told.append(selector.counts())
        table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.5), epoch)
    assert told == [{}, {"guard.class_floor": 2.0}, {}]


def test_dbpd_scores_the_dropped_again_where_asked() -> None:
    population = Population(0, torch.zeros(4, dtype=torch.int64), 2)
    selector = build({"method": "dbpd", "threshold": 0.5, "refresh_every": 1, "guards": "off"}, population)
    table, at = Table(4), At(1, 6, 1 / 6)
    score = torch.tensor([0.9, 0.1, 0.8, 0.2])
    table.observe("trained", Observed.of(torch.arange(4), -score.log(), score, score > 0.5), 0)
    assert selector.ids_to_score(table, at).tolist() == [], "nothing has been left out yet"
    assert selector.select(table, torch.arange(4), at).ids_M.tolist() == [1, 3]
    table.observe(
        "trained", Observed.of(torch.tensor([1, 3]), -score[[1, 3]].log(), score[[1, 3]], score[[1, 3]] > 0.5), 1
    )
    at = At(2, 6, 2 / 6)
    assert selector.ids_to_score(table, at).tolist() == [0, 2]
    forgotten = torch.tensor([0.3])
    table.observe("scored", Observed.of(torch.tensor([2]), -forgotten.log(), forgotten, forgotten > 0.5), 2)
    assert selector.select(table, torch.arange(4), at).ids_M.tolist() == [1, 2, 3]


def test_fresh_dbpd_keeps_what_is_below_the_threshold() -> None:
    """Whatever is stored, and however a batch is put together: what it scores now decides."""
    content = {"method": "dbpd", "score": "fresh", "threshold": 0.3, "guards": "off"}
    selector = build(content, Population(0, torch.zeros(12, dtype=torch.int64), 2))
    scores = [
        [0.29, 0.3, 0.31, 0.1, 0.9, 0.8, 0.7, 0.2, 0.95, 0.6, 0.5, 0.4],
        [0.9, 0.9, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.25],
        [0.9, 0.9, 0.9, 0.9, 0.01, 0.9, 0.02, 0.9, 0.03, 0.9, 0.9, 0.9],
    ]
    for epoch, (now, expected) in enumerate(zip(scores, ([0, 3, 7], [2, 11], [4, 6, 8]), strict=True)):
        at, kept = At(epoch, 6, epoch / 6), []
        assert selector.select(Table(12), torch.arange(12), at).ids_M.tolist() == list(range(12)), "all are looked at"
        for ids in (torch.arange(8), torch.arange(8, 12)):
            score = torch.tensor(now)[ids]
            kept += ids[selector.keep(Observed.of(ids, -score.log(), score, score > 0.5), at).mask_G].tolist()
        assert kept == expected


@given(st.integers(2, 400), st.floats(0.01, 1.0), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_random_draws_the_stated_share_anew_in_each_epoch(size: int, share: float, epoch: int) -> None:
    selector = build({"method": "random", "share": share}, Population(1, torch.zeros(size), 2))
    ids = selector.select(Table(size), torch.arange(size), At(epoch, 60, epoch / 60)).ids_M
    assert len(ids.unique()) == len(ids) == max(1, round(share * size))
    again = selector.select(Table(size), torch.arange(size), At(epoch + 1, 60, epoch / 60)).ids_M
    if size > 100 and 0.2 < share < 0.8:
        assert not torch.equal(ids.sort().values, again.sort().values)


@pytest.mark.parametrize(
    ("revision", "epochs", "first"), [("5%", 10, 9), ("1ep", 4, 3), ("1.5ep", 4, 2), ("0ep", 4, 4)]
)
def test_a_started_epoch_of_revision_is_a_whole_one(revision: str, epochs: int, first: int) -> None:
    selector = build({"method": "random", "share": 0.5, "revision": revision}, Population(0, torch.zeros(8), 2), epochs)
    chosen = [len(selector.select(Table(8), torch.arange(8), At(e, epochs, 0.0)).ids_M) for e in range(epochs)]
    assert chosen == [4] * first + [8] * (epochs - first)


def test_random_draws_every_sample_equally_often() -> None:
    selector = build({"method": "random", "share": 0.25}, Population(1, torch.zeros(40), 2))
    counts = torch.zeros(40)
    for epoch in range(2000):
        counts[selector.select(Table(40), torch.arange(40), At(epoch, 2000, 0.0)).ids_M] += 1
    assert (counts - 500).abs().max() < 5 * (2000 * 0.25 * 0.75) ** 0.5


# --- Table ---


def test_the_table_keeps_views_apart_and_gives_the_newest() -> None:
    table = Table(3)
    one = torch.tensor([1.0])
    table.observe("trained", Observed.of(torch.tensor([0]), one, torch.tensor([0.4]), torch.tensor([True])), 2)
    table.observe("scored", Observed.of(torch.tensor([0]), one, torch.tensor([0.9]), torch.tensor([False])), 3)
    assert table.column("trained", "score")[0] == pytest.approx(0.4)
    assert table.score_N[0] == pytest.approx(0.9)
    assert table.last_epoch_N.tolist() == [3, -1, -1]
    table.observe("trained", Observed.of(torch.tensor([0]), one, torch.tensor([0.5]), torch.tensor([True])), 3)
    assert table.score_N[0] == pytest.approx(0.5), "training comes after the scoring pass of its epoch"
    assert table.seen_N.tolist() == [True, False, False]
    assert table.score_N[1].isnan()


def test_repeated_samples_leave_their_last_entry_and_all_visits() -> None:
    table = Table(2)
    scores = torch.tensor([0.1, 0.2, 0.3])
    table.observe("trained", Observed.of(torch.tensor([1, 1, 1]), scores, scores, scores > 1), 0)
    assert table.score_N[1] == pytest.approx(0.3)
    assert table.visits_N.tolist() == [0, 3]


def test_the_table_takes_24_bytes_a_sample() -> None:
    state = Table(1000).state_dict()
    assert sum(column.numel() * column.element_size() for column in state.values()) <= 24 * 1000


# --- Packer ---


def packed(ids: list[int]) -> Packed:
    tensor = torch.tensor(ids, dtype=torch.int64)
    return Packed(tensor, tensor.double() + 1, tensor % 2, tensor % 3)


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(2, 10))
@settings(max_examples=100, deadline=None)
def test_what_is_pushed_leaves_once_in_order_in_full_batches(pushes: list[int], size: int) -> None:
    packer, pushed, popped = Packer(), [], []
    for index, count in enumerate(pushes):
        ids = list(range(len(pushed), len(pushed) + count))
        pushed += ids
        packer.push(packed(ids))
        last = index == len(pushes) - 1
        while (batch := packer.pop(size, last)) is not None:
            popped.append(batch)
    left = packer.clear()
    assert left <= 1 or not pushes
    leaving = [int(i) for batch in popped for i in batch.ids_G]
    assert leaving == pushed[: len(pushed) - left]
    assert all(len(batch) > 1 for batch in popped), "never one image alone"
    assert all(len(batch) in (size, size + 1) for batch in popped[:-1])
    for batch in popped:
        assert torch.equal(batch.weight_G, batch.ids_G.double() + 1), "weights stay with their samples"


def test_where_everything_is_kept_batches_leave_as_they_came() -> None:
    packer = Packer()
    for first, size in ((0, 5), (5, 5), (10, 4)):
        packer.push(packed(list(range(first, first + size))))
        batch = packer.pop(size, last=first == 10)
        assert batch is not None
        assert batch.ids_G.tolist() == list(range(first, first + size))
        assert packer.pop(size, last=first == 10) is None


def test_the_packer_survives_saving() -> None:
    packer, other = Packer(), Packer()
    packer.push(packed([3, 1, 2]))
    other.load_state_dict(packer.state_dict())
    assert other.pop(3, last=False).ids_G.tolist() == [3, 1, 2]  # type: ignore[union-attr]


def test_a_selector_of_ones_own_is_booked_by_the_side_that_it_scores_at() -> None:
    """The same method, once by the recipe and once brought along: the same cost, predicted and spent."""
    content = {
        "data": {"source": "digits", "val": "none", "test": "none", "subset": 200},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 2, "batch_size": 50},
    }
    chosen = {"method": "dbpd", "score": "fresh", "threshold": 0.9, "scorer_side_px": 16, "guards": "off"}
    splits, costs = open_data(parse_recipe(content)), []
    for selector in (None, selector_of(parse_recipe({**content, "select": chosen}), splits)):
        recipe = parse_recipe(content if selector else {**content, "select": chosen})
        session = open_session(recipe, splits, selector=selector)
        for _ in train(session.task, session.train_data, session.run):
            pass
        costs.append((session.run.ledger.totals()["flops"], session.plan.predicted["flops"]))
    assert costs[0] == costs[1]
