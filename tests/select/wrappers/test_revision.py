"""The last epochs on everything: whole ones, without counts of the method."""

from __future__ import annotations

import pytest
import torch

from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.table import Table
from fewer.core.types import At
from stories import build_on


def test_an_epoch_of_revision_tells_no_counts_of_the_method() -> None:
    content = {"method": "dbpd", "threshold": 0.5, "revision": "1ep", "guards": {"class_floor": 0.5}}
    population = Population(0, torch.tensor([0, 1] * 4), 2)
    selector, table, pool = build_on(content, population, 3), Table(8), torch.arange(8)
    score, told = torch.tensor([0.1, 0.9] * 4), []
    for epoch in range(3):
        selector.select(table, pool, At(epoch, 3, epoch / 3))
        again = build_on(content, population, 3)
        again.load_state_dict(selector.state_dict())
        assert again.counts() == selector.counts()
        told.append(selector.counts())
        table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.5), epoch)
    assert told == [{}, {"guard.class_floor": 2.0}, {}]


@pytest.mark.parametrize(
    ("revision", "epochs", "first"), [("5%", 10, 9), ("1ep", 4, 3), ("1.5ep", 4, 2), ("0ep", 4, 4)]
)
def test_a_started_epoch_of_revision_is_a_whole_one(revision: str, epochs: int, first: int) -> None:
    selector = build_on(
        {"method": "random", "share": 0.5, "revision": revision}, Population(0, torch.zeros(8), 2), epochs
    )
    chosen = [len(selector.select(Table(8), torch.arange(8), At(e, epochs, 0.0)).ids_M) for e in range(epochs)]
    assert chosen == [4] * first + [8] * (epochs - first)
